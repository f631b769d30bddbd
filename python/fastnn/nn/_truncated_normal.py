# SPDX-License-Identifier: BSD-3-Clause
"""Normally distributed numbers in an interval, by rejection.

Values outside are drawn again. Where little of the distribution is inside, that would take long:
then values uniform in the interval are kept in proportion to their density.
Source: Robert, "Simulation of truncated normal variables", 1995.
"""

from __future__ import annotations

import math

from fastnn import ops
from fastnn.random import Generator
from fastnn.tensor import Tensor


def truncated_normal(
    like: Tensor, mean: float, std: float, a: float, b: float, generator: Generator | None
) -> Tensor:
    """Values in [a, b], of the shape and type of ``like``; a < b and std > 0."""
    low, high = (a - mean) / std, (b - mean) / std
    root = math.sqrt(2.0)
    by_density = 0.5 * (math.erfc(low / root) - math.erfc(high / root)) < 0.25
    draw = _in_interval if by_density else _anywhere
    values, missing = draw(like, low, high, generator)
    while missing.sum().item():
        fresh, rejected = draw(like, low, high, generator)
        values = ops.where(missing, fresh, values)
        missing = missing.logical_and(rejected)
    values = values * std + mean
    # Rounding may have led out of [a, b].
    return ops.where(values < a, a, ops.where(values > b, b, values)).to(like.dtype)


def _anywhere(
    like: Tensor, low: float, high: float, generator: Generator | None
) -> tuple[Tensor, Tensor]:
    values = ops.empty_like(like).normal_(generator=generator)
    return values, (values < low).logical_or(values > high)


def _in_interval(
    like: Tensor, low: float, high: float, generator: Generator | None
) -> tuple[Tensor, Tensor]:
    peak = min(max(0.0, low), high)  # where the density is largest
    # In a tail, the probability of what is farther from the peak is below exp(-40).
    reach = 40.0 / max(abs(peak), 1.0)
    values = ops.empty_like(like)
    values.uniform_(max(low, peak - reach), min(high, peak + reach), generator=generator)
    # Relative to the peak: exp((peak^2 - x^2) / 2), without a difference of large squares.
    density = ((values + peak) * (values - peak) * -0.5).exp()
    return values, ops.empty_like(like).uniform_(generator=generator) >= density
