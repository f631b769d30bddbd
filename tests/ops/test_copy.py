# SPDX-License-Identifier: BSD-3-Clause
"""copy, cast and fill as kernels: types, layouts, conversions at the limits, threads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnn import _backend
from layouts import (
    DTYPES,
    FLOATS,
    INTEGERS,
    arrays,
    assert_same_bits,
    levels,
    native_only,
    shapes,
    values,
    with_threads,
)


def kernel(name: str) -> Any:
    return getattr(_backend.default_table(), name)


@given(st.data(), st.sampled_from(DTYPES), shapes)
def test_copy_in_every_layout(data: st.DataObject, dtype: str, shape: tuple[int, ...]) -> None:
    x = data.draw(arrays(shape, dtype))
    for level in levels():
        y = data.draw(arrays(shape, dtype, broadcast=False))
        kernel("copy")(x, y)
        assert_same_bits(y, x, (dtype, level))


@pytest.mark.parametrize("dtype", DTYPES)
def test_transposed_copy_with_every_rest(dtype: str) -> None:
    # 1..70: no square, whole squares, squares with a rest, more than one tile.
    rng = np.random.default_rng(0)
    for n in [*range(1, 36), 63, 64, 65, 70]:
        for m in (1, 7, 16, 33, 70):
            x = values(rng, (n, m), dtype)
            room = np.zeros((m + 2, n + 3), dtype)
            y = room[1:-1, 1:-2]
            for level in levels():
                kernel("copy")(x.T, y)
                assert_same_bits(y, x.T, (n, m, level))
            y[...] = 0
            assert not room.any(), f"written outside: {n}, {m}"


@native_only
def test_copy_keeps_every_bit() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, (83, 91), np.uint32)
    bits[::3] |= 0x7F800000  # NaNs with payloads, signalling ones among them
    x = bits.view("f4")
    for source in (x, x.T, x[::-1, ::-2]):
        for level in levels():
            y = np.empty(source.shape, "f4")
            kernel("copy")(source, y)
            assert y.tobytes() == source.tobytes(), level
    raw = np.resize(np.array([0, 1, 2, 255], np.uint8), 100)
    y = np.empty(100, bool)
    kernel("copy")(raw.view(bool), y)
    np.testing.assert_array_equal(y.view(np.uint8), raw)


def test_copy_onto_itself_changes_nothing() -> None:
    x = np.arange(30.0).reshape(5, 6)
    kernel("copy")(x, x)
    kernel("copy")(x.T, x.T)
    np.testing.assert_array_equal(x, np.arange(30.0).reshape(5, 6))


@native_only
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_do_not_change_bits(dtype: str) -> None:
    rng = np.random.default_rng(1)
    x = values(rng, (5, 301, 411), dtype)
    for source in (x, x.transpose(0, 2, 1), x.transpose(2, 1, 0), x[:, ::-1]):
        for threads in (1, 2, 3, 4):
            y = np.empty(source.shape, dtype)
            with_threads(threads, kernel("copy"), source, y)
            assert_same_bits(y, source, threads)


def converted(value: Any, dtype: str) -> Any:
    """The conversion as csrc/ops/cast.cpp states it, in Python numbers."""
    if dtype == "bool":
        return value != 0
    if dtype in FLOATS:
        with np.errstate(over="ignore"):
            return np.dtype(dtype).type(value)
    if isinstance(value, float):
        whole = math.isfinite(value) and -(2.0**63) <= value < 2.0**63
        value = int(value) if whole else -(2**63)
    info = np.iinfo(dtype)
    span = int(info.max) - int(info.min) + 1
    return (int(value) - int(info.min)) % span + int(info.min)


FLOAT_EDGES = [
    *(0.0, -0.0, 0.5, -0.5, 0.99999994, -1.5, 2.5, 255.9, 256.0, -1.0, 300.7, 1e-40),
    *(2147483520.0, 2147483648.0, -2147483648.0, -2147484000.0, 4294967296.0, 1e10),
    *(9.2233715e18, 2.0**63, -(2.0**63), -9.3e18, 1e30, math.inf, -math.inf, math.nan),
]
EDGES: dict[str, list[Any]] = {
    "float32": FLOAT_EDGES,
    "float64": FLOAT_EDGES,
    "int64": [0, 1, -1, 255, 256, 2**31 - 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, -(2**63)],
    "int32": [0, 1, -1, 255, 256, 2**24 + 1, 2**31 - 1, -(2**31)],
    "uint8": [0, 1, 127, 128, 255],
    "bool": [False, True],
}


@pytest.mark.parametrize("target", DTYPES)
@pytest.mark.parametrize("source", DTYPES)
def test_cast_at_the_limits(source: str, target: str) -> None:
    # All edges together, and each alone among ordinary numbers: blocks that fit the fast
    # conversion and blocks that do not.
    edges = np.array(EDGES[source], source)
    ordinary = np.resize(np.array([0, 1, 100], source), 2500)
    inputs = [np.resize(edges, 150)]
    for edge in edges:
        one = ordinary.copy()
        one[1333] = edge
        inputs.append(one)
    for x in inputs:
        want = np.array([converted(v, target) for v in x.tolist()], target)
        for level in levels():
            for a, y in ((x, np.empty(x.shape, target)), (x, np.empty(2 * x.size, target)[::2])):
                kernel("cast")(a, y)
                assert_same_bits(y, want, (source, target, level))


@given(st.data(), st.sampled_from(DTYPES), st.sampled_from(DTYPES), shapes)
def test_cast_in_every_layout(
    data: st.DataObject, source: str, target: str, shape: tuple[int, ...]
) -> None:
    x = data.draw(arrays(shape, source))
    want = np.empty(shape, target)
    kernel("cast")(np.array(x, order="C"), want)
    for level in levels():
        y = data.draw(arrays(shape, target, broadcast=False))
        kernel("cast")(x, y)
        assert_same_bits(y, want, (source, target, level))


@native_only
def test_cast_with_threads() -> None:
    rng = np.random.default_rng(1)
    for source in FLOATS:
        x = rng.normal(scale=1e3, size=(3, 100_003)).astype(source)
        for target in INTEGERS:
            want = x.astype(np.int64).astype(target)
            for threads in (1, 2, 3, 4):
                y = np.empty(x.shape, target)
                with_threads(threads, kernel("cast"), x, y)
                np.testing.assert_array_equal(y, want)


@given(st.data(), st.sampled_from(DTYPES), shapes)
def test_fill_sets_every_element_and_no_other(
    data: st.DataObject, dtype: str, shape: tuple[int, ...]
) -> None:
    y = data.draw(arrays(shape, dtype, broadcast=False))
    value = values(np.random.default_rng(data.draw(st.integers(0, 99))), (1,), dtype)
    whole = y if y.base is None else y.base
    whole[...] = 0
    for level in levels():
        kernel("fill")(value, y)
        assert_same_bits(y, np.full(shape, value[0], dtype), (dtype, level))
    y[...] = 0
    assert not whole.any()
