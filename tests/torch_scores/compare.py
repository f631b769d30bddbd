# SPDX-License-Identifier: BSD-3-Clause
"""Whether what fastnn returned is what torch returned."""

from __future__ import annotations

import math
from typing import Any

import torch

import fastnn

from .translate import to_torch

# torch.testing.assert_close's, which torch's own tests use.
_TOLERANCES = {
    torch.float64: (1e-7, 1e-7),
    torch.float32: (1.3e-6, 1e-5),
    torch.float16: (1e-3, 1e-5),
    torch.bfloat16: (1.6e-2, 1e-5),
}


class Different(AssertionError):
    """They are not alike; says where."""


class Tolerances:
    """Relative and absolute tolerance by dtype; an operation's own ones widen the usual ones."""

    def __init__(self, own: dict[torch.dtype, tuple[float, float]] | None = None) -> None:
        self._own = own or {}

    def of(self, dtype: torch.dtype) -> tuple[float, float]:
        usual = _TOLERANCES.get(dtype, (0.0, 0.0))
        own = self._own.get(dtype, (0.0, 0.0))
        return max(usual[0], own[0]), max(usual[1], own[1])


def _refuse(condition: bool, where: str, problem: str) -> None:
    if condition:
        message = f"{where}: {problem}"
        raise Different(message)


def _name(dtype: Any) -> str:
    return str(dtype).rpartition(".")[2]


def _numbers(where: str, ours: Any, theirs: torch.Tensor, tolerances: Tolerances) -> None:
    found, wanted = to_torch(ours), theirs.detach()
    rtol, atol = tolerances.of(wanted.dtype)
    if rtol == 0:
        close = found == wanted
    else:
        close = torch.isclose(found, wanted, rtol, atol, equal_nan=True)
    if not bool(close.all()):
        wrong = (~close).nonzero()
        at = tuple(wrong[0].tolist())
        problem = (
            f"{len(wrong)} of {close.numel()} elements differ, at {list(at)} {found[at].item()!r} "
            f"for {wanted[at].item()!r}"
        )
        _refuse(True, where, problem)


def tensors(
    where: str, ours: Any, theirs: torch.Tensor, tolerances: Tolerances, values: bool = True
) -> None:
    """Type, dtype, shape and, unless they are random, values."""
    kind = type(ours).__name__
    _refuse(not isinstance(ours, fastnn.Tensor), where, f"a {kind} for a Tensor")
    a, b = _name(ours.dtype), _name(theirs.dtype)
    _refuse(a != b, where, f"dtype {a} for {b}")
    _refuse(tuple(ours.shape) != tuple(theirs.shape), where, f"{ours.shape} for {theirs.shape}")
    if values:
        _numbers(where, ours, theirs, tolerances)


def results(
    where: str, ours: Any, theirs: Any, tolerances: Tolerances, values: bool = True
) -> None:
    """Tensors, numbers and tuples and lists of them."""
    if isinstance(theirs, torch.Tensor):
        tensors(where, ours, theirs, tolerances, values)
    elif isinstance(theirs, dict):
        same = isinstance(ours, dict) and list(ours) == list(theirs)
        _refuse(not same, where, f"{ours!r:.60} for a dict of {list(theirs)}")
        for key, value in theirs.items():
            results(f"{where}[{key!r}]", ours[key], value, tolerances, values)
    elif isinstance(theirs, list | tuple):
        same = isinstance(ours, list | tuple) and len(ours) == len(theirs)
        _refuse(not same, where, f"{type(ours).__name__} for {len(theirs)} results")
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            results(f"{where}[{i}]", a, b, tolerances, values)
    elif isinstance(theirs, float):
        same = isinstance(ours, float) and (
            math.isclose(ours, theirs, rel_tol=1e-7, abs_tol=1e-7) or str(ours) == str(theirs)
        )
        _refuse(not same, where, f"{ours!r:.60} for {theirs!r}")
    elif isinstance(theirs, bool | int | str | None):
        same = type(ours) is type(theirs) and ours == theirs
        _refuse(not same, where, f"{ours!r:.60} for {theirs!r}")
    else:
        _refuse(type(ours).__name__ != type(theirs).__name__, where, f"{ours!r:.60}")


def leaves(value: Any) -> list[Any]:
    """The tensors of a result, in order."""
    if isinstance(value, torch.Tensor | fastnn.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [t for item in value for t in leaves(item)]
    return []


def gradients(
    ours: Any, theirs: Any, inputs: list[tuple[torch.Tensor, Any]], tolerances: Tolerances,
    values: bool = True,
) -> None:  # fmt: skip
    """Gradients with respect to ``inputs`` (torch's tensor, ours) of results that are alike, from
    one random direction."""
    mine, outputs = leaves(ours), leaves(theirs)
    pairs = []
    for i, (a, b) in enumerate(zip(mine, outputs, strict=True)):
        wanted = b.requires_grad
        problem = f"requires_grad {a.requires_grad} for {wanted}"
        _refuse(a.requires_grad != wanted, f"output {i}", problem)
        if wanted:
            pairs.append((a, b))
    if not pairs or not inputs:
        return
    generator = torch.Generator().manual_seed(0)
    directions = [torch.randn(b.shape, generator=generator, dtype=b.dtype) for _, b in pairs]
    wanted = torch.autograd.grad(
        [b for _, b in pairs], [t for t, _ in inputs], directions, allow_unused=True
    )
    found = fastnn.autograd.grad(
        [a for a, _ in pairs],
        [t for _, t in inputs],
        [fastnn.from_numpy(d.numpy()) for d in directions],
        allow_unused=True,
    )
    for i, ((t, own), b, a) in enumerate(zip(inputs, wanted, found, strict=True)):
        where = f"gradient {i}"
        # None is a gradient of zeros.
        theirs_i = torch.zeros_like(t) if b is None else b
        ours_i = fastnn.zeros_like(own.detach()) if a is None else a
        tensors(where, ours_i, theirs_i, tolerances, values)
