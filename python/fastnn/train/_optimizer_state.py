# SPDX-License-Identifier: BSD-3-Clause
"""Whether the state of an optimiser out of a file is one that this optimiser could have made."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import fastnn
from fastnn.tensor import Tensor
from fastnn.train._state import check_finite, check_like

if TYPE_CHECKING:
    from fastnn.optim import Optimizer

__all__ = ["checked_optimizer_state"]


def _remembered(
    optimizer: Optimizer, options: Mapping[str, Any], parameter: Tensor
) -> Mapping[str, Any] | None:
    """What an optimiser with these options remembers of such a parameter after a step: found by
    making one, whose constructor refuses options out of range, for a single number. None for an
    optimiser that cannot be made from its options.
    """
    kind = type(optimizer)
    accepted = inspect.signature(kind).parameters.keys() - {"params"}
    probe = fastnn.zeros(1, dtype=parameter.dtype, device=parameter.device, requires_grad=True)
    probe.grad = fastnn.zeros(1, dtype=parameter.dtype, device=parameter.device)
    try:
        made = kind([probe], **{key: options[key] for key in accepted & options.keys()})
    except TypeError:
        return None
    made.step()
    return made.state[probe]


def _check_entry(
    name: str, saved: object, model: Tensor, shape: tuple[int, ...], most: int
) -> None:
    """A tensor like ``model``, which was made for a parameter of shape (1,)."""
    wanted = (shape if model.ndim else (), model.dtype)
    got = (tuple(saved.shape), saved.dtype) if isinstance(saved, Tensor) else type(saved)
    if not isinstance(saved, Tensor) or got != wanted:
        of = f"the shape {got[0]} and {got[1]}" if isinstance(got, tuple) else repr(got)
        problem = f"{name} has {of}, expected {wanted[0]} and {wanted[1]}"
        raise ValueError(problem)
    check_finite(name, saved)
    lowest = saved.min().item() if saved.numel() else 0.0
    if name.partition(" of ")[0].endswith("_sq") and lowest < 0.0:  # a mean of squares
        problem = f"{name} is {lowest}, expected numbers of at least 0"
        raise ValueError(problem)
    if not model.ndim and not (0 <= lowest <= most and lowest == int(lowest)):
        problem = f"{name} is {lowest}, expected a number of steps from 0 to {most}"
        raise ValueError(problem)


def checked_optimizer_state(
    optimizer: Optimizer, state: Mapping[str, Any], updates: int, remembered: object
) -> Mapping[str, Any]:
    """``state``, if its groups have options that the optimiser takes, and it has, of ``remembered``
    parameters, what the optimiser makes in a step: tensors of the parameter's shape and type, and
    counts of at most ``updates`` steps."""
    own = optimizer.state_dict()["param_groups"]
    models: list[Mapping[str, Any] | None] = []
    parameters: list[Tensor] = []
    for mine, group, saved in zip(own, optimizer.param_groups, state["param_groups"], strict=True):
        if saved["params"] != mine["params"]:
            problem = f"the optimiser's group has the parameters {saved['params']!r:.60}"
            raise ValueError(problem)
        for name, value in mine.items():
            if name != "params":
                check_like(f"the optimiser's {name}", saved[name], value)
        parameters += group["params"]
        models += [_remembered(optimizer, saved, parameter) for parameter in group["params"]]
    if len(state["state"]) != remembered:
        problem = (
            f"the optimiser remembers {len(state['state'])} parameters, expected {remembered!r:.40}"
        )
        raise ValueError(problem)
    for index, entries in state["state"].items():
        if not isinstance(index, int) or not 0 <= index < len(parameters):
            problem = f"the optimiser remembers a parameter {index!r:.40} of {len(parameters)}"
            raise ValueError(problem)
        model = models[index]
        if model is None:
            continue
        if entries.keys() != model.keys():
            problem = (
                f"the optimiser remembers {', '.join(map(str, entries))!r:.80} of parameter "
                f"{index}, expected {', '.join(model)!r}"
            )
            raise ValueError(problem)
        shape = tuple(parameters[index].shape)
        for name, like in model.items():
            what = f"{name} of parameter {index}"
            if isinstance(like, Tensor):
                _check_entry(what, entries[name], like, shape, updates)
            else:
                check_like(what, entries[name], like)
    return state
