# SPDX-License-Identifier: BSD-3-Clause
"""A schedule of one rise and one fall."""

from __future__ import annotations

import math
from typing import Any

from fastnn.optim._cyclic import WithMomentum, for_groups
from fastnn.optim._scheduler import Rate, check_numbers, require_optimizer
from fastnn.optim.optimizer import Optimizer


class OneCycleLR(WithMomentum):
    """One rise and one fall over the whole training; Smith & Topin 2018. For a step after every
    batch.

    max_lr:      the highest rate; it starts at max_lr / div_factor and ends at that divided by
        ``final_div_factor``.
    total_steps: or ``epochs`` and ``steps_per_epoch``, whose product it is.
    pct_start:   the part of the steps in which the rate rises.
    anneal_strategy: 'cos' or 'linear': the form of rise and fall.
    three_phase: down to where it started first, in as many steps as up, and to the end then.
    cycle_momentum: the momentum (or the first of the betas) goes from ``max_momentum`` down to
        ``base_momentum`` while the rate goes up, and back.

    max_lr and the momenta may be lists of one value for each group.
    Errors: ValueError for numbers of steps that are not positive ints, pct_start outside [0, 1],
    lists of another length, an optimiser without momentum unless cycle_momentum=False, and for
    more steps than there were to be.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        require_optimizer("OneCycleLR", optimizer)
        self.optimizer = optimizer
        check_numbers("OneCycleLR", div_factor=div_factor, final_div_factor=final_div_factor)
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            message = (
                f"OneCycleLR: expected pct_start as a float between 0 and 1, got {pct_start!r}; "
                "0.3 is its default"
            )
            raise ValueError(message)
        if anneal_strategy not in ("cos", "linear"):
            message = (
                "OneCycleLR: expected anneal_strategy to be one of 'cos' or 'linear', got "
                f"{anneal_strategy!r}; 'cos' is the default"
            )
            raise ValueError(message)
        self._anneal_func_type = anneal_strategy
        risen, last = float(pct_start * self.total_steps) - 1, self.total_steps - 1
        phases: list[tuple[float, str, str, str, str]] = [
            (risen, "initial_lr", "max_lr", "max_momentum", "base_momentum")
        ]
        if three_phase:
            fallen = float(2 * pct_start * self.total_steps) - 2
            phases.append((fallen, "max_lr", "initial_lr", "base_momentum", "max_momentum"))
            phases.append((last, "initial_lr", "min_lr", "max_momentum", "max_momentum"))
        else:
            phases.append((last, "max_lr", "min_lr", "base_momentum", "max_momentum"))
        names = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
        self._schedule_phases: list[dict[str, Any]] = [
            dict(zip(names, phase, strict=True)) for phase in phases
        ]
        max_lrs = for_groups("OneCycleLR", "max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, highest in zip(optimizer.param_groups, max_lrs, strict=True):
                group["initial_lr"] = highest / div_factor
                group["max_lr"] = highest
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._start_momentum(base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _anneal(self, start: Any, end: Any, share: float) -> Any:
        if self._anneal_func_type == "cos":
            return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
        return (end - start) * share + start

    def get_lr(self) -> list[Rate]:
        """The rates at ``last_epoch``; sets the momentum."""
        self._rates()
        t = self.last_epoch
        if t > self.total_steps:
            message = (
                f"OneCycleLR: expected at most {self.total_steps} steps, the specified number of "
                f"total steps, got step {t}; make it with more, or stop calling step()"
            )
            raise ValueError(message)
        start = 0.0
        for phase in self._schedule_phases:
            end = float(phase["end_step"])
            if t <= end:
                break
            if phase is not self._schedule_phases[-1]:
                start = end
        share = (t - start) / (end - start) if end != start else 1.0
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._anneal(group[phase["start_lr"]], group[phase["end_lr"]], share))
            if self.cycle_momentum:
                high, low = group[phase["start_momentum"]], group[phase["end_momentum"]]
                self._set_momentum(group, self._anneal(high, low, share))
        return rates


def _total_steps(total: Any, epochs: Any, steps_per_epoch: Any) -> int:
    given = {"total_steps": total}
    if total is None:
        given = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    if None in given.values():
        message = (
            "OneCycleLR: expected total_steps, or epochs and steps_per_epoch, got neither; You must"
            " define either total_steps OR (epochs AND steps_per_epoch)"
        )
        raise ValueError(message)
    for name, value in given.items():
        if not isinstance(value, int) or value <= 0:
            message = (
                f"OneCycleLR: expected {name} as a positive int, got {value!r}; count the calls of "
                "step() that there will be"
            )
            raise ValueError(message)
    return math.prod(given.values())
