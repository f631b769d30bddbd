# SPDX-License-Identifier: BSD-3-Clause
"""Rows by number: every type, hostile indices, the order of additions, threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from native_kernels import normal, same_on_any_number_of_threads


def take(kernels: Any, x: Any, index: Any) -> np.ndarray[Any, Any]:
    y = np.full((x.shape[0], len(index), x.shape[2]), 7, x.dtype)
    kernels["take_rows"](x, index, y)
    return y


def added(kernels: Any, y: Any, index: Any, n: int) -> np.ndarray[Any, Any]:
    x = np.full((y.shape[0], n, y.shape[2]), 7, y.dtype)
    kernels["add_rows"](y, index, x)
    return x


def added_in_order(y: Any, index: Any, n: int) -> np.ndarray[Any, Any]:
    x = np.zeros((y.shape[0], n, y.shape[2]), y.dtype)
    for k, j in enumerate(index):
        x[:, j] += y[:, k]
    return x


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(1, 9, 1), (3, 9, 5), (2, 9, 300), (0, 9, 3), (3, 9, 0)])
def test_take_rows(kernels: Any, shape: tuple[int, int, int], dtype: str) -> None:
    x = (normal(shape) * 100).astype(dtype)
    for m in (0, 1, 40):
        index = np.random.default_rng(1).integers(0, 9, m)
        np.testing.assert_array_equal(take(kernels, x, index), x[:, index])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("shape", [(1, 60, 1), (3, 60, 5), (2, 60, 300), (0, 4, 3), (3, 4, 0)])
def test_add_rows_adds_in_order(kernels: Any, shape: tuple[int, int, int], dtype: str) -> None:
    y = (normal(shape) * 100).astype(dtype)
    index = np.random.default_rng(1).integers(0, 9, shape[1])
    np.testing.assert_array_equal(added(kernels, y, index, 9), added_in_order(y, index, 9))


def test_add_rows_of_no_indices_is_zero(kernels: Any) -> None:
    assert not added(kernels, np.empty((2, 0, 3), np.float32), np.empty(0, np.int64), 4).any()


@pytest.mark.parametrize("bad", [-1, 4, -(2**63), 2**63 - 1])
def test_an_index_out_of_range_changes_nothing(kernels: Any, bad: int) -> None:
    x, index = normal((2, 4, 3)), np.array([0, 3, bad])
    y = np.full((2, 3, 3), 7, np.float32)
    with pytest.raises(IndexError, match="take_rows"):
        kernels["take_rows"](x, index, y)
    assert (y == 7).all()
    before = x.copy()
    with pytest.raises(IndexError, match="add_rows"):
        kernels["add_rows"](y, index, x)
    np.testing.assert_array_equal(x, before)


def test_no_row_can_be_taken_from_none(kernels: Any) -> None:
    with pytest.raises(IndexError):
        take(kernels, np.empty((2, 0, 3), np.float32), np.array([0]))


def test_wrong_sizes(kernels: Any) -> None:
    x, index = normal((2, 4, 3)), np.array([0, 3])
    with pytest.raises(ValueError, match="take_rows"):
        kernels["take_rows"](x, index, np.empty((2, 3, 3), np.float32))
    with pytest.raises(ValueError, match="add_rows"):
        kernels["add_rows"](normal((2, 2, 4)), index, x)


def test_bits_do_not_depend_on_threads(kernels: Any) -> None:
    for shape, n in (((1, 20000, 64), 1000), ((4, 5000, 10), 50), ((1, 200000, 1), 20)):
        y = normal(shape)
        index = np.random.default_rng(1).integers(0, n, shape[1])
        bits = same_on_any_number_of_threads(lambda y=y, i=index, n=n: added(kernels, y, i, n))
        assert bits == added_in_order(y, index, n).tobytes()
