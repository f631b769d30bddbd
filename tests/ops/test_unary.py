# SPDX-License-Identifier: BSD-3-Clause
"""exp, log and neg as kernels: special values, wrapping, bits in any place, in place, threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _backend
from layouts import (
    FLOATS,
    INTEGERS,
    assert_same_bits,
    levels,
    native_only,
    values,
    with_threads,
)

INF = float("inf")
NAN = float("nan")


def kernel(name: str) -> Any:
    return getattr(_backend.default_table(), name)


@pytest.mark.parametrize("dtype", FLOATS)
def test_values_at_the_special_points(dtype: str) -> None:
    x = np.array([0.0, -0.0, -INF, INF, NAN, -1e4, 1e4, 1.0, -1.0], dtype)
    exp = np.array([1.0, 1.0, 0.0, INF, NAN, 0.0, INF, np.e, 1 / np.e])
    log = np.array([-INF, -INF, NAN, INF, NAN, NAN, np.log(1e4), 0.0, NAN])
    for level in levels():
        for name, want in (("exp_forward", exp), ("log_forward", log)):
            y = np.empty_like(x)
            kernel(name)(x, y)
            np.testing.assert_allclose(
                y, want, rtol=2 * np.finfo(dtype).eps, err_msg=f"{name} {level}"
            )


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS])
def test_neg_flips_the_sign_bit_and_wraps(dtype: str) -> None:
    x = values(np.random.default_rng(0), (333,), dtype)
    for level in levels():
        y = np.empty_like(x)
        kernel("neg_forward")(x, y)
        assert_same_bits(y, -x, level)
    if dtype in INTEGERS:
        low = np.full(3, np.iinfo(dtype).min, dtype)
        kernel("neg_forward")(low, low)
        assert (low == np.iinfo(dtype).min).all()


@native_only
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["exp_forward", "log_forward", "neg_forward"])
def test_bits_depend_on_the_value_alone(name: str, dtype: str) -> None:
    """Not on the position, the length, the thread or whether the output is the input."""
    n = 150_000  # several pieces
    x = np.abs(np.random.default_rng(3).normal(scale=3, size=n)).astype(dtype)
    for _ in levels():
        want = np.empty_like(x)
        kernel(name)(x, want)
        for offset in range(32):
            room = np.zeros(128, dtype)
            y = room[offset : offset + 1 + offset % 37]
            kernel(name)(x[: y.size].copy(), y)
            assert y.tobytes() == want[: y.size].tobytes()
            assert not room[offset + y.size :].any()
        for threads in (1, 2, 3, 4):
            y = x.copy()
            with_threads(threads, kernel(name), y, y)
            assert y.tobytes() == want.tobytes()


def test_exp_and_log_of_integers_are_of_the_default_type() -> None:
    whole = fastnn.tensor([1, 2, 4])
    assert fastnn.exp(whole).dtype is fastnn.float32
    np.testing.assert_allclose(fastnn.log(whole).numpy(), np.log([1, 2, 4]), rtol=1e-6)
