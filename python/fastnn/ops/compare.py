# SPDX-License-Identifier: BSD-3-Clause
"""Comparisons: eq, ne, lt, le, gt, ge, elementwise with broadcasting and torch's type promotion.

Shapes:   x (...), y (...) -> bool of their common broadcast shape.      Backward: none.
Comparisons with NaN are false, except ne, which is true; 0 and -0 are equal (IEEE 754).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import _backend, _dtypes
from fastnn._backend import array_module, reference
from fastnn.ops import _common
from fastnn.ops._common import named
from fastnn.ops._in_place import InPlace, check_in_place
from fastnn.ops.copy import copy_, to
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

if TYPE_CHECKING:
    from collections.abc import Callable


def _compare(kernel: str, a: Any, b: Any) -> Tensor:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        out = getattr(_backend.kernels(a.array).fast, kernel)(a.array, b.array)
        if out is not NotImplemented:
            return Tensor._wrap(out)
    _common.require_tensor(kernel, "input", a)
    b = _common.as_operand(kernel, b)
    table = _common.table_of(a, b, op=kernel)
    dtype = _common.result_type(a, b)
    x = to(a.detach(), dtype).array
    y = (
        to(b.detach(), dtype).array
        if isinstance(b, Tensor)
        else _common.scalar_array(table, b, dtype, wrap=True, op=kernel)
    )
    shape = _common.broadcast_shape(kernel, x.shape, y.shape)
    out = table.empty(shape, _dtypes.bool_.numpy)
    wide = (_common.broadcast_array(table, x, shape), _common.broadcast_array(table, y, shape))
    getattr(table, kernel)(*wide, out)
    return Tensor._wrap(out)


@reference
def eq(x: Any, y: Any, out: Any) -> None:
    """out = x == y."""
    array_module(x).equal(x, y, out=out)


@reference
def ne(x: Any, y: Any, out: Any) -> None:
    """out = x != y."""
    array_module(x).not_equal(x, y, out=out)


@reference
def lt(x: Any, y: Any, out: Any) -> None:
    """out = x < y."""
    array_module(x).less(x, y, out=out)


@reference
def le(x: Any, y: Any, out: Any) -> None:
    """out = x <= y."""
    array_module(x).less_equal(x, y, out=out)


@reference
def gt(x: Any, y: Any, out: Any) -> None:
    """out = x > y."""
    array_module(x).greater(x, y, out=out)


@reference
def ge(x: Any, y: Any, out: Any) -> None:
    """out = x >= y."""
    array_module(x).greater_equal(x, y, out=out)


def eq_tensors(input: Tensor, other: Any) -> Tensor:
    """input == other elementwise, as torch.eq; false where either is NaN.

    Shapes: input (...), other (...) or a number -> bool of their broadcast shape.   Raises
    TypeError unless input is a tensor and other a tensor or a number, RuntimeError for shapes that
    do not broadcast or a number of more than 64 bits beside integers.
    """
    return _compare("eq", input, other)


def ne_tensors(input: Tensor, other: Any) -> Tensor:
    """input != other elementwise, as torch.ne; true where either is NaN.

    Shapes: input (...), other (...) or a number -> bool of their broadcast shape.   Raises
    TypeError unless input is a tensor and other a tensor or a number, RuntimeError for shapes that
    do not broadcast or a number of more than 64 bits beside integers.
    """
    return _compare("ne", input, other)


def lt_tensors(input: Tensor, other: Any) -> Tensor:
    """input < other elementwise, as torch.lt; false where either is NaN.

    Shapes: input (...), other (...) or a number -> bool of their broadcast shape.   Raises
    TypeError unless input is a tensor and other a tensor or a number, RuntimeError for shapes that
    do not broadcast or a number of more than 64 bits beside integers.
    """
    return _compare("lt", input, other)


def le_tensors(input: Tensor, other: Any) -> Tensor:
    """input <= other elementwise, as torch.le; false where either is NaN.

    Shapes: input (...), other (...) or a number -> bool of their broadcast shape.   Raises
    TypeError unless input is a tensor and other a tensor or a number, RuntimeError for shapes that
    do not broadcast or a number of more than 64 bits beside integers.
    """
    return _compare("le", input, other)


def gt_tensors(input: Tensor, other: Any) -> Tensor:
    """input > other elementwise, as torch.gt; false where either is NaN.

    Shapes: input (...), other (...) or a number -> bool of their broadcast shape.   Raises
    TypeError unless input is a tensor and other a tensor or a number, RuntimeError for shapes that
    do not broadcast or a number of more than 64 bits beside integers.
    """
    return _compare("gt", input, other)


def ge_tensors(input: Tensor, other: Any) -> Tensor:
    """input >= other elementwise, as torch.ge; false where either is NaN.

    Shapes: input (...), other (...) or a number -> bool of their broadcast shape.   Raises
    TypeError unless input is a tensor and other a tensor or a number, RuntimeError for shapes that
    do not broadcast or a number of more than 64 bits beside integers.
    """
    return _compare("ge", input, other)


named(eq=eq_tensors, ne=ne_tensors, lt=lt_tensors, le=le_tensors, gt=gt_tensors, ge=ge_tensors)


def _in_place(function: Callable[[Tensor, Any], Tensor]) -> InPlace[[Any]]:
    """The form that writes 1 and 0 into its first argument, whose gradient from then on is 0."""
    name = function.__name__ + "_"

    def change(input: Tensor, other: Any) -> Tensor:
        check_in_place(name, input, other)
        out = function(input, other)
        if out.shape != input.shape:
            message = (
                f"{name}: expected a result of shape {input.shape}, got {out.shape}; the operation "
                "without _ makes a new tensor"
            )
            raise RuntimeError(message)
        return copy_(input, out)

    change.__name__ = change.__qualname__ = name
    change.__doc__ = f"""`{function.__name__}` in place, 1 and 0 of the tensor's own type, as
    torch.Tensor.{name}.

    Raises what `{function.__name__}` does, and RuntimeError where the tensor cannot be changed.
    """
    return change


eq_: InPlace[[Any]] = _in_place(eq_tensors)
ne_: InPlace[[Any]] = _in_place(ne_tensors)
lt_: InPlace[[Any]] = _in_place(lt_tensors)
le_: InPlace[[Any]] = _in_place(le_tensors)
gt_: InPlace[[Any]] = _in_place(gt_tensors)
ge_: InPlace[[Any]] = _in_place(ge_tensors)

_FAMILY = (
    (eq_tensors, "eq", lambda x, y: x == y),
    (ne_tensors, "ne", lambda x, y: x != y),
    (lt_tensors, "lt", lambda x, y: x < y),
    (le_tensors, "le", lambda x, y: x <= y),
    (gt_tensors, "gt", lambda x, y: x > y),
    (ge_tensors, "ge", lambda x, y: x >= y),
)
CASES = [
    OpCase(f, name, list(s), ref=ref, grad=False)
    for f, name, ref in _FAMILY
    for s in (
        ((3, 5), (3, 5)),
        ((3, 1), (5,)),
        ((4,), 0.5),
        (("int", (40,), 0, 3), ("int", (40,), 0, 3)),
        (("bool", (9,)), ("bool", (9,))),
        ((), ()),
        ((0, 3), (3,)),
    )
]
ERRORS = [
    case
    for f, name, _ in _FAMILY
    for case in (
        ErrorCase(f, name, [(3,), (4,)], RuntimeError, "shapes that broadcast"),
        ErrorCase(f, name, [(3,), None], TypeError, "a tensor or a number"),
        ErrorCase(f, name, [1.0, (3,)], TypeError, "expected input as a Tensor"),
    )
]
