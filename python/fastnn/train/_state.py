# SPDX-License-Identifier: BSD-3-Clause
"""Whether a state out of a file fits a model and its optimiser, before any of it is taken over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from fastnn.nn import Module

__all__ = [
    "Schedule",
    "check_finite",
    "check_like",
    "checked_model_state",
    "checked_schedule_state",
]


class Schedule(Protocol):
    """What the learners need of a learning-rate schedule."""

    def step(self) -> object:
        """After every step of the optimiser."""

    def state_dict(self) -> Mapping[str, Any]:
        """Numbers."""

    def load_state_dict(self, state_dict: Any) -> object:
        """Take them back."""


def checked_model_state(model: Module, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """``state``, if it has just the entries of the model's, of the same types and shapes."""
    own = model.state_dict()
    for what, names in (("lacks", own.keys() - state.keys()), ("has", state.keys() - own.keys())):
        if names:
            problem = f"the saved model {what} {', '.join(sorted(names)[:5])}; make the same model"
            raise ValueError(problem)
    for name, value in own.items():
        saved = state[name]
        if not isinstance(value, Tensor):
            continue
        wanted = (tuple(value.shape), value.dtype)
        got = (tuple(saved.shape), saved.dtype) if isinstance(saved, Tensor) else type(saved)
        if got != wanted:
            problem = f"{name} is saved as {got}, the model has {wanted}; make the same model"
            raise ValueError(problem)
        check_finite(name, saved)
    return state


def check_finite(name: str, value: Tensor) -> None:
    """A tensor without NaN and infinities."""
    if value.is_floating_point() and not np.isfinite(value.detach().cpu().numpy()).all():
        problem = f"{name} is saved with numbers that are not finite; go back to an older file"
        raise ValueError(problem)


def check_like(name: str, saved: object, own: object) -> None:
    """An option: a number for a number, a list for a list of its length, all numbers finite."""
    if own is None or isinstance(own, Tensor):
        return
    if isinstance(own, int | float) and not isinstance(own, bool):
        good = isinstance(saved, int | float) and math.isfinite(saved)
    elif isinstance(own, list | tuple):
        good = type(saved) is type(own) and len(saved) == len(own)
        for a, b in zip(saved if good else (), own, strict=False):  # type: ignore[call-overload]
            check_like(name, a, b)
    else:
        good = type(saved) is type(own)
    if not good:
        problem = f"{name} is saved as {saved!r:.60}, it should be like {own!r:.60}"
        raise ValueError(problem)


def checked_schedule_state(
    schedule: Schedule, state: Mapping[str, Any], later: int
) -> Mapping[str, Any]:
    """``state``, if it has just the entries of the schedule's, and values like them: a schedule
    makes attributes of whatever it is given. ``later``: by how many steps it is ahead."""
    own = schedule.state_dict()
    if not isinstance(state, dict) or state.keys() != own.keys():
        problem = f"the schedule is saved as {state!r:.80}, expected the entries {', '.join(own)}"
        raise ValueError(problem)
    for name, value in own.items():
        if not isinstance(value, float) or math.isfinite(value):  # the best so far starts infinite
            check_like(f"the schedule's {name}", state[name], value)
    if "last_epoch" in own and state["last_epoch"] != own["last_epoch"] + later:
        problem = (
            f"the schedule is saved after step {state['last_epoch']!r:.40}, the optimiser after "
            f"step {own['last_epoch'] + later}"
        )
        raise ValueError(problem)
    return state
