# SPDX-License-Identifier: BSD-3-Clause
"""Parameter groups: a dictionary of options that keeps its learning rate in a memory cell."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from fastnn._backend import bump_mutation_stamp, zeros
from fastnn._callers import user_line
from fastnn.tensor import Tensor


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required: Any = _Required()
"""As a default: an option that every group must give."""


class ParamGroup(dict[str, Any]):
    """One entry of ``param_groups``: ``{"params": [...], "lr": ..., ...}``.

    ``lr_cell`` is one float64 that the kernels read. Assigning ``group["lr"]`` writes it, so a
    learning rate that changes from step to step leaves a captured step valid; every other edit
    moves the mutation stamp.
    """

    lr_cell: Any

    def __new__(cls, *args: Any, **kwargs: Any) -> ParamGroup:  # noqa: ARG004 (for __init__)
        group = super().__new__(cls)
        group.lr_cell = zeros((1,), "float64")
        return group

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.update(*args, **kwargs)

    def sync_lr(self) -> Any:
        """The cell, brought up to date: ``lr`` may be a Tensor that was changed in place."""
        rate = float(self["lr"])
        if self.lr_cell[0] != rate:
            self.lr_cell[0] = rate
        return self.lr_cell

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        if key != "lr":
            bump_mutation_stamp()
        elif isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.numel() == 1):
            self.lr_cell[0] = float(value)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        bump_mutation_stamp()

    def update(self, *args: Any, **kwargs: Any) -> None:
        """As of a dict; goes through assignment."""
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """As of a dict; goes through assignment."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, *args: Any) -> Any:
        """As of a dict."""
        bump_mutation_stamp()
        return super().pop(*args)

    def __ior__(self, other: Any) -> ParamGroup:  # type: ignore[override,misc]
        self.update(other)
        return self


def rate_cell(owner: str, group: dict[str, Any], defaults: dict[str, Any]) -> Any:
    """The learning rate in memory; ``param_groups`` may also hold dicts that the user put there."""
    if isinstance(group, ParamGroup):
        return group.sync_lr()
    missing = [name for name in ("params", *defaults) if name not in group]
    if missing:
        message = (
            f"{owner}: expected every option in a group of param_groups, got none for "
            f"{missing[0]!r}; add_param_group() fills in the defaults"
        )
        raise KeyError(message)
    bump_mutation_stamp()  # nothing tells of the edits of a plain dict
    cell = zeros((1,), "float64")
    cell[0] = float(group["lr"])
    return cell


def _listed(owner: str, params: Any) -> list[Any]:
    if isinstance(params, Tensor):
        return [params]
    if isinstance(params, (set, frozenset)):
        message = (
            f"{owner}: expected parameters in ordered collections, got a {type(params).__name__}, "
            "whose order changes between runs; use a list instead"
        )
        raise TypeError(message)
    if not isinstance(params, Iterable):
        message = (
            f"{owner}: expected 'params' to be a Tensor or a list, got {type(params).__name__};"
            " pass model.parameters()"
        )
        raise TypeError(message)
    return list(params)


def _check_params(owner: str, params: list[Any], known: set[int]) -> None:
    for i, p in enumerate(params):
        if not isinstance(p, Tensor):
            message = (
                f"{owner}: expected params as Tensors, got {type(p).__name__} at position {i}; "
                "leave it out, or make it an nn.Parameter"
            )
            raise TypeError(message)
        if not p.is_leaf:
            message = (
                f"{owner}: expected leaf Tensors, got a non-leaf Tensor (position {i}, shape "
                f"{tuple(p.shape)}) that was computed from others; pass the leaves, or detach() it "
                "and set requires_grad"
            )
            raise ValueError(message)
    own = {id(p) for p in params}
    if len(own) != len(params):
        message = (
            f"{owner}: expected every parameter once, got duplicate parameters in a group, which "
            "are updated twice; pass model.parameters(), which lists shared ones once"
        )
        warnings.warn(message, stacklevel=user_line()[0])
    if own & known:
        message = (
            f"{owner}: expected every parameter in one group, got some in more than one parameter "
            "group; leave them out of all but one"
        )
        raise ValueError(message)


def make_group(
    owner: str, description: Any, defaults: dict[str, Any], known: set[int]
) -> ParamGroup:
    """A checked group. ``known`` holds the ids of the parameters of the other groups."""
    if not isinstance(description, dict):
        message = (
            f"{owner}: expected a parameter group that is a dict, got "
            f"{type(description).__name__}; pass {{'params': parameters}}"
        )
        raise TypeError(message)
    if "params" not in description:
        message = (
            f"{owner}: expected an entry 'params' in a parameter group, got {sorted(description)}; "
            "add one with the parameters"
        )
        raise ValueError(message)
    params = _listed(owner, description["params"])
    group = ParamGroup(description)
    tuples = [isinstance(p, tuple) for p in params]
    if any(tuples):
        if not all(tuples):
            message = (
                f"{owner}: expected params all with names or all without, got some whose names are "
                "missing; pass model.named_parameters() or model.parameters()"
            )
            raise ValueError(message)
        for i, pair in enumerate(params):
            if len(pair) != 2:
                message = (
                    f"{owner}: expected pairs of name and Tensor, got a tuple of {len(pair)} at "
                    f"position {i}; pass model.named_parameters()"
                )
                raise ValueError(message)
        group["param_names"] = [name for name, _ in params]
        params = [p for _, p in params]
    group["params"] = params
    _check_params(owner, params, known)
    for name, default in defaults.items():
        if name not in group:
            if default is required:
                message = (
                    f"{owner}: expected a value of the required optimization parameter {name}, got "
                    f"none; add {name}=... or the group's entry '{name}'"
                )
                raise ValueError(message)
            group[name] = default
    return group
