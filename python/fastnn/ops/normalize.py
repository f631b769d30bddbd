# SPDX-License-Identifier: BSD-3-Clause
"""Vectors divided by their norm.

    y = x / max(norm of order p of x over dim, eps)

Shapes:   x (...) -> the same.
Backward: through the norm, the bound and the division that it is made of: where the norm is below
          eps, dx = dy / eps.
"""

from __future__ import annotations

from typing import Any

from fastnn._grad_mode import is_grad_enabled, no_grad
from fastnn.ops import _common
from fastnn.ops._elementwise import number
from fastnn.ops.binary import div_tensors
from fastnn.ops.copy import copy_
from fastnn.ops.minmax import clamp_min
from fastnn.ops.vector_norm import norm
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def normalize(
    input: Tensor, p: Any = 2.0, dim: Any = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    """input over its norm of order ``p`` over ``dim``, as torch.nn.functional.normalize.

    p, dim: as of `norm`.   eps: the least that is divided by.   out: a tensor of input's shape and
    type to write into; then nothing is differentiated.

    Shapes: (...) -> (...).   Raises TypeError for no tensor and for options that are no numbers,
    RuntimeError for integers and an ``out`` that does not fit, IndexError for a bad dim.
    """
    _common.require_tensor("normalize", "input", input)
    _common.require_float("normalize", "input", input)
    dims = _common.many_dims("normalize", dim, input.ndim)
    order = p if p == "fro" else number("normalize", "p", p)
    least = number("normalize", "eps", eps)
    if out is not None:
        return _into(out, input, order, dims, least)
    return _quotient(input, order, dims, least)


def _quotient(input: Tensor, p: Any, dims: Any, eps: float) -> Tensor:
    return div_tensors(input, clamp_min(norm(input, p, dims, keepdim=True), eps))


def _into(out: Tensor, input: Tensor, p: Any, dims: Any, eps: float) -> Tensor:
    _common.require_tensor("normalize", "out", out)
    if out.shape != input.shape or out.dtype is not input.dtype:
        message = (
            f"normalize: expected out as {input.dtype} {input.shape}, got {out.dtype} "
            f"{out.shape}; make it with empty_like(input)"
        )
        raise RuntimeError(message)
    if is_grad_enabled() and (input.requires_grad or out.requires_grad):
        message = (
            "normalize: expected tensors that do not require grad beside out, which is not "
            "differentiated, got one that does; call it in no_grad(), or without out"
        )
        raise RuntimeError(message)
    with no_grad():
        copy_(out, _quotient(input, p, dims, eps))
    return out


def _plain(x: Any, p: Any = 2.0, dim: Any = 1, eps: float = 1e-12) -> Any:
    axes = tuple(dim) if isinstance(dim, list) else dim
    size = (x * x) ** 0.5
    if p == float("inf"):
        length = size.max(axes, keepdims=True)
    else:
        length = (size**p).sum(axes, keepdims=True) ** (1 / p)
    return x / length.clip(eps, None)


CASES = [
    *(
        OpCase(normalize, "normalize", [s, *a], ref=_plain, kink=0.0)
        for s, a in (
            ((3, 5), []),
            ((3, 5), [1.0]),
            ((3, 5), [3.0, 0]),
            ((3, 5), [float("inf")]),
            ((4, 3, 5), [2.0, [0, 2]]),
            ((4, 3, 5), [2.0, -1, 1.5]),
            ((6,), [2.0, 0]),
            ((), [2.0, 0]),
            ((0, 4), []),
            ((3, 0), []),
            ((1, 4), []),
            ((7, 1, 33), [2.0, 2]),
            ((40, 2500), []),
        )
    ),
    OpCase(normalize, "normalize", [(512, 1024)], ref=_plain, bench=True),
]
ERRORS = [
    ErrorCase(normalize, "normalize", [(3,)], IndexError, "normalize: expected dim in [-1, 0]"),
    ErrorCase(normalize, "normalize", [[1.0]], TypeError, "expected input as a Tensor"),
    ErrorCase(normalize, "normalize", [("int", (2, 3), 0, 9)], RuntimeError, "floating-point"),
    ErrorCase(normalize, "normalize", [(2, 3), "a"], TypeError, "normalize: expected p as a num"),
    ErrorCase(normalize, "normalize", [(2, 3), 2, 1, None], TypeError, "expected eps as a number"),
    ErrorCase(normalize, "normalize", [(2, 3), 2, 1, 0.1, (3, 2)], RuntimeError, "expected out as"),
]
