# SPDX-License-Identifier: BSD-3-Clause
"""where as a kernel: types, layouts, what is not chosen, in place, threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastnn
from fastnn import _backend
from layouts import (
    DTYPES,
    arrays,
    assert_same_bits,
    levels,
    native_only,
    shapes,
    values,
    with_threads,
)


def where(*args: Any) -> None:
    _backend.default_table().where_forward(*args)


@given(st.data(), st.sampled_from(DTYPES), shapes)
def test_kernel_equals_numpy_in_every_layout(
    data: st.DataObject, dtype: str, shape: tuple[int, ...]
) -> None:
    condition = data.draw(arrays(shape, "bool"))
    x, y = data.draw(arrays(shape, dtype)), data.draw(arrays(shape, dtype))
    want = np.asarray(np.where(condition, x, y))
    for level in levels():
        out = data.draw(arrays(shape, dtype, broadcast=False))
        where(condition, x, y, out)
        assert_same_bits(out, want, (dtype, level))


@given(st.data(), st.sampled_from(DTYPES), shapes, st.booleans())
def test_output_may_be_an_input(
    data: st.DataObject, dtype: str, shape: tuple[int, ...], first: bool
) -> None:
    condition = data.draw(arrays(shape, "bool"))
    out, other = data.draw(arrays(shape, dtype, broadcast=False)), data.draw(arrays(shape, dtype))
    operands = (out, other) if first else (other, out)
    want = np.asarray(np.where(condition, *operands))
    where(condition, *operands, out)
    assert_same_bits(out, want, dtype)


@native_only
def test_every_bit_of_the_chosen_value_is_kept() -> None:
    # NaNs with payloads, signalling ones among them.
    bits = np.array([0x7FC01234, 0xFF812345, 0x7F800001, 0x80000000], np.uint32)
    x, y = np.resize(bits, 101).view("f4"), np.resize(bits[::-1], 101).view("f4")
    condition = np.arange(101) % 3 == 0
    out = np.empty(101, "f4")
    for level in levels():
        where(condition, x, y, out)
        want = np.where(condition, x.view(np.uint32), y.view(np.uint32))
        np.testing.assert_array_equal(out.view(np.uint32), want, err_msg=level)


@native_only
def test_any_byte_but_zero_chooses_the_first() -> None:
    byte = np.resize(np.array([0, 1, 2, 0, 128, 255], np.uint8), 1000)
    x, y = np.ones(1000, "f4"), np.zeros(1000, "f4")
    out = np.empty(1000, "f4")
    for _ in levels():
        where(byte.view(bool), x, y, out)
        np.testing.assert_array_equal(out, byte != 0)


@native_only
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_do_not_change_bits(dtype: str) -> None:
    rng = np.random.default_rng(1)
    condition = rng.random((401, 777)) < 0.5
    x = values(rng, (401, 777), dtype)
    one = np.broadcast_to(values(rng, (1, 1), dtype), x.shape)
    for y in (values(rng, (777, 401), dtype).T, one):
        want = np.where(condition, x, y)
        for threads in (1, 2, 3, 4):
            out = np.empty_like(x)
            with_threads(threads, where, condition, x, y, out)
            assert_same_bits(out, want, threads)


def test_a_condition_alone_gives_indices() -> None:
    condition = fastnn.tensor([[0.0, 2.0], [-1.0, 0.0]])
    assert [t.tolist() for t in fastnn.where(condition)] == [[0, 1], [1, 0]]
    assert fastnn.where(fastnn.tensor([False]))[0].shape == (0,)
    assert condition[fastnn.where(condition)].tolist() == [2.0, -1.0]


def test_gradient_of_what_is_not_chosen_is_zero_even_beside_nan() -> None:
    x = fastnn.tensor([1.0, float("nan"), 3.0], requires_grad=True)
    y = fastnn.tensor([float("inf"), 5.0, 6.0], requires_grad=True)
    chosen = fastnn.where(fastnn.tensor([True, False, True]), x, y)
    chosen.sum().backward()
    assert chosen.tolist() == [1.0, 5.0, 3.0]
    assert x.grad is not None
    assert y.grad is not None
    assert x.grad.tolist() == [1.0, 0.0, 1.0]
    assert y.grad.tolist() == [0.0, 1.0, 0.0]
