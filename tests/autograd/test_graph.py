# SPDX-License-Identifier: BSD-3-Clause
"""The graph as users see it: nodes, hooks, hooks on saved tensors."""

# Functions and hooks are called with fixed arguments, most of which a test does not need.
# ruff: noqa: ARG005
from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

import fastnn
from fastnn import _joint_hooks, autograd, nn
from fastnn.autograd import graph
from fastnn.nn import functional as F


def leaf(*values):
    return fastnn.tensor(list(values), dtype=fastnn.float64, requires_grad=True)


# ---- nodes ---------------------------------------------------------------------------------------


def test_nodes_lead_to_their_inputs():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    z = (x * y + 1.0).sum()
    node = z.grad_fn
    assert isinstance(node, graph.Node)
    assert node.name() == "SumBackward0"
    names = []
    todo = [node]
    leaves = []
    while todo:
        at = todo.pop()
        names.append(at.name())
        if hasattr(at, "variable"):
            leaves.append(at.variable)
        todo += [n for n, _ in at.next_functions if n is not None]
    assert names[:3] == ["SumBackward0", "AddBackward0", "MulBackward0"]
    assert names[3:] == ["fastnn::autograd::AccumulateGrad"] * 2
    assert {id(t) for t in leaves} == {id(x), id(y)}
    add = node.next_functions[0][0]
    assert add.next_functions[1] == (None, 0)
    assert z.grad_fn.next_functions[0][0] is add
    assert x.grad_fn is None


def test_the_end_at_a_leaf_is_one_node():
    x = leaf(1.0)
    ends = [e for e, _ in (x * x).grad_fn.next_functions]
    assert ends[0] == ends[1]
    assert len({*ends, leaf(1.0).mul(2.0).grad_fn.next_functions[0][0]}) == 2
    assert ends[0] != x
    assert type(ends[0]).__name__ == "AccumulateGrad"
    assert ends[0].next_functions == ()
    with pytest.raises(RuntimeError, match=r"register_post_accumulate_grad_hook of its \.variable"):
        ends[0].register_hook(print)


def test_numbers_of_outputs():
    a, b = leaf(1.0, 2.0).chunk(2)
    assert (a.output_nr, b.output_nr) == (0, 1) or a.grad_fn is not b.grad_fn
    x = leaf(3.0, 1.0)
    assert graph.get_gradient_edge(x) == (graph.AccumulateGrad(x), 0)
    y = x * 2
    assert graph.get_gradient_edge(y).node is y.grad_fn
    with pytest.raises(RuntimeError, match="get_gradient_edge: expected a tensor that requires"):
        graph.get_gradient_edge(x.detach())


def test_metadata_of_a_node():
    y = leaf(1.0) * 2
    assert y.grad_fn.metadata == {}
    y.grad_fn.metadata["note"] = 3
    assert y.grad_fn.metadata["note"] == 3


@pytest.mark.parametrize("create_graph", [False, True])
def test_hooks_of_a_node(create_graph):
    x = leaf(2.0, 3.0)
    y = x * 2
    seen = []
    before = y.grad_fn.register_prehook(lambda out: (out[0] * 10,))
    after = y.grad_fn.register_hook(lambda into, out: seen.append((into, out)))
    last = y.grad_fn.register_hook(lambda into, out: (into[0] + 1, into[1]))
    y.sum().backward(retain_graph=True, create_graph=create_graph)
    assert x.grad.tolist() == [21.0, 21.0]
    ((into, out),) = seen
    assert into[0].tolist() == [20.0, 20.0]
    assert into[1] is None
    assert out[0].tolist() == [10.0, 10.0]
    for handle in (before, after, last):
        handle.remove()
    x.grad = None
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    assert len(seen) == 1


def test_hooks_of_a_node_see_its_gradients_and_not_the_sum_in_grad():
    w = leaf(1.0, 2.0).reshape(1, 2).detach().requires_grad_()
    y = F.linear(fastnn.ones(1, 2).double(), w)
    seen = []
    y.grad_fn.register_hook(lambda into, out: seen.append(into[1].tolist()))
    for _ in range(2):
        y.sum().backward(retain_graph=True)
    assert seen == [[[1.0, 1.0]]] * 2
    assert w.grad.tolist() == [[2.0, 2.0]]


def test_hooks_of_a_node_return_as_many_as_they_got():
    y = leaf(2.0) * 2
    y.grad_fn.register_hook(lambda into, out: (into[0],))
    with pytest.raises(RuntimeError, match="mul: expected 2 gradients from a hook"):
        y.backward()


# ---- hooks of tensors ----------------------------------------------------------------------------


def test_hooks_after_accumulation():
    x = leaf(1.0, 2.0)
    x.grad = fastnn.ones(2).double()
    seen = []
    order = []
    handle = x.register_post_accumulate_grad_hook(lambda t: seen.append((t, t.grad.tolist())))
    x.register_post_accumulate_grad_hook(lambda t: order.append("after"))
    x.register_hook(lambda g: order.append("before"))
    (x * 3.0 + x).sum().backward()
    assert seen[0][0] is x
    assert seen[0][1] == [5.0, 5.0]
    assert order == ["before", "after"]
    handle.remove()
    (x * 3.0).sum().backward()
    autograd.grad((x * 3.0).sum(), [x])
    assert len(seen) == 1
    assert order == ["before", "after"] * 2 + ["before"]


def test_an_optimizer_in_the_backward_pass():
    model = nn.Linear(2, 1)
    optimizers = {p: fastnn.optim.SGD([p], lr=0.1) for p in model.parameters()}
    before = [p.detach().clone() for p in model.parameters()]

    def step(p):
        optimizers[p].step()
        optimizers[p].zero_grad()

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(step)
    model(fastnn.ones(1, 2)).sum().backward()
    for p, b in zip(model.parameters(), before, strict=True):
        assert p.grad is None
        np.testing.assert_allclose(p.detach().numpy(), b.numpy() - 0.1, rtol=1e-6)


def test_hooks_after_accumulation_are_for_leaves():
    x = leaf(1.0)
    with pytest.raises(RuntimeError, match="expected a leaf, got the result of an operation"):
        (x * 1).register_post_accumulate_grad_hook(print)
    with pytest.raises(RuntimeError, match="expected a tensor that requires grad"):
        x.detach().register_post_accumulate_grad_hook(print)
    with pytest.raises(TypeError, match="expected a hook that can be called, got int; pass"):
        x.register_post_accumulate_grad_hook(3)


def test_retains_grad():
    x = leaf(1.0)
    y = x * 2
    assert not y.retains_grad
    y.retain_grad()
    x.retain_grad()
    assert y.retains_grad
    assert not x.retains_grad
    assert not (x * 2).retains_grad


# ---- hooks on saved tensors ----------------------------------------------------------------------


def model_and_loss():
    fastnn.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.GELU(), nn.MaxPool1d(2), nn.Flatten(),
        nn.Linear(9, 4), nn.LayerNorm(4), nn.Dropout(0.5), nn.Linear(4, 3),
    )  # fmt: skip
    model = model.double()
    x = fastnn.randn(5, 2, 8, dtype=fastnn.float64)
    target = fastnn.tensor([0, 1, 2, 1, 0])
    loss = F.cross_entropy(model(x) * model(x) - x.mean(), target)
    return model, loss


def gradients(model):
    return [p.grad.numpy().copy() for p in model.parameters()]


def test_saved_tensors_go_through_the_hooks():
    model, loss = model_and_loss()
    loss.backward()
    want = gradients(model)
    kept = {}
    counts = {"packed": 0, "unpacked": 0}

    def pack(t):
        assert not t.requires_grad
        assert not fastnn.is_grad_enabled()
        counts["packed"] += 1
        kept[counts["packed"]] = t.clone()
        return counts["packed"]

    def unpack(number):
        counts["unpacked"] += 1
        return kept[number]

    with graph.saved_tensors_hooks(pack, unpack):
        model, loss = model_and_loss()
    assert counts["packed"] > 15
    assert counts["unpacked"] == 0
    loss.backward()
    assert counts["unpacked"] >= counts["packed"] // 2
    for got, w in zip(gradients(model), want, strict=True):
        np.testing.assert_array_equal(got, w)


def test_what_is_unpacked_is_what_backward_uses():
    x = leaf(2.0, 3.0)
    with graph.saved_tensors_hooks(lambda t: t, lambda t: t * 10):
        y = x * x
    y.sum().backward()
    assert x.grad.tolist() == [40.0, 60.0]
    with graph.saved_tensors_hooks(lambda t: t, lambda t: t * 10):
        y = x.exp()
    (g,) = autograd.grad(y.sum(), [x])
    np.testing.assert_allclose(g.numpy(), 10 * np.exp([2.0, 3.0]))


@pytest.mark.parametrize("function", [lambda t: t.exp() * t, lambda t: (t * 1.0).sigmoid() * t])
def test_second_derivatives_through_the_hooks(function):
    x = leaf(0.5, -1.0)

    def with_hooks(t):
        with graph.saved_tensors_hooks(lambda s: s.numpy().copy(), fastnn.from_numpy):
            return function(t)

    assert autograd.gradgradcheck(with_hooks, [x])
    want = autograd.functional.hessian(lambda t: function(t).sum(), x)
    np.testing.assert_allclose(
        autograd.functional.hessian(lambda t: with_hooks(t).sum(), x).numpy(), want.numpy()
    )


def test_saved_tensors_of_a_users_function_go_through_the_hooks():
    class Scaled(autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            out = (x * y).exp()
            ctx.save_for_backward(x, y, out, None, fastnn.ones(1))
            return out

        @staticmethod
        def backward(ctx, g):
            x, y, out, nothing, one = ctx.saved_tensors
            assert nothing is None
            return g * out * y * one, g * out * x

    packed = []

    def pack(t):
        packed.append(t)
        return t.numpy().copy()

    def scaled(x, y):
        with graph.saved_tensors_hooks(pack, fastnn.from_numpy):
            return Scaled.apply(x, y * 1)

    x, y = leaf(0.3, -0.2), leaf(0.4, 0.1)
    assert autograd.gradcheck(scaled, [x, y])
    assert autograd.gradgradcheck(scaled, [x, y])
    packed.clear()
    scaled(x, y)
    assert len(packed) == 5  # and what the product saved


def test_innermost_hooks_count_and_only_in_their_thread():
    names = []

    def naming(name):
        return graph.saved_tensors_hooks(lambda t: (names.append(name), t)[1], lambda t: t)

    def other():
        leaf(1.0).exp()

    with naming("outer"), naming("inner"):
        leaf(1.0).exp()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert names == ["inner"]
    leaf(1.0).exp()
    assert names == ["inner"]


def test_hooks_that_do_what_they_must_not():
    x = leaf(1.0)
    with (
        graph.saved_tensors_hooks(lambda t: t.mul_(2.0), lambda t: t),
        pytest.raises(RuntimeError, match="pack hook to leave its argument as it is"),
    ):
        x.exp()
    with graph.saved_tensors_hooks(lambda t: t, lambda t: 3):
        y = x.exp()
    with pytest.raises(TypeError, match="expected a Tensor from the unpack hook, got int"):
        y.backward()
    with pytest.raises(TypeError, match="saved_tensors_hooks: expected two functions, got int"):
        graph.saved_tensors_hooks(3, 4)


def test_hooks_can_be_forbidden():
    with (
        graph.disable_saved_tensors_hooks("not in here"),
        pytest.raises(RuntimeError, match="not in here"),
        graph.saved_tensors_hooks(lambda t: t, lambda t: t),
    ):
        pass
    with (
        graph.saved_tensors_hooks(lambda t: t, lambda t: t),
        pytest.raises(RuntimeError, match="now not"),
        graph.disable_saved_tensors_hooks("now not"),
    ):
        pass
    leaf(1.0).exp().backward()


def test_what_was_packed_is_freed_and_kept_as_asked():
    x = leaf(1.0)
    with graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        y = x.exp()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.e)


def test_saving_on_the_cpu():
    x = leaf(1.0, 2.0)
    with graph.save_on_cpu(pin_memory=True):
        y = (x.exp() * x).sum()
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp([1.0, 2.0]) * [2.0, 3.0])


# ---- hooks of several tensors --------------------------------------------------------------------


def test_one_hook_for_all_gradients_of_a_pass():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    c, d = a * b, a * b
    seen = []
    handle = graph.register_multi_grad_hook((a, b, c, d), seen.append)
    c.sum().backward(retain_graph=True)
    (found,) = seen
    assert [None if g is None else g.tolist() for g in found] == [
        [3.0, 4.0], [1.0, 2.0], [1.0, 1.0], None,
    ]  # fmt: skip
    for run, want in (
        (lambda: c.sum().backward(inputs=(a,), retain_graph=True), [True, False, True, False]),
        (lambda: autograd.grad(d.sum(), b, retain_graph=True), [False, True, False, True]),
        (lambda: (c + d).sum().backward(retain_graph=True), [True] * 4),
        (lambda: autograd.grad(c.exp().sum(), a, create_graph=True), [True, False, True, False]),
    ):
        seen.clear()
        run()
        assert [[g is not None for g in grads] for grads in seen] == [want]
    with handle:
        pass
    seen.clear()
    c.sum().backward()
    assert seen == []


def test_one_hook_for_the_first_gradient_of_a_pass():
    a, plain = leaf(1.0, 2.0), fastnn.ones(2)
    b = a * 3.0
    seen = []
    handle = graph.register_multi_grad_hook([a, b, plain], seen.append, mode="any")
    for _ in range(2):
        (b * b).sum().backward(retain_graph=True)
    assert [g.tolist() for g in seen] == [[6.0, 12.0]] * 2
    handle.remove()
    handle.remove()
    (b * b).sum().backward()
    assert len(seen) == 2


def test_a_pass_inside_of_a_hook_has_a_count_of_its_own():
    a, b = leaf(1.0), leaf(2.0)
    seen = []
    graph.register_multi_grad_hook([a, b], lambda grads: seen.append([g.item() for g in grads]))
    y = a * b

    def inner(_):
        with fastnn.enable_grad():
            (a * 5.0 + b * 7.0).backward()

    y.register_hook(inner)
    y.backward()
    assert seen == [[5.0, 7.0], [2.0, 1.0]]
    assert (a.grad.item(), b.grad.item()) == (7.0, 8.0)


def test_a_hook_that_comes_during_a_pass_waits_for_the_next(monkeypatch):
    monkeypatch.setattr(_joint_hooks, "waiting", {})
    a, seen = leaf(1.0), []
    y = a * 2.0
    handle = y.register_hook(lambda g: graph.register_multi_grad_hook([a], seen.append) and None)
    y.backward(retain_graph=True)
    handle.remove()
    assert seen == []
    y.backward()
    assert len(seen) == 1


def test_hooks_of_tensors_that_are_gone_cost_nothing():
    gc.collect()
    known = len(_joint_hooks.waiting)
    a = leaf(1.0)
    graph.register_multi_grad_hook([a, a * 2.0], print)
    assert len(_joint_hooks.waiting) == known + 1
    del a
    gc.collect()
    assert len(_joint_hooks.waiting) == known


def test_an_error_in_a_pass_ends_it():
    a = leaf(1.0)
    seen = []
    graph.register_multi_grad_hook([a], seen.append)
    y = a * 2.0
    handle = y.register_hook(lambda g: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        y.backward(retain_graph=True)
    handle.remove()
    assert _joint_hooks._running.passes == []
    y.backward()
    assert [[g.item() for g in grads] for grads in seen] == [[2.0]]


def test_hooks_of_several_tensors_that_are_refused():
    a, plain = leaf(1.0), fastnn.ones(1)
    for tensors, fn, mode, error, text in (
        ([a], print, "some", ValueError, "mode as 'all' or 'any', got 'some'"),
        ([a], 3, "all", TypeError, "a hook that can be called, got int"),
        ([3], print, "all", TypeError, "expected tensors, got int"),
        ([a, plain], print, "all", RuntimeError, "require grad, got 1 without of 2"),
        ([plain], print, "any", RuntimeError, "require grad, got 1 without of 1"),
        ([], print, "all", RuntimeError, "got 0 without of 0"),
    ):
        with pytest.raises(error, match=text):
            graph.register_multi_grad_hook(tensors, fn, mode=mode)


# ---- batches of gradients ------------------------------------------------------------------------


def test_a_batch_of_gradients_is_a_jacobian():
    x, unused = leaf(1.0, 2.0, 3.0), leaf(1.0)
    y = x * x * 2.0
    rows, none = autograd.grad(
        y, [x, unused], fastnn.eye(3, dtype=fastnn.float64), create_graph=True, allow_unused=True,
        is_grads_batched=True,
    )  # fmt: skip
    assert none is None
    assert rows.tolist() == np.diag([4.0, 8.0, 12.0]).tolist()
    (second,) = autograd.grad(rows.sum(), x, retain_graph=True)
    assert second.tolist() == [4.0] * 3
    (zeros,) = autograd.grad(
        [y, y.sum()], unused, [fastnn.ones(2, 3), fastnn.ones(2)], materialize_grads=True,
        retain_graph=True, is_grads_batched=True,
    )  # fmt: skip
    assert zeros.tolist() == [[0.0], [0.0]]
    weight = leaf(1.0, 2.0).reshape(2, 1) * fastnn.ones(3)
    (g,) = autograd.grad(y, x, weight, is_grads_batched=True)
    assert g.tolist() == [[4.0, 8.0, 12.0], [8.0, 16.0, 24.0]]
    with pytest.raises(RuntimeError, match="retain_graph=True"):  # the last one freed the graph
        autograd.grad(y, x, weight, is_grads_batched=True)


def test_versions_can_be_raised_by_hand():
    x = leaf(1.0)
    h = x * 1
    y = h.exp() * h
    graph.increment_version(h)
    graph.increment_version([h, x])
    assert (h._version, x._version) == (2, 1)
    with pytest.raises(RuntimeError, match="in-place"):
        y.backward()


def test_every_public_name_is_there():
    for name in autograd.__all__:
        assert getattr(autograd, name) is not None
    for module in ("anomaly_mode", "function", "functional", "grad_mode", "graph", "variable"):
        found = getattr(autograd, module)
        assert all(hasattr(found, name) for name in found.__all__)
    with pytest.raises(AttributeError, match=r"autograd' has no attribute 'nothing'"):
        _ = autograd.nothing


def test_variables_are_tensors():
    x = fastnn.ones(2)
    made = autograd.Variable(x, requires_grad=True)
    assert type(made) is fastnn.Tensor
    assert made.requires_grad
    assert not x.requires_grad
    assert made.data_ptr() == x.data_ptr()
    assert isinstance(x, autograd.Variable)
    assert not isinstance(3, autograd.Variable)
    assert autograd.Variable().shape == (0,)
    with pytest.raises(TypeError, match="Variable: expected a Tensor, got list"):
        autograd.Variable([1.0])
    with pytest.raises(TypeError, match=r"no volatile, got True.*no_grad\(\)"):
        autograd.Variable(x, volatile=True)
