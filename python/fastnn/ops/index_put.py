# SPDX-License-Identifier: BSD-3-Clause
"""Assignment to places in a tensor: ``t[index] = value``, with gradients through both.

Shapes:   t (...), value broadcast to the shape of t[index].
Backward: dt = g with zeros at the index;  dvalue = g[index], summed over the broadcast dimensions.
          A place that is named twice keeps the last value; both values get its gradient, as in
          torch.
"""

from __future__ import annotations

from typing import Any

from fastnn import _backend
from fastnn._backend import array_module, reference
from fastnn._view_history import check_view
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._binary_op import sum_to_graph
from fastnn.ops._in_place import check_history, check_memory, overwrite, take_over
from fastnn.ops._index_expression import Picks, basic_index, out_of_range, outside, picks
from fastnn.ops._index_parts import has_byte_mask
from fastnn.ops._refusal import refusal
from fastnn.ops.copy import clone, copy_, fill_, to
from fastnn.ops.index import BasicIndex, picked
from fastnn.ops.rows import taken
from fastnn.ops.view import expand
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def put_rows(y: Any, index: Any, x: Any) -> None:
    """x[o, index[k], :] = y[o, k, :] in the order of k; index in [-n, n)."""
    n = x.shape[1]
    if index.size and (int(index.min()) < -n or int(index.max()) >= n):
        message = "put_rows: an index is out of range"
        raise IndexError(message)
    for k in range(index.size if y.size else 0):
        x[:, int(index[k])] = y[:, k]


@reference
def linear_index(index: Any, out: Any, sizes: Any) -> None:
    """out[k] = ((i_0 s_1 + i_1) s_2 + i_2) ..., with i_d = index[d, k] in [-s_d, s_d)."""
    out[...] = 0
    for i, n in zip(index, sizes, strict=True):
        if i.size and (int(i.min()) < -n or int(i.max()) >= n):
            message = "linear_index: an index is out of range"
            raise IndexError(message)
        out[...] = out * n + array_module(index).where(i < 0, i + n, i)


class IndexPut(Op):
    """A copy of the first input with the second written at an index, basic or advanced."""

    def forward(self, x: Any, value: Any, index: Any) -> Any:
        table = self.kernels
        self.index, self.shape = index, value.shape
        out = table.empty(x.shape, x.dtype)
        table.copy(x, out)
        put(table, out, index, value)
        return out

    def backward(self, g: Any) -> tuple[Any, ...]:
        table = self.kernels
        gx = gv = None
        if self.needs[0]:
            gx = table.empty(g.shape, g.dtype)
            table.copy(g, gx)
            put(table, gx, self.index, table.xp.zeros((), g.dtype))
        if self.needs[1]:
            gv = _common.sum_to(table, self.at(g), self.shape)
        return gx, gv

    def at(self, g: Any) -> Any:
        """g at the index, contiguous."""
        table, index = self.kernels, self.index
        if not isinstance(index, Picks):
            return _common.contiguous_array(table, g[index])
        rows = _common.reshaped(table, index.place(g), index.three(index.merged))
        if index.kept is not None:
            return index.kept.take(table, rows).reshape(index.shape)
        return taken(table, rows, index.numbers.array, 1, True).reshape(index.shape)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        gx = gv = None
        if self.needs[0]:
            zero = Tensor._wrap(self.kernels.xp.zeros((), g.array.dtype))
            gx = IndexPut.apply((g, zero), self.index)
        if self.needs[1]:
            at = picked(g, self.index) if isinstance(self.index, Picks) else g[self.index]
            gv = sum_to_graph(at, self.shape)
        return gx, gv


def put(table: Any, x: Any, index: Any, value: Any) -> None:
    """Writes an array, broadcast, at an index of another."""
    if not isinstance(index, Picks):
        place = x[index]
        table.copy(_common.broadcast_array(table, value, place.shape), place)
        return
    place = index.place(x)
    kept = index.kept
    if kept is not None and value.size == 1:
        mask = kept.mask.reshape(*kept.shape, *(1,) * len(index.rest))
        mask = _common.broadcast_array(table, mask, place.shape)
        one = _common.broadcast_array(table, value.reshape(()), place.shape)
        table.where_forward(mask, one, place, place)
        return
    rows = _common.contiguous_array(table, place)
    wide = _common.broadcast_array(table, value, index.shape)
    if kept is not None:
        y = _common.reshaped(table, wide, index.three(kept.count))
        kept.put(table, y, rows.reshape(index.three(index.merged)))
    else:
        numbers = _common.contiguous_array(table, index.numbers.array)
        y = _common.reshaped(table, wide, index.three(numbers.size))
        table.put_rows(y, numbers, rows.reshape(index.three(index.merged)))
    if rows is not place:
        table.copy(rows, place)


def _without_leading_ones(value: Tensor, ndim: int) -> Tensor:
    extra = value.ndim - ndim
    ones = extra > 0 and all(n == 1 for n in value.shape[:extra])
    return value.reshape(value.shape[extra:]) if ones else value


def setitem(t: Tensor, index: Any, value: Any) -> None:
    """``t[index] = value`` for any index of ``t[index]``, with gradients through both.

    Raises IndexError for places that are not there, RuntimeError for a value that does not fit,
    TypeError for other indices and values.
    """
    name = "index assignment"
    basic = basic_index(index, t.ndim, t.shape)
    value = _common.as_operand(name, value)
    _common.require_tensor(name, "the tensor to change", t)
    recording = check_history(name, t, (value,))
    if basic is None:
        check_memory(name, t, t)
        p = picks(index, t, name)
        one = not isinstance(value, Tensor) or value.numel() == 1
        if one and p.kept is not None and has_byte_mask(index):
            text = "a mask of bool to set what it picks to one value"
            raise refusal(RuntimeError, name, text, "uint8", "convert it with .bool()")
        # A mask alone with one value converts, as masked_fill; True is no index of elements.
        converts = (one and p.kept is not None) or isinstance(index, bool)
        _require_type(name, value, t, converts)
        _put_picks(t, p, value, recording)
        return
    try:
        place = BasicIndex.apply((t,), basic) if recording else Tensor._sharing(t, t.array[basic])
    except IndexError:
        raise outside(t.shape, index, name) from None
    check_memory(name, place, t)
    if recording:
        _overwrite(place, value)
    elif isinstance(value, Tensor):
        copy_(place, _spread(value, place.shape))
    else:
        fill_(place, value)


def _require_type(name: str, value: Any, t: Tensor, converts: bool) -> None:
    if converts or not isinstance(value, Tensor) or value.array.dtype == t.array.dtype:
        return
    text = f"values of {t.dtype}, as the tensor, for an index of elements"
    raise refusal(RuntimeError, name, text, value.dtype, f"convert them with .to({t.dtype})")


def _fitted(t: Tensor, value: Any, shape: tuple[int, ...]) -> Tensor:
    """A value as a tensor of t's type that broadcasts to a shape."""
    name = "index assignment"
    if not isinstance(value, Tensor):
        table = _backend.kernels(t.array)
        value = Tensor._wrap(_common.scalar_array(table, value, t.dtype, op=name))
    return to(_spread(value, shape), t.dtype)


def _spread(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A value without the leading dimensions of size 1 that a shape to broadcast to has not."""
    name = "index assignment"
    value = _without_leading_ones(value, len(shape))
    if _common.broadcast_shape(name, shape, value.shape) != shape:
        message = (
            f"{name}: expected a value that fits {shape}, got {value.shape}; reshape() it, sizes "
            "of 1 are repeated"
        )
        raise RuntimeError(message)
    return value


def _overwrite(place: Tensor, value: Any) -> None:
    same = isinstance(value, Tensor) and value.storage is place.storage
    if same and _is_same_memory(value.array, place.array):
        place._bump_version()  # what `x[i] += y` ends with: the sum is in its place already
        return
    value = _fitted(place, value, place.shape)
    overwrite(place, value if value.shape == place.shape else expand(value, place.shape))


def _is_same_memory(a: Any, b: Any) -> bool:
    same = a.shape == b.shape and a.strides == b.strides and a.dtype == b.dtype
    return same and bool(_address(a) == _address(b))


def _address(array: Any) -> Any:
    return array.__array_interface__["data"] if hasattr(array, "ctypes") else array.data.ptr


def _record(t: Tensor, index: Picks, value: Tensor, table: Any) -> None:
    check_view(IndexPut.name, value)
    node = IndexPut()
    node.kernels, node.needs = table, (t._requires_grad, value._requires_grad)
    node.index, node.shape = index, value.shape
    array = value.array
    if table.xp.may_share_memory(array, t.array):
        array = clone(value.detach()).array
    put(table, t.array, index, array)
    t._bump_version()
    out = Tensor._wrap(t.array)
    node.record((t, value), (out,))
    take_over(t, out)


def _put_picks(t: Tensor, p: Picks, value: Any, recording: bool) -> None:
    name = "index assignment"
    value = _fitted(t, value, p.shape)
    table = _common.table_of(t, value, op=name)
    try:
        where = p.numbers.array if p.kept is None else p.kept.mask
        if recording or table.xp.may_share_memory(where, t.array):
            # Looked at while t changes, or again by backward: the user's own may have changed then.
            p.numbers = None if p.numbers is None else clone(p.numbers)
            p.kept = None if p.kept is None else p.kept.own(table)
        if recording:
            _record(t, p, value, table)
            return
        array = value.array
        if table.xp.may_share_memory(array, t.array):
            array = clone(value.detach()).array
        put(table, t.array, p, array)
    except IndexError:
        n, numbers = p.merged, [] if p.numbers is None else p.numbers.tolist()
        bad = next(i for i in numbers if not -n <= i < n)
        raise out_of_range(bad, n, name) from None
    t._bump_version()


def assigned(x: Tensor, index: Any, value: Any) -> Tensor:
    """A copy of x with ``x[index] = value``, for the case table."""
    out = clone(x)
    out[index] = value
    return out


def _plain(x: Any, index: Any, value: Any) -> Any:
    out = x.copy()
    out[index] = value
    return out


_MASK = [True, False, True, False]
CASES = [
    OpCase(assigned, "__setitem__", [s, i, v], ref=_plain)
    for s, i, v in (
        ((4, 3), 1, (3,)),
        ((4, 3), -1, 2.5),
        ((4, 3), (Ellipsis, 0), ()),
        ((4, 3, 5), slice(1, None), (3, 1)),
        ((0, 3), slice(None), (3,)),
        ((3,), Ellipsis, (3,)),
        ((4, 3), [2, -4], (2, 3)),
        ((4, 3), ([2, -4], [0, 1]), (2,)),
        ((4, 3, 5), (slice(None), [2, 0]), (5,)),
        ((4, 3, 5), ([3, 0], slice(1, None), [0, -1]), (2, 1)),
        ((4, 3), _MASK, 1.5),
        ((4, 3), (slice(None), [True, False, True]), (4, 2)),
        ((4, 3, 2), (Ellipsis, [1, 0]), ()),
        ((4, 3), ("bool", (4, 3)), -1.0),
        ((4, 3), [], (3,)),
    )
]
ERRORS = [
    ErrorCase(
        assigned, "__setitem__", [(4, 3), 4, 0.0], IndexError, "expected indices within shape"
    ),
    ErrorCase(
        assigned, "__setitem__", [(4, 3), 0, (4,)], RuntimeError, "index assignment: expected"
    ),
    ErrorCase(assigned, "__setitem__", [(4, 3), 0, (2, 3)], RuntimeError, "a value that fits (3,)"),
    ErrorCase(assigned, "__setitem__", [(4, 3), 0, "a"], TypeError, "a tensor or a number"),
    ErrorCase(assigned, "__setitem__", [(4, 3), "a", 0.0], TypeError, "expected ints, slices"),
    ErrorCase(assigned, "__setitem__", [(4, 3), [4], 0.0], IndexError, "in [-4, 3], got 4"),
    ErrorCase(assigned, "__setitem__", [(4, 3), [0, 1], (3, 3)], RuntimeError, "that broadcast"),
    ErrorCase(assigned, "__setitem__", [(3,), [0], ("cells", [1])], RuntimeError, "values of"),
]
