# SPDX-License-Identifier: BSD-3-Clause
"""The training loop: epochs over a learner, with callbacks.

The loop knows no task. A learner says what a batch is, what one step does with it, and how the
held-out part is measured; callbacks show progress, write logs and checkpoints, draw. Where the
run is lives in a Position, all else that a step changes in the learner: a run that is given both
again goes on as if it had never stopped.
"""

from __future__ import annotations

import dataclasses
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
    "Position",
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
                message = f"{name} became {value} in epoch {self.epoch}"
                raise TrainingDiverged(message)
        result = EpochResult(self.epoch, metrics, self.samples, self.seconds)
        self.epochs.append(result)
        self.epoch, self.step, self.samples, self.sums, self.seconds = self.epoch + 1, 0, 0, {}, 0.0
        return result

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any], steps_per_epoch: int) -> Position:
        """The position again. Raises: KeyError, TypeError or ValueError if it cannot be one."""
        values = {spec.name: state[spec.name] for spec in dataclasses.fields(cls)}
        values["sums"] = _numbers("sums", values["sums"])
        values["epochs"] = [
            EpochResult(
                _whole("epoch", row["epoch"], number, number),
                _numbers("metrics", row["metrics"]),
                _whole("samples", row["samples"], 0),
                _number("seconds", row["seconds"]),
            )
            for number, row in enumerate(values["epochs"], start=1)
        ]
        done = len(values["epochs"])
        values["epoch"] = _whole("epoch", values["epoch"], done + 1, done + 1)
        values["step"] = _whole("step", values["step"], 0, steps_per_epoch)
        values["samples"] = _whole("samples", values["samples"], 0)
        for name in ("seconds", "total_seconds"):
            values[name] = _number(name, values[name])
        return cls(**values)


def _whole(name: str, value: object, lowest: int, highest: int = 2**53) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        message = f"{name} is {value!r:.40}, expected a whole number from {lowest} to {highest}"
        raise ValueError(message)
    return value


def _number(name: str, value: object) -> float:
    if not isinstance(value, float | int) or not math.isfinite(value):
        message = f"{name} is {value!r:.40}, expected a finite number"
        raise ValueError(message)
    return float(value)


def _numbers(name: str, values: Mapping[str, object]) -> dict[str, float]:
    return {str(key): _number(f"{name} of {key}", value) for key, value in values.items()}


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
    """What is trained. The batches of an epoch are asked for anew at its start; after
    load_state_dict they are those that were still to come when the state was taken."""

    def batches(self) -> Iterable[Any]:
        """The batches of one epoch."""

    def steps_per_epoch(self) -> int:
        """How many batches an epoch has."""

    def train_batch(self, batch: Any) -> BatchStats:
        """One optimiser step."""

    def evaluate(self, should_stop: Callable[[], bool]) -> Mapping[str, float] | None:
        """Metrics of the held-out part, named test_<name>; None if it was asked to stop. It changes
        nothing that a step depends on, so that it can be repeated."""

    def state_dict(self) -> Mapping[str, Any]:
        """Everything that a step changes or depends on, but for the default generator: model,
        optimiser, schedule, loader with its generator, carried states."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take such a state over."""


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
) -> FitResult:
    """Train up to epoch ``epochs`` and return what all epochs measured.

    ``should_stop`` is asked after every step and by the evaluation; once it is true the loop
    returns with ``stopped`` set. ``position`` is where to start (default: at the beginning); it is
    kept up to date, so that a callback can save it with the learner's state.
    Raises: TrainingDiverged as soon as a step's loss or an epoch's metric is not finite.
    """
    position = Position() if position is None else position
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
            metrics = _run_epoch(learner, position, callbacks, should_stop, start)
            if metrics is None:
                stopped = True
                break
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
    learner: Learner,
    position: Position,
    callbacks: Sequence[Callback],
    should_stop: Callable[[], bool],
    fit_start: float,
) -> Mapping[str, float] | None:
    """The steps that are left of the epoch and the evaluation; None if asked to stop on the way."""
    start = time.perf_counter() - position.seconds
    for batch in learner.batches():
        stats = learner.train_batch(batch)
        loss = stats.sums["loss"]
        if not math.isfinite(loss):
            at = f"epoch {position.epoch}, step {position.step + 1}"
            message = f"the loss became {loss} in {at}"
            raise TrainingDiverged(message)
        position.add(stats)
        now = time.perf_counter()
        position.seconds, position.total_seconds = now - start, now - fit_start
        for callback in callbacks:
            callback.on_batch_end(position.epoch, position.step, stats)
        if should_stop():
            return None
    return learner.evaluate(should_stop)
