# SPDX-License-Identifier: BSD-3-Clause
"""The references of batch normalisation: what its kernels compute, in plain array operations."""

from __future__ import annotations

import math
from typing import Any

from fastnn._backend import array_module, reference
from fastnn.ops._normalization import mean_and_variance, put
from fastnn.ops.softmax import wide


def _column(values: Any) -> Any:
    return wide(values)[None, :, None]


def _affine(x: Any, mean: Any, rstd: Any, weight: Any, bias: Any, y: Any) -> None:
    scale = rstd if weight is None else rstd * _column(weight)
    out = (x - mean) * scale
    y[...] = out if bias is None else out + _column(bias)


@reference
def batch_norm_train(
    x: Any,
    weight: Any,
    bias: Any,
    y: Any,
    mean: Any,
    rstd: Any,
    running_mean: Any,
    running_var: Any,
    momentum: float,
    eps: float,
) -> None:
    """y, mean and rstd from x (n, c, l); the running statistics r = (1 - momentum) r + momentum s,
    for the variance with the divisor n l - 1."""
    xp, count = array_module(x), x.shape[0] * x.shape[2]
    x = wide(x)
    m, var = mean_and_variance(x, (0, 2))
    r = 1 / xp.sqrt(var + eps)
    mean[...], rstd[...] = m[0, :, 0], r[0, :, 0]
    _affine(x, m, r, weight, bias, y)
    if count == 0:
        return
    unbiased = var * (count / (count - 1) if count > 1 else math.nan)
    for running, value in ((running_mean, m), (running_var, unbiased)):
        if running is not None:
            running[...] = wide(running) * (1 - momentum) + value[0, :, 0] * momentum


@reference
def batch_norm_infer(
    x: Any, weight: Any, bias: Any, mean: Any, var: Any, y: Any, rstd: Any, eps: float
) -> None:
    """y and rstd with the statistics given."""
    r = 1 / array_module(x).sqrt(wide(var) + eps)
    rstd[...] = r
    _affine(wide(x), _column(mean), _column(r), weight, bias, y)


@reference
def batch_norm_backward(
    x: Any,
    weight: Any,
    mean: Any,
    rstd: Any,
    grad_y: Any,
    grad_x: Any,
    grad_weight: Any,
    grad_bias: Any,
    training: bool,
    accumulate_weight: bool,
    accumulate_bias: bool,
) -> None:
    """The gradients that are not None; those of weight and bias written or added."""
    xp, count = array_module(x), x.shape[0] * x.shape[2]
    g, r = wide(grad_y), _column(rstd)
    u = (wide(x) - _column(mean)) * r
    products = xp.add.reduce(g * u, axis=(0, 2), keepdims=True, dtype=g.dtype)
    total = xp.add.reduce(g, axis=(0, 2), keepdims=True, dtype=g.dtype)
    put(grad_weight, products, accumulate_weight)
    put(grad_bias, total, accumulate_bias)
    if grad_x is None:
        return
    scale = r if weight is None else r * _column(weight)
    if training and count:
        g = g - total / count - u * (products / count)
    grad_x[...] = scale * g
