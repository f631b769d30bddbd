# SPDX-License-Identifier: BSD-3-Clause
"""Assignment to a place in a tensor: ``t[index] = value``, with gradients through both.

Shapes:   t (...), value broadcast to the shape of t[index].
Backward: dt = g with zeros at the index;  dvalue = g[index], summed over the broadcast dimensions.
"""

from __future__ import annotations

from typing import Any

from fastnn import _backend
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._binary_op import sum_to_graph
from fastnn.ops._in_place import check_in_place, store_result
from fastnn.ops._index_expression import basic_index, unsupported
from fastnn.ops.copy import clone, copy_, fill_, to
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


class IndexPut(Op):
    """A copy of the first input with the second written at a basic index."""

    def forward(self, x: Any, value: Any, index: Any) -> Any:
        table = self.kernels
        self.index, self.shape = index, value.shape
        out = table.empty(x.shape, x.dtype)
        table.copy(x, out)
        place = out[index]
        table.copy(_common.broadcast_array(table, value, place.shape), place)
        return out

    def backward(self, g: Any) -> tuple[Any, ...]:
        table = self.kernels
        gx = gv = None
        if self.needs[0]:
            gx = table.empty(g.shape, g.dtype)
            table.copy(g, gx)
            table.fill(table.xp.zeros(1, g.dtype), gx[self.index])
        if self.needs[1]:
            gv = _common.sum_to(table, _common.contiguous_array(table, g[self.index]), self.shape)
        return gx, gv

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        gx = gv = None
        if self.needs[0]:
            gx = IndexPut.apply(
                (g, to(Tensor._wrap(g.array[self.index]) * 0.0, g.dtype)), self.index
            )
        if self.needs[1]:
            gv = sum_to_graph(g[self.index], self.shape)
        return gx, gv


def _without_leading_ones(value: Tensor, ndim: int) -> Tensor:
    extra = value.ndim - ndim
    if extra > 0 and all(n == 1 for n in value.shape[:extra]):
        return value.reshape(value.shape[extra:])
    return value


def setitem(t: Tensor, index: Any, value: Any) -> None:
    """``t[index] = value`` for a basic index, with gradients through both."""
    basic = basic_index(index, t.ndim, t.shape)
    if basic is None:
        raise unsupported(index, assigning=True)
    value = _common.as_operand("index assignment", value)
    recording = check_in_place("index assignment", t, value)
    try:
        place = Tensor._view_of(t, t.array[basic])
    except IndexError:
        message = f"index assignment: {index!r} is out of range for shape {t.shape}"
        raise IndexError(message) from None
    if not recording:
        if isinstance(value, Tensor):
            copy_(place, _without_leading_ones(value, place.ndim))
        else:
            fill_(place, value)
        return
    table = _backend.kernels(t.array)
    if not isinstance(value, Tensor):
        value = Tensor._wrap(_common.scalar_array(table, value, t.dtype))
    value = _without_leading_ones(value, place.ndim)
    if _common.broadcast_shape("index assignment", place.shape, value.shape) != place.shape:
        message = f"index assignment: expected a value that fits {place.shape}, got {value.shape}"
        raise RuntimeError(message)
    out = IndexPut.apply((clone(t), to(value, t.dtype)), basic)
    store_result("index assignment", t, out)


def assigned(x: Tensor, index: Any, value: Any) -> Tensor:
    """A copy of x with ``x[index] = value``, for the case table."""
    out = clone(x)
    out[index] = value
    return out


def _plain(x: Any, index: Any, value: Any) -> Any:
    out = x.copy()
    out[index] = value
    return out


CASES = [
    OpCase(assigned, "__setitem__", [s, i, v], ref=_plain)
    for s, i, v in (
        ((4, 3), 1, (3,)),
        ((4, 3), -1, 2.5),
        ((4, 3), (Ellipsis, 0), ()),
        ((4, 3, 5), slice(1, None), (3, 1)),
        ((0, 3), slice(None), (3,)),
        ((3,), Ellipsis, (3,)),
    )
]
ERRORS = [
    ErrorCase(assigned, "__setitem__", [(4, 3), 4, 0.0], IndexError, "out of range for shape"),
    ErrorCase(assigned, "__setitem__", [(4, 3), 0, (4,)], RuntimeError, "expected"),
    ErrorCase(assigned, "__setitem__", [(4, 3), 0, "a"], TypeError, "a tensor or a number"),
    ErrorCase(assigned, "__setitem__", [(4, 3), "a", 0.0], TypeError, "expected ints, slices"),
]
