# SPDX-License-Identifier: BSD-3-Clause
"""and, or, xor and not: of the bits of integers and bools, and of truth values.

Shapes:   x (...), y (...) -> their common broadcast shape.      Backward: none.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.ops import _common
from fastnn.ops._binary_op import Binary, binary, binary_
from fastnn.ops._common import named
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops.copy import to
from fastnn.ops.rounding import Simple
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def bitwise_and(x: Any, y: Any, out: Any) -> None:
    """out = x & y."""
    array_module(out).bitwise_and(x, y, out=out)


@reference
def bitwise_or(x: Any, y: Any, out: Any) -> None:
    """out = x | y."""
    array_module(out).bitwise_or(x, y, out=out)


@reference
def bitwise_xor(x: Any, y: Any, out: Any) -> None:
    """out = x ^ y."""
    array_module(out).bitwise_xor(x, y, out=out)


@reference
def bitwise_not_forward(x: Any, y: Any) -> None:
    """y = ~x (bool: not)."""
    array_module(y).invert(x, out=y)


class BitwiseAnd(Binary):
    """x & y."""

    name = kernel = "bitwise_and"
    takes_float = False


class BitwiseOr(Binary):
    """x | y."""

    name = kernel = "bitwise_or"
    takes_float = False


class BitwiseXor(Binary):
    """x ^ y."""

    name = kernel = "bitwise_xor"
    takes_float = False


class BitwiseNot(Simple):
    """~x."""

    name = "bitwise_not"
    kernel = "bitwise_not_forward"


def bitwise_and_tensors(input: Any, other: Any) -> Tensor:
    """input & other of integers or bools, as torch.bitwise_and and the operator &.

    Shapes: their broadcast shape.   Raises RuntimeError for floats, TypeError for no operands.
    """
    return binary(BitwiseAnd, input, other)


def bitwise_or_tensors(input: Any, other: Any) -> Tensor:
    """input | other of integers or bools, as torch.bitwise_or and the operator |.

    Shapes: their broadcast shape.   Raises RuntimeError for floats, TypeError for no operands.
    """
    return binary(BitwiseOr, input, other)


def bitwise_xor_tensors(input: Any, other: Any) -> Tensor:
    """input ^ other of integers or bools, as torch.bitwise_xor and the operator ^.

    Shapes: their broadcast shape.   Raises RuntimeError for floats, TypeError for no operands.
    """
    return binary(BitwiseXor, input, other)


def bitwise_not(input: Tensor) -> Tensor:
    """~input of integers, not of bools, as torch.bitwise_not and the operator ~.

    Shapes: (...) -> (...).   Raises RuntimeError for floats, TypeError for no tensor.
    """
    _common.require_tensor("bitwise_not", "input", input)
    if input.array.dtype.kind not in "biu":
        message = (
            "bitwise_not: expected integers or bools, got floating-point numbers; convert it with "
            ".long()"
        )
        raise RuntimeError(message)
    return BitwiseNot.apply((input,))  # type: ignore[no-any-return]


def bitwise_and_(t: Tensor, other: Any) -> Tensor:
    """t becomes t & other, as torch.Tensor.bitwise_and_."""
    return binary_(BitwiseAnd, t, other)


def bitwise_or_(t: Tensor, other: Any) -> Tensor:
    """t becomes t | other, as torch.Tensor.bitwise_or_."""
    return binary_(BitwiseOr, t, other)


def bitwise_xor_(t: Tensor, other: Any) -> Tensor:
    """t becomes t ^ other, as torch.Tensor.bitwise_xor_."""
    return binary_(BitwiseXor, t, other)


named(bitwise_and=bitwise_and_tensors, bitwise_or=bitwise_or_tensors)
named(bitwise_xor=bitwise_xor_tensors)
bitwise_not_: InPlace[[]] = in_place(bitwise_not)


def _logical(name: str, op: type[Binary], input: Any, other: Any) -> Tensor:
    _common.require_tensor(name, "input", input)
    _common.require_tensor(name, "other", other)
    truths = [to(t.detach(), _dtypes.bool_) for t in (input, other)]
    _common.broadcast_shape(name, *(t.shape for t in truths))
    return binary(op, *truths)


def logical_and(input: Tensor, other: Tensor) -> Tensor:
    """Where both are not 0, as torch.logical_and.

    Shapes: bool of their broadcast shape.   Raises TypeError for no tensors.
    """
    return _logical("logical_and", BitwiseAnd, input, other)


def logical_or(input: Tensor, other: Tensor) -> Tensor:
    """Where one of both is not 0, as torch.logical_or.

    Shapes: bool of their broadcast shape.   Raises TypeError for no tensors.
    """
    return _logical("logical_or", BitwiseOr, input, other)


def logical_xor(input: Tensor, other: Tensor) -> Tensor:
    """Where just one of both is not 0, as torch.logical_xor.

    Shapes: bool of their broadcast shape.   Raises TypeError for no tensors.
    """
    return _logical("logical_xor", BitwiseXor, input, other)


logical_and_: InPlace[...] = in_place(logical_and)
logical_or_: InPlace[...] = in_place(logical_or)
logical_xor_: InPlace[...] = in_place(logical_xor)

_PAIRS: list[list[Any]] = [
    [("int", (3, 5), -9, 9), ("int", (3, 5), -9, 9)],
    [("int", (4, 1, 3), 0, 3), ("int", (2, 1), 0, 3)],
    [("bool", (7, 33)), ("bool", (33,))],
    [("bool", (0, 3)), ("bool", (3,))],
    [("bool", ()), ("bool", (4,))],
]
_FAMILY: tuple[tuple[Any, Any], ...] = (
    (bitwise_and_tensors, lambda x, y: x & y),
    (bitwise_or_tensors, lambda x, y: x | y),
    (bitwise_xor_tensors, lambda x, y: x ^ y),
)
_TRUTHS: tuple[tuple[Any, Any], ...] = (
    (logical_and, lambda x, y: (x != 0) & (y != 0)),
    (logical_or, lambda x, y: (x != 0) | (y != 0)),
    (logical_xor, lambda x, y: (x != 0) != (y != 0)),
)
CASES = [
    *(
        OpCase(f, f.__name__, list(s), ref=ref, grad=False)
        for f, ref in (*_FAMILY, *_TRUTHS)
        for s in _PAIRS
    ),
    *(OpCase(f, f.__name__, [(3, 5), (5,)], ref=ref, grad=False) for f, ref in _TRUTHS),
    OpCase(
        bitwise_and_tensors, "bitwise_and", [("int", (9,), 0, 9), 6], ref=_FAMILY[0][1], grad=False
    ),
    *(
        OpCase(bitwise_not, "bitwise_not", [s], ref=lambda x: ~x, grad=False)
        for s in (("int", (7, 33), -9, 9), ("bool", (3, 5)), ("bool", ()))
    ),
]
ERRORS = [
    *(
        case
        for f, _ in _FAMILY
        for case in (
            ErrorCase(f, f.__name__, [(3,), (3,)], RuntimeError, "integers or bools"),
            ErrorCase(f, f.__name__, [("bool", (3,)), "a"], TypeError, "a tensor or a number"),
            ErrorCase(f, f.__name__, [("bool", (3,)), ("bool", (4,))], RuntimeError, "broadcast"),
        )
    ),
    *(
        case
        for f, _ in _TRUTHS
        for case in (
            ErrorCase(f, f.__name__, [1.0, (3,)], TypeError, "expected input as a Tensor"),
            ErrorCase(f, f.__name__, [(3,), 1.0], TypeError, "expected other as a Tensor"),
            ErrorCase(f, f.__name__, [(3,), (4,)], RuntimeError, "broadcast"),
        )
    ),
    ErrorCase(bitwise_not, "bitwise_not", [(3,)], RuntimeError, "integers or bools"),
    ErrorCase(bitwise_not, "bitwise_not", [1], TypeError, "expected input as a Tensor"),
    ErrorCase(bitwise_not, "bitwise_not", [None], TypeError, "NoneType"),
]
