# SPDX-License-Identifier: BSD-3-Clause
"""Choice between two operands by a condition: where, and masked_fill.

    out = condition ? x : y

Shapes:   condition, x, y broadcast together.
Backward: dx = condition ? g : 0,  dy = condition ? 0 : g, summed over broadcast dimensions.
Saved:    condition.
"""

from __future__ import annotations

from typing import Any, overload

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._binary_op import sum_to_graph
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops.copy import to
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def where_forward(condition: Any, x: Any, y: Any, out: Any) -> None:
    """out = condition ? x : y."""
    array_module(out).copyto(out, array_module(out).where(condition, x, y))


class Where(Op):
    """condition ? x : y on operands of one type."""

    def forward(self, condition: Any, x: Any, y: Any) -> Any:
        shape = _common.broadcast_shape("where", condition.shape, x.shape)
        shape = _common.broadcast_shape("where", shape, y.shape)
        self.shapes = (x.shape, y.shape)
        self.save(condition)
        return self.choose(condition, x, y, shape)

    def choose(self, condition: Any, x: Any, y: Any, shape: tuple[int, ...]) -> Any:
        """The kernel on operands broadcast to a shape."""
        table = self.kernels
        out = table.empty(shape, x.dtype)
        wide = [_common.broadcast_array(table, a, shape) for a in (condition, x, y)]
        table.where_forward(*wide, out)
        return out

    def backward(self, g: Any) -> tuple[Any, ...]:
        (condition,) = self.saved  # type: ignore[misc]
        table = self.kernels
        zero = _common.scalar_array(table, 0, _dtypes.from_numpy(g.dtype))
        x, y = self.shapes
        gx = gy = None
        if self.needs[1]:
            gx = _common.sum_to(table, self.choose(condition, g, zero, g.shape), x)
        if self.needs[2]:
            gy = _common.sum_to(table, self.choose(condition, zero, g, g.shape), y)
        return None, gx, gy

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (condition,) = self.saved_tensors()
        x, y = self.shapes
        gx = sum_to_graph(where(condition, g, 0.0), x) if self.needs[1] else None
        gy = sum_to_graph(where(condition, 0.0, g), y) if self.needs[2] else None
        return None, gx, gy


@overload
def where(condition: Tensor) -> tuple[Tensor, ...]: ...
@overload
def where(condition: Tensor, input: Any, other: Any) -> Tensor: ...
def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """``input`` where the condition holds, else ``other`` (tensors or numbers), as torch.where.
    With a condition alone the indices of what is not 0, a tensor for each dimension.

    Shapes: condition (...), input (...), other (...) -> their common broadcast shape, in the
    promoted type of input and other. What is not chosen gets a gradient of 0, even where it is NaN.
    Raises TypeError if the condition is no tensor or the others neither tensors nor numbers,
    RuntimeError if the condition is not of type bool or the shapes do not broadcast.
    """
    _common.require_tensor("where", "condition", condition)
    if input is None and other is None:
        from fastnn.ops.counting import nonzero  # noqa: PLC0415  (written in terms of this)

        return nonzero(condition, as_tuple=True)
    input, other = _common.as_operand("where", input), _common.as_operand("where", other)
    if condition.array.dtype.kind != "b":
        message = f"where: expected a condition of type bool, got {condition.dtype}; use .bool()"
        raise RuntimeError(message)
    table = _common.table_of(condition, input, other, op="where")
    dtype = _common.result_type(input, other)
    pair = [
        to(v, dtype)
        if isinstance(v, Tensor)
        else Tensor._wrap(_common.scalar_array(table, v, dtype, op="where"))
        for v in (input, other)
    ]
    return Where.apply((condition, *pair))


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``value`` (a number or a 0-d tensor) where the mask holds, as torch.Tensor.masked_fill.

    Shapes: input (...), mask (...) of bool -> their common broadcast shape, in input's type.
    Raises RuntimeError for a mask of another type, a value with dimensions or of a higher kind.
    """
    name = "masked_fill"
    _common.require_tensor(name, "input", input)
    _common.require_tensor(name, "mask", mask)
    value = _common.as_operand(name, value)
    if mask.array.dtype.kind != "b":
        message = f"masked_fill: expected a mask of type bool, got {mask.dtype}; use .bool()"
        raise RuntimeError(message)
    dtype = _dtypes.from_numpy(input.array.dtype)
    if not isinstance(value, Tensor):
        if dtype.category == 1 and value % 1 != 0:
            message = (
                f"masked_fill: expected a whole number for {dtype}, got {value}; convert input "
                "with .float()"
            )
            raise RuntimeError(message)
        value = Tensor._wrap(_common.scalar_array(_common.table_of(input), value, dtype, op=name))
    if value.ndim:
        message = (
            f"masked_fill: expected value as a number or 0-d tensor, got {value.shape}; where() "
            "takes a tensor of values"
        )
        raise RuntimeError(message)
    if value.dtype.category > dtype.category:
        message = (
            f"masked_fill: expected a value that {dtype} holds, got {value.dtype}; convert input "
            "with .float()"
        )
        raise RuntimeError(message)
    _common.table_of(input, mask, value, op=name)
    _common.broadcast_shape(name, input.shape, mask.shape)
    return Where.apply((mask, value.to(dtype), input))  # type: ignore[no-any-return]


masked_fill_: InPlace[...] = in_place(masked_fill)


def _plain(c: Any, x: Any, y: Any) -> Any:
    return array_module(c).where(c, x, y)


def _plain_fill(x: Any, mask: Any, value: Any) -> Any:
    return array_module(x).where(mask, x.dtype.type(value), x)


CASES = [
    OpCase(where, "where", [("bool", (3, 5)), (3, 5), (3, 5)], ref=_plain),
    OpCase(where, "where", [("bool", (3, 1)), (5,), (2, 1, 1)], ref=_plain),
    OpCase(where, "where", [("bool", ()), (), (4,)], ref=_plain),
    OpCase(where, "where", [("bool", (0, 3)), (3,), (1,)], ref=_plain),
    *(
        OpCase(masked_fill, "masked_fill", [(3, 4), ("bool", mask), value], ref=_plain_fill)
        for mask, value in (((3, 4), -1.5), ((4,), ()))
    ),
]
_MASK = ("bool", (3,))
_NO_FILL: list[tuple[list[Any], type[Exception], str]] = [
    ([(3,), (3,), 1.0], RuntimeError, "a mask of type bool"),
    ([(3,), _MASK, (3,)], RuntimeError, "0-d tensor"),
    ([(3,), ("bool", (4,)), 1.0], RuntimeError, "shapes that broadcast"),
    ([(3,), _MASK, "a"], TypeError, "a tensor or a number"),
    ([("int", (3,), 0, 9), _MASK, 0.5], RuntimeError, "a whole number for fastnn.int64, got 0.5"),
    ([("int", (3,), 0, 9), _MASK, float("inf")], RuntimeError, "a whole number"),
    ([("int", (3,), 0, 9), _MASK, float("nan")], RuntimeError, "a whole number"),
    ([("int", (3,), 0, 9), _MASK, 2**70], RuntimeError, "masked_fill: expected a number that fits"),
    ([("int", (3,), 0, 9), _MASK, ()], RuntimeError, "a value that fastnn.int64 holds"),
]
ERRORS = [
    *(ErrorCase(masked_fill, "masked_fill", *bad) for bad in _NO_FILL),
    ErrorCase(where, "where", [(3,), (3,), (3,)], RuntimeError, "condition of type bool"),
    ErrorCase(where, "where", [True, (3,), (3,)], TypeError, "expected condition as a Tensor"),
    ErrorCase(where, "where", [("bool", (3,)), (4,), (3,)], RuntimeError, "shapes that broadcast"),
    ErrorCase(where, "where", [("bool", (3,)), (3,)], TypeError, "got NoneType"),
    ErrorCase(where, "where", [("bool", (3,)), "a", (3,)], TypeError, "a tensor or a number"),
]
