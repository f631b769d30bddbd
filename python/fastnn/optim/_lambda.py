# SPDX-License-Identifier: BSD-3-Clause
"""Schedules that the user writes: functions of the step."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from fastnn.ops._common import shown
from fastnn.optim._scheduler import LRScheduler, Rate, require_optimizer
from fastnn.optim.optimizer import Optimizer


class _OfFunctions(LRScheduler):
    """Holds a function of the step for each group, of whose attributes the state consists."""

    lr_lambdas: list[Callable[[int], float]]

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        name = type(self).__name__
        require_optimizer(name, optimizer)
        for function in lr_lambda if isinstance(lr_lambda, list | tuple) else (lr_lambda,):
            if not callable(function):
                message = (
                    f"{name}: expected lr_lambda as a function of the step, got "
                    f"{shown(function)}; pass one such as lambda t: 0.95**t"
                )
                raise TypeError(message)
        groups = len(optimizer.param_groups)
        if not isinstance(lr_lambda, list | tuple):
            self.lr_lambdas = [lr_lambda] * groups
        elif len(lr_lambda) != groups:
            message = (
                f"{name}: expected {groups} lr_lambdas, got {len(lr_lambda)}; give one function "
                "for all groups, or one for each"
            )
            raise ValueError(message)
        else:
            self.lr_lambdas = list(lr_lambda)
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser and plain functions."""
        state = super().state_dict()
        state["lr_lambdas"] = [
            None if isinstance(f, types.FunctionType) else f.__dict__.copy()
            for f in self.lr_lambdas
        ]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave; the attributes of functions go into those given."""
        state = dict(state_dict)
        for function, attributes in zip(self.lr_lambdas, state.pop("lr_lambdas"), strict=False):
            if attributes is not None:
                function.__dict__.update(attributes)
        super().load_state_dict(state)


class LambdaLR(_OfFunctions):
    """b f(t), for a function f of the step, or a list of one for each group.

    The state holds the attributes of functions that are objects, and nothing of others.
    Errors: ValueError for a list of another length.
    """

    def get_lr(self) -> list[Rate]:
        """The rates at ``last_epoch``."""
        self._rates()
        pairs = zip(self.lr_lambdas, self.base_lrs, strict=True)
        return [base * function(self.last_epoch) for function, base in pairs]


class MultiplicativeLR(_OfFunctions):
    """The rate of the step before times f(t), for a function f of the step, or a list of one for
    each group: b f(1) f(2) ... f(t).

    The state holds the attributes of functions that are objects, and nothing of others.
    Errors: ValueError for a list of another length.
    """

    def get_lr(self) -> list[Rate]:
        """The rates at ``last_epoch``."""
        rates = self._rates()
        if self._is_initial:
            return rates
        pairs = zip(self.lr_lambdas, rates, strict=True)
        return [rate * function(self.last_epoch) for function, rate in pairs]
