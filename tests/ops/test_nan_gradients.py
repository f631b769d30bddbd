# SPDX-License-Identifier: BSD-3-Clause
"""Gradients of the largest and the smallest where it is NaN: those of torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fastnn
from fastnn import _backend, autograd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAN = math.nan
ROWS = [[1.0, NAN, NAN, 5.0], [2.0, 3.0, 3.0, 1.0], [NAN, NAN, NAN, NAN], [7.0, 7.0, 1.0, 1.0]]
PAIRS = ([NAN, 1.0, NAN, 2.0, 2.0, 3.0, math.inf], [1.0, NAN, NAN, 2.0, 3.0, 2.0, math.inf])
EACH = [NAN] * 4


@pytest.fixture(params=["in use", "numpy"], autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "numpy":
        with _backend.use("numpy"):
            yield
    else:
        yield


def gradients(
    function: Callable[..., Any], *given: Any, by_graph: bool, dtype: Any = fastnn.float64
) -> list[Any]:
    leaves = [fastnn.tensor(x, dtype=dtype).requires_grad_() for x in given]
    out = function(*leaves)
    weight = fastnn.ones_like(out).requires_grad_(by_graph)
    found = autograd.grad(out, leaves, weight, create_graph=by_graph)
    assert all(g is not None and g.requires_grad == by_graph for g in found)
    return [g.detach().tolist() for g in found if g is not None]


def same(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("by_graph", [False, True])
@pytest.mark.parametrize("dtype", [fastnn.float32, fastnn.float64])
@pytest.mark.parametrize(
    ("function", "given", "expected"),
    [
        # amax and amin count the elements that are equal to the result: none, and 0 / 0 is NaN.
        (
            lambda x: x.amax(1),
            [ROWS],
            [[EACH, [0, 0.5, 0.5, 0], EACH, [0.5, 0.5, 0, 0]]],
        ),
        (lambda x: x.amin(1), [ROWS], [[EACH, [0, 0, 0, 1], EACH, [0, 0, 0.5, 0.5]]]),
        (lambda x: x.amax(), [ROWS], [[EACH] * 4]),
        (lambda x: x.amin((0, 1), True), [ROWS], [[EACH] * 4]),
        (lambda x: x.amax(), [NAN], [NAN]),
        # max and min of everything give it to every NaN.
        (lambda x: x.max(), [ROWS[:2]], [[[0, 0.5, 0.5, 0], [0, 0, 0, 0]]]),
        (lambda x: x.min(), [ROWS[:2]], [[[0, 0.5, 0.5, 0], [0, 0, 0, 0]]]),
        (lambda x: x.max(), [ROWS[1]], [[0, 0.5, 0.5, 0]]),
        (lambda x: x.min(), [NAN], [1]),
        # max and min along a dimension give it to the element that they name.
        (lambda x: x.max(1).values, [ROWS[:2]], [[[0, 1, 0, 0], [0, 1, 0, 0]]]),
        (lambda x: x.min(1).values, [ROWS[:2]], [[[0, 1, 0, 0], [0, 0, 0, 1]]]),
        # Of two, both get all of it.
        (
            fastnn.maximum,
            PAIRS,
            [[1, 1, 1, 0.5, 0, 1, 0.5], [1, 1, 1, 0.5, 1, 0, 0.5]],
        ),
        (
            fastnn.minimum,
            PAIRS,
            [[1, 1, 1, 0.5, 1, 0, 0.5], [1, 1, 1, 0.5, 0, 1, 0.5]],
        ),
        (fastnn.maximum, (NAN, [1.0, 2.0]), [2, [1, 1]]),
        (
            lambda x: x.norm(math.inf, 1),
            [ROWS],
            [[[0] * 4, [0, 0.5, 0.5, 0], [0] * 4, [0.5, 0.5, 0, 0]]],
        ),
        (
            lambda x: x.norm(-math.inf, 1),
            [ROWS],
            [[[0] * 4, [0, 0, 0, 1], [0] * 4, [0, 0, 0.5, 0.5]]],
        ),
        (lambda x: x.norm(1, 1), [ROWS[:1]], [[[1, 0, 0, 1]]]),
        (lambda x: x.abs(), [[NAN, -1.0]], [[0, -1]]),
        (lambda x: x.clamp(0, 4), [ROWS[:1]], [[[1, 0, 0, 0]]]),
    ],
)  # fmt: skip
def test_where_the_result_is_nan(
    function: Any, given: Any, expected: Any, dtype: Any, by_graph: bool
) -> None:
    found = gradients(function, *given, by_graph=by_graph, dtype=dtype)
    for g, want in zip(found, expected, strict=True):
        same(g, want)


def test_sign_of_nan_is_zero() -> None:
    for dtype in (fastnn.float32, fastnn.float64):
        x = fastnn.tensor([NAN, -2.0, 0.0, 3.0, -NAN] * 9, dtype=dtype)
        same(fastnn.sign(x).tolist(), [0.0, -1.0, 0.0, 1.0, 0.0] * 9)


@pytest.mark.torch
@pytest.mark.parametrize("by_graph", [False, True])
@pytest.mark.parametrize("name", ["amax", "amin", "max", "min"])
@pytest.mark.parametrize("weight", [1.0, 0.0, -2.0, math.inf, NAN])
def test_reductions_are_torchs(name: str, weight: float, by_graph: bool) -> None:
    torch = pytest.importorskip("torch")
    for given in (ROWS, ROWS[1:2], ROWS[3:], [[math.inf, -math.inf, math.inf]], NAN):
        found = []
        for lib, grad in ((fastnn, autograd.grad), (torch, torch.autograd.grad)):
            x = lib.tensor(given, dtype=lib.float64, requires_grad=True)
            w = lib.tensor(weight, dtype=lib.float64, requires_grad=True)
            (g,) = grad(getattr(lib, name)(x), x, w, create_graph=by_graph)
            found.append([g.detach().numpy()])
            if by_graph:
                places = np.arange(1.0, g.numel() + 1).reshape(g.shape)
                (again,) = grad((g * lib.tensor(places)).sum(), w)
                found[-1].append(again.detach().numpy())
        for a, b in zip(*found, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["maximum", "minimum", "amax", "amin"])
def test_weighted_gradients_are_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    values = np.array([NAN, 0.0, -0.0, 1.0, math.inf, -math.inf])
    x, y = rng.choice(values, (2, 40, 6))
    w = rng.normal(size=(40, 6))
    found = []
    for lib, grad in ((fastnn, autograd.grad), (torch, torch.autograd.grad)):
        leaves = [lib.tensor(a, requires_grad=True) for a in (x, y)]
        if name[0] == "a":
            out, weight = getattr(lib, name)(leaves[0], (1,)), lib.tensor(w[:, 0].copy())
            leaves.pop()
        else:
            out, weight = getattr(lib, name)(*leaves), lib.tensor(w)
        found.append([g.numpy() for g in grad(out, leaves, weight)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.torch
@pytest.mark.parametrize("p", [-2.0, -1.0, 0.5, 1.0, 1.5, 2.0, 3.0, math.inf, -math.inf])
def test_norms_beside_zeros_are_torchs(p: float) -> None:
    torch = pytest.importorskip("torch")
    rows = [[3.0, -4.0, 0.5], [0.0, 0.0, 0.0], [0.0, 1.0, -2.0], [1.0, 1.0, 1.0]]
    found = []
    for lib, grad in ((fastnn, autograd.grad), (torch, torch.autograd.grad)):
        x = lib.tensor(rows, dtype=lib.float64, requires_grad=True)
        y = lib.norm(x, p, 1)
        found.append([y.detach().numpy(), grad(y.sum(), x)[0].numpy()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-15)
