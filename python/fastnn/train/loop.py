# SPDX-License-Identifier: BSD-3-Clause
"""The training loop: epochs over a learner, with callbacks.

The loop knows no task. A learner says what a batch is, what one step does with it, and how the
held-out part is measured; callbacks show progress, write logs and checkpoints, draw. Where the
run is lives in a Position, all else that a step changes in the learner: a run that is given both
again goes on as if it had never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fastnn.train.learner import Learner
from fastnn.train.position import BatchStats, EpochResult, Position, TrainingDiverged
from fastnn.train.save_point import SavePoint

__all__ = ["Callback", "FitResult", "fit"]


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
    position: Position | None = None,
    save_point: SavePoint | None = None,
) -> FitResult:
    """Train up to epoch ``epochs`` and return what all epochs measured.

    ``should_stop`` is asked after every step and by the evaluation; once it is true the loop
    returns with ``stopped`` set. ``position`` is where to start (default: at the beginning); it is
    kept up to date. ``save_point``: that of this learner, for those who save its state while the
    loop runs; the position is then the save point's.
    Raises: TrainingDiverged as soon as a step's loss or an epoch's metric is not finite. A step
            with such a loss changes no parameter.
    """
    point = SavePoint(learner, position) if save_point is None else save_point
    position = point.position
    start = time.perf_counter() - position.total_seconds
    stopped = False
    started: list[Callback] = []
    try:
        for callback in callbacks:
            started.append(callback)
            callback.on_fit_start(epochs, learner.steps_per_epoch())
        while position.epoch <= epochs and not stopped:
            for callback in callbacks:
                callback.on_epoch_start(position.epoch)
            metrics = _run_epoch(point, callbacks, should_stop, start)
            if metrics is None:
                stopped = True
                break
            with point.change():
                finished = position.finish_epoch(metrics)
                position.total_seconds = time.perf_counter() - start
            for callback in callbacks:
                callback.on_epoch_end(finished)
            stopped = position.epoch <= epochs and should_stop()
    finally:
        position.total_seconds = time.perf_counter() - start
        for callback in reversed(started):
            callback.on_fit_end()
    return FitResult(list(position.epochs), position.total_seconds, stopped)


def _run_epoch(
    point: SavePoint,
    callbacks: Sequence[Callback],
    should_stop: Callable[[], bool],
    fit_start: float,
) -> Mapping[str, float] | None:
    """The steps that are left of the epoch and the evaluation; None if asked to stop on the way."""
    learner, position = point.learner, point.position
    start = time.perf_counter() - position.seconds
    for batch in learner.batches():
        stats = learner.compute(batch)
        loss = stats.sums["loss"]
        if not math.isfinite(loss):
            at = f"epoch {position.epoch}, step {position.step + 1}"
            message = f"fit: expected a finite loss, got {loss} in {at}; try a lower learning rate"
            raise TrainingDiverged(message)
        with point.change():
            learner.update()
            position.add(stats)
            now = time.perf_counter()
            position.seconds, position.total_seconds = now - start, now - fit_start
        for callback in callbacks:
            callback.on_batch_end(position.epoch, position.step, stats)
        if should_stop():
            return None
    return learner.evaluate(should_stop)
