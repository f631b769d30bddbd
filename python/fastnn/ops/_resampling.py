# SPDX-License-Identifier: BSD-3-Clause
"""Resampling of one dimension: which elements every output takes, and with which weights.

Positions are computed by tensors of the precision of the samples (at least single): which of two
neighbours is nearest, where it is close, is then decided as torch decides it.
"""

from __future__ import annotations

import math
from typing import Any

from fastnn import _dtypes
from fastnn.ops.copy import to
from fastnn.ops.creation import arange
from fastnn.ops.elementwise_math import sin
from fastnn.ops.minmax import clamp, clamp_max
from fastnn.ops.rounding import abs, floor
from fastnn.ops.rows import index_select
from fastnn.ops.where import where
from fastnn.tensor import Tensor

# Of the filters for making smaller: how far they reach, in samples of the output.
_REACH = {"linear": 1.0, "cubic": 2.0, "lanczos": 3.0}


class Axis:
    """One dimension: n elements in, m out, at what scale, with corners aligned or not."""

    def __init__(
        self, n: int, m: int, scale: float | None, align_corners: bool, like: Tensor
    ) -> None:
        self.n, self.m, self.align = n, m, align_corners
        if align_corners:
            self.step = (n - 1) / (m - 1) if m > 1 else 0.0
        else:
            self.step = 1.0 / scale if scale is not None and scale > 0 else n / m
        self.places = to(arange(m, device=like.device), _positions(like))

    def centres(self) -> Tensor:
        """Where the outputs stand, in elements of the input."""
        if self.align:
            return self.places * self.step
        return (self.places + 0.5) * self.step - 0.5

    def whole(self, t: Tensor) -> Tensor:
        """Positions as numbers of elements that exist."""
        return clamp(to(t, _dtypes.int64), 0, self.n - 1)


def _positions(like: Tensor) -> Any:
    small = like.dtype.itemsize < 4 or not like.dtype.is_floating_point
    return _dtypes.float32 if small else like.dtype


def nearest(x: Tensor, d: int, axis: Axis, exact: bool) -> Tensor:
    """Every output the element at the beginning of what it covers, with ``exact`` at its middle."""
    places = axis.places + 0.5 if exact else axis.places
    return index_select(x, d, axis.whole(floor(places * axis.step)))


def linear(x: Tensor, d: int, axis: Axis) -> Tensor:
    """Every output between its two neighbours."""
    if axis.n == axis.m:
        return x
    at = clamp(axis.centres(), 0.0)
    first = axis.whole(at)
    part = clamp(at - to(first, at.dtype), 0.0, 1.0)
    return _weighted(x, d, [(first, 1.0 - part), (clamp_max(first + 1, axis.n - 1), part)])


def cubic(x: Tensor, d: int, axis: Axis) -> Tensor:
    """Every output by the cubic through its four neighbours, edges repeated."""
    at = axis.centres()
    first = floor(at)
    t = at - first
    taps = zip(range(-1, 3), cubic_weights(t), strict=True)
    return _weighted(x, d, [(axis.whole(first + k), w) for k, w in taps])


def cubic_weights(t: Tensor, a: float = -0.75) -> list[Tensor]:
    """Of the elements -1, 0, 1 and 2 for a position t in [0, 1)."""
    u = 1.0 - t
    return [_far(t + 1.0, a), _near(t, a), _near(u, a), _far(u + 1.0, a)]


def _near(t: Tensor, a: float) -> Tensor:
    return ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0


def _far(t: Tensor, a: float) -> Tensor:
    return ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a


def smoothed(x: Tensor, d: int, axis: Axis, kind: str) -> Tensor:
    """As `linear` or `cubic`, by a filter that is as wide as what an output covers."""
    wide = max(axis.step, 1.0)
    reach = _REACH[kind] * wide
    centre = (axis.places + 0.5) * axis.step
    start = clamp(to(centre - reach + 0.5, _dtypes.int64), 0)
    end = clamp_max(to(centre + reach + 0.5, _dtypes.int64), axis.n)
    taps: list[tuple[Tensor, Tensor]] = []
    for k in range(2 * math.ceil(reach) + 1):
        at = start + k
        z = (to(at, centre.dtype) - centre + 0.5) * (1.0 / wide)
        taps.append((clamp_max(at, axis.n - 1), where(at < end, _filter(kind, abs(z)), 0.0)))
    total = taps[0][1]
    for _, w in taps[1:]:
        total = total + w
    total = where(total == 0.0, 1.0, total)
    return _weighted(x, d, [(at, w / total) for at, w in taps])


def _filter(kind: str, z: Tensor) -> Tensor:
    if kind == "linear":
        return clamp(1.0 - z, 0.0)
    if kind == "cubic":
        return where(z < 1.0, _near(z, -0.5), where(z < 2.0, _far(z, -0.5), 0.0))
    turn = where(z == 0.0, 1.0, z * math.pi)
    windowed = sin(turn) / turn * (sin(turn / 3.0) / (turn / 3.0))
    return where(z == 0.0, 1.0, where(z < 3.0, windowed, 0.0))


def _weighted(x: Tensor, d: int, taps: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The sum of elements times weights along a dimension."""
    rest = (1,) * (x.ndim - d - 1)
    out: Any = None
    for at, weight in taps:
        part = index_select(x, d, at) * weight.reshape(-1, *rest)
        out = part if out is None else out + part
    result: Tensor = out
    return result
