# SPDX-License-Identifier: BSD-3-Clause
"""Another shape in place: t_, transpose_, swapaxes_, swapdims_, squeeze_, unsqueeze_."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _view_history, autograd
from fastnn.tensor import Tensor

# What is called, on what shape, and the shape that comes of it.
FORMS: list[tuple[str, tuple[int, ...], tuple[Any, ...], tuple[int, ...]]] = [
    ("t_", (2, 3), (), (3, 2)),
    ("t_", (3,), (), (3,)),
    ("t_", (), (), ()),
    ("transpose_", (2, 3, 4), (0, -1), (4, 3, 2)),
    ("transpose_", (2, 3), (1, 1), (2, 3)),
    ("transpose_", (), (0, -1), ()),
    ("swapaxes_", (2, 3, 4), (1, 2), (2, 4, 3)),
    ("swapdims_", (2, 3), (0, 1), (3, 2)),
    ("squeeze_", (1, 3, 1), (), (3,)),
    ("squeeze_", (1, 3, 1), (-1,), (1, 3)),
    ("squeeze_", (1, 3, 1), ((0, 1),), (3, 1)),
    ("squeeze_", (2, 3), (0,), (2, 3)),
    ("squeeze_", (1, 3), ([],), (1, 3)),
    ("unsqueeze_", (2, 3), (1,), (2, 1, 3)),
    ("unsqueeze_", (), (-1,), (1,)),
]


def numbers(*shape: int) -> Tensor:
    return fastnn.arange(float(np.prod(shape)), dtype=fastnn.float64).reshape(shape).clone()


def change(name: str, t: Tensor, arguments: tuple[Any, ...]) -> Tensor:
    return getattr(t, name)(*arguments)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("name", "shape", "arguments", "want"), FORMS)
def test_the_tensor_itself_gets_the_shape_of_the_view(
    name: str, shape: tuple[int, ...], arguments: tuple[Any, ...], want: tuple[int, ...]
) -> None:
    x = numbers(*shape)
    memory, before = x.array, x.detach()
    plain = {"swapdims_": "swapaxes"}.get(name, name[:-1])
    view = getattr(before, plain)(*arguments)
    assert change(name, x, arguments) is x
    assert x.shape == want == view.shape
    assert x.stride() == view.stride()
    assert x.tolist() == view.tolist()
    assert x._version == 1
    assert before.shape == shape
    x.mul_(2.0)
    np.testing.assert_array_equal(memory, numbers(*shape).numpy() * 2)


@pytest.mark.parametrize(("name", "shape", "arguments", "want"), FORMS)
def test_gradients_go_through(
    name: str, shape: tuple[int, ...], arguments: tuple[Any, ...], want: tuple[int, ...]
) -> None:
    weight = numbers(*want)
    for graph in (False, True):
        leaf = numbers(*shape).requires_grad_()
        y = change(name, leaf * leaf, arguments)
        (g,) = autograd.grad((y * weight).sum(), leaf, create_graph=graph)
        np.testing.assert_array_equal(
            g.detach().numpy(), 2 * leaf.detach().numpy() * _back(name, arguments, weight, shape)
        )
        if graph:
            (second,) = autograd.grad(g.sum(), leaf)
            np.testing.assert_array_equal(second.numpy(), 2 * _back(name, arguments, weight, shape))


def _back(name: str, arguments: tuple[Any, ...], weight: Tensor, shape: tuple[int, ...]) -> Any:
    array = weight.numpy()
    if "squeeze" in name:
        return array.reshape(shape)
    a, b = arguments or (0, max(array.ndim - 1, 0))
    return array.swapaxes(a, b) if array.ndim else array


def test_views_from_before_stay_and_follow_later_changes() -> None:
    """As torch: what a view is of does not hang on the shape of its base."""
    w = numbers(2, 3).requires_grad_()
    base = w * 2.0
    row, column = base[0], base[:, 1]
    base.t_()
    after = base[0]  # a column of the old
    assert row.tolist() == [0.0, 2.0, 4.0]
    row.mul_(3.0)
    base.unsqueeze_(0)
    assert base.shape == (1, 3, 2)
    assert base.tolist() == [[[0.0, 6.0], [6.0, 8.0], [12.0, 10.0]]]
    weight = numbers(1, 3, 2)
    (g,) = autograd.grad((base * weight).sum(), w, retain_graph=True)
    assert g.tolist() == [[0.0, 12.0, 24.0], [2.0, 6.0, 10.0]]
    for view, want in (
        (row, [[6.0, 6.0, 6.0], [0.0, 0.0, 0.0]]),
        (column, [[0.0, 6.0, 0.0], [0.0, 2.0, 0.0]]),
        (after, [[6.0, 0.0, 0.0], [2.0, 0.0, 0.0]]),
    ):
        (g,) = autograd.grad(view.sum(), w, retain_graph=True)
        assert g.tolist() == want
    base.transpose_(1, 2).squeeze_()
    assert base.shape == (2, 3)
    base.exp_()
    (g,) = autograd.grad((column / column.detach()).sum(), w)
    assert g.tolist() == [[0.0, 6.0, 0.0], [0.0, 2.0, 0.0]]


def test_a_view_can_be_turned_itself() -> None:
    w = numbers(2, 3).requires_grad_()
    base = w * 2.0
    view = base[:, 1:]
    view.t_()
    assert (base.shape, view.shape) == ((2, 3), (2, 2))
    assert type(base.grad_fn).__name__ == "Mul"
    (g,) = autograd.grad((view * numbers(2, 2)).sum(), w, retain_graph=True)
    assert g.tolist() == [[0.0, 0.0, 4.0], [0.0, 2.0, 6.0]]
    view.mul_(numbers(2, 2))
    assert base.tolist() == [[0.0, 0.0, 8.0], [6.0, 8.0, 30.0]]
    (g,) = autograd.grad(base.sum(), w)
    assert g.tolist() == [[2.0, 0.0, 4.0], [2.0, 2.0, 6.0]]


def test_memory_without_history_gets_one_in_its_new_shape() -> None:
    w = numbers(3, 2).requires_grad_()
    base = fastnn.zeros(2, 3, dtype=fastnn.float64)
    first = base[0]
    base.t_().add_(w)
    first.mul_(2.0)
    (g,) = autograd.grad((base * numbers(3, 2)).sum(), w)
    assert g.tolist() == [[0.0, 1.0], [4.0, 3.0], [8.0, 5.0]]
    turned = numbers(2, 3).t_().requires_grad_()
    assert turned.is_leaf
    with pytest.raises(RuntimeError, match="a view of a leaf that requires grad"):
        turned[0].mul_(2.0)


@pytest.mark.parametrize(("name", "shape", "arguments"), [f[:3] for f in FORMS[::4]])
def test_what_cannot_be_changed_is_refused(
    name: str, shape: tuple[int, ...], arguments: tuple[Any, ...]
) -> None:
    leaf = numbers(*shape).requires_grad_()
    with pytest.raises(RuntimeError, match=f"{name}: expected .* got a leaf that requires grad"):
        change(name, leaf, arguments)
    with pytest.raises(RuntimeError, match=f"{name}: .* got a view of a leaf that requires grad"):
        change(name, leaf[...], arguments)
    (one, *_) = (leaf * 2.0).unsqueeze(0).unbind()
    with pytest.raises(RuntimeError, match=f"{name}: expected a view that can be changed"):
        change(name, one, arguments)
    y = leaf * 2.0
    with fastnn.no_grad():
        unrecorded = y[...]
        assert change(name, leaf, arguments) is leaf
    with pytest.raises(RuntimeError, match=f"{name}: expected a view made while recording"):
        change(name, unrecorded, arguments)
    z = y * y
    change(name, y, arguments)
    with pytest.raises(RuntimeError, match="changed by an in-place"):
        z.sum().backward()
    with pytest.raises(TypeError, match="as a Tensor"):
        getattr(Tensor, name)(3.0, *arguments)


def test_arguments_that_do_not_fit() -> None:
    x = numbers(2, 3, 1)
    for call, error, text in (
        (x.t_, RuntimeError, "t_: expected at most 2 dimensions"),
        (lambda: x.transpose_(0, 3), IndexError, "transpose_: expected dim in"),
        (lambda: x.swapaxes_(0, "a"), TypeError, "swapaxes_: expected dim as an int"),
        (lambda: x.swapdims_(-4, 0), IndexError, "swapdims_: expected dim in"),
        (lambda: x.squeeze_(3), IndexError, "squeeze_: expected dim in"),
        (lambda: x.squeeze_((0, 0)), RuntimeError, "squeeze_: expected distinct dims"),
        (lambda: x.unsqueeze_(4), IndexError, "unsqueeze_: expected dim in"),
    ):
        with pytest.raises(error, match=text):
            call()
    assert (x.shape, x._version) == ((2, 3, 1), 0)


def test_a_change_under_no_grad_keeps_the_history_right() -> None:
    """torch leaves the history in the old shape, and backward fails."""
    w = numbers(2, 3).requires_grad_()
    y = w * 2.0
    with fastnn.no_grad():
        y.t_()
    (y * numbers(3, 2)).sum().backward()
    assert w.grad is not None
    assert w.grad.tolist() == [[0.0, 4.0, 8.0], [2.0, 6.0, 10.0]]


def test_retained_gradients_have_the_new_shape() -> None:
    y = numbers(2, 3).requires_grad_() * 2.0
    y.retain_grad()
    y.t_()
    y.sum().backward()
    assert y.grad is not None
    assert y.grad.shape == (3, 2)


def test_nothing_is_kept_of_tensors_that_are_gone_or_turned_back() -> None:
    gc.collect()
    known = len(_view_history._turned)
    x, view = numbers(2, 3), None
    for _ in range(3):
        x.t_()
        view = x[0]
        x.t_()
        x.unsqueeze_(0)
        x.squeeze_(0)
    assert len(_view_history._turned[id(x)][1]) == 1
    assert view is not None
    view.mul_(2.0)
    assert x.tolist() == [[0.0, 1.0, 2.0], [6.0, 4.0, 5.0]]
    x.unsqueeze_(0)
    x.data = numbers(3)
    assert id(x) not in _view_history._turned
    del x, view
    assert len(_view_history._turned) == known


def test_a_view_that_was_turned_too_often_cannot_be_changed() -> None:
    w = numbers(2, 3, 4).requires_grad_()
    base = w * 2.0
    view = base[...]
    for i in range(3 * _view_history._LONGEST):  # together these are one
        view.transpose_(i % 3, (i + 1) % 3)
        base.transpose_(0, 2).transpose_(0, 1)
    assert view.shape == base.shape == (2, 3, 4)
    view.mul_(2.0)
    (g,) = autograd.grad(base.sum(), w, retain_graph=True)
    assert (g == 4).all()

    def turn(times: int) -> None:
        for _ in range(times):
            view.unsqueeze_(0).transpose_(0, 1).squeeze_().transpose_(0, 1)

    turn(2)
    view.mul_(2.0)
    with pytest.raises(RuntimeError, match="a chain of more than 64 views"):
        turn(_view_history._LONGEST)


@pytest.mark.torch
def test_random_programs_are_torchs() -> None:
    torch = pytest.importorskip("torch")

    def program(lib: Any, seed: int) -> list[Any]:
        rng = np.random.default_rng(seed)
        w = lib.arange(12.0, dtype=lib.float64).reshape(3, 1, 4).clone().requires_grad_()
        base = w * 1.5
        held = [base]
        for _ in range(12):
            t = held[rng.integers(len(held))]
            what = rng.integers(5)
            if what == 0 and t.ndim > 1:
                held.append(t[rng.integers(t.shape[0])])
            elif what == 1 and t.ndim > 1:
                a, b = rng.integers(t.ndim, size=2)
                t.transpose_(int(a), int(b))
            elif what == 2:
                t.squeeze_()
            elif what == 3:
                t.unsqueeze_(int(rng.integers(t.ndim + 1)))
            else:
                t.mul_(float(rng.integers(2, 5)))
        out = []
        for t in held:
            g = lib.autograd.grad((t * t.detach()).sum(), w, retain_graph=True)[0]
            out += [tuple(t.shape), t.detach().tolist(), g.tolist()]
        return out

    for seed in range(60):
        assert program(fastnn, seed) == program(torch, seed), seed
