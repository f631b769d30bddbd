# SPDX-License-Identifier: BSD-3-Clause
"""Indexing: numbers, slices, None and ... as views; rows by an integer tensor; split.

Backward: of a view: zeros with the gradient written at the same place;  of rows: see ops/rows.py.
"""

from __future__ import annotations

from typing import Any

from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._index_expression import basic_index, row_numbers, unsupported
from fastnn.ops.rows import select_rows
from fastnn.ops.view import View
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
    """``t[index]``: a view for a basic index, a copy of rows for one integer tensor or list."""
    basic = basic_index(index, t.ndim, t.shape)
    if basic is not None:
        try:
            return BasicIndex.apply((t,), basic)  # type: ignore[no-any-return]
        except IndexError:
            message = f"indexing: {index!r} is out of range for shape {t.shape}"
            raise IndexError(message) from None
    rows = row_numbers(index)
    if rows is None or t.ndim == 0:
        raise unsupported(index)
    picked = select_rows("indexing", t, 0, rows.reshape(-1), negative=True)
    return picked if rows.ndim == 1 else picked.reshape(*rows.shape, *t.shape[1:])


def split(input: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of pieces along a dimension: of one size, or of the sizes in a list (torch.split)."""
    _common.require_tensor("split", "input", input)
    if input.ndim == 0:
        message = "split: expected a tensor of at least one dimension, got a 0-d tensor"
        raise RuntimeError(message)
    d = _common.one_dim("split", dim, input.ndim)
    n = input.shape[d]
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
    OpCase(split, "split", [(5, 3), 2], ref=lambda x, _: (x[:2], x[2:4], x[4:])),
    OpCase(split, "split", [(2, 5), [1, 4], 1], ref=lambda x, *_: (x[:, :1], x[:, 1:])),
]
ERRORS = [
    ErrorCase(getitem, "__getitem__", [(4, 3), 4], IndexError, "out of range for shape"),
    ErrorCase(getitem, "__getitem__", [(4, 3), "a"], TypeError, "expected ints, slices"),
    ErrorCase(getitem, "__getitem__", [(4,), slice(None, None, -1)], ValueError, "step > 0"),
    ErrorCase(split, "split", [(5, 3), 0], RuntimeError, "expected a size > 0"),
    ErrorCase(split, "split", [(5, 3), [1, 2]], RuntimeError, "add up to 5"),
    ErrorCase(split, "split", [(5, 3), 1, 2], IndexError, "expected dim in"),
]
