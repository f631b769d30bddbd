# SPDX-License-Identifier: BSD-3-Clause
"""Outputs of 16 MB and more are written past the caches: with the bits of smaller ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


def _normal(*shape: int) -> Any:
    return np.random.default_rng(3).standard_normal(shape, dtype=np.float32)


def _empty_like(x: Any, offset: int) -> Any:
    """An array whose memory begins `offset` elements behind a multiple of 64 bytes."""
    memory = np.empty(x.size + 32, x.dtype)
    start = -(memory.ctypes.data // x.itemsize) % 16 + offset
    return memory[start : start + x.size].reshape(x.shape)


@pytest.mark.parametrize("offset", [0, 5])
def test_batch_norm_writes_large_outputs_as_small_ones(kernels: Any, offset: int) -> None:
    x = _normal(2, 3, 700_001)
    w, b, mean, rstd = _normal(4, 3)
    var = np.abs(_normal(3)) + 1
    y, small, r = _empty_like(x, offset), np.empty_like(x[0:1]), np.empty(3, np.float32)
    g = _normal(2, 3, 700_001)[::-1].copy()
    gx = _empty_like(x, offset)
    kernels["batch_norm_infer"](x, w, b, mean, var, y, r, 1e-5)
    kernels["batch_norm_backward"](x, w, mean, rstd, g, gx, None, None, False, False, False)
    for i in range(2):
        one = slice(i, i + 1)
        kernels["batch_norm_infer"](x[one], w, b, mean, var, small, r, 1e-5)
        np.testing.assert_array_equal(y[one], small)
        kernels["batch_norm_backward"](
            x[one], w, mean, rstd, g[one], small, None, None, False, False, False
        )
        np.testing.assert_array_equal(gx[one], small)


@pytest.mark.parametrize("offset", [0, 5])
def test_layer_norm_writes_large_outputs_as_small_ones(kernels: Any, offset: int) -> None:
    n, d = 8200, 513
    x, g = _normal(n, d), _normal(n, d)[::-1].copy()
    w, b = _normal(2, d)
    y, gx = _empty_like(x, offset), _empty_like(x, offset)
    mean, rstd = np.empty((2, n), np.float32)
    kernels["layer_norm_forward"](x, w, b, y, mean, rstd, 1e-5)
    kernels["layer_norm_backward"](x, w, mean, rstd, g, gx, None, None, False, False)
    for rows in (slice(0, 4100), slice(4100, n)):
        small, m, r = np.empty_like(x[rows]), np.empty(4100, "f4"), np.empty(4100, "f4")
        kernels["layer_norm_forward"](x[rows], w, b, small, m, r, 1e-5)
        np.testing.assert_array_equal(y[rows], small)
        kernels["layer_norm_backward"](x[rows], w, m, r, g[rows], small, None, None, False, False)
        np.testing.assert_array_equal(gx[rows], small)


@pytest.mark.parametrize("offset", [0, 5])
def test_cross_entropy_writes_large_gradients_as_small_ones(kernels: Any, offset: int) -> None:
    n, c = 8200, 513
    x = _normal(n, c)
    target = np.random.default_rng(5).integers(0, c, n)
    target[::7] = -100
    loss, count, lse = np.empty(n, "f4"), np.empty(1, "f4"), np.empty(n, "f4")
    kernels["cross_entropy_forward"](x, target, loss, lse, count, 0, -100)
    g, gx = _normal(n), _empty_like(x, offset)
    kernels["cross_entropy_backward"](x, target, lse, count, g, gx, 0, -100)
    for rows in (slice(0, 4100), slice(4100, n)):
        small = np.empty_like(x[rows])
        kernels["cross_entropy_backward"](
            x[rows], target[rows], lse[rows], count, g[rows], small, 0, -100
        )
        np.testing.assert_array_equal(gx[rows], small)


def test_layer_norm_adds_up_the_same_in_both_ways(kernels: Any) -> None:
    """With grad_x the sums for the weights are taken row by row, without it column by column."""
    n, d = 300, 37
    x, g = _normal(n, d), _normal(n, d)[::-1].copy()
    w, mean, rstd = _normal(d), x.mean(1), 1 / x.std(1)
    gx, sums = np.empty_like(x), np.empty((4, d), np.float32)
    kernels["layer_norm_backward"](x, w, mean, rstd, g, gx, sums[0], sums[1], False, False)
    kernels["layer_norm_backward"](x, w, mean, rstd, g, None, sums[2], sums[3], False, False)
    np.testing.assert_array_equal(sums[:2], sums[2:])


@pytest.mark.parametrize("offset", [0, 5])
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_activations_write_large_gradients_as_small_ones(
    kernels: Any, name: str, offset: int
) -> None:
    y, g = _normal(4_200_007), _normal(4_200_007)[::-1].copy()
    gx = _empty_like(y, offset)
    kernels[f"{name}_backward"](y, g, gx)
    for part in (slice(0, 2_100_000), slice(2_100_000, y.size)):
        small = np.empty_like(y[part])
        kernels[f"{name}_backward"](y[part], g[part], small)
        np.testing.assert_array_equal(gx[part], small)
    kernels[f"{name}_backward"](y, g, g)  # in place
    np.testing.assert_array_equal(g, gx)
