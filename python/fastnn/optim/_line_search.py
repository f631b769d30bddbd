# SPDX-License-Identifier: BSD-3-Clause
"""A line search for the strong Wolfe conditions, by cubic interpolation.

Along phi(t) = f(x + t d) it looks for a t with

    phi(t) <= phi(0) + c1 t phi'(0)     and     |phi'(t)| <= c2 |phi'(0)|

first by growing steps until such a t lies between two of them, then by shrinking that interval.
Source: Nocedal & Wright 2006, algorithms 3.5 and 3.6 and equation 3.59.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from fastnn.tensor import Tensor

_DECREASE = 1e-4  # c1
_CURVATURE = 0.9  # c2


class Point(NamedTuple):
    """A step, the loss there, the gradient, and the slope along the direction."""

    t: float
    loss: float
    grad: Tensor
    slope: float


def cubic_minimum(a: Point, b: Point, low: float, high: float) -> float:
    """Where in [low, high] the cubic with the values and slopes of two points is least; the middle
    where it has no minimum."""
    left, right = (a, b) if a.t <= b.t else (b, a)
    if right.t > left.t:
        bend = left.slope + right.slope - 3 * (left.loss - right.loss) / (left.t - right.t)
        inside = bend**2 - left.slope * right.slope
        if inside >= 0:
            root = math.sqrt(inside)
            divisor = right.slope - left.slope + 2 * root
            if divisor != 0:
                t = right.t - (right.t - left.t) * ((right.slope + root - bend) / divisor)
                return min(max(t, low), high)
    return (low + high) / 2.0


def _too_high(p: Point, start: Point) -> bool:
    return p.loss > start.loss + _DECREASE * p.t * start.slope


def _flat_enough(p: Point, start: Point) -> bool:
    return abs(p.slope) <= -_CURVATURE * start.slope


def strong_wolfe(
    evaluate: Callable[[float], Point],
    start: Point,
    t: float,
    scale: float,
    tolerance: float,
    most: int,
) -> tuple[Point, int]:
    """The step found, and how often ``evaluate`` was called: ``most`` + 1 times or fewer.

    start: the point at 0, whose slope is negative. t: the first step that is tried.
    scale: of the direction its largest element: an interval shorter than tolerance / scale ends the
        search.
    """
    before, point, tries = start, evaluate(t), 0
    pair = None
    while tries < most:
        if _too_high(point, start) or (tries > 1 and point.loss >= before.loss):
            pair = [before, point]
            break
        if _flat_enough(point, start):
            return point, tries + 1
        if point.slope >= 0:
            pair = [before, point]
            break
        grown = (point.t + 0.01 * (point.t - before.t), point.t * 10)
        t = cubic_minimum(before, point, *grown)
        before, point = point, evaluate(t)
        tries += 1
    if pair is None:
        pair = [start, point]
    return _zoom(evaluate, start, pair, scale, tolerance, most, tries)


def _inside(pair: list[Point], cramped: bool) -> tuple[float, bool]:
    """The next step in an interval: not twice in a row close to an end of it, and never at one."""
    low, high = sorted(p.t for p in pair)
    t = cubic_minimum(pair[0], pair[1], low, high)
    margin = 0.1 * (high - low)
    if min(high - t, t - low) >= margin:
        return t, False
    if not cramped and low < t < high:
        return t, True
    return (high - margin if abs(t - high) < abs(t - low) else low + margin), False


def _zoom(
    evaluate: Callable[[float], Point],
    start: Point,
    pair: list[Point],
    scale: float,
    tolerance: float,
    most: int,
    tries: int,
) -> tuple[Point, int]:
    """Shrinks an interval that has a good step in it; the best of its ends if none is found."""
    # Which end has the lower loss; the first, where they are equal.
    best = 0 if pair[0].loss <= pair[1].loss else 1
    cramped = False
    while tries < most and not abs(pair[1].t - pair[0].t) * scale < tolerance:
        t, cramped = _inside(pair, cramped)
        point = evaluate(t)
        tries += 1
        if _too_high(point, start) or point.loss >= pair[best].loss:
            pair[1 - best] = point
            best = 0 if pair[0].loss <= pair[1].loss else 1
            continue
        if _flat_enough(point, start):
            return point, tries + 1
        if point.slope * (pair[1 - best].t - pair[best].t) >= 0:
            pair[1 - best] = pair[best]
        pair[best] = point
    return pair[best], tries + 1
