# SPDX-License-Identifier: BSD-3-Clause
"""A schedule that waits for a metric to stop improving."""

from __future__ import annotations

import math
import warnings
from typing import Any, SupportsFloat

from fastnn.optim._scheduler import (
    EPOCH_WARNING,
    LRScheduler,
    check_numbers,
    rates_of,
    require_optimizer,
    set_rate,
)
from fastnn.optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the rates by ``factor`` when a metric has not improved for ``patience`` steps.

    mode:      'min' if less is better, 'max' if more.
    threshold: by how much a metric must be better to count, relative to the best ('rel') or as it
        is ('abs'): ``threshold_mode``.
    cooldown:  steps after a reduction that do not count.
    min_lr:    below which no rate goes, or a list of one for each group.
    eps:       a rate is left alone if it would change by less.

    ``step(metric)`` takes the metric. Errors: ValueError for factor >= 1, unknown modes and a
    min_lr of another length.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        name = "ReduceLROnPlateau"
        require_optimizer(name, optimizer)
        check_numbers(name, factor=factor, patience=patience, threshold=threshold)
        check_numbers(name, cooldown=cooldown, eps=eps)
        for least in min_lr if isinstance(min_lr, list | tuple) else (min_lr,):
            check_numbers(name, min_lr=least)
        if factor >= 1.0:
            message = f"{name}: expected a factor < 1.0, got {factor}; 0.1 makes the rate a tenth"
            raise ValueError(message)
        groups = len(optimizer.param_groups)
        self.default_min_lr: float | None = None
        if isinstance(min_lr, list | tuple):
            if len(min_lr) != groups:
                message = (
                    f"{name}: expected {groups} min_lrs, got {len(min_lr)}; give one number for all"
                    " groups, or one for each"
                )
                raise ValueError(message)
            self.min_lrs = list(min_lr)
        else:
            self.default_min_lr = min_lr
            self.min_lrs = [min_lr] * groups
        self.factor = factor
        self.optimizer = optimizer
        self.patience = patience
        self.cooldown = cooldown
        self.eps = eps
        self.last_epoch = 0
        self._last_lr = rates_of(optimizer)
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self._check_modes()
        self._reset()

    def _check_modes(self) -> None:
        if self.mode not in ("min", "max"):
            message = (
                f"ReduceLROnPlateau: expected mode 'min' or 'max', got {self.mode!r}; use 'min' "
                "for a loss, 'max' for an accuracy"
            )
            raise ValueError(message)
        if self.threshold_mode not in ("rel", "abs"):
            message = (
                "ReduceLROnPlateau: expected threshold_mode 'rel' or 'abs', got "
                f"{self.threshold_mode!r}; use 'rel' for a share of the best, 'abs' for a "
                "difference"
            )
            raise ValueError(message)
        self.mode_worse = math.inf if self.mode == "min" else -math.inf

    def _reset(self) -> None:
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    @property
    def in_cooldown(self) -> bool:
        """Whether the rates were reduced less than ``cooldown`` steps ago."""
        return self.cooldown_counter > 0

    def _is_better(self, value: float, best: float) -> bool:
        sign = -1.0 if self.mode == "min" else 1.0
        if self.threshold_mode == "rel":
            bound = best * (1.0 + sign * self.threshold)
        else:
            bound = best + sign * self.threshold
        return value < bound if self.mode == "min" else value > bound

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Takes the metric of a step and reduces the rates if it is time."""
        value = float(metrics)
        if epoch is not None:
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(value, self.best):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = rates_of(self.optimizer)

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                message = (
                    f"ReduceLROnPlateau: expected {len(self.min_lrs)} param groups, as when it was"
                    f" made, got {len(groups)}; add to the list `min_lrs` for a new group"
                )
                raise RuntimeError(message)
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, least in zip(groups, self.min_lrs, strict=True):
            old = float(group["lr"])
            new = max(old * self.factor, least)
            if old - new > self.eps:
                set_rate(group, new)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        super().load_state_dict(state_dict)
        self._check_modes()
