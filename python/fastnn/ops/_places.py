# SPDX-License-Identifier: BSD-3-Clause
"""Places in images for `grid_sample`: from -1 to 1 to elements, and what lies outside."""

from __future__ import annotations

from typing import Any, Final

from fastnn import _dtypes
from fastnn.ops.copy import to
from fastnn.ops.rounding import abs, floor
from fastnn.ops.where import where
from fastnn.tensor import Tensor

_FARTHEST: Final = 2.0**31


def element(place: Tensor, size: int, align_corners: bool) -> Tensor:
    """A place from -1 to 1 in elements: of the outer ones the centres, or the edges."""
    if align_corners:
        return (place + 1.0) * ((size - 1) / 2)
    return ((place + 1.0) * size - 1.0) / 2.0


def held(at: Tensor, size: int) -> Tensor:
    """Within the image; what is moved there has no gradient, nor have the ends themselves."""
    low = at.detach() <= 0.0
    high = at.detach() >= size - 1
    return where(low, 0.0, where(high, float(size - 1), at))


def mirrored(at: Tensor, size: int, align_corners: bool) -> Tensor:
    """Reflected at the centres, or the outer edges, of the outer elements."""
    low, span = (0.0, float(size - 1)) if align_corners else (-0.5, float(size))
    if span == 0.0:
        return at * 0.0
    apart = at - low
    apart = where(apart.detach() < 0.0, -apart, apart)
    turns = floor(apart.detach() / span)
    rest = apart - turns * span
    even = turns - 2.0 * floor(turns / 2.0) == 0.0
    return held(where(even, rest, span - rest) + low, size)


def padded(at: Tensor, size: int, mode: str, align_corners: bool) -> Tensor:
    """Where to read: unchanged for zeros, which are left to the weights."""
    if mode == "border":
        return held(at, size)
    if mode == "reflection":
        return mirrored(at, size, align_corners)
    return at


def finite(at: Tensor) -> Tensor:
    """Places that a whole number can hold; NaN and what is farther off as a place outside."""
    return where(abs(at.detach()) < _FARTHEST, at, -100.0)


def number_of(places: list[Tensor], sizes: tuple[int, ...], outside: int) -> Tensor:
    """The number of the element at whole places, one for each dimension, or ``outside``."""
    index: Any = None
    within: Any = None
    for place, size in zip(places, sizes, strict=True):
        i = to(place, _dtypes.int64)
        here = (i >= 0) & (i < size)
        index = i if index is None else index * size + i
        within = here if within is None else within & here
    return where(within, index, outside)
