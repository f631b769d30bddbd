# SPDX-License-Identifier: BSD-3-Clause
"""Softmax and its logarithm: extreme rows, rows of any length, threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from native_kernels import normal, same_on_any_number_of_threads

FORWARD = ["softmax_forward", "log_softmax_forward"]


def run(kernels: Any, name: str, *inputs: Any) -> np.ndarray[Any, Any]:
    y = np.full_like(inputs[0], 7)
    kernels[name](*inputs, y)
    return y


@pytest.mark.parametrize("c", [1, 2, 3, 7, 8, 10, 16, 17, 33, 1023, 1025, 5000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_of_any_length(kernels: Any, c: int, dtype: str) -> None:
    x = normal((5, c), dtype) * 3
    g = normal((5, c), dtype, seed=4)
    eps = np.finfo(dtype).eps
    higher = x.astype(np.longdouble)
    e = np.exp(higher - higher.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    y = run(kernels, "softmax_forward", x)
    assert np.abs(y - p).max() <= 8 * eps * p.max()
    z = run(kernels, "log_softmax_forward", x)
    assert np.abs(z - np.log(p)).max() <= 4 * eps * np.abs(np.log(p)).max() + 4 * eps
    inner = (y * g.astype(np.longdouble)).sum(1, keepdims=True)
    scale = np.abs(g).max() * (1 + c**0.5)
    got = run(kernels, "softmax_backward", y, g)
    assert np.abs(got - y * (g - inner)).max() <= 8 * eps * scale
    total = g.astype(np.longdouble).sum(1, keepdims=True)
    got = run(kernels, "log_softmax_backward", z, g)
    assert np.abs(got - (g - np.exp(z.astype(np.longdouble)) * total)).max() <= 8 * eps * scale


@pytest.mark.parametrize("c", [5, 40])
@pytest.mark.parametrize("name", FORWARD)
def test_extreme_rows(kernels: Any, name: str, c: int) -> None:
    x = normal((6, c))
    x[0] = -np.inf
    x[1, 3] = np.nan
    x[2, 3] = np.inf
    x[3, 3] = -np.inf
    x[4] = 3e38
    x[5, 3] = 1e30
    y = run(kernels, name, x)
    assert np.isnan(y[:3]).all()
    p = y if name == "softmax_forward" else np.exp(y)
    assert p[3, 3] == 0
    np.testing.assert_allclose(p[3:].sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(p[4], 1 / c, rtol=1e-6)
    assert p[5, 3] == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_masked_exp_is_exp(kernels: Any, dtype: str) -> None:
    """Where masks and results of 0 take a way of their own: 0 at the same places, and close."""
    low = {"float32": -104, "float64": -746}[dtype]
    y = np.concatenate([np.linspace(1.02 * low, 0, 4001), [-np.inf, -1e9, np.nan, low]])
    y = y.astype(dtype)[None]
    g = np.zeros_like(y)
    g[0, -2] = 1  # where y is NaN: grad_x = g - exp(y) sum g
    e = np.empty_like(y)
    kernels["exp_forward"](y, e)
    got = g - run(kernels, "log_softmax_backward", y, g)
    smallest = np.finfo(dtype).smallest_subnormal
    np.testing.assert_allclose(got, e, rtol=6 * np.finfo(dtype).eps, atol=smallest)
    np.testing.assert_array_equal(got[y <= low], 0)
    np.testing.assert_allclose(got[y > low / 10], e[y > low / 10], rtol=np.finfo(dtype).eps)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_no_elements(kernels: Any, shape: tuple[int, int]) -> None:
    x = np.empty(shape, np.float32)
    for name in FORWARD:
        assert run(kernels, name, x).shape == shape
    for name in ("softmax_backward", "log_softmax_backward"):
        assert run(kernels, name, x, x).shape == shape


def test_in_place_and_threads_give_the_same_bits(kernels: Any) -> None:
    for shape in ((20000, 10), (300, 1000), (3, 40000)):
        x = normal(shape)
        for name in FORWARD:
            expected = same_on_any_number_of_threads(lambda name=name, x=x: run(kernels, name, x))
            y = x.copy()
            kernels[name](y, y)
            assert y.tobytes() == expected


def test_wrong_sizes(kernels: Any) -> None:
    x = np.ones((3, 4), np.float32)
    for y in (np.ones((3, 5), np.float32), np.ones(12, np.float32), x.T):
        with pytest.raises(ValueError, match="softmax_forward"):
            kernels["softmax_forward"](x, y)
