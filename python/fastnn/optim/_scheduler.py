# SPDX-License-Identifier: BSD-3-Clause
"""``LRScheduler``: what all schedules of learning rates share."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from fastnn.autograd import no_grad
from fastnn.ops._common import integer
from fastnn.ops._elementwise import number
from fastnn.optim.optimizer import Optimizer
from fastnn.tensor import Tensor

Rate = float | Tensor
EPOCH_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where"
    " possible. Please use `scheduler.step()` to step the scheduler."
)
_ORDER_WARNING = (
    "Detected call of `lr_scheduler.step()` before `optimizer.step()`. You should call them in the"
    " opposite order: `optimizer.step()` before `lr_scheduler.step()`. Failure to do this skips the"
    " first value of the learning rate schedule."
)


def rates_of(optimizer: Optimizer, key: str = "lr") -> list[Rate]:
    """The rates of all groups; of tensors copies."""
    return [copied(group[key]) for group in optimizer.param_groups]


def copied(rate: Rate) -> Rate:
    """The rate; of a tensor a copy."""
    return rate.detach().clone() if isinstance(rate, Tensor) else rate


def set_rate(group: dict[str, Any], rate: Rate) -> None:
    """Writes the rate of a group; into the tensor, if it is one."""
    if isinstance(group["lr"], Tensor):
        with no_grad():
            group["lr"].fill_(float(rate))
    else:
        group["lr"] = rate


def require_optimizer(owner: str, optimizer: Any) -> None:
    """TypeError unless it is an Optimizer."""
    if not isinstance(optimizer, Optimizer):
        message = (
            f"{owner}: expected an Optimizer, got {type(optimizer).__name__}, which is not an "
            "Optimizer; pass one of fastnn.optim"
        )
        raise TypeError(message)


def check_numbers(owner: str, **options: Any) -> None:
    """TypeError unless every option is a number."""
    for name, value in options.items():
        number(owner, name, value)


def check_period(owner: str, name: str, value: Any) -> None:
    """Raises for a number of steps by which nothing can be divided."""
    if number(owner, name, value) == 0:
        message = f"{owner}: expected {name} other than 0, got {value}; give a number of steps"
        raise ValueError(message)


def _watch_steps(optimizer: Optimizer) -> None:
    """Lets ``optimizer._opt_called`` tell whether it has made a step, from now on."""

    def called(optimizer: Any, _args: Any, _kwargs: Any) -> None:
        optimizer._opt_called = True

    if not hasattr(optimizer, "_opt_called"):
        optimizer._opt_called = False  # type: ignore[attr-defined]
        optimizer.register_step_post_hook(called)


class LRScheduler:
    """Base class of the schedules of learning rates, as torch.optim.lr_scheduler.LRScheduler.

    optimizer:  whose groups' ``lr`` is set, now and at every `step`. What it is now becomes the
        group's ``initial_lr``.
    last_epoch: the number of the last step, to go on with an optimiser whose groups have an
        ``initial_lr``; -1 to start.

    A subclass defines ``get_lr()``: the rates of the groups at ``last_epoch``, most often from
    those of the step before, so that schedules can be chained. ``_get_closed_form_lr()``, if it is
    there, gives them from ``base_lrs`` alone. Call ``step()`` after ``optimizer.step()``.
    Errors: TypeError for no optimiser, KeyError for last_epoch >= 0 without ``initial_lr``.
    """

    optimizer: Optimizer
    base_lrs: list[Rate]
    last_epoch: int
    _last_lr: list[Rate]
    _step_count: int = 0
    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        name = type(self).__name__
        require_optimizer(name, optimizer)
        last_epoch = integer(name, "last_epoch", last_epoch)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copied(group["lr"]))
            elif "initial_lr" not in group:
                message = (
                    f"{name}: expected 'initial_lr' in param_groups[{i}] to resume with last_epoch "
                    ">= 0, got none; load the optimizer's state first, or leave last_epoch at -1 "
                    "to start"
                )
                raise KeyError(message)
        self.base_lrs = rates_of(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        _watch_steps(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_lr(self) -> Sequence[Rate]:
        """The rates at ``last_epoch``; called by `step`. `get_last_lr` tells what they are."""
        message = (
            f"{type(self).__name__}: expected the required method get_lr(), got none; define it in "
            "the class"
        )
        raise NotImplementedError(message)

    def get_last_lr(self) -> list[Rate]:
        """The rates that this schedule set last, one for each group."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Goes on to the next step and sets the rates. ``epoch``, deprecated, names the step."""
        if self._step_count == 1 and not getattr(self.optimizer, "_opt_called", True):
            warnings.warn(_ORDER_WARNING, UserWarning, stacklevel=2)
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        closed = getattr(self, "_get_closed_form_lr", None) if epoch is not None else None
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        with self._within_step():
            rates = self.get_lr() if closed is None else closed()
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            set_rate(group, rate)
        self._last_lr = rates_of(self.optimizer)

    @contextlib.contextmanager
    def _within_step(self) -> Iterator[None]:
        self._get_lr_called_within_step = True
        try:
            yield
        finally:
            self._get_lr_called_within_step = False

    def _rates(self) -> list[Rate]:
        """The rates as they are, for ``get_lr``; warns when that is called by the user."""
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use"
                " `get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )
        return rates_of(self.optimizer)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser, by name."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave, also torch's. The optimiser keeps its rates."""
        self.__dict__.update(state_dict)
