# SPDX-License-Identifier: BSD-3-Clause
"""Indexing: basic (numbers, slices, None, ...) as views, and index_select along one dimension.

Backward: basic: zeros with the gradient written at the same place;  index_select: the rows of the
gradient added up at their indices, in order.
"""

from __future__ import annotations

from typing import Any

from fastnn import _backend
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops.binary import check_in_place, store_result
from fastnn.ops.copy import clone, copy_, fill_, to
from fastnn.ops.view import View
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def take_rows(x: Any, index: Any, y: Any) -> None:
    """y[o, i, :] = x[o, index[i], :]; x (outer, n, inner), index (m), y (outer, m, inner)."""
    xp = array_module(x)
    if index.size and (int(index.min()) < 0 or int(index.max()) >= x.shape[1]):
        message = "take_rows: an index is out of range"
        raise IndexError(message)
    xp.copyto(y, x[:, index])


@reference
def add_rows(y: Any, index: Any, x: Any) -> None:
    """x = 0; x[o, index[i], :] += y[o, i, :], in the order of i."""
    x[...] = 0
    if index.size and (int(index.min()) < 0 or int(index.max()) >= x.shape[1]):
        message = "add_rows: an index is out of range"
        raise IndexError(message)
    for i in range(index.size):
        x[:, int(index[i])] += y[:, i]


class BasicIndex(View):
    """A view by numbers, slices, None and Ellipsis."""

    def forward(self, x: Any, index: Any) -> Any:
        self.shape, self.index = x.shape, index
        return x[index]

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (self.scattered(g),)

    def scattered(self, g: Any) -> Any:
        """Zeros with ``g`` at the index."""
        table = self.kernels
        out = table.empty(self.shape, g.dtype)
        table.fill(table.xp.zeros(1, g.dtype), out)
        table.copy(g, out[self.index])
        return out

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (Scatter.apply((g,), self.shape, self.index),)


class Scatter(Op):
    """The transpose of `BasicIndex`: zeros with the input at an index."""

    def forward(self, x: Any, shape: Any, index: Any) -> Any:
        self.shape, self.index = shape, index
        return BasicIndex.scattered(self, x)  # type: ignore[arg-type]

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (_common.contiguous_array(self.kernels, g[self.index]),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (BasicIndex.apply((g,), self.index),)


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
            part = g[self.index]
            lead = part.ndim - len(self.shape)
            dims = [d for d in range(part.ndim) if d < lead or self.shape[d - lead] == 1]
            gv = (part.sum(tuple(dims)) if dims else part).reshape(self.shape)
        return gx, gv


class IndexSelect(Op):
    """Rows along one dimension, by their numbers."""

    def forward(self, x: Any, index: Any, dim: int) -> Any:
        table = self.kernels
        self.dim, self.shape = dim, x.shape
        flat = _three(table, x, dim)
        index = _common.contiguous_array(table, index)
        out = table.empty((flat.shape[0], index.size, flat.shape[2]), x.dtype)
        table.take_rows(flat, index, out)
        if self.needs[0]:
            self.save(index)
        return out.reshape(*x.shape[:dim], index.size, *x.shape[dim + 1 :])

    def backward(self, g: Any) -> tuple[Any, ...]:
        (index,) = self.saved  # type: ignore[misc]
        table = self.kernels
        out = table.empty(self.shape, g.dtype)
        table.add_rows(_three(table, g, self.dim), index, _three(table, out, self.dim))
        return out, None

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (index,) = self.saved_tensors()
        return IndexAdd.apply((g, index), self.dim, self.shape), None


class IndexAdd(Op):
    """The transpose of `IndexSelect`."""

    def forward(self, g: Any, index: Any, dim: int, shape: Any) -> Any:
        table = self.kernels
        self.dim = dim
        index = _common.contiguous_array(table, index)
        out = table.empty(shape, g.dtype)
        table.add_rows(_three(table, g, dim), index, _three(table, out, dim))
        self.save(index)
        return out

    def backward(self, g: Any) -> tuple[Any, ...]:
        (index,) = self.saved  # type: ignore[misc]
        table = self.kernels
        flat = _three(table, g, self.dim)
        out = table.empty((flat.shape[0], index.size, flat.shape[2]), g.dtype)
        table.take_rows(flat, index, out)
        return out.reshape(*g.shape[: self.dim], index.size, *g.shape[self.dim + 1 :]), None

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (index,) = self.saved_tensors()
        return IndexSelect.apply((g, index), self.dim), None


def _three(table: Any, x: Any, dim: int) -> Any:
    """x as (outer, n, inner) around one dimension."""
    outer = inner = 1
    for n in x.shape[:dim]:
        outer *= n
    for n in x.shape[dim + 1 :]:
        inner *= n
    return _common.reshaped(table, x, (outer, x.shape[dim], inner))


def _basic(index: Any, ndim: int, shape: tuple[int, ...]) -> tuple[Any, ...] | None:
    """A basic index as a tuple that NumPy takes as a view; None for an advanced one."""
    parts = index if isinstance(index, tuple) else (index,)
    out: list[Any] = []
    used = sum(p is not None and p is not Ellipsis for p in parts)
    if used > ndim:
        message = f"indexing: expected at most {ndim} indices for shape {shape}, got {used}"
        raise IndexError(message)
    for p in parts:
        if p is None or p is Ellipsis or isinstance(p, slice):
            out.append(_plain_slice(p) if isinstance(p, slice) else p)
        elif isinstance(p, bool) or getattr(p, "ndim", 0) > 0:
            return None
        elif hasattr(p, "__index__") and not (
            isinstance(p, Tensor) and (p.ndim or p.array.dtype.kind == "b")
        ):
            out.append(int(p.__index__()))
        else:
            return None
    if Ellipsis not in out:
        out.append(Ellipsis)
    return tuple(out)


def _plain_slice(s: slice) -> slice:
    if s.step is not None and int(s.step) <= 0:
        message = (
            f"indexing: expected a slice step > 0, got {s.step}; negative steps are not torch's"
        )
        raise ValueError(message)
    return slice(*(None if v is None else int(v.__index__()) for v in (s.start, s.stop, s.step)))


def _advanced(index: Any, *, assigning: bool = False) -> TypeError:
    name = "index assignment" if assigning else "indexing"
    message = (
        f"{name}: expected ints, slices, None or ..., or one integer tensor as the whole index, "
        f"got {type(index).__name__}; masks and several index tensors are not there yet"
    )
    return TypeError(message)


def getitem(t: Tensor, index: Any) -> Tensor:
    """``t[index]``: a view for a basic index, a copy of rows for one integer tensor or list."""
    basic = _basic(index, t.ndim, t.shape)
    if basic is not None:
        try:
            return BasicIndex.apply((t,), basic)  # type: ignore[no-any-return]
        except IndexError:
            message = f"indexing: {index!r} is out of range for shape {t.shape}"
            raise IndexError(message) from None
    rows = _rows(index)
    if rows is None or t.ndim == 0:
        raise _advanced(index)
    picked = _select("indexing", t, 0, rows.reshape(-1), negative=True)
    return picked if rows.ndim == 1 else picked.reshape(*rows.shape, *t.shape[1:])


def _rows(index: Any) -> Tensor | None:
    """An integer tensor from what may stand for one."""
    from fastnn.ops.creation import as_tensor  # noqa: PLC0415

    if isinstance(index, list) or hasattr(index, "__array__"):
        made = index if isinstance(index, Tensor) else as_tensor(index)
        if made.array.dtype.kind in "iu":
            return made
        if made.array.size == 0:
            return Tensor._wrap(made.array.astype("int64"))
    return None


def _without_leading_ones(value: Tensor, ndim: int) -> Tensor:
    extra = value.ndim - ndim
    if extra > 0 and all(n == 1 for n in value.shape[:extra]):
        return value.reshape(value.shape[extra:])
    return value


def setitem(t: Tensor, index: Any, value: Any) -> None:
    """``t[index] = value`` for a basic index, with gradients through both."""
    basic = _basic(index, t.ndim, t.shape)
    if basic is None:
        raise _advanced(index, assigning=True)
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


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The entries ``index`` of dimension ``dim``, as torch.index_select.

    Shapes:   input (..., n, ...), index (m) of integers in [0, n) -> (..., m, ...).
    Backward: the gradient's entries added up at their indices, in order.
    """
    return _select("index_select", input, dim, index, negative=False)


def _select(name: str, input: Tensor, dim: int, index: Tensor, *, negative: bool) -> Tensor:
    """Entries along a dimension; ``negative``: whether negative numbers count from the end."""
    _common.require_tensor(name, "input", input)
    _common.require_tensor(name, "index", index)
    if index.array.dtype.kind not in "iu" or index.ndim > 1:
        message = (
            f"{name}: expected index as a 1-D tensor of integers, got {index.dtype} {index.shape}"
        )
        raise RuntimeError(message)
    d = _common.one_dim(name, dim, input.ndim)
    if input.ndim == 0:
        message = f"{name}: expected a tensor with dimensions, got a 0-d tensor"
        raise RuntimeError(message)
    _common.table_of(input, index)
    n = input.shape[d]
    numbers = to(index, _int64()).reshape(-1)
    if index.array.size:
        low, high = int(index.array.min()), int(index.array.max())
        least = -n if negative else 0
        if low < least or high >= n:
            bad = low if low < least else high
            message = f"{name}: expected indices in [{least}, {n - 1}], got {bad}"
            raise IndexError(message)
        if low < 0:
            numbers = numbers + (numbers < 0).to(_int64()) * n
    return IndexSelect.apply((input, numbers), d)  # type: ignore[no-any-return]


def _int64() -> Any:
    from fastnn import _dtypes  # noqa: PLC0415

    return _dtypes.int64


def split(input: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of pieces along a dimension: of one size, or of the sizes in a list (torch.split)."""
    _common.require_tensor("split", "input", input)
    d = _common.one_dim("split", dim, input.ndim)
    n = input.shape[d] if input.ndim else 0
    if isinstance(split_size, tuple | list):
        sizes = [int(s) for s in split_size]
        if sum(sizes) != n or any(s < 0 for s in sizes):
            message = f"split: expected sizes >= 0 that add up to {n}, got {sizes}"
            raise RuntimeError(message)
    else:
        if split_size <= 0:
            message = f"split: expected a size > 0, got {split_size}"
            raise RuntimeError(message)
        sizes = [min(split_size, n - s) for s in range(0, n, split_size)] or [0]
    pieces, start = [], 0
    for s in sizes:
        index = (*[slice(None)] * d, slice(start, start + s), Ellipsis)
        pieces.append(BasicIndex.apply((input,), index))
        start += s
    return tuple(pieces)


def select_row(x: Tensor, i: int) -> Tensor:
    """``x[i]``, for the case table."""
    return x[i]


def slice_middle(x: Tensor) -> Tensor:
    """``x[1:, None, ..., ::2]``, for the case table."""
    return x[1:, None, ..., ::2]


CASES = [
    OpCase(getitem, "__getitem__", [(4, 3), 1], ref=lambda x, i: x[i]),
    OpCase(getitem, "__getitem__", [(4, 3), -1], ref=lambda x, i: x[i]),
    OpCase(slice_middle, "__getitem__ slices", [(4, 3, 5)], ref=lambda x: x[1:, None, ..., ::2]),
    OpCase(getitem, "__getitem__", [(4, 3), ("cells", [2, -4, 2])], ref=lambda x, i: x[i]),
    OpCase(
        index_select,
        "index_select",
        [(4, 3), 1, ("cells", [2, 1, 0, 2])],
        ref=lambda x, _, i: x[:, i],
    ),
    OpCase(index_select, "index_select", [(4, 3), 0, ("cells", [])], ref=lambda x, _, i: x[i]),
    OpCase(split, "split", [(5, 3), 2], ref=lambda x, _: (x[:2], x[2:4], x[4:])),
    OpCase(split, "split", [(2, 5), [1, 4], 1], ref=lambda x, *_: (x[:, :1], x[:, 1:])),
]
ERRORS = [
    ErrorCase(getitem, "__getitem__", [(4, 3), 4], IndexError, "out of range for shape"),
    ErrorCase(getitem, "__getitem__", [(4, 3), "a"], TypeError, "expected ints, slices"),
    ErrorCase(getitem, "__getitem__", [(4,), slice(None, None, -1)], ValueError, "step > 0"),
    ErrorCase(
        index_select, "index_select", [(4, 3), 0, (2,)], RuntimeError, "1-D tensor of integers"
    ),
    ErrorCase(
        index_select, "index_select", [(4, 3), 2, ("cells", [0])], IndexError, "expected dim in"
    ),
    ErrorCase(
        index_select, "index_select", [(4, 3), 0, ("cells", [4])], IndexError, "indices in [0, 3]"
    ),
    ErrorCase(split, "split", [(5, 3), 0], RuntimeError, "expected a size > 0"),
    ErrorCase(split, "split", [(5, 3), [1, 2]], RuntimeError, "add up to 5"),
    ErrorCase(split, "split", [(5, 3), 1, 2], IndexError, "expected dim in"),
]
