# SPDX-License-Identifier: BSD-3-Clause
"""Arrays of every element type in every layout, and ways to run the native kernels, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from fastnn import _backend, _config

FLOATS = ("float32", "float64")
INTEGERS = ("int64", "int32", "uint8")
DTYPES = (*FLOATS, *INTEGERS, "bool")

native_only = pytest.mark.skipif(_backend.name != "cpu", reason="there are no native kernels")
# Shapes with dimensions of length 0 and 1, short rows, and planes larger than a tile.
shapes = st.one_of(
    st.lists(st.sampled_from([0, 1, 1, 2, 3, 5, 8, 17]), max_size=5).map(tuple),
    st.tuples(st.integers(1, 3), st.integers(60, 140), st.integers(60, 140)),
    st.permutations([2, 300, 3]).map(tuple),
)


def levels() -> Iterator[str]:
    """Runs the loop's body on the references, or once per instruction-set level."""
    if _backend.name != "cpu":
        yield "numpy"
        return
    before = _backend.cpu.isa()
    try:
        for level in _backend.cpu.usable_levels():
            _backend.cpu.set_isa(level)
            yield level
    finally:
        _backend.cpu.set_isa(before)


def values(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    """Random values with many ties, and extremes: NaN, infinities, zeros of both signs, limits."""
    kind = np.dtype(dtype)
    small = rng.integers(-3, 4, shape)
    if kind.kind == "b":
        return np.asarray(small > 0)
    if kind.kind == "f":
        extremes = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-310, -1e300, 0.1, 2.5])
        with np.errstate(over="ignore"):
            extremes = extremes.astype(kind)
    else:
        info = np.iinfo(kind)
        extremes = np.array([info.min, info.max, info.max // 2, info.max - 1], kind)
    take = np.asarray(rng.random(shape) < 0.4)
    chosen = rng.choice(extremes, shape)
    return np.asarray(np.where(take, chosen, np.abs(small).astype(kind)))


@st.composite
def arrays(
    draw: st.DrawFn, shape: tuple[int, ...], dtype: str, broadcast: bool = True
) -> np.ndarray[Any, Any]:
    """An array of a shape: dimensions in any order in memory, stepped, reversed or broadcast."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if not shape or draw(st.booleans()):
        return values(rng, shape, dtype)
    order = draw(st.permutations(range(len(shape))))
    how = [draw(st.sampled_from([1, 1, -1, 2, -3] + [0] * broadcast)) for _ in shape]
    memory = [1 if h == 0 else n * abs(h) for n, h in zip(shape, how, strict=True)]
    a = values(rng, tuple(memory[d] for d in order), dtype)
    a = a.transpose(np.argsort(order))[tuple(slice(None, None, h or 1) for h in how)]
    return np.broadcast_to(a, shape) if broadcast else a


def assert_same_bits(
    got: np.ndarray[Any, Any], want: np.ndarray[Any, Any], what: object = ""
) -> None:
    """Equal types, shapes and values; zeros of equal sign; NaN where there is NaN."""
    assert got.dtype == want.dtype, what
    assert got.shape == want.shape, what
    if got.dtype.kind == "f":
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want), err_msg=str(what))
        got, want = np.where(np.isnan(got), 0, got), np.where(np.isnan(want), 0, want)
        np.testing.assert_array_equal(np.signbit(got), np.signbit(want), err_msg=str(what))
    np.testing.assert_array_equal(got, want, err_msg=str(what))


def with_threads(n: int, kernel: Any, *args: Any) -> None:
    """Calls a native kernel with up to n threads; it must be one that has more than one piece."""
    before = _config.get_num_threads()
    _config.set_num_threads(n)
    try:
        kernel(*args)
        assert 1 <= _backend.cpu.last_participants() <= n
    finally:
        _config.set_num_threads(before)
