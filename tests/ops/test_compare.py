# SPDX-License-Identifier: BSD-3-Clause
"""Comparisons as kernels: types, layouts, NaN, zeros of both signs, threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnn import _backend
from layouts import (
    DTYPES,
    FLOATS,
    arrays,
    assert_same_bits,
    levels,
    native_only,
    shapes,
    values,
    with_threads,
)

FORMULAS = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def kernel(name: str) -> Any:
    return getattr(_backend.default_table(), name)


@given(st.data(), st.sampled_from(list(FORMULAS)), st.sampled_from(DTYPES), shapes)
def test_kernels_equal_numpy_in_every_layout(
    data: st.DataObject, name: str, dtype: str, shape: tuple[int, ...]
) -> None:
    x, y = data.draw(arrays(shape, dtype)), data.draw(arrays(shape, dtype))
    want = np.asarray(FORMULAS[name](x, y))
    for level in levels():
        out = data.draw(arrays(shape, "bool", broadcast=False))
        kernel(name)(x, y, out)
        assert_same_bits(out, want, (name, dtype, level))
        assert out.astype(np.uint8).max(initial=0) <= 1


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_is_unequal_and_unordered_and_zeros_are_equal(dtype: str) -> None:
    # 40 copies: whole vectors and a rest.
    x = np.tile(np.array([np.nan, np.nan, 1.0, 0.0, np.inf], dtype), 40)
    y = np.tile(np.array([np.nan, 1.0, np.nan, -0.0, np.inf], dtype), 40)
    yes = np.tile([False, False, False, True, True], 40)
    out = np.empty(200, bool)
    for level in levels():
        for name in ("eq", "le", "ge"):
            kernel(name)(x, y, out)
            np.testing.assert_array_equal(out, yes, err_msg=f"{name} {level}")
        for name in ("lt", "gt"):
            kernel(name)(x, y, out)
            assert not out.any(), (name, level)
        kernel("ne")(x, y, out)
        np.testing.assert_array_equal(out, ~yes, err_msg=level)


@native_only
@pytest.mark.parametrize("name", list(FORMULAS))
def test_any_byte_but_zero_is_true(name: str) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.choice(np.array([0, 1, 2, 128, 255], np.uint8), (2, 1000))
    out = np.empty(1000, bool)
    for _ in levels():
        kernel(name)(x.view(bool), y.view(bool), out)
        np.testing.assert_array_equal(out.view(np.uint8), FORMULAS[name](x != 0, y != 0))


@native_only
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_do_not_change_bits(dtype: str) -> None:
    rng = np.random.default_rng(1)
    x, y = values(rng, (400, 999), dtype), values(rng, (999, 400), dtype).T
    for name, formula in FORMULAS.items():
        want = formula(x, y)
        for threads in (1, 2, 3, 4):
            out = np.empty(x.shape, bool)
            with_threads(threads, kernel(name), x, y, out)
            np.testing.assert_array_equal(out, want, err_msg=f"{name} {threads}")


@native_only
def test_two_element_types_are_refused() -> None:
    with pytest.raises(ValueError, match=r"eq: .*float32.*float64"):
        kernel("eq")(np.ones(3, "f4"), np.ones(3, "f8"), np.empty(3, bool))
