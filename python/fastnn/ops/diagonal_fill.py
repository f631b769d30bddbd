# SPDX-License-Identifier: BSD-3-Clause
"""Diagonals that are written: ``diagflat``, ``fill_diagonal_``; and ``sum_to_size``, which undoes a
broadcast. Compositions of differentiable operations.

    diagflat(x)[i, i + k] = x.reshape(-1)[i]
    fill_diagonal_(x, v)[i, i, ...] = v
    sum_to_size(x, *size) = the sum over the dimensions along which size broadcasts to x's shape

Backward: of what is composed: the diagonal; zero at the diagonal; a broadcast.
"""

from __future__ import annotations

import math
from typing import Any

from fastnn import ops
from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops.creation import arange, size_argument
from fastnn.ops.diagonals import diag
from fastnn.ops.view import reshape
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """A matrix with all elements of ``input`` on a diagonal, else zeros; as torch.diagflat.

    Shapes: (...) of n elements -> (m, m), m = n + |offset|.   Raises TypeError for an offset that
    is no int.
    """
    _common.require_tensor("diagflat", "input", input)
    return diag(reshape(input, -1), _common.integer("diagflat", "offset", offset))


def fill_diagonal(input: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """A copy with ``fill_value`` on the main diagonal.

    Shapes: (n, m), or more dimensions of one size -> the same.  With ``wrap`` the diagonal of a
    matrix with n > m starts again below its end, after a row that is left out.
    Raises RuntimeError for other shapes.
    """
    name = "fill_diagonal_"
    _common.require_tensor(name, "input", input)
    shape = input.shape
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
        message = (
            f"{name}: expected a matrix, or more dimensions of one size, got {shape}; take a part "
            "of it"
        )
        raise RuntimeError(message)
    if isinstance(fill_value, Tensor):
        message = f"{name}: expected fill_value as a number, got a tensor; take its item()"
        raise TypeError(message)
    # In memory order the diagonal's places are `step` apart.
    step = sum(math.prod(shape[d + 1 :]) for d in range(len(shape)))
    number = arange(math.prod(shape), device=input.device)
    places = ops.eq(ops.remainder(number, step), 0)
    if not wrap and len(shape) == 2 and shape[0] > shape[1]:
        places = ops.bitwise_and(places, ops.lt(number, shape[1] ** 2))
    return ops.masked_fill(input, reshape(places, shape), fill_value)


fill_diagonal_: InPlace[...] = in_place(fill_diagonal)


def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """The sum over the dimensions that a broadcast of ``size`` to the tensor's shape adds or
    repeats, as torch.Tensor.sum_to_size.  Raises RuntimeError if it does not broadcast."""
    name = "sum_to_size"
    _common.require_tensor(name, "input", input)
    wanted = size_argument(name, size, None)
    lead = input.ndim - len(wanted)
    pairs = zip(wanted, input.shape[lead:] if lead >= 0 else (), strict=False)
    if lead < 0 or any(w not in (1, n) for w, n in pairs):
        message = (
            f"{name}: expected a size that broadcasts to the tensor's shape {input.shape}, got "
            f"{wanted}; sum(dim, keepdim=True) sums over any dimension"
        )
        raise RuntimeError(message)
    dims = [d for d in range(input.ndim) if d < lead or wanted[d - lead] != input.shape[d]]
    return reshape(ops.sum(input, dims), wanted) if dims else input


def _diagflat(x: Any, offset: int = 0) -> Any:
    return array_module(x).diagflat(x, offset)


def _filled(x: Any, value: float, wrap: bool = False) -> Any:
    out = x.copy()
    array_module(x).fill_diagonal(out, value, wrap)
    return out


CASES = [
    OpCase(diagflat, "diagflat", [(2, 3)], ref=_diagflat),
    OpCase(diagflat, "diagflat", [(), -2], ref=_diagflat),
    OpCase(diagflat, "diagflat", [("int", (3,), 0, 9)], {"offset": 1}, _diagflat, grad=False),
    *(
        OpCase(fill_diagonal, "fill_diagonal", [shape, 1.5, *wrap], ref=_filled)
        for shape, *wrap in (
            ((3, 3),), ((2, 4),), ((7, 2),), ((7, 2), True), ((3, 3, 3),), ((0, 3),),
        )
    ),
    *(
        OpCase(
            sum_to_size,
            "sum_to_size",
            [(2, 3, 4), *size],
            ref=lambda x, *size: x.sum(
                tuple([d for d in range(3) if d < 3 - len(size) or size[d - 3] == 1])
            ).reshape(size),
        )
        for size in ((3, 1), (4,), (1, 3, 4), (2, 1, 4))
    ),
]  # fmt: skip
ERRORS = [
    ErrorCase(diagflat, "diagflat", [3.0], TypeError, "expected input as a Tensor"),
    ErrorCase(diagflat, "diagflat", [(2,), 1.5], TypeError, "offset"),
    ErrorCase(diagflat, "diagflat", [(2,), "a"], TypeError, "offset"),
    ErrorCase(fill_diagonal, "fill_diagonal", [(3,), 1.0], RuntimeError, "expected a matrix"),
    ErrorCase(fill_diagonal, "fill_diagonal", [(2, 2, 3), 1.0], RuntimeError, "got (2, 2, 3)"),
    ErrorCase(fill_diagonal, "fill_diagonal", [(2, 2), ()], TypeError, "take its item()"),
    *(
        ErrorCase(sum_to_size, "sum_to_size", [(2, 3), *size], RuntimeError, "that broadcasts to")
        for size in ((2,), (4, 3), (1, 2, 3))
    ),
]
