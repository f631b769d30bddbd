# SPDX-License-Identifier: BSD-3-Clause
"""Clipping of gradients, one kernel for a whole list of parameters."""

from __future__ import annotations

import math
import types
import warnings
from collections.abc import Iterable
from typing import Any

from fastnn import ops
from fastnn._backend import kernels
from fastnn.autograd import no_grad
from fastnn.ops._common import contiguous_array
from fastnn.tensor import Tensor

__all__ = [
    "clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_",
    "get_total_norm",
]  # fmt: skip

Tensors = Tensor | Iterable[Tensor]


def _listed(name: str, tensors: Tensors) -> list[Tensor]:
    if isinstance(tensors, Tensor):
        return [tensors]
    listed = list(tensors)
    for t in listed:
        if not isinstance(t, Tensor):
            message = (
                f"{name}: expected Tensors, got {type(t).__name__}; pass model.parameters() or a"
                " list of tensors"
            )
            raise TypeError(message)
    if not listed and isinstance(tensors, types.GeneratorType):
        warnings.warn(
            f"{name}: `parameters` is an empty generator, no gradient clipping will occur.",
            stacklevel=3,
        )
    return listed


def _gradients(name: str, parameters: Tensors) -> list[Tensor]:
    """The gradients that there are, one of parameters that are given twice only once."""
    listed = {id(p): p for p in _listed(name, parameters)}.values()
    return [p.grad for p in listed if p.grad is not None]


def _buckets(tensors: list[Tensor]) -> list[list[Tensor]]:
    """Those of one type and place together: a kernel takes one."""
    found: dict[Any, list[Tensor]] = {}
    for t in tensors:
        found.setdefault((type(t.array), t.array.dtype), []).append(t)
    return list(found.values())


def _norm_of(arrays: list[Any], p: float) -> Any:
    table = kernels(arrays[0])
    norm = table.empty((1,), arrays[0].dtype)
    table.grad_norm([contiguous_array(table, a) for a in arrays], norm, p)
    return norm


def _change(tensors: list[Tensor], kernel: str, *args: Any) -> None:
    """Runs a kernel on the arrays of one bucket, in place whatever their strides."""
    table = kernels(tensors[0].array)
    memory = [contiguous_array(table, t.array) for t in tensors]
    getattr(table, kernel)(memory, *args)
    for t, array in zip(tensors, memory, strict=True):
        if array is not t.array:
            table.copy(array, t.array)
        t._bump_version()


def get_total_norm(
    tensors: Tensors,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,  # noqa: ARG001  (always one kernel)
) -> Tensor:
    """The norm of all tensors as one vector, as torch.nn.utils.get_total_norm.

    norm_type: p of (sum |x|^p)^(1/p), inf for the largest magnitude, 0 for the number of tensors
    that are not all 0 (as in torch: the norm of the tensors' norms).
    Sums are taken in double. Errors: RuntimeError for a norm that is infinite or NaN, if asked for.
    """
    listed = _listed("get_total_norm", tensors)
    p = float(norm_type)
    if not listed:
        return ops.zeros(())
    dtype = ops.result_type(*listed)
    if not dtype.is_floating_point:
        message = (
            f"get_total_norm: expected floating-point tensors, got {dtype}; convert them with"
            " .float()"
        )
        raise RuntimeError(message)
    with no_grad():
        # Of the other orders the norm of the norms is that of all elements.
        parts = [[t] for t in listed] if p == 0.0 else _buckets(listed)
        norms = [Tensor._wrap(_norm_of([t.array for t in part], p)) for part in parts]
        total = norms[0]
        if len(norms) > 1 or p == 0.0:
            arrays = [n.to(dtype).array for n in norms]
            total = Tensor._wrap(_norm_of(arrays, p))
        total = total.reshape(())
    if error_if_nonfinite and not math.isfinite(float(total.item())):
        message = (
            f"get_total_norm: expected a finite norm, got {total.item()}: the total norm of order "
            f"{p} is non-finite, so it cannot be clipped; skip this step, or, to scale the "
            "gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
        )
        raise RuntimeError(message)
    return total


def clip_grads_with_norm_(
    parameters: Tensors,
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,  # noqa: ARG001  (always one kernel)
) -> None:
    """Multiplies the gradients with max_norm / (total_norm + 1e-6), if that is below 1.

    As torch.nn.utils.clip_grads_with_norm_; the norm stays on its device.
    """
    limit = float(max_norm)
    for bucket in _buckets(_gradients("clip_grads_with_norm_", parameters)):
        norm = total_norm.detach().to(bucket[0].dtype).reshape(1).array
        _change(bucket, "clip_by_norm", norm, limit)


def clip_grad_norm_(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,  # noqa: ARG001  (always one kernel)
) -> Tensor:
    """Scales the gradients so that their norm as one vector is at most ``max_norm``, in place.

    Returns the norm before, a tensor of no dimensions; nothing is read back. As
    torch.nn.utils.clip_grad_norm_: a factor of max_norm / (norm + 1e-6), if that is below 1.
    norm_type: p of (sum |g|^p)^(1/p), or inf or 0 as in `get_total_norm`.
    Errors: RuntimeError for a norm that is infinite or NaN with ``error_if_nonfinite``.
    Source: Pascanu, Mikolov and Bengio 2013.
    """
    listed = _listed("clip_grad_norm_", parameters)
    total = get_total_norm(_gradients("clip_grad_norm_", listed), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(listed, max_norm, total)
    return total


def clip_grad_norm(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Deprecated, as in torch: `clip_grad_norm_`."""
    text = "`nn.utils.clip_grad_norm` is now deprecated in favor of `nn.utils.clip_grad_norm_`."
    warnings.warn(text, FutureWarning, stacklevel=2)
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


def clip_grad_value_(
    parameters: Tensors,
    clip_value: float,
    foreach: bool | None = None,  # noqa: ARG001  (always one kernel)
) -> None:
    """Bounds every element of the gradients to [-clip_value, clip_value], in place.

    As torch.nn.utils.clip_grad_value_. Errors: ValueError for a negative bound.
    """
    limit = float(clip_value)
    if not limit >= 0.0:
        message = (
            f"clip_grad_value_: expected clip_value >= 0, got {clip_value}; give the largest"
            " magnitude that may stay"
        )
        raise ValueError(message)
    for bucket in _buckets(_gradients("clip_grad_value_", parameters)):
        _change(bucket, "clip_by_value", limit)
