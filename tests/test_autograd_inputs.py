# SPDX-License-Identifier: BSD-3-Clause
"""Which tensors a backward pass gives gradients to: inputs, retained ones, unused ones."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import _backend, autograd
from fastnn.ops.copy import Move


def leaf(*values: float) -> fastnn.Tensor:
    return fastnn.tensor(list(values), requires_grad=True)


def test_a_retained_gradient_follows_the_tensor_through_in_place_changes():
    x = leaf(1.0, 2.0)
    y = x * 3.0
    y.retain_grad()
    z = y * 1.0
    y.mul_(2.0)
    y.add_(z)
    (y * y).sum().backward()
    # y is 9x at the end: the gradient of that value is kept, not of the one when it was asked for.
    assert y.grad.tolist() == [18.0, 36.0]
    assert x.grad.tolist() == [162.0, 324.0]


def test_a_hook_stays_with_the_value_that_it_was_put_on():
    x = leaf(1.0, 2.0)
    y = x * 3.0
    seen = []
    y.register_hook(seen.append)
    y.retain_grad()
    y.mul_(2.0)
    (y * y).sum().backward()
    assert [g.tolist() for g in seen] == [[24.0, 48.0]]
    assert y.grad.tolist() == [12.0, 24.0]


def test_setitem_moves_a_retained_gradient():
    x = leaf(1.0, 2.0)
    y = x * 3.0
    y.retain_grad()
    y[0] = 5.0
    (y * y).sum().backward()
    assert y.grad.tolist() == [10.0, 12.0]
    assert x.grad.tolist() == [0.0, 36.0]


def test_grad_fills_retained_gradients_and_no_others():
    x = leaf(1.0, 2.0)
    y = x * 3.0
    y.retain_grad()
    loss = (y * y).sum()
    (g,) = autograd.grad(loss, x, retain_graph=True)
    assert g.tolist() == [18.0, 36.0]
    assert y.grad.tolist() == [6.0, 12.0]
    assert x.grad is None
    autograd.grad(loss, y)
    assert y.grad.tolist() == [12.0, 24.0]


@pytest.mark.parametrize("as_list", [False, True])
def test_backward_adds_to_the_given_inputs_only(as_list):
    x, u = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x * u).sum().backward(inputs=[x] if as_list else x)
    assert x.grad.tolist() == [3.0, 4.0]
    assert u.grad is None
    autograd.backward(x * u, fastnn.ones(2), inputs=(x,))
    assert x.grad.tolist() == [6.0, 8.0]


def test_backward_keeps_the_gradient_of_an_input_that_is_no_leaf():
    x = leaf(1.0, 2.0)
    y = x * 3.0
    w = y * 2.0
    w.retain_grad()
    (w * w).sum().backward(inputs=[y])
    assert w.grad.tolist() == [12.0, 24.0]
    assert y.grad.tolist() == [24.0, 48.0]
    assert x.grad is None


def test_backward_leaves_an_input_that_takes_no_part_alone():
    x, u = leaf(1.0), leaf(2.0)
    (x * x).sum().backward(inputs=[u])
    assert u.grad is None
    assert x.grad is None


def test_backward_under_create_graph_with_inputs():
    x, u = leaf(2.0), leaf(3.0)
    (x * x * u).sum().backward(inputs=[x], create_graph=True)
    assert u.grad is None
    (g,) = autograd.grad(x.grad.sum(), u)
    assert g.tolist() == [4.0]


def test_hooks_of_the_inputs_run_once():
    x = leaf(1.0, 2.0)
    x.register_hook(lambda g: g * 10.0)
    (x * x).sum().backward(inputs=[x])
    assert x.grad.tolist() == [20.0, 40.0]


def test_gradients_that_nothing_depends_on_are_made_zeros_if_asked():
    x, u = leaf(1.0, 2.0), leaf(3.0, 4.0)
    gx, gu = autograd.grad((x * x).sum(), [x, u], materialize_grads=True)
    assert gx.tolist() == [2.0, 4.0]
    assert gu.tolist() == [0.0, 0.0]
    assert not gu.requires_grad
    _, gu = autograd.grad((x * x).sum(), [x, u], create_graph=True, materialize_grads=True)
    assert gu.requires_grad
    with pytest.raises(ValueError, match="allow_unused"):
        autograd.grad((x * x).sum(), [u], allow_unused=False, materialize_grads=True)


def test_backward_takes_the_arguments_of_torch():
    x = leaf(1.0, 2.0)
    y = x * x
    y.backward(gradient=fastnn.ones(2), retain_graph=True, create_graph=False, inputs=None)
    y.backward([fastnn.ones(2)])
    assert x.grad.tolist() == [4.0, 8.0]
    autograd.backward(x * x, grad_variables=fastnn.ones(2))
    assert x.grad.tolist() == [6.0, 12.0]
    autograd.backward([])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda y, _x: y.sum().backward(inputs=[]), RuntimeError, "at least one tensor"),
        (lambda y, _x: autograd.grad(y.sum(), []), RuntimeError, "at least one tensor"),
        (lambda y, _x: y.sum().backward(inputs=[3]), RuntimeError, "to be Tensors, got int"),
        (lambda y, _x: autograd.grad(y.sum(), [3]), RuntimeError, "to be Tensors, got int"),
        (lambda y, _x: y.sum().backward(inputs=[fastnn.ones(2)]), RuntimeError, "requires grad"),
        (lambda y, _x: y.sum().backward(3.0), TypeError, "gradient as a Tensor, got float"),
        (lambda y, _x: y.backward([1.0, 1.0]), RuntimeError, "one gradient per tensor"),
        (lambda y, _x: y.backward([1.0]), TypeError, "gradient as a Tensor, got float"),
        (lambda _y, _x: autograd.backward(3.0), TypeError, "a Tensor to differentiate, got float"),
        (lambda _y, x: autograd.grad(3.0, x), TypeError, "a Tensor to differentiate, got float"),
        (
            lambda y, _x: autograd.backward(y, y, grad_variables=y),
            RuntimeError,
            "grad_variables, its old name, got both",
        ),
        (
            lambda y, x: autograd.grad(y, x, is_grads_batched=True),
            RuntimeError,
            r"gradients of shape \(n, \*\(2,\)\) with is_grads_batched=True, got NoneType",
        ),
        (
            lambda y, x: autograd.grad(y, x, y, is_grads_batched=True),
            RuntimeError,
            r"is_grads_batched=True, got \(2,\); stack\(\)",
        ),
        (
            lambda y, x: autograd.grad(y, x, fastnn.ones(0, 2), is_grads_batched=True),
            RuntimeError,
            r"at least one, for every output .* got \[0\]",
        ),
        (
            lambda y, x: autograd.grad([y, y], x, [fastnn.ones(2, 2)], is_grads_batched=True),
            RuntimeError,
            "one batch of gradients per output, 2, got 1",
        ),
        (lambda _y, x: autograd.grad([], [x]), RuntimeError, "that depend on input 0, got others"),
    ],
)
def test_wrong_arguments_are_refused(call, error, message):
    x = leaf(1.0, 2.0)
    with pytest.raises(error, match=message):
        call(x * x, x)


@pytest.mark.parametrize("kind", ["expanded", "read-only"])
def test_a_gradient_that_cannot_be_added_to_says_so(kind):
    x = leaf(1.0, 2.0)
    frozen = np.ones(2, "f4")
    frozen.flags.writeable = False
    expanded = fastnn.tensor(1.0).expand(2)
    x.grad = expanded if kind == "expanded" else fastnn.from_numpy(frozen)
    with pytest.raises(RuntimeError, match=r"\.grad that can be added to.*clone\(\)"):
        (x * x).sum().backward()


def test_to_the_device_where_a_tensor_is_gives_the_tensor():
    y = leaf(1.0) * 2.0
    assert y.to("cpu") is y
    assert y.cpu() is y


def test_moving_keeps_the_history(monkeypatch):
    """Without a GPU: arrays 'move' by a copy, and the operation must differentiate."""
    moves = []

    def move(array, device):
        moves.append(device)
        return array.copy()

    monkeypatch.setattr(_backend, "move", move)
    x = leaf(1.0, 2.0)
    y = Move.apply((x,), "cuda")
    assert y.requires_grad
    (y * y).sum().backward()
    assert moves == ["cuda", "cpu"]
    assert x.grad.tolist() == [2.0, 4.0]
    (g,) = autograd.grad((y * y).sum(), x, create_graph=True)
    assert autograd.grad(g.sum(), x)[0].tolist() == [2.0, 2.0]


@pytest.mark.torch
def test_retained_gradients_and_inputs_as_torch():
    torch = pytest.importorskip("torch")

    def scenario(lib, change, inputs):
        x = lib.tensor([1.0, 2.0], requires_grad=True)
        y = x * 3.0
        y.retain_grad()
        z = y * 2.0
        z.retain_grad()
        change(y)
        loss = (y * z).sum()
        if inputs == "grad":
            given = [g.tolist() for g in lib.autograd.grad(loss, [x, z])]
        else:
            loss.backward(inputs=None if inputs is None else [{"x": x, "y": y, "z": z}[inputs]])
            given = []
        return given, [None if t.grad is None else t.grad.tolist() for t in (x, y, z)]

    for change in (
        lambda y: y.add_(1.0),
        lambda y: y.copy_(y * 0.5),
        lambda y: y.fill_(2.0),
        lambda _: None,
    ):
        for inputs in (None, "x", "y", "z", "grad"):
            assert scenario(fastnn, change, inputs) == scenario(torch, change, inputs)


def test_numpy_of_a_tensor_that_requires_grad():
    x = fastnn.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"numpy: expected a tensor without grad"):
        x.numpy()
    with fastnn.no_grad():
        assert x.numpy() is x.array
    assert x.numpy(force=True).tolist() == [1.0, 1.0]
