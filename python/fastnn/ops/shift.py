# SPDX-License-Identifier: BSD-3-Clause
"""Shifts of the bits of integers: bitwise_left_shift, bitwise_right_shift, << and >>.

Shapes:   x (...), y (...) -> their common broadcast shape, in their promoted type. No gradient.
By a number of bits that is negative or not below the type's: left gives 0, right 0 or -1, the sign.
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module, reference
from fastnn.ops import _common
from fastnn.ops._binary_op import Binary, binary, binary_
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def bitwise_left_shift(x: Any, y: Any, out: Any) -> None:
    """out = x << y."""
    xp = array_module(out)
    outside = (y < 0) | (y >= 8 * x.dtype.itemsize)
    zero = xp.zeros((), x.dtype)
    xp.copyto(out, xp.where(outside, zero, xp.left_shift(x, xp.where(outside, zero, y))))


@reference
def bitwise_right_shift(x: Any, y: Any, out: Any) -> None:
    """out = x >> y, filled up with the sign."""
    xp = array_module(out)
    # A value's last bit is its sign; of unsigned types one shift more is needed, in two halves.
    most = 8 * x.dtype.itemsize - 1
    outside = (y < 0) | (y > most)
    last = xp.full((), most, x.dtype)
    shifted = xp.right_shift(x, xp.where(outside, last, y))
    if x.dtype.kind == "u":
        shifted = xp.where(outside, xp.zeros((), x.dtype), shifted)
    xp.copyto(out, shifted)


class LeftShift(Binary):
    """x << y."""

    name = kernel = "bitwise_left_shift"
    gives_bool = takes_float = False


class RightShift(Binary):
    """x >> y."""

    name = kernel = "bitwise_right_shift"
    gives_bool = takes_float = False


def bitwise_left_shift_tensors(input: Any, other: Any) -> Tensor:
    """input * 2^other of integers, as torch.bitwise_left_shift and the operator <<.

    Shapes: their broadcast shape, in their promoted type.   Raises TypeError for other operands,
    RuntimeError for floats, two bools and shapes that do not broadcast.
    """
    return binary(LeftShift, input, other)


def bitwise_right_shift_tensors(input: Any, other: Any) -> Tensor:
    """input / 2^other rounded down, of integers, as torch.bitwise_right_shift and the operator >>.

    Shapes: their broadcast shape, in their promoted type.   Raises TypeError for other operands,
    RuntimeError for floats, two bools and shapes that do not broadcast.
    """
    return binary(RightShift, input, other)


def bitwise_left_shift_(t: Tensor, other: Any) -> Tensor:
    """t becomes t << other, as torch.Tensor.bitwise_left_shift_."""
    return binary_(LeftShift, t, other)


def bitwise_right_shift_(t: Tensor, other: Any) -> Tensor:
    """t becomes t >> other, as torch.Tensor.bitwise_right_shift_."""
    return binary_(RightShift, t, other)


_common.named(bitwise_left_shift=bitwise_left_shift_tensors)
_common.named(bitwise_right_shift=bitwise_right_shift_tensors)

_FAMILY: tuple[tuple[Any, Any], ...] = (
    (bitwise_left_shift_tensors, lambda x, y: x * 2**y),
    (bitwise_right_shift_tensors, lambda x, y: x // 2**y),
)
_PAIRS: list[list[Any]] = [
    [("int", (3, 5), -99, 99), ("int", (3, 5), 0, 9)],
    [("int", (4, 1, 3), -99, 99), ("int", (2, 1), 0, 9)],
    [("int", (0, 4), 0, 9), ("int", (), 0, 9)],
    [("int", (9,), -99, 99), 3],
]
CASES = [OpCase(f, f.__name__, s, ref=ref, grad=False) for f, ref in _FAMILY for s in _PAIRS]
_INT = ("int", (3,), 0, 9)
ERRORS = [
    case
    for f, _ in _FAMILY
    for case in (
        ErrorCase(f, f.__name__, [(3,), (3,)], RuntimeError, "integers or bools"),
        ErrorCase(f, f.__name__, [_INT, "a"], TypeError, "a tensor or a number"),
        ErrorCase(f, f.__name__, [_INT, ("int", (4,), 0, 9)], RuntimeError, "broadcast"),
        ErrorCase(f, f.__name__, [("bool", (3,)), True], RuntimeError, "got two bools"),
    )
]
