# SPDX-License-Identifier: BSD-3-Clause
"""Rows by number: every type, hostile indices, the order of additions, threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _backend
from layouts import native_only
from native_kernels import normal, same_on_any_number_of_threads


def take(kernels: Any, x: Any, index: Any, negative: bool = False) -> np.ndarray[Any, Any]:
    y = np.full((x.shape[0], len(index), x.shape[2]), 7, x.dtype)
    kernels["take_rows"](x, index, y, negative)
    return y


def added(kernels: Any, y: Any, index: Any, n: int, negative: bool = False) -> np.ndarray[Any, Any]:
    x = np.full((y.shape[0], n, y.shape[2]), 7, y.dtype)
    kernels["add_rows"](y, index, x, negative)
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


@pytest.mark.parametrize("shape", [(1, 60, 1), (3, 60, 5), (2, 60, 300), (0, 60, 3)])
def test_negative_indices_count_from_the_end(kernels: Any, shape: tuple[int, int, int]) -> None:
    x = normal(shape)
    index = np.random.default_rng(1).integers(-60, 60, 60)
    np.testing.assert_array_equal(take(kernels, x, index, negative=True), x[:, index])
    got = added(kernels, x, index, 60, negative=True)
    np.testing.assert_array_equal(got, added_in_order(x, index, 60))


@pytest.mark.parametrize(
    ("bad", "negative"),
    [
        *((i, False) for i in (-1, 4, -(2**63), 2**63 - 1)),
        *((i, True) for i in (-5, 4, -(2**63), 2**63 - 1)),
    ],
)
def test_an_index_out_of_range_changes_nothing(kernels: Any, bad: int, negative: bool) -> None:
    x, index = normal((2, 4, 3)), np.array([0, 3, bad])
    y = np.full((2, 3, 3), 7, np.float32)
    with pytest.raises(IndexError, match="take_rows"):
        kernels["take_rows"](x, index, y, negative)
    assert (y == 7).all()
    before = x.copy()
    with pytest.raises(IndexError, match="add_rows"):
        kernels["add_rows"](y, index, x, negative)
    np.testing.assert_array_equal(x, before)


def test_no_row_can_be_taken_from_none(kernels: Any) -> None:
    with pytest.raises(IndexError):
        take(kernels, np.empty((2, 0, 3), np.float32), np.array([0]))


def test_wrong_sizes(kernels: Any) -> None:
    x, index = normal((2, 4, 3)), np.array([0, 3])
    with pytest.raises(ValueError, match="take_rows"):
        kernels["take_rows"](x, index, np.empty((2, 3, 3), np.float32), False)
    with pytest.raises(ValueError, match="add_rows"):
        kernels["add_rows"](normal((2, 2, 4)), index, x, False)


def test_bits_do_not_depend_on_threads(kernels: Any) -> None:
    for shape, n in (((1, 20000, 64), 1000), ((4, 5000, 10), 50), ((1, 200000, 1), 20)):
        y = normal(shape)
        index = np.random.default_rng(1).integers(0, n, shape[1])
        bits = same_on_any_number_of_threads(lambda y=y, i=index, n=n: added(kernels, y, i, n))
        assert bits == added_in_order(y, index, n).tobytes()


@pytest.mark.parametrize("backend", ["numpy", _backend.name])
def test_the_message_names_the_index_and_the_range(backend: str) -> None:
    x = fastnn.arange(12.0).reshape(4, 3)
    with _backend.use(backend):
        for bad in (4, -5):
            with pytest.raises(
                IndexError, match=rf"indexing: expected indices in \[-4, 3\], got {bad}"
            ):
                x[fastnn.tensor([0, bad, 1])]
        with pytest.raises(IndexError, match=r"index_select: expected indices in \[0, 2\], got -1"):
            x.index_select(1, fastnn.tensor([0, -1]))
        assert x[fastnn.tensor([-1, 0])].tolist() == [[9.0, 10.0, 11.0], [0.0, 1.0, 2.0]]


@native_only
def test_indexing_is_one_launch() -> None:
    """The range is checked where the rows are taken: nothing is read on the host before."""
    x, index = fastnn.zeros(4, 3, requires_grad=True), fastnn.tensor([0, -1])
    launched: list[Any] = []
    before = _backend.cpu.set_recorder(launched)
    try:
        y = x[index]
    finally:
        _backend.cpu.set_recorder(before)
    assert [e[0] for e in launched] == [_backend.native["take_rows"].id]
    y.backward(fastnn.ones(2, 3))
    assert x.grad is not None
    assert x.grad.tolist() == [[1.0] * 3, [0.0] * 3, [0.0] * 3, [1.0] * 3]


BYTES = np.array([0, 1, 2, 0], np.uint8)


@pytest.mark.parametrize("mask", [fastnn.tensor(BYTES), BYTES], ids=["tensor", "array"])
def test_uint8_is_a_mask_as_in_torch(mask: Any) -> None:
    x = fastnn.arange(4.0)
    assert x[mask].tolist() == x[mask,].tolist() == [1.0, 2.0]
    assert x[mask[1]].tolist() == ([[0.0, 1.0, 2.0, 3.0]] if mask is not BYTES else 1.0)
    assert x.reshape(2, 2)[mask.reshape(2, 2)].tolist() == [1.0, 2.0]
    y = fastnn.arange(12.0).reshape(4, 3)
    assert y[mask, fastnn.tensor([0, 1])].tolist() == [3.0, 7.0]
    assert y[:, mask[:3]].tolist() == [[1.0, 2.0], [4.0, 5.0], [7.0, 8.0], [10.0, 11.0]]
    with pytest.raises(IndexError, match="a mask of shape"):
        x[mask[:3]]
    w = fastnn.arange(4.0, requires_grad=True)
    w[mask].sum().backward()
    assert w.grad is not None
    assert w.grad.tolist() == [0.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize("mask", [fastnn.tensor(BYTES), BYTES], ids=["tensor", "array"])
def test_a_uint8_mask_is_written_through_as_in_torch(mask: Any) -> None:
    x = fastnn.arange(4.0)
    for value in (9, fastnn.tensor(9.0), fastnn.tensor([9.0])):
        with pytest.raises(RuntimeError, match=r"a mask of bool.*got uint8; .*\.bool\(\)"):
            x[mask] = value
    assert x.tolist() == [0.0, 1.0, 2.0, 3.0]
    x[mask] = fastnn.tensor([5.0, 6.0])
    x[mask] += 1
    assert x.tolist() == [0.0, 6.0, 7.0, 3.0]
    x[mask, None] = fastnn.tensor([[1.0], [2.0]])
    assert x.tolist() == [0.0, 1.0, 2.0, 3.0]
    y = fastnn.arange(12.0).reshape(4, 3)
    y[mask, fastnn.tensor([0, 1])] = 0
    assert y.reshape(-1).tolist() == [0, 1, 2, 0, 4, 5, 6, 0, 8, 9, 10, 11]
    x[fastnn.tensor(1, dtype=fastnn.uint8)] = 7
    assert x.tolist() == [7.0] * 4


@pytest.mark.parametrize("dtype", [fastnn.int8, fastnn.int16])
def test_small_integers_are_no_index_tensors_but_numbers(dtype: Any) -> None:
    x, index = fastnn.arange(4.0), fastnn.tensor([2, 0], dtype=dtype)
    for bad in (index, (index,), (slice(None), index)):
        with pytest.raises(IndexError, match=r"int64, int32, uint8 or bool, got .*; .*\.long\(\)"):
            x.reshape(4, 1)[bad]
    with pytest.raises(IndexError, match="index assignment: expected index tensors"):
        x[index] = 1.0
    assert x[index[0]].item() == 2.0
    assert x[index.numpy()].tolist() == [2.0, 0.0]
    assert x[np.uint8(2)].item() == x[np.int8(2)].item() == 2.0


@pytest.mark.parametrize("index", [[0, 2], (slice(None), [0]), "places", "mask", ("mask", [0])])
@pytest.mark.parametrize("grad", [False, True])
def test_values_for_an_index_of_elements_have_the_tensors_type(index: Any, grad: bool) -> None:
    named: Any = {"places": fastnn.tensor([0, 1]), "mask": fastnn.tensor([True, False, True])}
    index = named.get(index, index) if isinstance(index, str) else index
    if isinstance(index, tuple):
        index = tuple(named.get(i, i) if isinstance(i, str) else i for i in index)
    x = fastnn.ones(3, 3, requires_grad=grad) * 2
    values = fastnn.zeros_like(x[index]).double()
    with pytest.raises(
        RuntimeError,
        match=r"index assignment: expected values of fastnn.float32, .* got fastnn.float64; convert"
        r" them with .to\(fastnn.float32\)",
    ):
        x[index] = values
    assert x.tolist() == [[2.0] * 3] * 3
    x[index] = values.to(x.dtype)
    assert x[index].tolist() == values.tolist()


def test_views_and_masks_with_one_value_convert_as_in_torch() -> None:
    x = fastnn.zeros(3, dtype=fastnn.int64)
    x[1:] = fastnn.tensor([1.5, 2.5])
    x[0] = fastnn.tensor(7.9)
    assert x.tolist() == [7, 1, 2]
    x[fastnn.tensor(1)] = fastnn.tensor([4.0])  # one number as a tensor is a number
    x[x == 2] = fastnn.tensor(9.0, dtype=fastnn.float64)
    assert x.tolist() == [7, 4, 9]
    x[[0, 1]] = True
    assert x.tolist() == [1, 1, 9]
    x[True] = fastnn.tensor(3.5)
    assert x.tolist() == [3, 3, 3]
    y = fastnn.zeros(3)
    y[[0, 2]] = 3
    assert y.tolist() == [3.0, 0.0, 3.0]
