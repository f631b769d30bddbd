# SPDX-License-Identifier: BSD-3-Clause
"""Schedules that rise and fall, and move the momentum the other way."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any

from fastnn.ops._common import shown
from fastnn.optim._scheduler import (
    LRScheduler,
    Rate,
    check_numbers,
    copied,
    require_optimizer,
    set_rate,
)
from fastnn.optim.optimizer import Optimizer


def for_groups(owner: str, name: str, optimizer: Optimizer, given: Any) -> list[Any]:
    """An option as a list of one number for each group; ValueError for another length."""
    groups = len(optimizer.param_groups)
    values = list(given) if isinstance(given, list | tuple) else [given] * groups
    for value in values:
        check_numbers(owner, **{name: value})
    if len(values) != groups:
        message = (
            f"{owner}: {name} must have the same length as optimizer.param_groups, expected "
            f"{groups} values, got {len(values)}; give one number for all groups, or one for each"
        )
        raise ValueError(message)
    return [copied(value) for value in values]


class WithMomentum(LRScheduler):
    """Sets the momentum of groups, or the first of their betas, beside the rate."""

    cycle_momentum: bool
    use_beta1: bool

    def _start_momentum(self, lowest: Any, highest: Any, last_epoch: int) -> list[list[Any]]:
        """Checks that there is a momentum, and sets it to the highest to start with."""
        name, optimizer = type(self).__name__, self.optimizer
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            message = (
                f"{name}: expected an optimizer with momentum or betas, got "
                f"{type(optimizer).__name__}: it must support momentum or beta1 with "
                "`cycle_momentum` option enabled; pass cycle_momentum=False"
            )
            raise ValueError(message)
        self.use_beta1 = "betas" in optimizer.defaults
        low = for_groups(name, "base_momentum", optimizer, lowest)
        high = for_groups(name, "max_momentum", optimizer, highest)
        if last_epoch == -1:
            for group, least, most in zip(optimizer.param_groups, low, high, strict=True):
                self._set_momentum(group, most)
                group["max_momentum"] = most
                group["base_momentum"] = least
        return [low, high]

    def _set_momentum(self, group: dict[str, Any], momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


class CyclicLR(WithMomentum):
    """Up from ``base_lr`` to ``max_lr`` in ``step_size_up`` steps, down in ``step_size_down``, and
    again; Smith 2017. For a step after every batch.

    mode:      'triangular': all cycles alike; 'triangular2': each half as high as the one before;
        'exp_range': of height gamma^t.
    scale_fn:  instead of a mode: the height as a function of the number of the cycle, from 1 on, or
        with scale_mode='iterations' of the step.
    cycle_momentum: the momentum (or the first of the betas) goes from ``max_momentum`` down to
        ``base_momentum`` while the rate goes up.

    All but the steps, mode and gamma may be lists of one value for each group. The state holds the
    attributes of a scale_fn that is an object, and nothing of others.
    Errors: ValueError for an unknown mode, lists of another length, and an optimiser without
    momentum unless cycle_momentum=False.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        require_optimizer("CyclicLR", optimizer)
        self.optimizer = optimizer
        down = step_size_up if step_size_down is None else step_size_down
        check_numbers("CyclicLR", step_size_up=step_size_up, step_size_down=down, gamma=gamma)
        if not (step_size_up > 0 and down >= 0):
            message = (
                f"CyclicLR: expected step_size_up > 0 and step_size_down >= 0, got {step_size_up} "
                f"and {down}; give numbers of steps"
            )
            raise ValueError(message)
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            message = (
                "CyclicLR: expected mode 'triangular', 'triangular2' or 'exp_range' where scale_fn "
                f"is None, got {mode!r}, which is invalid; 'triangular' is the default"
            )
            raise ValueError(message)
        if scale_fn is not None and not callable(scale_fn):
            message = (
                f"CyclicLR: expected scale_fn as a function, got {shown(scale_fn)}; pass one such "
                "as lambda cycle: 0.9**cycle"
            )
            raise TypeError(message)
        base_lrs = for_groups("CyclicLR", "base_lr", optimizer, base_lr)
        self.max_lrs = for_groups("CyclicLR", "max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, base_lrs, strict=True):
                set_rate(group, rate)
        self.total_size = float(step_size_up) + float(down)
        self.step_ratio = float(step_size_up) / self.total_size
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.base_momentums, self.max_momentums = self._start_momentum(
                base_momentum, max_momentum, last_epoch
            )
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """The height of cycle ``x``, or of step ``x`` where ``scale_mode`` is 'iterations'."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "exp_range":
            return float(self.gamma**x)
        return 1.0 if self.mode == "triangular" else float(1 / 2.0 ** (x - 1))

    def get_lr(self) -> list[Rate]:
        """The rates at ``last_epoch``; sets the momentum."""
        self._rates()
        turns = self.last_epoch / self.total_size
        cycle = math.floor(1 + turns)
        place = 1.0 + turns - cycle
        up = place <= self.step_ratio
        height = place / self.step_ratio if up else (place - 1) / (self.step_ratio - 1)
        share = height * self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            pairs = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (low, high) in zip(self.optimizer.param_groups, pairs, strict=True):
                self._set_momentum(group, high - (high - low) * share)
        pairs = zip(self.base_lrs, self.max_lrs, strict=True)
        return [low + (high - low) * share for low, high in pairs]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser and a plain scale_fn."""
        state = super().state_dict()
        function = state["_scale_fn_custom"]
        plain = function is None or isinstance(function, types.FunctionType)
        state["_scale_fn_custom"] = None if plain else function.__dict__.copy()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave; the attributes of a scale_fn go into the one given."""
        state = dict(state_dict)
        attributes = state.pop("_scale_fn_custom", None)
        super().load_state_dict(state)
        if attributes is not None:
            self._scale_fn_custom.__dict__.update(attributes)
