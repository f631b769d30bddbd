# SPDX-License-Identifier: BSD-3-Clause
"""Where a run is, and what its steps and epochs measured."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["BatchStats", "EpochResult", "Position", "TrainingDiverged"]


class TrainingDiverged(ArithmeticError):
    """A loss is not a finite number."""


@dataclass(frozen=True)
class BatchStats:
    """What one step has seen: ``samples``, and for each metric its sum over these samples.

    "loss" must be among the sums.
    """

    samples: int
    sums: Mapping[str, float]


@dataclass(frozen=True)
class EpochResult:
    """One finished epoch.

    ``metrics`` holds train_<name> (means over the epoch's steps, each taken as the step ran: with
    dropout active and the weights as they were then) and what the learner's evaluate() returned.
    ``seconds`` is the time of the training steps alone, ``samples`` what they consumed.
    """

    epoch: int
    metrics: Mapping[str, float]
    samples: int
    seconds: float


@dataclass
class Position:
    """Where a run is: in ``epoch`` (from 1), after ``step`` of its steps.

    ``samples``, ``sums`` and ``seconds`` are those of the unfinished epoch, ``epochs`` the finished
    ones, ``total_seconds`` the time of the run so far, evaluations included.
    """

    epoch: int = 1
    step: int = 0
    samples: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    total_seconds: float = 0.0
    epochs: list[EpochResult] = field(default_factory=list)

    def add(self, stats: BatchStats) -> None:
        """One more step."""
        self.step += 1
        self.samples += stats.samples
        for name, value in stats.sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def finish_epoch(self, test_metrics: Mapping[str, float]) -> EpochResult:
        """The result of the epoch; the position is then the start of the next one."""
        samples = max(self.samples, 1)
        metrics = {f"train_{name}": total / samples for name, total in self.sums.items()}
        metrics.update(test_metrics)
        for name, value in metrics.items():
            if not math.isfinite(value):
                message = (
                    f"fit: expected a finite {name}, got {value} in epoch {self.epoch}; try a "
                    "lower learning rate"
                )
                raise TrainingDiverged(message)
        result = EpochResult(self.epoch, metrics, self.samples, self.seconds)
        self.epochs.append(result)
        self.epoch, self.step, self.samples, self.sums, self.seconds = self.epoch + 1, 0, 0, {}, 0.0
        return result

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_state_dict(
        cls, state: Mapping[str, Any], steps_per_epoch: int, metrics: Sequence[str] | None = None
    ) -> Position:
        """The position again. ``metrics``: the names that every step sums and every epoch has, as
        train_<name> and test_<name>; None if they are not known.

        Raises: KeyError, TypeError, ValueError or OverflowError if it cannot be one.
        """
        values = {spec.name: state[spec.name] for spec in dataclasses.fields(cls)}
        values["sums"] = _numbers("sums", values["sums"])
        values["epochs"] = [
            EpochResult(
                _whole("epoch", row["epoch"], number, number),
                _numbers("metrics", row["metrics"]),
                _whole("samples", row["samples"], 0),
                _duration("seconds", row["seconds"]),
            )
            for number, row in enumerate(values["epochs"], start=1)
        ]
        done = len(values["epochs"])
        values["epoch"] = _whole("epoch", values["epoch"], done + 1, done + 1)
        values["step"] = _whole("step", values["step"], 0, steps_per_epoch)
        values["samples"] = _whole("samples", values["samples"], 0)
        for name in ("seconds", "total_seconds"):
            values[name] = _duration(name, values[name])
        if metrics is not None:
            summed = set(metrics) if values["step"] else set()
            _same("sums", values["sums"], summed)
            finished = {f"{part}_{name}" for part in ("train", "test") for name in metrics}
            for row in values["epochs"]:
                _same(f"metrics of epoch {row.epoch}", row.metrics, finished)
        return cls(**values)


def _whole(name: str, value: object, lowest: int, highest: int = 2**53) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        problem = f"{name} is {value!r:.40}, expected a whole number from {lowest} to {highest}"
        raise ValueError(problem)
    return value


def _number(name: str, value: object) -> float:
    if not isinstance(value, float | int) or not math.isfinite(value):
        problem = f"{name} is {value!r:.40}, expected a finite number"
        raise ValueError(problem)
    return float(value)


def _duration(name: str, value: object) -> float:
    seconds = _number(name, value)
    if seconds < 0.0:
        problem = f"{name} is {value!r:.40}, expected a number of at least 0"
        raise ValueError(problem)
    return seconds


def _numbers(name: str, values: Mapping[str, object]) -> dict[str, float]:
    return {str(key): _number(f"{name} of {key}", value) for key, value in values.items()}


def _same(name: str, values: Mapping[str, float], expected: set[str]) -> None:
    if set(values) != expected:
        problem = f"{name} are {sorted(values)!r:.80}, expected {sorted(expected)}"
        raise ValueError(problem)
