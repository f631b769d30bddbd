# SPDX-License-Identifier: BSD-3-Clause
"""The ``state_dict`` of an optimiser, in torch's format."""

from __future__ import annotations

import copy
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastnn.ops import as_tensor
from fastnn.optim._groups import ParamGroup
from fastnn.tensor import Tensor


def pack(groups: Sequence[dict[str, Any]], state: Mapping[Any, Any]) -> dict[str, Any]:
    """Groups and state with every parameter replaced by its index over all groups."""
    index: dict[int, int] = {}
    packed_groups = []
    places = itertools.count()
    for group in groups:
        # One that comes twice in a group takes a place each time, and the last is it, as in torch.
        new = dict(zip(map(id, group["params"]), places, strict=False))
        for key, place in new.items():
            index.setdefault(key, place)
        packed = {key: value for key, value in group.items() if key != "params"}
        packed["params"] = [index[id(p)] for p in group["params"]]
        packed_groups.append(packed)
    packed_state = {
        (index[id(key)] if isinstance(key, Tensor) else key): value for key, value in state.items()
    }
    return {"state": packed_state, "param_groups": packed_groups}


def _adopt(value: Any, parameter: Tensor, name: str) -> Any:
    """A copy of a value of the state; floating tensors but the step get the parameter's dtype."""
    if not isinstance(value, Tensor) and hasattr(value, "__array__"):
        value = as_tensor(value)
    if isinstance(value, Tensor):
        value = value.detach().clone()
        if name != "step" and parameter.is_floating_point():
            value = value.to(device=parameter.device, dtype=parameter.dtype)
        return value
    if isinstance(value, dict):
        return {key: _adopt(item, parameter, key) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return type(value)(_adopt(item, parameter, name) for item in value)  # type: ignore[call-arg]
    return value


def unpack(
    owner: str, groups: Sequence[dict[str, Any]], loaded: Mapping[str, Any]
) -> tuple[list[ParamGroup], defaultdict[Any, Any]]:
    """``(groups, state)`` for the parameters of ``groups`` from what :func:`pack` made."""
    missing = [key for key in ("state", "param_groups") if key not in loaded]
    if missing:
        message = (
            f"{owner}.load_state_dict: expected the entries 'state' and 'param_groups', got a "
            f"dictionary in which {missing[0]!r} is missing; pass what {owner}.state_dict() gave"
        )
        raise ValueError(message)
    saved_groups = loaded["param_groups"]
    if len(saved_groups) != len(groups):
        message = (
            f"{owner}: expected {len(groups)} parameter groups, got a state dict with a different "
            f"number of parameter groups, {len(saved_groups)}; make it with the same groups"
        )
        raise ValueError(message)
    parameters: dict[Any, Tensor] = {}
    new_groups = []
    for i, (own, saved) in enumerate(zip(groups, saved_groups, strict=True)):
        if len(own["params"]) != len(saved["params"]):
            message = (
                f"{owner}: expected {len(own['params'])} parameters in group {i}, got a state dict"
                f" with {len(saved['params'])}; make it of the same model"
            )
            raise ValueError(message)
        parameters.update(zip(saved["params"], own["params"], strict=True))
        group = ParamGroup()
        if isinstance(own, ParamGroup):
            group.lr_cell = own.lr_cell  # captured steps keep reading this cell
        for key, value in saved.items():
            group[key] = own["params"] if key == "params" else copy.deepcopy(value)
        if "param_names" in own:
            group["param_names"] = own["param_names"]
        new_groups.append(group)
    state: defaultdict[Any, Any] = defaultdict(dict)
    for key, value in loaded["state"].items():
        if key in parameters:
            p = parameters[key]
            state[p] = {name: _adopt(item, p, name) for name, item in value.items()}
        else:
            state[key] = copy.deepcopy(value)
    return new_groups, state
