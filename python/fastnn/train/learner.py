# SPDX-License-Identifier: BSD-3-Clause
"""What the loop asks of the thing that is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from fastnn.train.position import BatchStats

__all__ = ["Learner"]


class Learner(Protocol):
    """What is trained, one update of its parameters after the other.

    A step has two halves, so that it can be dropped whole: compute() leaves parameters, optimiser
    and schedule alone, and update() changes them. What compute(), batches() and evaluate() change
    is small, and mark() copies it.
    """

    @property
    def metrics(self) -> Sequence[str]:
        """The names that every BatchStats sums, "loss" among them."""

    def batches(self) -> Iterable[Any]:
        """The batches of one epoch that are still to come; asked for anew at every start. A stop
        after the last step leaves none: the epoch's evaluation is then what is left of it."""

    def steps_per_epoch(self) -> int:
        """How many batches an epoch has."""

    def compute(self, batch: Any) -> BatchStats:
        """Loss and gradients of one step."""

    def update(self) -> None:
        """The optimiser's and the schedule's step, by these gradients."""

    def evaluate(self, should_stop: Callable[[], bool]) -> Mapping[str, float] | None:
        """Metrics of the held-out part, named test_<name>; None if it was asked to stop. It changes
        nothing that a step depends on, so that it can be repeated."""

    def mark(self) -> Mapping[str, Any]:
        """A copy of what changes between two updates: buffers (as the running statistics of batch
        norm), the place in the data, carried states. Taken after every update: it must be cheap."""

    def state_dict(self, mark: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """Everything that a step changes or depends on, but for the default generator: model,
        optimiser, schedule, loader with its generator, carried states. ``mark``: what changes
        between two updates is as it was then; the state is that of the moment of the mark, if no
        update has come since."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take such a state over."""
