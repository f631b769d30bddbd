# SPDX-License-Identifier: BSD-3-Clause
"""Whether tensors agree: isclose, allclose, equal; and which elements are among others: isin.

    isclose: x = y or |x - y| <= atol + rtol |y|, the difference being finite

Shapes:   isclose: x (...), y (...) -> bool of their broadcast shape;  isin: x (...) -> bool (...);
          allclose, equal -> bool, of Python.      Backward: none.
"""

from __future__ import annotations

import builtins
from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.ops import _common
from fastnn.ops._elementwise import number
from fastnn.ops.bitwise import bitwise_and_tensors, bitwise_not, bitwise_or_tensors
from fastnn.ops.compare import eq_tensors, le_tensors
from fastnn.ops.copy import to
from fastnn.ops.finite import isfinite, isnan
from fastnn.ops.rounding import abs
from fastnn.ops.truth import all
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def isin(x: Any, among: Any, out: Any) -> None:
    """out = whether x is one of the elements of ``among``."""
    xp = array_module(out)
    xp.copyto(out, xp.isin(x, among))


def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """Where |input - other| <= atol + rtol |other|, or both are equal, as torch.isclose.

    equal_nan: whether NaN is close to NaN. Shapes: their broadcast shape, of bool.   Raises
    TypeError for no tensors, RuntimeError for two types, negative tolerances and shapes that do not
    broadcast.
    """
    return _close("isclose", input, other, rtol, atol, equal_nan)


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> builtins.bool:
    """Whether `isclose` holds for all elements, as torch.allclose."""
    return builtins.bool(all(_close("allclose", input, other, rtol, atol, equal_nan)).item())


def _close(
    name: str, input: Tensor, other: Tensor, rtol: Any, atol: Any, equal_nan: builtins.bool
) -> Tensor:
    _common.require_tensor(name, "input", input)
    _common.require_tensor(name, "other", other)
    relative, absolute = number(name, "rtol", rtol), number(name, "atol", atol)
    if input.dtype is not other.dtype:
        message = (
            f"{name}: expected tensors of one type, got {input.dtype} and {other.dtype}; convert "
            "one with .to(...)"
        )
        raise RuntimeError(message)
    if not (relative >= 0.0 and absolute >= 0.0):
        message = (
            f"{name}: expected tolerances of at least 0, got rtol={rtol} and atol={atol}; 0 asks "
            "for equality"
        )
        raise RuntimeError(message)
    _common.table_of(input, other, op=name)
    _common.broadcast_shape(name, input.shape, other.shape)
    x, y = input.detach(), other.detach()
    close = eq_tensors(x, y)
    if equal_nan and x.dtype.category == 2:
        close = bitwise_or_tensors(close, bitwise_and_tensors(isnan(x), isnan(y)))
    if relative == 0.0 and absolute == 0.0:
        return close
    if x.dtype.category < 2:
        x, y = (to(t, _dtypes.get_default_dtype()) for t in (x, y))
    difference = abs(x - y)
    near = le_tensors(difference, abs(y * relative) + absolute)
    return bitwise_or_tensors(close, bitwise_and_tensors(isfinite(difference), near))


def equal(input: Tensor, other: Tensor) -> builtins.bool:
    """Whether two tensors have one shape and the same elements, as torch.equal; NaN equals nothing.

    Raises TypeError for no tensors.
    """
    _common.require_tensor("equal", "input", input)
    _common.require_tensor("equal", "other", other)
    _common.table_of(input, other, op="equal")
    return input.shape == other.shape and builtins.bool(all(eq_tensors(input, other)).item())


def isin_tensors(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Which elements are among test_elements (each a tensor or a number), as torch.isin.

    invert: which are not. assume_unique changes nothing here. Shapes: elements (...), test_elements
    (...) -> bool of the shape of elements.   Raises TypeError for other operands and two numbers,
    RuntimeError for bools.
    """
    del assume_unique
    elements = _common.as_operand("isin", elements)
    test_elements = _common.as_operand("isin", test_elements)
    if not isinstance(elements, Tensor) and not isinstance(test_elements, Tensor):
        message = "isin: expected at least one tensor, got two numbers; compare them with =="
        raise TypeError(message)
    for v in (elements, test_elements):
        if _common.result_type(v).category == 0:
            message = "isin: expected numbers, got bools; convert them with .to(fastnn.uint8)"
            raise RuntimeError(message)
    dtype = _common.result_type(elements, test_elements)
    table = _common.table_of(elements, test_elements, op="isin")
    x, among = (
        to(v.detach(), dtype).array
        if isinstance(v, Tensor)
        else _common.scalar_array(table, v, dtype, wrap=True, op="isin")
        for v in (elements, test_elements)
    )
    out = table.empty(x.shape, _dtypes.bool_.numpy)
    table.isin(_common.contiguous_array(table, x), _common.contiguous_array(table, among), out)
    found = Tensor._wrap(out)
    return bitwise_not(found) if invert else found


_common.named(isin=isin_tensors)


def _plain(x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8) -> Any:
    return array_module(x).isclose(x, y, rtol, atol)


def _as_tensor(function: Any) -> Any:
    """A function that gives Python's bool, as one that gives a tensor, for the case table."""

    def call(input: Tensor, other: Tensor, **options: Any) -> Tensor:
        return Tensor._wrap(_common.table_of(input).xp.asarray(function(input, other, **options)))

    return call


_LOOSE = {"rtol": 0.5, "atol": 0.1}
_INT = ("int", (3, 5), 0, 3)
CASES = [
    OpCase(isclose, "isclose", [(3, 5), (5,)], _LOOSE, _plain, grad=False),
    OpCase(isclose, "isclose", [(0, 4), (4,)], {"rtol": 0, "atol": 0}, _plain, grad=False),
    OpCase(isclose, "isclose", [_INT, _INT], {"atol": 1}, _plain, grad=False),
    OpCase(isclose, "isclose", [("bool", (7,)), ("bool", ())], ref=_plain, grad=False),
    OpCase(_as_tensor(equal), "equal", [_INT, _INT], ref=lambda x, y: (x == y).all(), grad=False),
    OpCase(_as_tensor(equal), "equal", [(0, 4), (0, 4)], ref=lambda _x, _y: True, grad=False),
    OpCase(
        _as_tensor(allclose),
        "allclose",
        [(3, 5), (5,)],
        {"rtol": 9.0, "atol": 9.0},
        lambda _x, _y, **_: True,
        grad=False,
    ),
    OpCase(
        isin_tensors,
        "isin",
        [_INT, ("int", (2,), 0, 3)],
        ref=lambda x, y: (x == y[0]) | (x == y[1]),
        grad=False,
    ),
    OpCase(isin_tensors, "isin", [_INT, 1], {"invert": True}, lambda x, y, **_: x != y, grad=False),
    OpCase(isin_tensors, "isin", [(0, 4), ()], ref=lambda x, y: x == y, grad=False),
]
_BAD: list[tuple[list[Any], type[Exception], str, dict[str, Any]]] = [
    ([(3,), (4,)], RuntimeError, "shapes that broadcast", {}),
    ([(3,), ("int", (3,), 0, 9)], RuntimeError, "tensors of one type", {}),
    ([(3,), (3,)], RuntimeError, "tolerances of at least 0", {"rtol": -1.0}),
    ([(3,), (3,)], TypeError, "atol as a number", {"atol": "a"}),
    ([1.0, (3,)], TypeError, "expected input as a Tensor", {}),
]
ERRORS = [
    *(
        ErrorCase(f, f.__name__, shapes, error, text, kwargs)
        for f in (isclose, allclose)
        for shapes, error, text, kwargs in _BAD
    ),
    ErrorCase(equal, "equal", [(3,), 1.0], TypeError, "expected other as a Tensor"),
    ErrorCase(equal, "equal", [1.0, (3,)], TypeError, "expected input as a Tensor"),
    ErrorCase(equal, "equal", [None, (3,)], TypeError, "NoneType"),
    ErrorCase(isin_tensors, "isin", [(3,), "a"], TypeError, "a tensor or a number"),
    ErrorCase(isin_tensors, "isin", [1, 2], TypeError, "got two numbers"),
    ErrorCase(isin_tensors, "isin", [("bool", (3,)), 1], RuntimeError, "got bools"),
]
