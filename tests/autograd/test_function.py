# SPDX-License-Identifier: BSD-3-Clause
"""autograd.Function: operations that users write."""

# Functions and hooks are called with fixed arguments, most of which a test does not need.
# ruff: noqa: ARG001, ARG004, ARG005
from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import fastnn
from fastnn import autograd
from fastnn.autograd import Function
from fastnn.autograd.function import FunctionCtx, InplaceFunction, once_differentiable


def leaf(*values):
    return fastnn.tensor(list(values), dtype=fastnn.float64, requires_grad=True)


class Cube(Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return factor * x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * ctx.factor * x**2 * g, None


class Exp(Function):
    """Saves its result."""

    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * y


class Product(Function):
    """In two parts, with a default."""

    @staticmethod
    def forward(x, y, factor=2.0):
        return factor * x * y

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, y, ctx.factor = inputs
        assert isinstance(output, fastnn.Tensor)
        ctx.save_for_backward(x, y)

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * y * ctx.factor, g * x * ctx.factor, None


def of(*, forward=None, backward=None, name="Made"):
    """A Function of two methods."""
    methods = {}
    if forward is not None:
        methods["forward"] = staticmethod(forward)
    if backward is not None:
        methods["backward"] = staticmethod(backward)
    return type(name, (Function,), methods)


def test_value_and_gradient():
    x = leaf(1.0, 2.0)
    y = Cube.apply(x, 2.0)
    assert y.tolist() == [2.0, 16.0]
    y.sum().backward()
    assert x.grad.tolist() == [6.0, 24.0]


def test_the_node_shows_what_the_context_has():
    x = leaf(1.0)
    node = Cube.apply(x, 2.0).grad_fn
    assert (node.name(), type(node).__name__) == ("CubeBackward", "CubeBackward")
    assert node.factor == 2.0
    assert node.saved_tensors[0] is x
    assert node.next_functions[0][0].variable is x
    assert len(node.next_functions) == 1  # and none for the number
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = node.nothing_like_it


@pytest.mark.parametrize(
    ("function", "third_derivative"),
    [(lambda x: Cube.apply(x, 0.5), [3.0, 3.0]), (Exp.apply, np.exp([0.3, -0.7]))],
)
def test_derivatives_of_every_order(function, third_derivative):
    x = leaf(0.3, -0.7)
    assert autograd.gradcheck(function, [x])
    assert autograd.gradgradcheck(function, [x])
    (first,) = autograd.grad(function(x).sum(), [x], create_graph=True)
    (second,) = autograd.grad(first.sum(), [x], create_graph=True)
    (third,) = autograd.grad(second.sum(), [x])
    np.testing.assert_allclose(third.numpy(), third_derivative, rtol=1e-12)


def test_setup_context_and_defaults():
    x, y = leaf(3.0), leaf(4.0)
    for made, factor in (
        (Product.apply(x, y), 2.0),
        (Product.apply(x, y, 5.0), 5.0),
        (Product.apply(x, factor=5.0, y=y), 5.0),
    ):
        assert made.item() == 12.0 * factor
        assert [g.item() for g in autograd.grad(made, [x, y])] == [4.0 * factor, 3.0 * factor]
    assert autograd.gradgradcheck(Product.apply, [x, y])
    with pytest.raises(TypeError, match="by name"):
        Cube.apply(x, factor=2.0)


def test_forward_is_not_recorded_and_backward_only_with_create_graph():
    seen = []

    def forward(ctx, x):
        seen.append(fastnn.is_grad_enabled())
        assert not (x * 2).requires_grad
        return x * 2

    def backward(ctx, g):
        seen.append(fastnn.is_grad_enabled())
        return g * 2

    x = leaf(1.0)
    function = of(forward=forward, backward=backward)
    autograd.grad(function.apply(x), [x])
    autograd.grad(function.apply(x), [x], create_graph=True)
    assert seen == [False, False, False, True]
    with fastnn.no_grad():
        assert not function.apply(x).requires_grad
    assert not function.apply(x.detach()).requires_grad


def test_needs_input_grad():
    seen = []

    def forward(ctx, x, y, k):
        seen.append(ctx.needs_input_grad)
        return x * y * k

    def backward(ctx, g):
        seen.append(ctx.needs_input_grad)
        return g, g, None

    x, y = leaf(1.0), leaf(2.0)
    function = of(forward=forward, backward=backward)
    function.apply(x, y.detach(), 2.0).backward()
    assert seen == [(True, False, False)] * 2
    autograd.grad(function.apply(x, y, 2.0), [y])
    assert seen[2:] == [(True, True, False)] * 2
    with fastnn.no_grad():
        function.apply(x, y.detach(), 2.0)
    assert seen[-1] == (True, False, False)


def test_several_results_of_which_some_are_not_used():
    def forward(ctx, x):
        return x * 2, x * 3, "text", x > 0

    given = []

    def backward(ctx, *grads):
        given.append(grads)
        return grads[0] * 2 + grads[1] * 3

    x = leaf(1.0, 2.0)
    function = of(forward=forward, backward=backward)
    a, b, text, positive = function.apply(x)
    assert text == "text"
    assert not positive.requires_grad
    b.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    assert given[0][0].tolist() == [0.0, 0.0]
    assert given[0][2] is None
    assert given[0][3].dtype == fastnn.bool
    del a


def test_gradients_that_are_not_materialized():
    given = []

    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return x * 2, x * 3

    def backward(ctx, a, b):
        given.append((a, b))
        return b * 3

    for graph in (False, True):
        x = leaf(1.0)
        _, b = of(forward=forward, backward=backward).apply(x)
        assert autograd.grad(b, [x], create_graph=graph)[0].item() == 3.0
    assert [g[0] for g in given] == [None, None]


def test_marked_as_not_differentiable():
    def forward(ctx, x):
        values, places = x * 2, x * 0
        ctx.mark_non_differentiable(places)
        return values, places

    def backward(ctx, a, b):
        assert b.tolist() == [0.0]
        return a * 2

    x = leaf(1.0)
    values, places = of(forward=forward, backward=backward).apply(x)
    assert values.requires_grad
    assert not places.requires_grad
    assert places.grad_fn is None
    values.backward()
    assert x.grad.item() == 2.0


class Double(Function):
    """In place."""

    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        x.mul_(2.0)
        return x

    @staticmethod
    def backward(ctx, g):
        return g * 2.0


def test_marked_as_dirty():
    x = leaf(1.0, 2.0)
    y = x * 3.0
    before = y._version
    z = Double.apply(y)
    assert z is y
    assert y._version > before
    assert y.tolist() == [6.0, 12.0]
    assert y.grad_fn.name() == "DoubleBackward"
    y.sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]
    with pytest.raises(RuntimeError, match=r"leaf that requires grad; change it inside no_grad"):
        Double.apply(leaf(1.0))
    plain = fastnn.ones(2)
    assert Double.apply(plain) is plain
    assert not plain.requires_grad


def test_a_dirty_view_gives_its_base_a_new_history():
    x = leaf(1.0, 2.0)
    y = x * 3.0
    Double.apply(y[:1])
    y.sum().backward()
    assert y.tolist() == [6.0, 6.0]
    assert x.grad.tolist() == [6.0, 3.0]


def test_what_is_saved_of_a_dirty_input_is_its_new_value():
    def forward(ctx, x):
        ctx.mark_dirty(x)
        x.exp_()
        ctx.save_for_backward(x)
        return x

    def backward(ctx, g):
        return g * ctx.saved_tensors[0]

    x = leaf(0.5)
    y = of(forward=forward, backward=backward).apply(x * 1.0)
    (g,) = autograd.grad(y, [x], create_graph=True)
    (h,) = autograd.grad(g, [x])
    np.testing.assert_allclose([g.item(), h.item()], np.exp([0.5, 0.5]), rtol=1e-14)


def test_an_input_returned_as_it_is_becomes_a_view_of_it():
    def forward(ctx, x):
        return x

    def backward(ctx, g):
        return g * 5.0

    x = leaf(1.0)
    function = of(forward=forward, backward=backward)
    y = function.apply(x)
    assert y is not x
    assert y.data_ptr() == x.data_ptr()
    y.backward()
    assert x.grad.item() == 5.0
    assert x.is_leaf
    with fastnn.no_grad():
        z = function.apply(x)
    assert z is not x
    assert not z.requires_grad


def test_gradients_are_summed_over_broadcast_dimensions_and_converted():
    def forward(ctx, x, y):
        return x + y

    def backward(ctx, g):
        return g, g

    function = of(forward=forward, backward=backward)
    x = fastnn.ones(2, 3, requires_grad=True)
    y = fastnn.ones(3, dtype=fastnn.float64, requires_grad=True)
    function.apply(x, y).sum().backward()
    assert x.grad.dtype == fastnn.float32
    assert y.grad.dtype == fastnn.float64
    assert y.grad.tolist() == [2.0] * 3
    (g,) = autograd.grad(function.apply(x, y).sum(), [y], create_graph=True)
    assert g.tolist() == [2.0] * 3


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        ((None, None, 1.0), RuntimeError, r"incorrect number of gradients \(expected 2, got 3\)"),
        ((), RuntimeError, r"incorrect number of gradients \(expected 2, got 0\)"),
        ((2.0, None), RuntimeError, "Tensor or None from backward at position 1, got float"),
        ((fastnn.ones(3), None), RuntimeError, "invalid gradient of shape"),
        ((None, fastnn.ones(1)), RuntimeError, "different from None at position 2"),
    ],
)
def test_wrong_results_of_backward(result, error, message):
    function = of(forward=lambda ctx, x, k: x * k, backward=lambda ctx, g: result)
    for graph in (False, True):
        x = leaf(1.0, 2.0)
        with pytest.raises(error, match=f"Made: expected .*{message}.*; "):
            function.apply(x, 2.0).sum().backward(create_graph=graph)


def test_more_than_enough_nones_are_fine():
    function = of(forward=lambda ctx, x: x * 2, backward=lambda ctx, g: (g * 2, None, None))
    x = leaf(1.0)
    function.apply(x).backward()
    assert x.grad.item() == 2.0


def test_saved_values_are_freed_and_guarded():
    x = leaf(1.0, 2.0)
    y = Exp.apply(x).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match=r"second time.*retain_graph=True"):
        y.backward()
    z = Exp.apply(x)
    z.detach().mul_(2.0)
    with pytest.raises(RuntimeError, match=r"Exp: expected version 0 .* modified by an inplace"):
        z.sum().backward()


def test_context_refuses_what_it_cannot_keep():
    node = Cube._node_class()
    node.needs = ()
    ctx = FunctionCtx(node)
    for method in (ctx.save_for_backward, ctx.mark_dirty, ctx.mark_non_differentiable):
        with pytest.raises(TypeError, match=r": expected Tensors, got int as argument 1; keep"):
            method(fastnn.ones(1), 3)
    ctx.save_for_backward(None, fastnn.ones(1))
    with pytest.raises(TypeError, match="mark_dirty"):
        ctx.mark_dirty(None)


def test_none_can_be_saved():
    def forward(ctx, x):
        ctx.save_for_backward(x, None)
        return x * 2

    def backward(ctx, g):
        x, nothing = ctx.saved_tensors
        assert nothing is None
        return g * 2 * x / x

    x = leaf(4.0)
    of(forward=forward, backward=backward).apply(x).backward()
    assert x.grad.item() == 2.0


def test_dirty_tensors_must_be_returned():
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x * 1.0

    with pytest.raises(RuntimeError, match="Made: expected every tensor marked as dirty"):
        of(forward=forward).apply(fastnn.ones(1))


def test_missing_and_wrong_methods():
    x = leaf(1.0)
    with pytest.raises(NotImplementedError, match="static method forward"):
        of().apply(x)
    with pytest.raises(NotImplementedError, match="static method backward"):
        of(forward=lambda ctx, x: x * 2).apply(x).backward()
    with pytest.raises(RuntimeError, match=r"call of the class's method apply"):
        Cube()(x)
    both = of(forward=lambda ctx, x: x * 2, backward=lambda ctx, g: g)
    both.vjp = staticmethod(lambda ctx, g: g)
    with pytest.raises(RuntimeError, match="either backward or vjp, got both"):
        both.apply(x).backward()
    assert InplaceFunction(inplace=True).inplace


def test_vjp_is_another_name_of_backward():
    function = of(forward=lambda ctx, x: x * 2)
    function.vjp = staticmethod(lambda ctx, g: g * 2)
    x = leaf(1.0)
    function.apply(x).backward()
    assert x.grad.item() == 2.0


def test_once_differentiable():
    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            assert not fastnn.is_grad_enabled()
            return 2 * ctx.saved_tensors[0] * g

    x = leaf(3.0)
    assert autograd.grad(Square.apply(x), [x])[0].item() == 6.0
    (g,) = autograd.grad(Square.apply(x * 1), [x], create_graph=True)
    assert g.item() == 6.0
    (first,) = autograd.grad(Square.apply(x) ** 2, [x], create_graph=True)
    with pytest.raises(RuntimeError, match="marked with @once_differentiable; remove"):
        first.backward()


def test_gradients_that_the_user_keeps_are_not_written_over():
    kept = fastnn.ones(2)
    function = of(forward=lambda ctx, x: x * 1, backward=lambda ctx, g: kept)
    x = fastnn.ones(2, requires_grad=True)
    for inputs in (None, [x]):
        x.grad = None
        (function.apply(x) + function.apply(x)).sum().backward(inputs=inputs)
        x.grad.add_(5.0)
        assert kept.tolist() == [1.0, 1.0]


def test_graph_is_freed_without_the_garbage_collector():
    gc.disable()
    try:
        x = leaf(1.0)
        for function in (Exp, Double):
            y = function.apply(x * 1.0)
            node = weakref.ref(y.grad_fn)
            y.sum().backward()
            del y
            assert node() is None
    finally:
        gc.enable()


def test_inside_of_others():
    x = leaf(0.2)
    y = Exp.apply(Cube.apply(x, 1.0).sin() + x)
    (g,) = autograd.grad(y, [x])
    want = np.exp(np.sin(0.2**3) + 0.2) * (np.cos(0.2**3) * 3 * 0.2**2 + 1)
    np.testing.assert_allclose(g.item(), want, rtol=1e-13)
