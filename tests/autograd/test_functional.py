# SPDX-License-Identifier: BSD-3-Clause
"""autograd.functional against closed forms; test_torch_parity.py has torch's shapes."""

# Functions and hooks are called with fixed arguments, most of which a test does not need.
# ruff: noqa: ARG005
from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import autograd
from fastnn.autograd import functional

RNG = np.random.default_rng(3)
A = RNG.standard_normal((3, 3))
X = RNG.standard_normal(3)
V = RNG.standard_normal(3)


def tensor(values, requires_grad=False):
    return fastnn.tensor(np.array(values), requires_grad=requires_grad)


def quadratic(x):
    """x^T A x: gradient (A + A^T) x, Hessian A + A^T."""
    return x @ (tensor(A) @ x)


def affine(x):
    return tensor(A) @ x


def close(got, want):
    np.testing.assert_allclose(got.detach().numpy(), want, rtol=1e-12, atol=1e-13)


def test_jacobian_and_its_products():
    close(functional.jacobian(affine, tensor(X)), A)
    out, product = functional.vjp(affine, tensor(X), tensor(V))
    close(out, A @ X)
    close(product, V @ A)
    out, product = functional.jvp(affine, tensor(X), tensor(V))
    close(out, A @ X)
    close(product, A @ V)


def test_hessian_and_its_products():
    h = A + A.T
    close(functional.hessian(quadratic, tensor(X)), h)
    for product in (functional.vhp, functional.hvp):
        out, made = product(quadratic, tensor(X), tensor(V))
        close(out, X @ A @ X)
        close(made, h @ V)


def test_tuples_of_inputs_and_outputs():
    x, y = fastnn.ones(2, 3), fastnn.ones(4)

    def f(a, b):
        return a.sum(1) * b.sum(), b * b

    found = functional.jacobian(f, (x, y))
    assert [[tuple(j.shape) for j in row] for row in found] == [
        [(2, 2, 3), (2, 4)],
        [(4, 2, 3), (4, 4)],
    ]
    close(found[1][1], 2 * np.eye(4))
    close(found[1][0], np.zeros((4, 2, 3)))
    blocks = functional.hessian(lambda a, b: (a.sum() * b * b).sum(), (x, y))
    assert [[tuple(j.shape) for j in row] for row in blocks] == [
        [(2, 3, 2, 3), (2, 3, 4)],
        [(4, 2, 3), (4, 4)],
    ]
    close(blocks[1][1], 12 * np.eye(4))
    close(blocks[0][1], np.full((2, 3, 4), 2.0))
    assert isinstance(functional.jacobian(lambda a: a, (y,)), tuple)
    assert isinstance(functional.hessian(lambda a: a.sum(), (y,))[0], tuple)


def test_zero_dimensions_and_no_elements():
    x = tensor(2.0)
    assert functional.jacobian(lambda a: a * a, x).item() == 4.0
    assert functional.hessian(lambda a: a**3, x).item() == 12.0
    assert functional.vjp(lambda a: a * a, x)[1].item() == 4.0
    assert functional.jvp(lambda a: a * a, x)[1].item() == 4.0
    assert functional.vhp(lambda a: a**3, x)[1].item() == 12.0
    assert functional.hvp(lambda a: (a**3).reshape(1), x)[1].item() == 12.0
    assert functional.jacobian(lambda a: a[:0], fastnn.ones(2)).shape == (0, 2)
    assert functional.jacobian(lambda a: a * 2, fastnn.ones(0)).shape == (0, 0)


def test_results_have_a_graph_only_where_it_is_wanted():
    x = tensor(X, requires_grad=True)

    def cube(a):
        return a**3

    assert not functional.jacobian(cube, x).requires_grad
    assert all(not t.requires_grad for t in functional.vjp(cube, x, tensor(V)))
    assert x.grad is None
    made = functional.jacobian(cube, x, create_graph=True)
    (g,) = autograd.grad(made.sum(), [x])
    close(g, 6 * X)
    for product in (functional.vjp, functional.jvp):
        v = tensor(V, requires_grad=True)
        out, made = product(cube, x, v, create_graph=True)
        gx, gv = autograd.grad(made.sum(), [x, v], retain_graph=True)
        close(gx, 6 * X * V)
        close(gv, 3 * X**2)
        close(autograd.grad(out.sum(), [x])[0], 3 * X**2)
    for product in (functional.vhp, functional.hvp):
        _, made = product(lambda a: (a**4).sum(), x, tensor(V), create_graph=True)
        close(autograd.grad(made.sum(), [x])[0], 24 * X * V)
    made = functional.hessian(lambda a: (a**4).sum(), x, create_graph=True)
    close(autograd.grad(made.sum(), [x])[0], 24 * X)


def test_they_work_under_no_grad():
    with fastnn.no_grad():
        close(functional.jacobian(affine, tensor(X)), A)
        close(functional.hvp(quadratic, tensor(X), tensor(V))[1], (A + A.T) @ V)
        assert not fastnn.is_grad_enabled()


def test_options_that_change_nothing():
    close(functional.jacobian(affine, tensor(X), vectorize=True), A)
    close(functional.jacobian(affine, tensor(X), vectorize=True, strategy="forward-mode"), A)
    made = functional.hessian(
        quadratic, tensor(X), vectorize=True, outer_jacobian_strategy="forward-mode"
    )
    close(made, A + A.T)


def constant(_):
    return fastnn.ones(3, dtype=fastnn.float64)


def half(x):
    return x * constant(x).detach(), constant(x)


@pytest.mark.parametrize("name", ["jacobian", "vjp", "jvp"])
def test_strict_refuses_results_that_do_not_depend_on_the_inputs(name):
    function = getattr(functional, name)
    v = () if name == "jacobian" else (tensor(V),)
    loose = function(constant, tensor(X), *v)
    close(loose if name == "jacobian" else loose[1], np.zeros((3, 3) if name == "jacobian" else 3))
    with pytest.raises(RuntimeError, match=rf"{name}: expected results that depend .* output 0"):
        function(constant, tensor(X), *v, strict=True)
    with pytest.raises(RuntimeError, match="of them; compute it from them"):
        functional.jacobian(half, tensor(X), strict=True)
    with pytest.raises(RuntimeError, match="output independent of tensor 1"):
        functional.jacobian(lambda a, b: a * 2, (tensor(X), tensor(X)), strict=True)


@pytest.mark.parametrize("name", ["hessian", "vhp", "hvp"])
def test_strict_refuses_gradients_that_do_not_depend_on_the_inputs(name):
    function = getattr(functional, name)
    v = () if name == "hessian" else (tensor(V),)
    loose = function(lambda a: a.sum(), tensor(X), *v)
    close(loose if name == "hessian" else loose[1], np.zeros((3, 3) if name == "hessian" else 3))
    with pytest.raises(RuntimeError, match=f"{name}: expected results that depend"):
        function(lambda a: a.sum(), tensor(X), *v, strict=True)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: functional.vjp(affine, [1.0]), TypeError, "vjp: expected inputs as a Tensor or"),
        (lambda: functional.jvp(lambda a: 2.0, tensor(X)), RuntimeError, "jvp: expected v unless"),
        (
            lambda: functional.jacobian(lambda a: [a], tensor(X)),
            TypeError,
            "jacobian: expected outputs of func as a Tensor or a tuple of Tensors, got list",
        ),
        (lambda: functional.vjp(affine, tensor(X)), RuntimeError, "vjp: expected v unless"),
        (
            lambda: functional.vjp(affine, tensor(X), tensor(V[:2])),
            RuntimeError,
            r"vjp: expected v of shape \(3,\), got \(2,\)",
        ),
        (
            lambda: functional.vjp(affine, tensor(X), (tensor(V), tensor(V))),
            RuntimeError,
            "vjp: expected v as 1 tensors, got 2",
        ),
        (lambda: functional.hessian(affine, tensor(X)), RuntimeError, "hessian: .* one element"),
        (
            lambda: functional.hvp(lambda a: (a.sum(), a.sum()), tensor(X), tensor(V)),
            RuntimeError,
            "hvp: expected a function that returns a Tensor of one element, got 2 in a tuple",
        ),
        (
            lambda: functional.jacobian(affine, tensor(X), strategy="sideways"),
            ValueError,
            "jacobian: expected strategy as 'reverse-mode' or",
        ),
        (
            lambda: functional.jacobian(affine, tensor(X), strategy="forward-mode"),
            NotImplementedError,
            "jacobian: expected strategy='reverse-mode' with vectorize=False",
        ),
        (
            lambda: functional.jacobian(affine, tensor(X), strict=True, vectorize=True),
            RuntimeError,
            "jacobian: expected strict=False with vectorize=True",
        ),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
