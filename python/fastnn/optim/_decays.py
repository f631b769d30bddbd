# SPDX-License-Identifier: BSD-3-Clause
"""Schedules that fall by a formula: constant, polynomial, inverse in time, cosine with restarts."""

from __future__ import annotations

import math

from fastnn.ops._common import integer
from fastnn.optim._scheduler import LRScheduler, Rate, check_numbers, rates_of, set_rate
from fastnn.optim.optimizer import Optimizer


class ConstantLR(LRScheduler):
    """b factor for the first ``total_iters`` steps, then b.

    Errors: ValueError unless 0 <= factor <= 1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        check_numbers("ConstantLR", factor=factor, total_iters=total_iters)
        if not 0 <= factor <= 1.0:
            message = (
                "ConstantLR: Constant multiplicative factor expected to be between 0 and 1, got "
                f"{factor}; to start higher, raise the optimizer's lr"
            )
            raise ValueError(message)
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates at ``last_epoch``."""
        rates = self._rates()
        if self.last_epoch == 0:
            return [rate * self.factor for rate in rates]
        if self.last_epoch != self.total_iters:
            return rates
        if self.factor == 0:  # nothing leads back from 0
            return list(self.base_lrs)
        return [rate * (1.0 / self.factor) for rate in rates]

    def _get_closed_form_lr(self) -> list[Rate]:
        factor = 1.0 if self.last_epoch >= self.total_iters else self.factor
        return [base * factor for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    """b (1 - t / total_iters)^power for ``total_iters`` steps, then 0."""

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        check_numbers("PolynomialLR", total_iters=total_iters, power=power)
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates at ``last_epoch``."""
        rates, t, n = self._rates(), self.last_epoch, self.total_iters
        if self._is_initial or t > n:
            return rates
        factor = ((1.0 - t / n) / (1.0 - (t - 1) / n)) ** self.power
        return [rate * factor for rate in rates]

    def _get_closed_form_lr(self) -> list[Rate]:
        left = 1.0 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * left**self.power for base in self.base_lrs]


class InverseTimeLR(LRScheduler):
    """b / (1 + gamma t)^power. torch has no such class.

    With 1/2 < power <= 1 the rates have an infinite sum and a finite sum of squares, under which
    stochastic approximation converges (Robbins & Monro 1951). ``power=0.5`` is the rate of the
    bounds for convex functions.
    Errors: ValueError for negative gamma or power.
    """

    def __init__(
        self, optimizer: Optimizer, gamma: float, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        check_numbers("InverseTimeLR", gamma=gamma, power=power)
        for name, value in (("gamma", gamma), ("power", power)):
            if not value >= 0:
                message = (
                    f"InverseTimeLR: expected {name} >= 0, got {value}; 0 leaves the rates as they "
                    "are"
                )
                raise ValueError(message)
        self.gamma = gamma
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates at ``last_epoch``."""
        rates, t = self._rates(), self.last_epoch
        if self._is_initial:
            return rates
        factor = ((1.0 + self.gamma * (t - 1)) / (1.0 + self.gamma * t)) ** self.power
        return [rate * factor for rate in rates]

    def _get_closed_form_lr(self) -> list[Rate]:
        divisor = (1.0 + self.gamma * self.last_epoch) ** self.power
        return [base / divisor for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """eta_min + (b - eta_min) (1 + cos(pi s / T)) / 2, where s steps have been made of a period of
    T; Loshchilov & Hutter 2017.

    The first period has ``T_0`` steps, and every other one ``T_mult`` times as many as the one
    before. ``step(epoch)`` may name a point in time, also a fraction: ``epoch + i / batches``.
    Errors: ValueError unless T_0 and T_mult are positive ints and eta_min is a number.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            if not isinstance(value, int) or value < 1:
                message = (
                    f"CosineAnnealingWarmRestarts: expected {name} as a positive int, got "
                    f"{value!r}; T_0 is the length of the first period, T_mult their growth"
                )
                raise ValueError(message)
        if not isinstance(eta_min, int | float):
            message = (
                "CosineAnnealingWarmRestarts: expected eta_min as a float or int, got "
                f"{eta_min!r} of type {type(eta_min).__name__}; 0.0 is its default"
            )
            raise ValueError(message)
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = integer("CosineAnnealingWarmRestarts", "last_epoch", last_epoch)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates where ``T_cur`` of ``T_i`` steps of a period have been made."""
        self._rates()
        share = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Goes on to the next step, or to the time ``epoch``, and sets the rates."""
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur = self.T_cur + 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i = self.T_i * self.T_mult
        else:
            self._jump(epoch)
        self.last_epoch = math.floor(epoch)
        with self._within_step():
            rates = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            set_rate(group, rate)
        self._last_lr = rates_of(self.optimizer)

    def _jump(self, epoch: float) -> None:
        check_numbers("CosineAnnealingWarmRestarts.step", epoch=epoch)
        if epoch < 0:
            message = (
                f"CosineAnnealingWarmRestarts: expected a non-negative epoch, got {epoch}; step() "
                "without one goes on"
            )
            raise ValueError(message)
        if self.T_mult == 1 or epoch < self.T_0:
            self.T_i, self.T_cur = self.T_0, epoch % self.T_0
            return
        # The periods before number n take T_0 (T_mult^n - 1) / (T_mult - 1) steps.
        n = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
        self.T_cur = epoch - self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
        self.T_i = self.T_0 * self.T_mult**n
