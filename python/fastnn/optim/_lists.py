# SPDX-License-Identifier: BSD-3-Clause
"""From parameters to the lists of arrays that the fused kernels take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastnn._backend import kernels
from fastnn.tensor import Tensor


def check_common(owner: str, options: dict[str, Any]) -> None:
    """The options that every optimiser has."""
    lr, decay = options["lr"], options["weight_decay"]
    if isinstance(lr, Tensor) and lr.numel() != 1:
        message = f"{owner}: Tensor lr must be 1-element, got shape {tuple(lr.shape)}"
        raise ValueError(message)
    require(owner, "learning rate", lr, lr >= 0.0, "lr >= 0")
    require(owner, "weight_decay value", decay, decay >= 0.0, "weight_decay >= 0")
    if options["differentiable"]:
        message = (
            f"{owner}: differentiable=True is not supported, the update is one fused kernel; to"
            " differentiate through it, write the step in Tensor operations"
        )
        raise NotImplementedError(message)


def require(owner: str, what: str, value: Any, good: Any, wanted: str) -> None:
    """Raise unless ``good``."""
    if not good:
        message = f"{owner}: Invalid {what}: {value}; expected {wanted}"
        raise ValueError(message)


def buckets(params: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """The parameters that have a gradient, those of one backend and dtype together."""
    found: dict[Any, list[Tensor]] = {}
    for p in params:
        if p.grad is not None:
            found.setdefault((type(p.array), p.array.dtype), []).append(p)
    return iter(found.values())


def _dense(array: Any) -> Any:
    """``array`` itself if it is C-contiguous, else a contiguous copy."""
    if array.flags.c_contiguous:
        return array
    table = kernels(array)
    copied = table.empty(array.shape, array.dtype)
    table.copy(array, copied)
    return copied


def zeros_like(p: Tensor) -> Tensor:
    """Contiguous zeros of the shape, dtype and place of ``p``."""
    table = kernels(p.array)
    array = table.empty(p.array.shape, p.array.dtype)
    table.fill(table.xp.zeros(1, array.dtype), array)
    return Tensor._wrap(array)


def empty_like(p: Tensor) -> Tensor:
    """Contiguous uninitialised memory of the shape, dtype and place of ``p``."""
    return Tensor._wrap(kernels(p.array).empty(p.array.shape, p.array.dtype))


def update(params: list[Tensor], launch: Callable[[list[Any], list[Any]], None]) -> None:
    """``launch(parameter_arrays, gradient_arrays)`` on contiguous memory, in place for the caller
    whatever the strides of the parameters."""
    memory = [_dense(p.array) for p in params]
    # grad is not None: `buckets` chose them so.
    launch(memory, [_dense(p.grad.array) for p in params])  # type: ignore[union-attr]
    for p, array in zip(params, memory, strict=True):
        if array is not p.array:
            kernels(array).copy(array, p.array)
        p._bump_version()
