# SPDX-License-Identifier: BSD-3-Clause
"""The training loop: epochs over a learner, with callbacks.

The loop knows no task. A learner says what a batch is, what one step does with it, and how the
held-out part is measured; callbacks show progress, write logs, draw. It keeps no
state of its own: what a step changes lives in the learner.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = [
    "BatchStats",
    "Callback",
    "EpochResult",
    "FitResult",
    "Learner",
    "TrainingDiverged",
    "fit",
]


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
class FitResult:
    """All finished epochs; ``seconds`` includes the evaluations; ``stopped`` if asked to stop."""

    epochs: list[EpochResult] = field(default_factory=list)
    seconds: float = 0.0
    stopped: bool = False

    @property
    def samples_per_second(self) -> float:
        """Training samples per second of training steps, over the whole run."""
        seconds = sum(epoch.seconds for epoch in self.epochs)
        return sum(epoch.samples for epoch in self.epochs) / seconds if seconds > 0 else 0.0


class Learner(Protocol):
    """What is trained. The batches of an epoch are asked for anew at its start."""

    def batches(self) -> Iterable[Any]:
        """The batches of one epoch."""

    def steps_per_epoch(self) -> int:
        """How many batches an epoch has."""

    def train_batch(self, batch: Any) -> BatchStats:
        """One optimiser step."""

    def evaluate(self) -> Mapping[str, float]:
        """Metrics of the held-out part, named test_<name>."""


class Callback:
    """Base of callbacks: every method may be overridden, none needs to be."""

    def on_fit_start(self, epochs: int, steps_per_epoch: int) -> None:
        """Before the first epoch."""

    def on_epoch_start(self, epoch: int) -> None:
        """Before the first step of epoch 1, 2, ..."""

    def on_batch_end(self, epoch: int, step: int, stats: BatchStats) -> None:
        """After step 1, 2, ... of the epoch."""

    def on_epoch_end(self, result: EpochResult) -> None:
        """After the evaluation."""

    def on_fit_end(self) -> None:
        """At the very end, also after an exception, if on_fit_start was reached."""


def _never() -> bool:
    return False


def fit(
    learner: Learner,
    epochs: int,
    callbacks: Sequence[Callback] = (),
    should_stop: Callable[[], bool] = _never,
) -> FitResult:
    """Train for some epochs and return what they measured.

    ``should_stop`` is asked after every step; once it is true the loop returns with
    ``stopped`` set, the step finished and the epoch not counted.
    Raises: TrainingDiverged as soon as a step's loss or an epoch's metric is not finite.
    """
    result = FitResult()
    start = time.perf_counter()
    started: list[Callback] = []
    try:
        for callback in callbacks:
            started.append(callback)
            callback.on_fit_start(epochs, learner.steps_per_epoch())
        for epoch in range(1, epochs + 1):
            finished = _run_epoch(learner, epoch, callbacks, should_stop)
            if finished is None:
                result.stopped = True
                break
            result.epochs.append(finished)
            for callback in callbacks:
                callback.on_epoch_end(finished)
    finally:
        result.seconds = time.perf_counter() - start
        for callback in reversed(started):
            callback.on_fit_end()
    return result


def _run_epoch(
    learner: Learner,
    epoch: int,
    callbacks: Sequence[Callback],
    should_stop: Callable[[], bool],
) -> EpochResult | None:
    """All steps and the evaluation; None if it was asked to stop on the way."""
    for callback in callbacks:
        callback.on_epoch_start(epoch)
    totals: dict[str, float] = {}
    samples = 0
    start = time.perf_counter()
    for step, batch in enumerate(learner.batches(), start=1):
        stats = learner.train_batch(batch)
        if not math.isfinite(stats.sums["loss"]):
            message = f"the loss became {stats.sums['loss']} in epoch {epoch}, step {step}"
            raise TrainingDiverged(message)
        samples += stats.samples
        for name, value in stats.sums.items():
            totals[name] = totals.get(name, 0.0) + value
        for callback in callbacks:
            callback.on_batch_end(epoch, step, stats)
        if should_stop():
            return None
    seconds = time.perf_counter() - start
    metrics = {f"train_{name}": total / max(samples, 1) for name, total in totals.items()}
    metrics.update(learner.evaluate())
    for name, value in metrics.items():
        if not math.isfinite(value):
            message = f"{name} became {value} in epoch {epoch}"
            raise TrainingDiverged(message)
    return None if should_stop() else EpochResult(epoch, metrics, samples, seconds)
