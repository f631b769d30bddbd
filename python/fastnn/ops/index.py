# SPDX-License-Identifier: BSD-3-Clause
"""Indexing: numbers, slices, None and ... as views; elements picked by tensors and masks; split.

Backward: of a view: zeros with the gradient written at the same place;  of rows: see ops/rows.py.
"""

from __future__ import annotations

from typing import Any

from fastnn._view_history import mark_opaque
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._index_expression import (
    Picks,
    basic_index,
    out_of_range,
    outside,
    picks,
)
from fastnn.ops._index_parts import row_numbers
from fastnn.ops.masked import TakeTrue
from fastnn.ops.rows import IndexSelect, select_rows
from fastnn.ops.view import Permute, View, reshape
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


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


def getitem(t: Tensor, index: Any) -> Tensor:
    """``t[index]``: a view for ints, slices, None and ...; a copy where tensors or masks pick.

    As in torch: index tensors broadcast together, negative numbers count from the end, and what
    they pick stands in their place if they are neighbours, else in front. A mask stands for the
    numbers of its true elements, how many being read on the host.
    Raises IndexError for numbers out of range and masks of another shape, TypeError for others.
    """
    basic = basic_index(index, t.ndim, t.shape)
    if basic is not None:
        try:
            return BasicIndex.apply((t,), basic)  # type: ignore[no-any-return]
        except IndexError:
            raise outside(t.shape, index) from None
    rows = row_numbers(index) if t.ndim else None
    if rows is None:
        return picked(t, picks(index, t))
    taken = select_rows("indexing", t, 0, rows.reshape(-1), negative=True)
    return taken if rows.ndim == 1 else taken.reshape(*rows.shape, *t.shape[1:])


def picked(t: Tensor, p: Picks) -> Tensor:
    """The elements that an advanced index picks."""
    view = BasicIndex.apply((t,), p.basic)
    if p.order is not None:
        view = Permute.apply((view,), p.order)
    if p.kept is not None:
        rows = reshape(view, p.three(p.merged))
        return reshape(TakeTrue.apply((rows,), p.kept), p.shape)
    rows = reshape(view, *p.lead, p.merged, *p.rest)
    try:
        taken = IndexSelect.apply((rows, p.numbers), len(p.lead), True)
    except IndexError:
        n, numbers = p.merged, [] if p.numbers is None else p.numbers.tolist()
        bad = next(i for i in numbers if not -n <= i < n)
        raise out_of_range(bad, n, "indexing") from None
    return reshape(taken, p.shape)


def split(input: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of pieces along a dimension: of one size, or of the sizes in a list (torch.split)."""
    _common.require_tensor("split", "input", input)
    _common.require_dims("split", input)
    d = _common.one_dim("split", dim, input.ndim)
    n = input.shape[d]
    if isinstance(split_size, tuple | list):
        sizes = [_common.integer("split", "a size", s) for s in split_size]
        if sum(sizes) != n or any(s < 0 for s in sizes):
            message = (
                f"split: expected sizes >= 0 that add up to {n}, got {sizes}; one int as size "
                "makes equal pieces"
            )
            raise RuntimeError(message)
    else:
        if not hasattr(split_size, "__index__"):
            message = (
                f"split: expected a size as an int, or a list of sizes, got {split_size!r}; "
                "convert it with int()"
            )
            raise TypeError(message)
        if split_size <= 0:
            message = (
                f"split: expected a size > 0, got {split_size}; chunk() takes the number of pieces "
                "instead"
            )
            raise RuntimeError(message)
        sizes = [min(split_size, n - s) for s in range(0, n, split_size)] or [0]
    pieces, start = [], 0
    for s in sizes:
        index = (*[slice(None)] * d, slice(start, start + s), Ellipsis)
        pieces.append(BasicIndex.apply((input,), index))
        start += s
    mark_opaque(pieces, "split")
    return tuple(pieces)


def select_row(x: Tensor, i: int) -> Tensor:
    """``x[i]``, for the case table."""
    return x[i]


def slice_middle(x: Tensor) -> Tensor:
    """``x[1:, None, ..., ::2]``, for the case table."""
    return x[1:, None, ..., ::2]


def at(*index: Any) -> tuple[Any, ...]:
    """An index for the case table; lists stand for tensors."""
    return index


_ROWS, _COLUMNS = [2, -1, 0, 2], [0, 1, -3, 0]
_MASK = [True, False, True, False]
CASES = [
    OpCase(getitem, "__getitem__", [(4, 3), 1], ref=lambda x, i: x[i]),
    OpCase(getitem, "__getitem__", [(4, 3), -1], ref=lambda x, i: x[i]),
    OpCase(slice_middle, "__getitem__ slices", [(4, 3, 5)], ref=lambda x: x[1:, None, ..., ::2]),
    OpCase(getitem, "__getitem__", [(4, 3), ("cells", [2, -4, 2])], ref=lambda x, i: x[i]),
    *(
        OpCase(getitem, "__getitem__", [shape, index], ref=lambda x, i: x[i])
        for shape, index in (
            ((4, 3), at(_ROWS, _COLUMNS)),
            ((4, 3, 5), at(slice(None), _COLUMNS)),
            ((4, 3, 5), at(Ellipsis, _COLUMNS, [0, 4, -1, 0])),
            ((4, 3, 5), at(_ROWS, slice(1, None), [0, 4, -1, 0])),
            ((4, 3, 5), at([[2], [0]], None, [0, 1, 2])),
            ((4, 3), _MASK),
            ((3, 4, 2), at(slice(None), _MASK)),
            ((3, 4, 2), at(Ellipsis, _MASK, [1, 0])),
            ((4, 3), at([False] * 4, slice(None))),
            ((4, 3), at([], slice(None))),
        )
    ),
    OpCase(getitem, "__getitem__", [(4, 3), ("bool", (4, 3))], ref=lambda x, i: x[i]),
    OpCase(getitem, "__getitem__", [(4, 3, 2), ("bool", (4, 3))], ref=lambda x, i: x[i]),
    OpCase(getitem, "__getitem__", [(), ("bool", ())], ref=lambda x, i: x[i]),
    OpCase(getitem, "__getitem__", [(4, 3), True], ref=lambda x, i: x[i]),
    # An int beside a tensor is taken first, which NumPy does otherwise.
    OpCase(
        getitem,
        "__getitem__",
        [(2, 3, 5), at(0, slice(None), [4, 1])],
        ref=lambda x, _: x[0][:, [4, 1]],
    ),
    OpCase(split, "split", [(5, 3), 2], ref=lambda x, _: (x[:2], x[2:4], x[4:])),
    OpCase(split, "split", [(2, 5), [1, 4], 1], ref=lambda x, *_: (x[:, :1], x[:, 1:])),
]
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    (getitem, "__getitem__", [(4, 3), 4], IndexError, "expected indices within shape"),
    (getitem, "__getitem__", [(4, 3), "a"], TypeError, "expected ints, slices"),
    (getitem, "__getitem__", [(4, 3), at([0], 1.5)], TypeError, "expected ints, slices"),
    (getitem, "__getitem__", [(4, 3), [0.5]], TypeError, "expected ints, slices"),
    (getitem, "__getitem__", [(4,), slice(None, None, -1)], ValueError, "step > 0"),
    (getitem, "__getitem__", [(4, 3), at([0, 4], [0, 0])], IndexError, "in [-4, 3], got 4"),
    (getitem, "__getitem__", [(4, 3), at(slice(None), [0, 3])], IndexError, "in [-3, 2], got 3"),
    (
        getitem,
        "__getitem__",
        [(4, 3), at([0], 3)],
        IndexError,
        "expected an index in [-3, 2] at dimension 1",
    ),
    (getitem, "__getitem__", [(4, 3), at([0, 1], [0, 1, 2])], IndexError, "broadcast"),
    (getitem, "__getitem__", [(4, 3), at([0], [0], [0])], IndexError, "at most 2 indices"),
    (getitem, "__getitem__", [(4, 3), ("bool", (3,))], IndexError, "a mask of shape (4,)"),
    (getitem, "__getitem__", [(4, 3), at([0], Ellipsis, Ellipsis)], IndexError, "at most one ..."),
    (split, "split", [(5, 3), 0], RuntimeError, "expected a size > 0"),
    (split, "split", [(5, 3), [1, 2]], RuntimeError, "add up to 5"),
    (split, "split", [(5, 3), 1, 2], IndexError, "expected dim in"),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]
