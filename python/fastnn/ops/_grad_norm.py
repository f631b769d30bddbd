# SPDX-License-Identifier: BSD-3-Clause
"""Norms and clipping of a list of gradients as if they were one vector, in place.

    grad_norm      norm = (sum |g|^p)^(1/p); p = inf: max |g|, -inf: min |g|, 0: the number not 0
    clip_by_norm   g <- min(1, max_norm / (norm + 1e-6)) g
    clip_by_value  g <- min(max(g, -limit), limit)

norm:  one element of the gradients' type, in memory: clipping by it reads nothing back.
Cost:  memory-bound: one pass to read, one to read and write, which is left out where norm is small.
Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks",
    2013.
"""

from __future__ import annotations

import math
from typing import Any

from fastnn._backend import array_module, reference


@reference
def grad_norm(grads: list[Any], norm: Any, p: float) -> None:
    """Writes into norm (1); computed in double at least."""
    xp = array_module(norm)
    if math.isnan(p):
        message = "grad_norm: expected p as a number, got NaN"
        raise ValueError(message)
    parts = [g.reshape(-1).astype(xp.result_type(g.dtype, xp.float64)) for g in grads if g.size]
    if not parts:
        norm[0] = math.inf if p == -math.inf else 0.0
        return
    parts = [xp.abs(g) for g in parts]
    if p == math.inf:
        norm[0] = xp.max(xp.stack([xp.max(g) for g in parts]))
    elif p == -math.inf:
        norm[0] = xp.min(xp.stack([xp.min(g) for g in parts]))
    elif p == 0:
        norm[0] = sum([(g != 0).sum() for g in parts])
    else:
        if p not in (1, 2):
            parts = [g**p for g in parts]
        total = xp.stack([(g * g if p == 2 else g).sum() for g in parts]).sum()
        norm[0] = xp.sqrt(total) if p == 2 else total if p == 1 else total ** (1.0 / p)


@reference
def clip_by_norm(grads: list[Any], norm: Any, max_norm: float) -> None:
    """Writes into grads unless the factor is 1 or more."""
    scalar = norm.dtype.type
    factor = scalar(max_norm) / (norm[0] + scalar(1e-6))
    if factor >= 1:
        return
    for g in grads:
        array_module(g).multiply(g, factor, out=g)


@reference
def clip_by_value(grads: list[Any], limit: float) -> None:
    """Writes into grads; NaN stays NaN."""
    if not limit >= 0:
        message = f"clip_by_value: expected a limit >= 0, got {limit}"
        raise ValueError(message)
    for g in grads:
        xp = array_module(g)
        high = g.dtype.type(limit)
        xp.copyto(g, xp.where(g < -high, -high, xp.where(g > high, high, g)))
