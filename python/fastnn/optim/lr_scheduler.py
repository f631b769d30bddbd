# SPDX-License-Identifier: BSD-3-Clause
"""Schedules of learning rates, with torch's names, options and state.

    scheduler = CosineAnnealingLR(optimizer, T_max=epochs)
    for epoch in range(epochs):
        ...                  # the steps of the optimizer
        scheduler.step()

b is a group's rate when its schedule was made, t the number of calls of ``step()`` since. Most
schedules multiply the rate of the step before, so that several can act on one optimiser.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from typing import Any

from fastnn.ops._common import shown
from fastnn.optim._cyclic import CyclicLR
from fastnn.optim._decays import (
    ConstantLR,
    CosineAnnealingWarmRestarts,
    InverseTimeLR,
    PolynomialLR,
)
from fastnn.optim._lambda import LambdaLR, MultiplicativeLR
from fastnn.optim._one_cycle import OneCycleLR
from fastnn.optim._plateau import ReduceLROnPlateau
from fastnn.optim._scheduler import LRScheduler, Rate, check_numbers, check_period
from fastnn.optim._sequential import ChainedScheduler, SequentialLR
from fastnn.optim.optimizer import Optimizer

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "InverseTimeLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]

_LRScheduler = LRScheduler  # the older name, under which scripts derive schedules of their own


class StepLR(LRScheduler):
    """b gamma^(t // step_size): by ``gamma`` every ``step_size`` steps."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        check_period("StepLR", "step_size", step_size)
        check_numbers("StepLR", gamma=gamma)
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates at ``last_epoch``."""
        rates = self._rates()
        if self.last_epoch == 0 or self.last_epoch % self.step_size != 0:
            return rates
        return [rate * self.gamma for rate in rates]

    def _get_closed_form_lr(self) -> list[Rate]:
        factor = self.gamma ** (self.last_epoch // self.step_size)
        return [base * factor for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """By ``gamma`` at every one of ``milestones``, twice at one that is there twice."""

    milestones: Counter[int]

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        try:
            steps = list(milestones)
        except TypeError:
            message = (
                f"MultiStepLR: expected milestones as a list, got {shown(milestones)}; put one "
                "alone into brackets"
            )
            raise TypeError(message) from None
        for step in steps:
            check_numbers("MultiStepLR", milestones=step)
        check_numbers("MultiStepLR", gamma=gamma)
        self.milestones = Counter(steps)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates at ``last_epoch``."""
        rates = self._rates()
        if self.last_epoch not in self.milestones:
            return rates
        factor = self.gamma ** self.milestones[self.last_epoch]
        return [rate * factor for rate in rates]

    def _get_closed_form_lr(self) -> list[Rate]:
        passed = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return [base * self.gamma**passed for base in self.base_lrs]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave; milestones may have become strings in a file."""
        state = dict(state_dict)
        counts = state.pop("milestones", self.milestones)
        super().load_state_dict(state)
        self.milestones = Counter({int(step): count for step, count in counts.items()})


class ExponentialLR(LRScheduler):
    """b gamma^t."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        check_numbers("ExponentialLR", gamma=gamma)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates at ``last_epoch``."""
        rates = self._rates()
        return rates if self._is_initial else [rate * self.gamma for rate in rates]

    def _get_closed_form_lr(self) -> list[Rate]:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


class LinearLR(LRScheduler):
    """b f with f from ``start_factor`` to ``end_factor`` in equal steps, ``total_iters`` of them.

    Errors: ValueError unless 0 < start_factor <= 1 and 0 <= end_factor <= 1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        check_numbers("LinearLR", start_factor=start_factor, end_factor=end_factor)
        check_numbers("LinearLR", total_iters=total_iters)
        if not 0 < start_factor <= 1.0:
            message = (
                "LinearLR: Starting multiplicative factor expected to be greater than 0 and less"
                f" or equal to 1, got {start_factor}; 1 starts at the optimizer's lr"
            )
            raise ValueError(message)
        if not 0 <= end_factor <= 1.0:
            message = (
                "LinearLR: Ending multiplicative factor expected to be between 0 and 1, got"
                f" {end_factor}; to end higher, raise the optimizer's lr"
            )
            raise ValueError(message)
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates at ``last_epoch``."""
        rates, t = self._rates(), self.last_epoch
        if t == 0:
            return [rate * self.start_factor for rate in rates]
        if self._is_initial or t > self.total_iters:
            return rates
        rise = self.end_factor - self.start_factor
        # f(t) / f(t - 1), with f a straight line.
        factor = 1.0 + rise / (self.total_iters * self.start_factor + (t - 1) * rise)
        return [rate * factor for rate in rates]

    def _get_closed_form_lr(self) -> list[Rate]:
        rise = self.end_factor - self.start_factor
        done = min(self.total_iters, self.last_epoch)
        return [
            base * (self.start_factor + rise * done / self.total_iters) for base in self.base_lrs
        ]


class CosineAnnealingLR(LRScheduler):
    """eta_min + (b - eta_min) (1 + cos(pi t / T_max)) / 2; Loshchilov & Hutter 2017.

    After ``T_max`` steps at ``eta_min``; the rate would rise again after that.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        check_period("CosineAnnealingLR", "T_max", T_max)
        check_numbers("CosineAnnealingLR", eta_min=eta_min)
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates at ``last_epoch``."""
        rates, t = self._rates(), self.last_epoch
        if self._is_initial:
            return rates
        if self._step_count == 1 and t > 0:
            return self._get_closed_form_lr()
        low = self.eta_min
        if (t - 1 - self.T_max) % (2 * self.T_max) == 0:  # the rate is eta_min: no factor leads on
            up = (1 - math.cos(math.pi / self.T_max)) / 2
            return [r + (b - low) * up for r, b in zip(rates, self.base_lrs, strict=True)]
        factor = (1 + math.cos(math.pi * t / self.T_max)) / (
            1 + math.cos(math.pi * (t - 1) / self.T_max)
        )
        return [factor * (rate - low) + low for rate in rates]

    def _get_closed_form_lr(self) -> list[Rate]:
        share = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]
