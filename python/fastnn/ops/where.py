# SPDX-License-Identifier: BSD-3-Clause
"""Choice between two operands by a condition.

    out = condition ? x : y

Shapes:   condition, x, y broadcast together.
Backward: dx = condition ? g : 0,  dy = condition ? 0 : g, summed over broadcast dimensions.
Saved:    condition.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._binary_op import sum_to_graph
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


def where(condition: Tensor, input: Any, other: Any) -> Tensor:
    """``input`` where the condition holds, else ``other`` (tensors or numbers), as torch.where.

    Shapes: condition (...), input (...), other (...) -> their common broadcast shape, in the
    promoted type of input and other. What is not chosen gets a gradient of 0, even where it is NaN.
    Raises TypeError if the condition is no tensor or the others neither tensors nor numbers,
    RuntimeError if the condition is not of type bool or the shapes do not broadcast.
    """
    _common.require_tensor("where", "condition", condition)
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
    return Where.apply((condition, *pair))  # type: ignore[no-any-return]


def _plain(c: Any, x: Any, y: Any) -> Any:
    return array_module(c).where(c, x, y)


CASES = [
    OpCase(where, "where", [("bool", (3, 5)), (3, 5), (3, 5)], ref=_plain),
    OpCase(where, "where", [("bool", (3, 1)), (5,), (2, 1, 1)], ref=_plain),
    OpCase(where, "where", [("bool", ()), (), (4,)], ref=_plain),
    OpCase(where, "where", [("bool", (0, 3)), (3,), (1,)], ref=_plain),
]
ERRORS = [
    ErrorCase(where, "where", [(3,), (3,), (3,)], RuntimeError, "condition of type bool"),
    ErrorCase(where, "where", [True, (3,), (3,)], TypeError, "expected condition as a Tensor"),
    ErrorCase(where, "where", [("bool", (3,)), (4,), (3,)], RuntimeError, "shapes that broadcast"),
    ErrorCase(where, "where", [("bool", (3,)), "a", (3,)], TypeError, "a tensor or a number"),
]
