# SPDX-License-Identifier: BSD-3-Clause
"""What the learners have in common: a model, its optimiser and schedule, and their state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastnn.tensor import Tensor
from fastnn.train._optimizer_state import checked_optimizer_state
from fastnn.train._state import Schedule, checked_model_state, checked_schedule_state

if TYPE_CHECKING:
    from fastnn.nn import Module
    from fastnn.optim import Optimizer

__all__ = ["ModelLearner"]


class ModelLearner:
    """Base of learners. ``schedule`` is stepped after every step of the optimiser; ``updates``
    counts these steps."""

    def __init__(self, model: Module, optimizer: Optimizer, schedule: Schedule | None) -> None:
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.updates = 0

    def update(self) -> None:
        """One step of the optimiser and of the schedule."""
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        self.updates += 1

    def _mark(self, **place: Any) -> dict[str, Any]:
        """A mark: copies of the model's buffers, and the place in the data."""
        buffers = self.model.named_buffers(remove_duplicate=False)
        copies = {name: Tensor._wrap(buffer.array.copy()) for name, buffer in buffers}
        return {"buffers": copies, **place}

    def _state(self, mark: Mapping[str, Any]) -> dict[str, Any]:
        """The state at ``mark``; the place in the data has its entries beside the model's."""
        place = dict(mark)
        buffers = place.pop("buffers")
        model = dict(self.model.state_dict())
        model.update((name, value) for name, value in buffers.items() if name in model)
        optimizer = self.optimizer.state_dict()
        return {
            "model": model,
            "optimizer": optimizer,
            "remembered": len(optimizer["state"]),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "updates": self.updates,
            **place,
        }

    def _check(self, state: Mapping[str, Any], done: int, steps_per_epoch: int) -> None:
        """Refuse a state that does not fit; ``done``: the steps of the epoch at its place in the
        data. Raises: KeyError, TypeError, ValueError, RuntimeError, OverflowError."""
        updates = state["updates"]
        if not isinstance(updates, int) or isinstance(updates, bool) or updates < done:
            problem = f"the number of steps is {updates!r:.40}, expected at least {done}"
            raise ValueError(problem)
        if (updates - done) % steps_per_epoch:
            problem = (
                f"the place in the data is after {done} steps of an epoch, but {updates!r:.40} "
                f"were done in epochs of {steps_per_epoch}"
            )
            raise ValueError(problem)
        checked_model_state(self.model, state["model"])
        checked_optimizer_state(self.optimizer, state["optimizer"], updates, state["remembered"])
        if self.schedule is not None:
            checked_schedule_state(self.schedule, state["schedule"], updates - self.updates)

    def _load(self, state: Mapping[str, Any]) -> None:
        """Take a state over that was checked."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.updates = state["updates"]
