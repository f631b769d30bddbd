# SPDX-License-Identifier: BSD-3-Clause
"""Order statistics: timings have long upper tails, so nothing here is a mean of times."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence


def quantile(values: Sequence[float], fraction: float) -> float:
    """The ``fraction`` quantile, linear between the two nearest order statistics.

    Definition 7 of Hyndman & Fan 1996.
    """
    if not values or not 0 <= fraction <= 1:
        message = (
            f"quantile: expected values and 0 <= fraction <= 1, got {len(values)} and {fraction}; "
            "give at least one value"
        )
        raise ValueError(message)
    ordered = sorted(values)
    place = fraction * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def geometric_mean(values: Iterable[float]) -> float:
    """exp(mean(log x)): the mean that ratios have."""
    logs = [math.log(v) for v in values]
    if not logs:
        message = "geometric_mean: expected at least one value, got none; give one"
        raise ValueError(message)
    return math.exp(sum(logs) / len(logs))


@dataclasses.dataclass(frozen=True)
class Summary:
    """Five numbers of a sample."""

    median: float
    q1: float
    q3: float
    minimum: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Summarise a sample that is not empty."""
        q1, median, q3 = (quantile(values, f) for f in (0.25, 0.5, 0.75))
        return cls(median, q1, q3, min(values), len(values))

    @property
    def spread(self) -> float:
        """Interquartile range over the median's size."""
        return (self.q3 - self.q1) / abs(self.median) if self.median else math.inf

    def as_dict(self) -> dict[str, float]:
        """For a result file."""
        return dataclasses.asdict(self)
