# SPDX-License-Identifier: BSD-3-Clause
"""Folds, running folds and batched products: threads, chunks, extremes, ties, wrong arguments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastnn
from native_kernels import normal, same_on_any_number_of_threads

DTYPES = ["float32", "float64", "int64", "int32", "uint8", "bool"]
# Short and long rows, columns in one tile and several, chunks of both.
TRIPLES = [(1, 1, 1), (3, 70, 1), (1, 300001, 1), (5, 65, 7), (2, 3, 1300), (1, 40000, 6)]


def folded(kernels: Any, name: str, x: Any) -> Any:
    y = np.full((x.shape[0], x.shape[2]), 7).astype(x.dtype)
    kernels[name](x, y)
    return y


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", TRIPLES)
def test_amax_and_amin(kernels: Any, shape: tuple[int, int, int], dtype: str) -> None:
    x = np.random.default_rng(0).integers(-50, 50, shape).astype(dtype)
    np.testing.assert_array_equal(folded(kernels, "amax", x), x.max(1))
    np.testing.assert_array_equal(folded(kernels, "amin", x), x.min(1))
    if x.dtype.kind == "f":
        x[0, shape[1] // 2, 0] = np.nan
        for name in ("amax", "amin"):
            got = folded(kernels, name, x)
            assert np.isnan(got[0, 0])
            assert np.isnan(got).sum() == 1


def test_bools_of_other_memory_are_true(kernels: Any) -> None:
    x = np.full((2, 70, 3), 2, np.uint8).view(bool)
    for name in ("amax", "amin"):
        assert (folded(kernels, name, x).view(np.uint8) == 1).all()


@pytest.mark.parametrize("shape", TRIPLES)
def test_products_and_sums_of_squares(kernels: Any, shape: tuple[int, int, int]) -> None:
    x = 1 + normal(shape, "float64") * 1e-3
    np.testing.assert_allclose(folded(kernels, "prod_forward", x), x.prod(1), rtol=1e-9)
    y = np.empty((shape[0], shape[2]))
    center = x.mean(1)
    for c in (None, center):
        kernels["square_sum"](x, c, y)
        exact = ((x.astype(np.longdouble) - (0 if c is None else c[:, None])) ** 2).sum(1)
        np.testing.assert_allclose(y, exact.astype(np.float64), rtol=1e-12, atol=1e-18)


@pytest.mark.parametrize("shape", TRIPLES[1:])
def test_bits_do_not_depend_on_threads(kernels: Any, shape: tuple[int, int, int]) -> None:
    x = normal(shape) * np.float32(0.01) + 1
    for name in ("amax", "amin", "prod_forward"):
        same_on_any_number_of_threads(lambda name=name: folded(kernels, name, x))

    def squares() -> Any:
        y = np.empty((shape[0], shape[2]), x.dtype)
        kernels["square_sum"](x, None, y)
        return y

    def running() -> Any:
        y = np.empty_like(x)
        kernels["cumsum_forward"](x, y, True)
        return y

    same_on_any_number_of_threads(squares)
    same_on_any_number_of_threads(running)


def test_folds_of_nothing(kernels: Any) -> None:
    x = np.empty((2, 0, 3), np.float32)
    for name in ("amax", "amin"):
        with pytest.raises(ValueError, match=name):
            folded(kernels, name, x)
        assert folded(kernels, name, np.empty((0, 0, 3), np.float32)).shape == (0, 3)
    assert (folded(kernels, "prod_forward", x) == 1).all()
    y = np.empty((2, 3), np.float32)
    kernels["square_sum"](x, None, y)
    assert not y.any()


def test_an_index_beyond_the_end_is_refused(kernels: Any) -> None:
    x = normal((2, 5, 3))
    for bad in (-1, 5, 2**62, -(2**63)):
        index = np.zeros((2, 3), np.int64)
        index[1, 2] = bad
        out = np.full((2, 3), 7, np.float32)
        with pytest.raises(IndexError, match="pick_forward"):
            kernels["pick_forward"](x, index, out)
        assert (out == 7).all()
        with pytest.raises(IndexError, match="pick_backward"):
            kernels["pick_backward"](index, out, np.empty_like(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (40, 3, 5, 7), (130, 20, 33, 17), (3, 130, 140, 150), (9, 1, 70, 40)]
)
def test_a_batch_has_the_bits_of_its_products(
    kernels: Any, shape: tuple[int, ...], dtype: str
) -> None:
    batch, m, k, n = shape
    a, b = normal((batch, m, k), dtype), normal((batch, k, n), dtype, seed=4)
    single = np.empty((batch, m, n), dtype)
    for i in range(batch):
        kernels["gemm"](a[i], b[i], single[i], False)

    def product() -> Any:
        c = np.empty((batch, m, n), dtype)
        kernels["bmm"](a, b, c, False)
        return c

    assert same_on_any_number_of_threads(product) == single.tobytes()
    c = single.copy()
    kernels["bmm"](a, b, c, True)
    np.testing.assert_allclose(c, 2 * single, rtol=1e-5)
    # One matrix for the whole batch, and transposed operands.
    shared = np.broadcast_to(b[:1], b.shape)
    kernels["bmm"](a.transpose(0, 2, 1).copy().transpose(0, 2, 1), shared, c, False)
    np.testing.assert_allclose(c, a @ b[:1], rtol=2e-4, atol=1e-4)


def test_maxima_and_their_ties() -> None:
    x = fastnn.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 0.0]], requires_grad=True)
    values, indices = x.max(1)
    assert indices.tolist() == [1, 0]
    values.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0, 1, 0], [1, 0, 0]]
    (g,) = fastnn.autograd.grad(x.amax(1).sum(), x)
    assert g is not None
    assert g.tolist() == [[0, 0.5, 0.5], [0.5, 0.5, 0]]
    (g,) = fastnn.autograd.grad(x.max(), x)
    assert g is not None
    assert g.tolist() == [[0, 0.5, 0.5], [0, 0, 0]]
    assert x.max(1)._fields == ("values", "indices")
    assert fastnn.max(x.detach(), fastnn.tensor(2.5)).tolist()[0] == [2.5, 3.0, 3.0]


def test_smallest_of_extreme_integers() -> None:
    low = -(2**63)
    assert fastnn.tensor([5, low, low]).argmin().item() == 1
    assert fastnn.tensor([5, low]).min().item() == low
    assert fastnn.tensor([False, True]).argmin().item() == 0
    assert math.isnan(fastnn.tensor([1.0, math.nan, -9.0]).min().item())
    assert fastnn.tensor([1.0, math.nan, -9.0]).argmin().item() == 1


def test_spread_where_it_is_degenerate() -> None:
    assert math.isnan(fastnn.tensor([3.0]).var().item())
    assert fastnn.tensor([3.0]).var(correction=0).item() == 0
    x = fastnn.full((4,), 2.0, requires_grad=True)
    x.std().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0] * 4
    big = fastnn.tensor([1e8 + 1, 1e8 + 2, 1e8 + 3], dtype=fastnn.float64)
    assert big.var().item() == 1.0
    x = fastnn.zeros(3, requires_grad=True)
    x.norm().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0] * 3


def test_products_with_zeros() -> None:
    x = fastnn.tensor([2.0, 0.0, 3.0], requires_grad=True)
    x.prod().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 6.0, 0.0]
    (g,) = fastnn.autograd.grad(x.cumprod(0).sum(), x)
    assert g is not None
    assert g.tolist() == [1.0, 8.0, 0.0]
    (g,) = fastnn.autograd.grad(x.prod(), x, create_graph=True)
    assert g is not None
    (gg,) = fastnn.autograd.grad(g[1], x)
    assert gg is not None
    assert gg.tolist() == [3.0, 0.0, 2.0]


def test_nothing_to_reduce() -> None:
    empty = fastnn.zeros(0, 3)
    assert empty.all().item() is True
    assert empty.any().item() is False
    assert empty.prod().item() == 1
    assert empty.logsumexp(0).tolist() == [-math.inf] * 3
    assert empty.norm().item() == 0
    assert empty.count_nonzero().item() == 0
    with pytest.raises(RuntimeError, match="at least one element"):
        empty.max()


def test_logsumexp_of_infinities() -> None:
    x = fastnn.tensor([[-math.inf, -math.inf], [math.inf, 1.0], [1000.0, 1000.0]])
    got = x.logsumexp(1).tolist()
    assert got[:2] == [-math.inf, math.inf]
    assert got[2] == pytest.approx(1000 + math.log(2))
