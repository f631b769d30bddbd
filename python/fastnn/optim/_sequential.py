# SPDX-License-Identifier: BSD-3-Clause
"""Schedules one after the other, and all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from fastnn.ops._common import integer
from fastnn.optim._plateau import ReduceLROnPlateau
from fastnn.optim._scheduler import (
    LRScheduler,
    check_numbers,
    rates_of,
    require_optimizer,
    set_rate,
)
from fastnn.optim.optimizer import Optimizer


def _check_part(owner: str, optimizer: Any, i: int, scheduler: Any) -> None:
    if not hasattr(scheduler, "optimizer"):
        message = (
            f"{owner}: expected schedulers with an attribute `optimizer`, got "
            f"{type(scheduler).__name__} at index {i}; pass schedules such as LinearLR(optimizer)"
        )
        raise TypeError(message)
    if isinstance(scheduler, ReduceLROnPlateau):
        message = (
            f"{owner}: expected schedulers without a metric, got a ReduceLROnPlateau at index {i}; "
            "step that one by itself"
        )
        raise ValueError(message)
    if scheduler.optimizer is not optimizer:
        message = (
            f"{owner}: expected schedulers of the same optimizer, got a "
            f"{type(scheduler).__name__} of another at index {i}; make it of this one"
        )
        raise ValueError(message)


class _Parts(LRScheduler):
    """A schedule that consists of others."""

    _schedulers: Sequence[LRScheduler]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser; of the schedules their states."""
        state = super().state_dict()
        state["_schedulers"] = [scheduler.state_dict() for scheduler in self._schedulers]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        state = dict(state_dict)
        for scheduler, saved in zip(self._schedulers, state.pop("_schedulers"), strict=True):
            scheduler.load_state_dict(saved)
        super().load_state_dict(state)


class SequentialLR(_Parts):
    """``schedulers`` one after the other: the next one from every step of ``milestones`` on.

    A schedule starts with the rates of its own step 0, whatever they were before.
    Errors: ValueError unless there is one schedule more than milestones, all of ``optimizer`` and
    none a ReduceLROnPlateau, which needs a metric; TypeError for what is no schedule.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: list[LRScheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ) -> None:
        for name, given in (("schedulers", schedulers), ("milestones", milestones)):
            if not isinstance(given, list | tuple):
                message = (
                    f"SequentialLR: expected {name} as a list, got {type(given).__name__}; put one "
                    "alone into brackets"
                )
                raise TypeError(message)
        for milestone in milestones:
            check_numbers("SequentialLR", milestones=milestone)
        if len(schedulers) != len(milestones) + 1:
            message = (
                "SequentialLR: expected schedulers to be one more than milestones, got "
                f"{len(schedulers)} and {len(milestones)}; leave out a milestone, or add a schedule"
            )
            raise ValueError(message)
        require_optimizer("SequentialLR", optimizer)
        last_epoch = integer("SequentialLR", "last_epoch", last_epoch)
        for i, scheduler in enumerate(schedulers):
            _check_part("SequentialLR", optimizer, i, scheduler)
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        # Every schedule has made its first step when it was made: take these back, make one.
        for group in optimizer.param_groups:
            set_rate(group, group["initial_lr"])
        _undo(self)
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def step(self, epoch: int | None = None) -> None:
        """Goes on to the next step of the schedule whose turn it is; ``epoch`` must be None."""
        if epoch is not None:
            message = (
                f"SequentialLR: expected no epoch, as it counts the steps, got {epoch!r}; call "
                "step() without arguments"
            )
            raise TypeError(message)
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Parts):
    """All of ``schedulers`` at every step, in their order; each goes on from the rates of the one
    before.

    Errors: ValueError for none at all, for one of another optimiser than ``optimizer`` or the first
    one's, and for a ReduceLROnPlateau, which needs a metric; TypeError for what is no schedule.
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        if not isinstance(schedulers, list | tuple):
            message = (
                f"ChainedScheduler: expected schedulers as a list, got {type(schedulers).__name__};"
                " put one alone into brackets"
            )
            raise TypeError(message)
        if not schedulers:
            message = (
                "ChainedScheduler: expected at least one scheduler to be chained, got no scheduler;"
                " pass schedules such as [LinearLR(optimizer)]"
            )
            raise ValueError(message)
        if optimizer is None:
            optimizer = getattr(schedulers[0], "optimizer", None)
        for i, scheduler in enumerate(schedulers):
            _check_part("ChainedScheduler", optimizer, i, scheduler)
        self._schedulers = schedulers
        self.optimizer = schedulers[0].optimizer
        self._last_lr = rates_of(self.optimizer)

    def step(self, epoch: int | None = None) -> None:
        """The next step of every schedule; ``epoch`` must be None."""
        if epoch is not None:
            message = (
                f"ChainedScheduler: expected no epoch, as each schedule counts its steps, got "
                f"{epoch!r}; call step() without arguments"
            )
            raise TypeError(message)
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = rates_of(self.optimizer)

    def _update_lr(self, epoch: int | None = None) -> None:
        for scheduler in self._schedulers:
            scheduler._update_lr(epoch)
        self._last_lr = rates_of(self.optimizer)


def _undo(scheduler: LRScheduler) -> None:
    """Takes back the first step of a schedule, or of all that it consists of."""
    if isinstance(scheduler, _Parts):
        for part in scheduler._schedulers:
            _undo(part)
    else:
        scheduler.last_epoch -= 1
