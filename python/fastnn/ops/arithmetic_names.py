# SPDX-License-Identifier: BSD-3-Clause
"""Further names of arithmetic: rsub, true_divide, positive.

Shapes:   x (...), y (...) -> their common broadcast shape.   Backward: of sub, div, identity.
"""

from __future__ import annotations

from typing import Any

from fastnn.ops import _common
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops.binary import div_tensors, sub_tensors
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def rsub(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """other - alpha * input, as torch.rsub; shapes, types and errors as `sub`.

    Raises TypeError unless input is a tensor.
    """
    _common.require_tensor("rsub", "input", input)
    other = _common.as_operand("rsub", other)
    if any(_common.result_type(v).category == 0 for v in (input, other)):
        message = (
            "rsub: expected numbers, got a bool operand; use logical operations on bools, or "
            "convert with .to(dtype)"
        )
        raise RuntimeError(message)
    if isinstance(other, Tensor):
        _common.broadcast_shape("rsub", input.shape, other.shape)
    return sub_tensors(other, input, alpha=alpha)


def true_divide(input: Tensor, other: Any) -> Tensor:
    """input / other, as torch.true_divide: `div` without rounding."""
    _common.require_tensor("true_divide", "input", input)
    other = _common.as_operand("true_divide", other)
    if isinstance(other, Tensor):
        _common.broadcast_shape("true_divide", input.shape, other.shape)
    return div_tensors(input, other)


def positive(input: Tensor) -> Tensor:
    """The tensor itself, as torch.positive and the operator +; RuntimeError for bool."""
    _common.require_tensor("positive", "input", input)
    if input.array.dtype.kind == "b":
        message = "positive: expected numbers, got a bool tensor; convert with .to(dtype)"
        raise RuntimeError(message)
    return input


true_divide_: InPlace[...] = in_place(true_divide)

CASES = [
    *(
        OpCase(rsub, "rsub", list(s), ref=lambda x, y: y - x)
        for s in (((3, 5), (3, 5)), ((4, 1, 3), (2, 1)), ((0, 4), 2.5))
    ),
    OpCase(rsub, "rsub", [(3, 4), 1.5], {"alpha": -2}, lambda x, y, alpha: y - alpha * x),
    *(
        OpCase(true_divide, "true_divide", list(s), ref=lambda x, y: x / y, kink=0.0)
        for s in (((3, 5), (5,)), ((), 2.5))
    ),
    OpCase(positive, "positive", [(3, 5)], ref=lambda x: x),
]
_BOOL = ("bool", (3,))
ERRORS = [
    *(
        case
        for f in (rsub, true_divide)
        for case in (
            ErrorCase(f, f.__name__, [(3,), (4,)], RuntimeError, "shapes that broadcast"),
            ErrorCase(f, f.__name__, [(3,), "a"], TypeError, "a tensor or a number"),
            ErrorCase(f, f.__name__, [2.0, (3,)], TypeError, "expected input as a Tensor"),
        )
    ),
    ErrorCase(rsub, "rsub", [_BOOL, 1], RuntimeError, "got a bool operand"),
    ErrorCase(positive, "positive", [1.0], TypeError, "expected input as a Tensor"),
    ErrorCase(positive, "positive", [None], TypeError, "NoneType"),
    ErrorCase(positive, "positive", [_BOOL], RuntimeError, "got a bool tensor"),
]
