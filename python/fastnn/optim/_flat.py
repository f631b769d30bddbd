# SPDX-License-Identifier: BSD-3-Clause
"""Parameters as one vector, for the optimisers that treat them so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastnn._grad_mode import enable_grad
from fastnn.ops import cat, zeros
from fastnn.tensor import Tensor


def flatten(tensors: Sequence[Tensor | None], like: Sequence[Tensor]) -> Tensor:
    """A vector of all elements, memory of its own; of None zeros, as many as ``like`` has."""
    parts = [
        zeros(p.numel(), dtype=p.dtype, device=p.device) if t is None else t.detach().reshape(-1)
        for t, p in zip(tensors, like, strict=True)
    ]
    return cat(parts) if len(parts) > 1 else parts[0].clone()


def assign(params: Sequence[Tensor], values: Tensor) -> None:
    """Writes the elements of a vector into the parameters."""
    start = 0
    for p in params:
        stop = start + p.numel()
        p.copy_(values[start:stop].reshape(p.shape))
        start = stop


def number(value: Any) -> float:
    """A loss, or what a vector was reduced to, as a float."""
    return float(value.detach() if isinstance(value, Tensor) else value)


def dot(a: Tensor, b: Tensor) -> float:
    """The inner product of two vectors."""
    return number((a * b).sum())


def largest(a: Tensor) -> float:
    """The largest magnitude; 0 of a vector without elements."""
    return number(abs(a).max()) if a.numel() else 0.0


def with_gradients(owner: str, closure: Any) -> Callable[[], Any]:
    """The closure, run with gradients on; TypeError for what cannot be called."""
    if not callable(closure):
        message = (
            f"{owner}: expected step(closure) with a function that computes the loss, got "
            f"{type(closure).__name__}; it is called several times in a step"
        )
        raise TypeError(message)

    def run() -> Any:
        with enable_grad():
            return closure()

    return run


def only_group(owner: str, groups: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The group; ValueError unless there is one alone."""
    if len(groups) != 1:
        message = (
            f"{owner}: expected one group, got {len(groups)}: {owner} doesn't support per-parameter"
            " options (parameter groups); pass one list of parameters"
        )
        raise ValueError(message)
    return groups[0]
