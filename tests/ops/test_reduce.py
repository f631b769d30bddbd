# SPDX-License-Identifier: BSD-3-Clause
"""Sums and argmax: layouts, threads, extreme values and wrong arguments of the native kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from native_kernels import normal, same_on_any_number_of_threads


def summed(kernels: Any, x: Any, n_reduced: int, divisor: float = 1.0) -> np.ndarray[Any, Any]:
    y = np.full(x.shape[: x.ndim - n_reduced], 7, x.dtype)
    kernels["sum_last"](x, y, n_reduced, divisor)
    return y


def assert_sum(kernels: Any, x: Any, n_reduced: int) -> None:
    axes = tuple(range(x.ndim - n_reduced, x.ndim))
    got = summed(kernels, x, n_reduced)
    if x.dtype.kind == "i":
        np.testing.assert_array_equal(got, x.sum(axes))
        return
    exact = x.astype(np.longdouble).sum(axes)
    plain = np.abs(np.add.reduce(x, axes) - exact).max(initial=0.0)
    bound = 2 * plain + 4 * np.finfo(x.dtype).eps * np.abs(exact).max(initial=0.0)
    assert np.abs(got - exact).max(initial=0.0) <= bound


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize(
    ("shape", "order", "n_reduced"),
    [
        ((5, 7), (0, 1), 1),
        ((5, 7), (1, 0), 1),
        ((5, 7), (1, 0), 0),
        ((5, 7), (1, 0), 2),
        ((), (), 0),
        ((3000, 3), (1, 0), 1),
        ((3001, 17), (1, 0), 1),
        ((2, 1500, 5), (0, 2, 1), 1),
        ((70, 3), (0, 1), 1),
        ((6, 5, 4, 3), (1, 3, 0, 2), 2),
        ((6, 5, 4, 3), (2, 0, 3, 1), 2),
        ((4, 9, 80), (1, 0, 2), 2),
        ((4, 3, 1025), (2, 1, 0), 2),
        ((1, 40, 1), (2, 0, 1), 1),
        ((2, 70000), (0, 1), 1),
        ((70001, 5), (1, 0), 1),
        ((600, 1100), (1, 0), 1),
        ((300000,), (0,), 1),
    ],
)
def test_sum_of_any_layout(
    kernels: Any, shape: tuple[int, ...], order: tuple[int, ...], n_reduced: int, dtype: str
) -> None:
    x = np.asarray(normal(shape, "float64") * 100).astype(dtype).transpose(order)
    assert_sum(kernels, x, n_reduced)
    if x.ndim:
        assert_sum(kernels, x[::-1, ..., ::2] if x.ndim > 1 else x[::-3], n_reduced)
        assert_sum(kernels, np.broadcast_to(x, (3, *x.shape)), n_reduced)
        assert_sum(kernels, np.broadcast_to(x[..., None], (*x.shape, 4)), n_reduced)


@pytest.mark.parametrize(
    ("shape", "order", "n_reduced"),
    [
        ((1200000,), (0,), 1),
        ((5, 300001), (0, 1), 1),
        ((4000, 300), (0, 1), 1),
        ((4000, 300), (1, 0), 1),
        ((300000, 4), (1, 0), 1),
        ((16, 8, 9000), (1, 0, 2), 2),
    ],
)
def test_bits_of_sums_do_not_depend_on_threads(
    kernels: Any, shape: tuple[int, ...], order: tuple[int, ...], n_reduced: int
) -> None:
    x = normal(shape).transpose(order)
    same_on_any_number_of_threads(lambda: summed(kernels, x, n_reduced))


def test_sums_of_nothing(kernels: Any) -> None:
    x = np.empty((3, 0), np.float32)
    np.testing.assert_array_equal(summed(kernels, x, 1), np.zeros(3))
    assert np.isnan(summed(kernels, x, 1, 0.0)).all()
    assert summed(kernels, x.T, 1).shape == (0,)
    assert summed(kernels, x, 2) == 0


def test_column_sum_adds_or_replaces(kernels: Any) -> None:
    for shape in ((0, 4), (1, 1), (33, 10), (5000, 3), (700, 1500), (4, 0)):
        x = normal(shape, "float64")
        y = np.full(shape[1], np.nan)
        kernels["column_sum"](x, y, False)
        np.testing.assert_allclose(y, x.sum(0), rtol=1e-12, atol=1e-11)
        before = y.copy()
        kernels["column_sum"](x, y, True)
        np.testing.assert_array_equal(y, before + before)


def test_wrong_arguments_of_sums(kernels: Any) -> None:
    x = np.ones((3, 4), np.float32)
    for n_reduced in (-1, 3, 2**40):
        with pytest.raises(ValueError, match="sum_last"):
            kernels["sum_last"](x, np.empty(3, np.float32), n_reduced, 1.0)
    with pytest.raises(ValueError, match="sum_last"):
        kernels["sum_last"](x, np.empty(4, np.float32), 1, 1.0)
    with pytest.raises(ValueError, match="sum_last"):
        kernels["sum_last"](np.ones((3, 4), np.int64), np.empty(3, np.int64), 1, 2.0)
    with pytest.raises(ValueError, match="column_sum"):
        kernels["column_sum"](x, np.empty(3, np.float32), False)


def largest(kernels: Any, x: Any) -> np.ndarray[Any, Any]:
    y = np.full((x.shape[0], x.shape[2]), -1, np.int64)
    kernels["argmax_forward"](x, y)
    return y


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 10, 1), (2, 3000, 1), (1, 300000, 1), (3, 7, 5), (2, 9, 1300)]
)
def test_argmax_is_the_first_of_equals(
    kernels: Any, shape: tuple[int, int, int], dtype: str
) -> None:
    for high in (2, 100):
        x = np.random.default_rng(1).integers(0, high, shape).astype(dtype)
        np.testing.assert_array_equal(largest(kernels, x), x.argmax(1))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("n", [*range(1, 36), 63, 64, 65, 256, 257, 1024, 1025, 4097, 5121])
def test_argmax_at_every_place(kernels: Any, dtype: str, n: int) -> None:
    """Rows of one vector, of groups, of blocks: the largest stands twice, last at the very end."""
    places = sorted({0, 1, n // 2, n - n % 64, n - 2, n - 1} & set(range(n)))
    x = np.zeros((len(places), n, 1), dtype)
    if x.dtype.kind == "f":
        x[:] = -np.inf
    for row, place in enumerate(places):
        x[row, [place, n - 1]] = 1
    np.testing.assert_array_equal(largest(kernels, x)[:, 0], places)
    if x.dtype.kind == "f":
        for row, place in enumerate(places):
            x[row, [place, n - 1]] = np.nan
        np.testing.assert_array_equal(largest(kernels, x)[:, 0], places)


@pytest.mark.parametrize("inner", [1, 3])
def test_argmax_of_extreme_values(kernels: Any, inner: int) -> None:
    x = normal((4, 200001, inner))
    x[0, [150000, 170000]] = np.nan
    x[1, 100] = np.nan
    x[1, 0] = np.inf
    x[2] = -np.inf
    x[3, 200000] = np.inf
    expected = np.repeat([[150000], [100], [0], [200000]], inner, axis=1)
    np.testing.assert_array_equal(largest(kernels, x), expected)
    same_on_any_number_of_threads(lambda: largest(kernels, x))


def test_argmax_of_nothing(kernels: Any) -> None:
    assert largest(kernels, np.empty((0, 5, 2), np.float32)).shape == (0, 2)
    with pytest.raises(ValueError, match="argmax_forward"):
        largest(kernels, np.empty((2, 0, 2), np.float32))
