# SPDX-License-Identifier: BSD-3-Clause
"""The tape: what is recorded, when it is freed, what in-place changes mean, hooks, grad()."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import autograd, nn, optim
from fastnn.nn import functional as F


def leaf(*values: float) -> fastnn.Tensor:
    return fastnn.tensor(list(values), dtype=fastnn.float64, requires_grad=True)


def test_course_example_product_of_a_sum() -> None:
    x, y, z = (fastnn.tensor(v, requires_grad=True) for v in (-2.0, 5.0, -4.0))
    f = (x + y) * z
    f.backward()
    assert f.item() == -12.0
    assert (x.grad.item(), y.grad.item(), z.grad.item()) == (-4.0, -4.0, 3.0)


@pytest.mark.parametrize("steps", [2000])
def test_course_example_two_layer_network_weight_for_weight(steps: int) -> None:
    """64 x 1000 -> 100 -> 10, sigmoid, sum of squares, learning rate 1e-4: against plain NumPy."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 1000)), rng.standard_normal((64, 10))
    w1, w2 = rng.standard_normal((1000, 100)), rng.standard_normal((100, 10))
    a, b = (fastnn.tensor(w, requires_grad=True) for w in (w1, w2))
    xt, yt = fastnn.tensor(x), fastnn.tensor(y)
    for _ in range(steps):
        h = 1 / (1 + np.exp(-x.dot(w1)))
        error = h.dot(w2) - y
        grad_w2 = h.T.dot(2.0 * error)
        grad_w1 = x.T.dot((2.0 * error).dot(w2.T) * h * (1 - h))
        w1 -= 1e-4 * grad_w1
        w2 -= 1e-4 * grad_w2

        prediction = (xt @ a).sigmoid() @ b
        difference = prediction - yt
        (difference * difference).sum().backward()
        with fastnn.no_grad():
            a -= 1e-4 * a.grad
            b -= 1e-4 * b.grad
        a.grad = b.grad = None
    np.testing.assert_allclose(a.detach().numpy(), w1, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(b.detach().numpy(), w2, rtol=1e-7, atol=1e-9)


def test_gradients_add_up_over_uses_and_calls() -> None:
    x = leaf(1.0, 2.0)
    (x * x + x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3.0, 5.0])
    (x * 2.0).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [5.0, 7.0])


def test_gradients_of_two_leaves_do_not_share_memory() -> None:
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x + y).sum().backward()
    assert x.grad.array is not y.grad.array
    (x + y).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 2.0])
    np.testing.assert_array_equal(y.grad.numpy(), [2.0, 2.0])


def test_gradient_passed_by_the_user_is_not_taken_over() -> None:
    x = leaf(1.0, 2.0)
    seed = fastnn.tensor([1.0, 1.0], dtype=fastnn.float64)
    (x + 0.0).backward(seed)
    x.clone().backward(seed)
    np.testing.assert_array_equal(seed.numpy(), [1.0, 1.0])
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 2.0])


def test_second_backward_needs_retain_graph() -> None:
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8.0
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()


def test_backward_messages() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="one element, got shape"):
        (x * 2.0).backward()
    with pytest.raises(RuntimeError, match="requires grad"):
        x.detach().sum().backward()
    with pytest.raises(RuntimeError, match="gradient of shape"):
        (x * 2.0).backward(fastnn.ones(3, dtype=fastnn.float64))
    with pytest.raises(RuntimeError, match="one gradient per tensor"):
        autograd.backward([x.sum(), x.sum()], [None])


def test_changing_a_saved_value_is_an_error_never_a_wrong_gradient() -> None:
    x = leaf(1.0, 2.0)
    h = x * 2.0
    y = (h * h).sum()
    with fastnn.no_grad():
        h.add_(1.0)
    with pytest.raises(RuntimeError, match=r"mul: .*in-place"):
        y.backward()


def test_changing_a_saved_value_through_a_view_is_an_error_too() -> None:
    x = leaf(1.0, 2.0, 3.0)
    h = x * 2.0
    y = h.exp().sum() + (h * h).sum()
    h.detach()[0] = 5.0
    with pytest.raises(RuntimeError, match="in-place"):
        y.backward()


def test_changing_a_value_that_is_not_saved_is_fine() -> None:
    x = leaf(1.0, 2.0)
    h = x + 1.0
    y = h.sum()
    with fastnn.no_grad():
        h.mul_(3.0)
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1.0, 1.0])


def test_in_place_operations_rebase_history() -> None:
    x = leaf(1.0, 2.0)
    y = x * 3.0
    y.mul_(x)
    y.add_(1.0)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [6.0, 12.0])


def test_index_assignment_carries_gradients() -> None:
    x, v = leaf(1.0, 2.0, 3.0), leaf(10.0)
    y = x * 2.0
    y[1] = v[0] * v[0]
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 0.0, 2.0])
    np.testing.assert_array_equal(v.grad.numpy(), [20.0])


def test_in_place_on_a_leaf_that_requires_grad_raises() -> None:
    x = leaf(1.0)
    with pytest.raises(RuntimeError, match=r"no_grad\(\)"):
        x.add_(1.0)
    with fastnn.no_grad():
        x.add_(1.0)
    assert x.item() == 2.0


def test_in_place_on_a_view_gives_its_base_a_new_history() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2.0
    y[0:1].mul_(3.0)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [6.0, 2.0])


def test_a_view_made_before_its_base_was_changed_takes_its_history_anew() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2.0
    old = y[0:1]
    y.mul_(x)
    (old * 1.0).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [4.0, 0.0])


def test_in_place_on_an_expanded_tensor_raises() -> None:
    with pytest.raises(RuntimeError, match="share memory"):
        fastnn.zeros(3, 1).expand(3, 4).add_(1.0)


def test_overlapping_input_and_output_go_through_a_temporary() -> None:
    x = fastnn.arange(6.0)
    x[1:].add_(x[:-1])
    np.testing.assert_array_equal(x.numpy(), [0.0, 1.0, 3.0, 5.0, 7.0, 9.0])
    m = fastnn.arange(9.0).reshape(3, 3)
    m.add_(m.t())
    np.testing.assert_array_equal(
        m.numpy(), np.arange(9.0).reshape(3, 3) + np.arange(9.0).reshape(3, 3).T
    )


def test_no_grad_as_context_and_decorator_nests() -> None:
    x = leaf(1.0)

    @fastnn.no_grad()
    def double(t: fastnn.Tensor) -> fastnn.Tensor:
        return t * 2.0

    assert not double(x).requires_grad
    with fastnn.no_grad():
        assert not fastnn.is_grad_enabled()
        with fastnn.enable_grad():
            assert (x * 2.0).requires_grad
        assert not (x * 2.0).requires_grad
    assert fastnn.is_grad_enabled()
    with fastnn.set_grad_enabled(False):
        assert not (x * 2.0).requires_grad
    assert fastnn.is_grad_enabled()


def test_no_grad_is_per_thread() -> None:
    seen: list[bool] = []
    with fastnn.no_grad():
        thread = threading.Thread(target=lambda: seen.append(fastnn.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_hooks_see_and_replace_gradients() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2.0
    seen = []
    handle = y.register_hook(lambda g: seen.append(g.numpy().copy()))
    x.register_hook(lambda g: g * 10.0)
    (y * y + y).sum().backward(retain_graph=True)
    np.testing.assert_array_equal(seen[0], [5.0, 9.0])
    np.testing.assert_array_equal(x.grad.numpy(), [100.0, 180.0])
    handle.remove()
    handle.remove()
    (y * 1.0).sum().backward()
    assert len(seen) == 1


def test_leaf_hook_runs_once_on_the_sum_of_all_uses() -> None:
    x = leaf(1.0)
    calls = []
    x.register_hook(lambda g: calls.append(g.item()))
    (x * 2.0 + x * 3.0).sum().backward()
    assert calls == [5.0]


def test_retain_grad_keeps_the_gradient_of_an_intermediate() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2.0
    y.retain_grad()
    (y * y).sum().backward()
    np.testing.assert_array_equal(y.grad.numpy(), [4.0, 8.0])


def test_grad_leaves_dot_grad_alone() -> None:
    x, y = leaf(1.0), leaf(2.0)
    (gx,) = autograd.grad((x * y).sum(), [x])
    assert gx.item() == 2.0
    assert x.grad is None
    assert y.grad is None
    with pytest.raises(RuntimeError, match="allow_unused"):
        autograd.grad((x * 2.0).sum(), [y])
    assert autograd.grad((x * 2.0).sum(), [y], allow_unused=True) == (None,)


def test_grad_with_respect_to_an_intermediate() -> None:
    x = leaf(3.0)
    y = x * 2.0
    gy, gx = autograd.grad((y * y).sum(), [y, x])
    assert (gy.item(), gx.item()) == (12.0, 24.0)


def test_only_what_is_wanted_is_computed() -> None:
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = x.exp()
    hits = []
    y.register_hook(hits.append)
    autograd.grad((y * w).sum(), [w])
    assert not hits


def test_higher_derivatives_of_a_power() -> None:
    x = leaf(2.0)
    y = (x * x * x * x).sum()
    (g1,) = autograd.grad(y, [x], create_graph=True)
    (g2,) = autograd.grad(g1.sum(), [x], create_graph=True)
    (g3,) = autograd.grad(g2.sum(), [x], create_graph=True)
    assert (g1.item(), g2.item(), g3.item()) == (32.0, 48.0, 48.0)


def test_a_gradient_with_history_is_a_copy_to_which_later_passes_may_add() -> None:
    x = fastnn.ones(2, requires_grad=True)
    given = fastnn.ones(2)
    (x + 1.0).backward(given, create_graph=True)
    seen: list[Any] = []
    y = x + 1.0
    y.register_hook(seen.append)
    (y * 3.0).sum().backward(create_graph=True)
    (x * 2.0).sum().backward()
    assert x.grad is not None
    assert (x.grad.tolist(), given.tolist()) == ([6.0, 6.0], [1.0, 1.0])
    assert seen[0].tolist() == [3.0, 3.0]


@pytest.mark.parametrize("graph", [False, True])
def test_retained_gradients_are_nobody_elses(graph: bool) -> None:
    x = fastnn.ones(2, requires_grad=True)
    y = x * 2.0
    y.retain_grad()
    (g,) = autograd.grad((y * y).sum(), y, create_graph=graph, retain_graph=True)
    held = y.grad
    assert held is not None
    (y * 1.0).sum().backward(retain_graph=True)
    assert y.grad is not None
    assert (g.tolist(), held.tolist(), y.grad.tolist()) == ([4.0, 4.0], [4.0, 4.0], [5.0, 5.0])


def test_create_graph_fills_dot_grad_with_history() -> None:
    x = leaf(3.0)
    (x * x).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    (g,) = autograd.grad(x.grad.sum(), [x])
    assert g.item() == 2.0


def test_gradcheck_catches_a_wrong_gradient() -> None:
    class Wrong(autograd.Op):
        def forward(self, x):  # type: ignore[no-untyped-def]
            return x * 2.0

        def backward(self, g):  # type: ignore[no-untyped-def]
            return (g * 3.0,)

    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="central differences"):
        autograd.gradcheck(lambda t: Wrong.apply((t,)), [x])
    assert not autograd.gradcheck(lambda t: Wrong.apply((t,)), [x], raise_exception=False)
    with pytest.raises(RuntimeError, match="wrong: expected an operation with a second"):
        autograd.grad(Wrong.apply((x,)).sum(), [x], create_graph=True)


def test_chain_of_fifty_thousand_operations() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(50_000):
        y = y + 0.001
    y.sum().backward()
    assert x.grad.item() == 1.0
    del y
    gc.collect()


def test_graph_is_freed_without_the_garbage_collector() -> None:
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = (x * x).exp()
        node = weakref.ref(y._node)
        y.sum().backward()
        del y
        assert node() is None
    finally:
        gc.enable()


def test_thousand_steps_without_garbage_collector_do_not_grow_memory() -> None:
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    x, y = fastnn.randn(64, 16), fastnn.zeros(64, dtype=fastnn.int64)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            step()
        before = len(gc.get_objects())
        for _ in range(1000):
            step()
        assert len(gc.get_objects()) - before < 50
        if fastnn._backend.cpu is not None:
            stats = fastnn._backend.cpu.memory_stats()
            for _ in range(20):
                step()
            assert fastnn._backend.cpu.memory_stats()["system_calls"] == stats["system_calls"]
    finally:
        gc.enable()


def test_two_threads_training_at_once_get_the_results_of_one() -> None:
    def train(seed: int, out: dict[int, list[np.ndarray]]) -> None:
        generator = fastnn.Generator().manual_seed(seed)
        w = fastnn.randn(300, 200, generator=generator).requires_grad_()
        x = fastnn.randn(128, 300, generator=generator)
        for _ in range(20):
            loss = (x @ w).tanh().mean() + F.dropout(w, 0.5, generator=generator).sum() * 1e-6
            loss.backward()
            with fastnn.no_grad():
                w -= 0.1 * w.grad
            w.grad = None
        out[seed] = [w.detach().numpy().copy()]

    alone: dict[int, list[np.ndarray]] = {}
    together: dict[int, list[np.ndarray]] = {}
    for seed in (1, 2):
        train(seed, alone)
    threads = [threading.Thread(target=train, args=(seed, together)) for seed in (1, 2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for seed in (1, 2):
        np.testing.assert_array_equal(alone[seed][0], together[seed][0])


def test_a_tensor_and_its_detached_self_in_one_operation() -> None:
    x = fastnn.tensor(3.0, requires_grad=True, dtype=fastnn.float64)
    y = x * x * x
    (g,) = autograd.grad(y / y.detach(), [x], create_graph=True)
    (h,) = autograd.grad(g, [x])
    assert h.item() == pytest.approx(2 / 3)
    (g,) = autograd.grad(x * x.data, [x], create_graph=True)
    assert not g.requires_grad


def test_copy_and_fill_cut_the_gradient() -> None:
    for change in (lambda y: y.copy_(fastnn.zeros(2).double()), lambda y: y.zero_()):
        x = leaf(1.0, 2.0)
        y = x * 2.0
        change(y)
        y.sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), [0.0, 0.0])
        x = leaf(1.0, 2.0)
        y = x * 2.0
        old = y[0]
        change(y)
        (old * 3.0).backward(retain_graph=True)
        old.backward()
        np.testing.assert_array_equal(x.grad.numpy(), [0.0, 0.0])


def test_copy_carries_the_gradient_of_its_source() -> None:
    x, s = leaf(1.0, 2.0), leaf(5.0)
    y = x * 2.0
    y.copy_(s * 3.0)
    (y * y).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0.0, 0.0])
    np.testing.assert_array_equal(s.grad.numpy(), [180.0])


def test_view_made_before_its_base_needed_grad_needs_it_too() -> None:
    w = leaf(1.0, 2.0)
    out = fastnn.zeros(2, dtype=fastnn.float64)
    row = out[0:1]
    out.add_(w)
    row.sum().backward()
    out[0:1].sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), [2.0, 0.0])


def test_second_derivative_of_the_loss_of_a_transposed_input() -> None:
    x = fastnn.tensor(np.random.default_rng(0).standard_normal((3, 4)), requires_grad=True)
    target = fastnn.tensor([0, 1, 2, 1])
    assert autograd.gradgradcheck(lambda t: F.cross_entropy(t.t(), target), [x])


def test_all_targets_ignored_gives_zero_gradients_either_way() -> None:
    x = fastnn.tensor([[1.0, 2.0]], requires_grad=True)
    for graph in (False, True):
        loss = F.cross_entropy(x, fastnn.tensor([-100]))
        (g,) = autograd.grad(loss, [x], create_graph=graph)
        np.testing.assert_array_equal(g.detach().numpy(), [[0.0, 0.0]])


def test_hooks_must_return_gradients_that_fit() -> None:
    for result, error in (
        (fastnn.ones(2), RuntimeError),
        (fastnn.ones(1).float(), RuntimeError),
        (2.0, TypeError),
    ):
        x = leaf(1.0)
        x.register_hook(lambda _, r=result: r)
        with pytest.raises(error, match="hook: expected"):
            (x * 2.0).sum().backward()
    with pytest.raises(TypeError, match="gradient as a Tensor"):
        leaf(1.0).sum().backward(1.0)  # type: ignore[arg-type]


def test_replacing_data_before_a_second_derivative_raises() -> None:
    x = leaf(2.0)
    y = (x * x).sum()
    x.data = fastnn.tensor([5.0], dtype=fastnn.float64)
    with pytest.raises(RuntimeError, match=r"\.data"):
        autograd.grad(y, [x], create_graph=True)


def test_gradient_buffer_that_backward_reads_is_not_written() -> None:
    w = fastnn.ones(3, 3, requires_grad=True)
    w.grad = fastnn.ones(3, 3)
    F.linear(fastnn.ones(3, 3), w).backward(w.grad)
    np.testing.assert_array_equal(w.grad.numpy(), np.full((3, 3), 4.0))


def test_inference_mode_and_decorators() -> None:
    x = leaf(1.0)
    with fastnn.inference_mode(False):
        assert (x * 2.0).requires_grad
    with fastnn.inference_mode():
        assert not (x * 2.0).requires_grad

    @fastnn.inference_mode(True)
    def inferred() -> bool:
        return (x * 2.0).requires_grad

    @fastnn.set_grad_enabled(False)
    def disabled() -> bool:
        return (x * 2.0).requires_grad

    @fastnn.no_grad()
    def steps():  # type: ignore[no-untyped-def]
        yield (x * 2.0).requires_grad
        yield (x * 2.0).requires_grad

    assert fastnn.is_grad_enabled()
    assert (inferred(), disabled(), list(steps())) == (False, False, [False, False])
    assert fastnn.is_grad_enabled()


def test_fill_carries_the_gradient_of_its_value() -> None:
    for dtype in (fastnn.float32, fastnn.float64):
        x = fastnn.tensor(2.0, requires_grad=True)
        y = fastnn.ones(3, dtype=dtype)
        y.fill_(x)
        (y * y).sum().backward()
        assert x.grad is not None
        assert x.grad.item() == 12.0
    x, y = fastnn.tensor(2.0, requires_grad=True), fastnn.ones(3, requires_grad=True)
    z = y * 1
    z.fill_(x)
    (z * z).sum().backward()
    assert x.grad.item() == 12.0
    assert y.grad.tolist() == [0.0] * 3
    with pytest.raises(RuntimeError, match="fill_: expected a tensor without grad"):
        y.fill_(x)
    whole = fastnn.ones(2, dtype=fastnn.int64)
    assert not whole.fill_(x).requires_grad
    with fastnn.no_grad():
        assert y.fill_(x).tolist() == [2.0] * 3
    assert y.is_leaf


def test_a_tensor_is_not_its_own_gradient() -> None:
    for x in (fastnn.ones(2, requires_grad=True), fastnn.ones(2)):
        with pytest.raises(RuntimeError, match=r"grad: expected another tensor.*; assign a detach"):
            x.grad = x
        assert x.grad is None
        x.grad = x.detach()
        assert x.grad.tolist() == [1.0, 1.0]
