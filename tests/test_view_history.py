# SPDX-License-Identifier: BSD-3-Clause
"""Views and in-place changes: whose history changes, what is refused, and all of it as torch."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import autograd


def leaf(*values: float) -> fastnn.Tensor:
    return fastnn.tensor(values, dtype=fastnn.float64, requires_grad=True)


def gradient(out: fastnn.Tensor, x: fastnn.Tensor) -> list[Any]:
    (g,) = autograd.grad(out, x, retain_graph=True)
    assert g is not None
    return g.tolist()


def test_a_change_of_a_view_changes_its_base_and_all_other_views() -> None:
    w = leaf(1.0, 2.0, 3.0)
    base = w * 2.0
    first, last, turned = base[:2], base[1:], base.reshape(3, 1).t()
    version = base._version
    assert first.mul_(w[:2]) is first
    assert base._version == version + 1
    assert type(base.grad_fn).__name__ == "CopySlices"
    for t, want in (
        (base, [4.0, 8.0, 2.0]),
        (first, [4.0, 8.0, 0.0]),
        (last, [0.0, 8.0, 2.0]),
        (turned, [4.0, 8.0, 2.0]),
    ):
        assert gradient(t.sum(), w) == want
    first.zero_()
    assert gradient(turned.sum(), w) == [0.0, 0.0, 2.0]


def test_a_buffer_that_is_filled_part_by_part_gets_a_history() -> None:
    w = leaf(1.0, 2.0, 3.0)
    out = fastnn.zeros(3, 2, dtype=fastnn.float64)
    before = out[0]
    for i in range(3):
        out[i] = w[i] * w[i]
    out[1:, None, ..., ::2] += w[1:].reshape(2, 1, 1)
    assert before.requires_grad
    assert not before.is_leaf
    assert gradient(before.sum(), w) == [4.0, 0.0, 0.0]
    assert gradient(out.sum(), w) == [4.0, 9.0, 13.0]
    (twice,) = autograd.grad((out * out).sum(), w, create_graph=True)
    # sum of 2 w_0^4 + (w_i^2 + w_i)^2 + w_i^4
    want = [24.0, 24 * 4 + 12 * 2 + 2.0, 24 * 9 + 12 * 3 + 2.0]
    assert gradient(twice.sum(), w) == want


def test_a_view_of_plain_memory_is_recorded_once_its_base_is() -> None:
    w = leaf(1.0, 2.0)
    base = fastnn.zeros(2, dtype=fastnn.float64)
    view = base[1:]
    assert not view.requires_grad
    assert view.is_leaf
    base.add_(w)
    assert view.requires_grad
    assert gradient(view.exp().sum() / view.detach().exp(), w) == [0.0, 1.0]


@pytest.mark.parametrize(
    ("make", "strides"),
    [
        (np.asfortranarray, (1, 4)),
        (lambda a: np.repeat(a, 2, axis=1)[:, ::2], (6, 2)),
        (lambda a: a[::-1], (-3, 1)),
        (lambda a: np.repeat(a.T, 2, axis=0)[::2].T, (1, 8)),
    ],
    ids=["fortran", "every second", "reversed", "wide fortran"],
)
def test_bases_of_every_layout(make: Any, strides: tuple[int, int]) -> None:
    """The gradient lies as the base does, so that every view of the base is one of it."""
    w = leaf(*range(12)).detach().reshape(4, 3).requires_grad_()
    base = fastnn.from_numpy(make(np.zeros((4, 3))))
    assert base.stride() == strides
    column = base.t().unsqueeze(-1)[1:].squeeze(-1)
    column.add_(w.t()[1:])
    column[:, 2:] = 0
    base.mul_(2.0)
    (g,) = autograd.grad((base * w.detach()).sum(), w, create_graph=False)
    want = 2 * w.detach().numpy() * [0.0, 1.0, 1.0]
    want[2:] = 0
    np.testing.assert_array_equal(g.numpy(), want)
    whole = (w * 1.0).t()
    whole[1] = whole[0] * 2.0
    (g,) = autograd.grad((whole * whole).sum(), w, create_graph=True)
    np.testing.assert_array_equal(g.detach().numpy(), 2 * w.detach().numpy() * [5, 0, 1])
    assert gradient(g.sum(), w)[0] == [10.0, 0.0, 2.0]


def test_merged_dimensions_of_a_base_that_is_not_contiguous() -> None:
    memory = fastnn.arange(24.0, dtype=fastnn.float64).reshape(4, 3, 2)
    w = leaf(2.0)
    base = fastnn.from_numpy(memory.numpy().transpose(2, 0, 1))  # (2, 4, 3), strides (1, 6, 2)
    flat = base.view(2, 12)  # the last two are one run in memory
    flat[0, 3:5] *= w
    assert gradient(base.sum(), w) == [base.detach().numpy()[0, 1, :2].sum() / 2]
    flat.mul_(w)
    (g,) = autograd.grad(base.sum(), w, create_graph=True)
    assert g.requires_grad


def test_a_part_of_an_expanded_tensor_that_is_not_repeated_can_be_changed() -> None:
    w = leaf(1.0, 2.0)
    base = w * 2.0
    wide = base.expand(3, 2)
    wide[1].mul_(3.0)
    assert gradient(base.sum(), w) == [6.0, 6.0]
    wide[0, 1:] = 5.0
    assert wide.tolist() == [[6.0, 5.0]] * 3
    assert gradient(base.sum(), w) == [6.0, 0.0]
    for change in (lambda: wide.mul_(2), lambda: wide.__setitem__((..., 0), 1.0)):
        with pytest.raises(RuntimeError, match="got an expanded tensor"):
            change()
    memory = np.ones(3)
    memory.flags.writeable = False
    with pytest.raises(RuntimeError, match="got read-only memory"):
        fastnn.from_numpy(memory)[:2].zero_()


def test_views_that_come_out_together_are_not_changed_alone() -> None:
    w = leaf(1.0, 2.0, 3.0)
    for name, parts in (
        ("unbind", lambda t: t.unbind()),
        ("unbind", list),
        ("split", lambda t: t.split([1, 2])),
        ("split", lambda t: t.split(2)),
        ("split", lambda t: t.chunk(2)),
    ):
        base = w * 2.0
        part = parts(base)[0]
        for change in (
            lambda v: v.mul_(2),
            lambda v: v.view(-1)[:1].zero_(),
            lambda v: v.fill_(0),
            lambda v: v.__setitem__(..., 1.0),
        ):
            with pytest.raises(RuntimeError, match=f"got one by {name}, .*take it by an index"):
                change(part)
        with fastnn.no_grad():
            part.mul_(2)
        assert base[0].item() == 4.0
        plain = fastnn.zeros(3, dtype=fastnn.float64)
        part = parts(plain)[0]
        part.add_(1)
        with pytest.raises(RuntimeError, match=f"got one by {name}"):
            part.add_(w[0])
        plain.mul_(w)
        with pytest.raises(RuntimeError, match=f"exp: .*view by {name} whose memory"):
            part.exp()


def test_leaves_and_views_of_leaves_are_refused() -> None:
    w = leaf(1.0, 2.0)
    for change in (
        lambda: w.mul_(2),
        lambda: w[:1].mul_(2),
        lambda: w.view(2, 1)[0].fill_(2),
        lambda: w.__setitem__(0, 1.0),
        lambda: w.__setitem__(w.detach() > 0, 1.0),
    ):
        with pytest.raises(RuntimeError, match=r"got a (view of a )?leaf that requires grad"):
            change()
    own = fastnn.zeros(2)[:1].requires_grad_()
    with pytest.raises(RuntimeError, match="got a leaf that requires grad"):
        own.mul_(2)
    with fastnn.no_grad():
        w[0] = 7.0
        w[1:].add_(1)
    assert w.tolist() == [7.0, 3.0]
    assert w.is_leaf


def test_a_view_of_no_grad_is_not_followed() -> None:
    w = leaf(1.0, 2.0)
    plain = fastnn.zeros(2, dtype=fastnn.float64)
    with fastnn.no_grad():
        view = plain[:1]
    view.add_(1)
    with pytest.raises(RuntimeError, match=r"made under no_grad\(\)"):
        view.add_(w[:1])
    plain.add_(w)
    with pytest.raises(RuntimeError, match=r"made under no_grad\(\) whose memory"):
        view.exp()
    with fastnn.no_grad():
        own = plain[:1].requires_grad_()
    assert own[0].requires_grad


def test_integers_have_no_history_to_change() -> None:
    w = leaf(1.5)
    count = fastnn.zeros(2, dtype=fastnn.int64)
    count[0] = w[0]
    count[1:].copy_(w)
    count.fill_(w[0])
    assert count.tolist() == [1, 1]
    assert not count.requires_grad
    yes = fastnn.tensor([True])
    assert not yes.logical_and_(w).requires_grad
    with pytest.raises(RuntimeError, match="expected a result that"):
        count.mul_(w)


def test_what_has_no_derivative_keeps_the_history() -> None:
    w = leaf(1.0, 0.0)
    y = w * 2.0
    node = y.grad_fn
    y.logical_not_()
    assert y.grad_fn is node
    assert y.tolist() == [0.0, 1.0]
    y[1:].logical_not_()
    assert y.grad_fn is node


@pytest.mark.parametrize("name", ["normal_", "uniform_", "zero_", "random_", "bernoulli_"])
def test_what_is_filled_has_no_gradient_from_then_on(name: str) -> None:
    w = leaf(1.0, 2.0)
    base = w * 2.0
    getattr(base[1:], name)()
    assert base._version == 1
    assert gradient(base.sum(), w) == [2.0, 0.0]
    getattr(base, name)()
    assert base.requires_grad
    assert gradient(base[:1].sum(), w) == [0.0, 0.0]
    with pytest.raises(RuntimeError, match="got a view of a leaf that requires grad"):
        getattr(w[:1], name)()


def test_detached_tensors_share_memory_and_version_but_no_history() -> None:
    w = leaf(1.0, 2.0)
    y = w * 1.0
    d = y.detach()
    part = d[:1]
    part.mul_(w[:1])
    assert d.requires_grad
    assert d._version == y._version == 1
    assert type(y.grad_fn).__name__ == "Mul"
    assert y[:1].grad_fn is not None
    with pytest.raises(RuntimeError, match=r"detach_: .* got a view"):
        part.detach_()
    with pytest.raises(RuntimeError, match=r"detach_: .* got a view"):
        fastnn.zeros(2)[:1].detach_()


def test_hooks_are_about_a_value_and_retained_gradients_about_a_tensor() -> None:
    w = leaf(1.0, 2.0, 3.0)
    seen: list[Any] = []
    x = w * 2.0
    x.register_hook(lambda g: seen.append(g.tolist()))
    v = x[:2]
    v.register_hook(lambda _: seen.append("view"))
    v.retain_grad()
    v.mul_(3.0)
    x.retain_grad()
    (x.sum() + v.sum()).backward()
    assert seen == [[6.0, 6.0, 1.0]]
    assert v.grad is not None
    assert v.grad.tolist() == [1.0, 1.0]
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 2.0, 1.0]


def test_a_base_that_is_given_other_memory_leaves_its_views_alone() -> None:
    w = leaf(1.0, 2.0)
    base = w * 2.0
    view = base[:1]
    base.data = fastnn.zeros(2, dtype=fastnn.float64)
    view.mul_(3.0)
    assert gradient(view.sum(), w) == [6.0, 0.0]
    assert base.tolist() == [0.0, 0.0]
    other = (w * 2.0)[:1]
    other.data = fastnn.ones(1, dtype=fastnn.float64)
    other.mul_(3.0)
    assert gradient(other.sum(), w) == [6.0, 0.0]


def test_long_chains_of_views_end_in_an_error_not_in_a_slow_program() -> None:
    w = leaf(1.0)
    x = w * 2.0
    for _ in range(80):
        x = x[None][0]
    assert gradient(x.sum(), w) == [2.0]
    with pytest.raises(RuntimeError, match="a chain of more than 64 views"):
        x.mul_(2)
    with fastnn.no_grad():
        x.mul_(2)


def test_a_saved_value_that_a_view_has_changed_is_an_error() -> None:
    w = leaf(1.0, 2.0)
    y = w * 1.0
    z = y * y
    y[0] = 5.0
    with pytest.raises(RuntimeError, match=r"mul: .*in-place operation: expected version 0"):
        z.sum().backward()
    y = w * 1.0
    z = y[:1].exp()
    y[1:].mul_(2.0)
    z.sum().backward()  # exp saved its own result


def test_no_cycle_holds_the_memory() -> None:
    w = leaf(1.0, 2.0)
    gc.disable()
    try:
        base = w * 2.0
        view = base[:1]
        view.mul_(base.detach()[1:])
        view.add_(1.0)
        base[1] = view[0]
        gone = weakref.ref(base)
        del base, view
        assert gone() is None
    finally:
        gc.enable()


def test_an_assignment_of_a_part_to_itself_counts_as_a_change() -> None:
    w = leaf(1.0, 2.0)
    y = w * 1.0
    y[0] += 2.0
    assert y._version == 2
    y[:1] = y[:1]
    assert y._version == 3
    y[:1] = y[1:]
    y[torch_mask(y)] += y[0]
    assert y.tolist() == [4.0, 4.0]
    assert gradient(y.sum(), w) == [0.0, 4.0]


def torch_mask(t: fastnn.Tensor) -> fastnn.Tensor:
    return t.detach() > 0


def test_a_gradient_with_a_history_is_no_view() -> None:
    w = leaf(1.0, 2.0)
    (w.reshape(2, 1) * w.reshape(2, 1)).sum().backward(create_graph=True)
    v = leaf(3.0, 4.0)
    v.reshape(2, 1)[:, 0].backward(w, create_graph=True)
    for t in (w, v):
        assert t.grad is not None
        t.grad.detach_()
        assert not t.grad.requires_grad
    flat = fastnn.ones(4)
    p = fastnn.nn.Parameter(fastnn.ones(2))
    p.grad = flat[1:3]
    fastnn.optim.SGD([p], lr=0.1).zero_grad(set_to_none=False)
    assert flat.tolist() == [1.0, 0.0, 0.0, 1.0]
