# SPDX-License-Identifier: BSD-3-Clause
"""Elements, or entries of a dimension, each once: unique and unique_consecutive.

Shapes:   (...) -> (m), with ``dim`` (..., m, ...); the inverse in the shape of the input (of dim),
          counts (m).      Backward: none.
NaN equals nothing, itself included.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.ops import _common
from fastnn.ops.compare import ne_tensors
from fastnn.ops.copy import to
from fastnn.ops.creation import arange, ones, zeros
from fastnn.ops.cumulative import cumsum
from fastnn.ops.join import cat
from fastnn.ops.masked import masked_select
from fastnn.ops.pieces import movedim
from fastnn.ops.rows import IndexSelect
from fastnn.ops.scatter import scatter_elements
from fastnn.ops.truth import any
from fastnn.ops.view import reshape
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def row_order(x: Any, index: Any) -> None:
    """index = the places of the rows of x (n, m) in order, by their first elements first."""
    index[...] = array_module(x).lexsort(x.T[::-1]) if x.shape[1] else 0


def _runs(rows: Tensor, order: Tensor | None, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    """The first of each run of equal rows (in order), which run rows are in, how long runs are."""
    n = rows.shape[0]
    if order is not None:
        rows = IndexSelect.apply((rows, order), 0, False)
    fresh = ones(n, dtype=_dtypes.bool_)
    if n > 1:
        fresh = cat([fresh[:1], any(ne_tensors(rows[1:], rows[:-1]), 1)])
    starts = masked_select(arange(n), fresh)
    numbers = cumsum(to(fresh, _dtypes.int64), 0) - 1
    if order is not None:
        numbers = scatter_elements(zeros(n, dtype=_dtypes.int64), 0, order, numbers)
    counts = cat([starts[1:], arange(n, n + 1)]) - starts if n else starts
    return IndexSelect.apply((rows, starts), 0, False), reshape(numbers, shape), counts


def _unique(name: str, x: Tensor, ordered: bool, inverse: Any, counts: Any, dim: Any) -> Any:
    _common.require_tensor(name, "input", x)
    x, table = x.detach(), _common.table_of(x)
    if dim is None:
        rows, shape = reshape(x, -1, 1), x.shape
    else:
        d = _common.one_dim(name, dim, x.ndim)
        x = x if x.ndim else reshape(x, 1)
        moved = movedim(x, d, 0)
        if 0 in x.shape and (x.shape[d] or x.shape.count(0) > 1):
            message = (
                f"{name}: expected no empty dimension but dim {dim}, got {x.shape}; leave out dim"
            )
            raise RuntimeError(message)
        rows, shape = reshape(moved, x.shape[d], -1 if x.numel() else 1), (x.shape[d],)
    order = None
    if ordered:
        array = table.empty((rows.shape[0],), _dtypes.int64.numpy)
        if dim is None:
            flat = _common.reshaped(table, rows.array, (1, rows.shape[0], 1))
            table.argsort_forward(flat, array.reshape(flat.shape), False)
        else:
            table.row_order(_common.contiguous_array(table, rows.array), array)
        order = Tensor._wrap(array)
    values, numbers, lengths = _runs(rows, order, shape)
    if dim is None:
        values = reshape(values, -1)
    else:
        values = movedim(reshape(values, values.shape[0], *moved.shape[1:]), 0, d)
    found = [values, *([numbers] if inverse else []), *([lengths] if counts else [])]
    return tuple(found) if len(found) > 1 else values


def unique_tensor(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The elements each once and in order, or the entries of ``dim``, as torch.unique.

    With return_inverse also where each element stands in the result, with return_counts how often
    it occurs: a tuple.   Raises TypeError for no tensor, IndexError for a bad dim.
    """
    del sorted  # in order either way
    return _unique("unique", input, True, return_inverse, return_counts, dim)


def unique_consecutive(
    input: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The first of each run of equal elements, or entries of ``dim``; torch.unique_consecutive.

    Results and errors as `unique`.
    """
    return _unique("unique_consecutive", input, False, return_inverse, return_counts, dim)


_common.named(unique=unique_tensor)


def _plain(x: Any, return_inverse: bool, return_counts: bool, dim: Any = None) -> Any:
    found = array_module(x).unique(
        x, return_inverse=return_inverse, return_counts=return_counts, axis=dim
    )
    values, numbers, counts = found
    return values, numbers.reshape(x.shape if dim is None else -1), counts


def _plain_runs(x: Any, return_inverse: bool, return_counts: bool, dim: Any = None) -> Any:
    del return_inverse, return_counts
    xp = array_module(x)
    rows = x.reshape(-1, 1) if dim is None else xp.moveaxis(x, dim, 0).reshape(x.shape[dim], -1)
    fresh = xp.asarray([True, *(rows[1:] != rows[:-1]).any(1)])
    starts = fresh.nonzero()[0]
    values = x.reshape(-1)[starts] if dim is None else x.take(starts, dim)
    numbers = (fresh.cumsum() - 1).reshape(x.shape if dim is None else -1)
    return values, numbers, xp.diff([*starts, len(rows)])


_ALL = {"return_inverse": True, "return_counts": True}
CASES = [
    OpCase(f, f.__name__, [("int", s, 0, 3)], {**_ALL, **k}, plain, grad=False)
    for f, plain in ((unique_tensor, _plain), (unique_consecutive, _plain_runs))
    for s, k in (((9,), {}), ((3, 5), {}), ((6, 2), {"dim": 0}), ((2, 6), {"dim": -1}))
]
ERRORS = [
    case
    for f in (unique_tensor, unique_consecutive)
    for case in (
        ErrorCase(f, f.__name__, [(2, 3)], IndexError, "expected dim in", {"dim": 2}),
        ErrorCase(f, f.__name__, [[1.0]], TypeError, "expected input as a Tensor"),
        ErrorCase(f, f.__name__, [(2, 0)], RuntimeError, "no empty dimension", {"dim": 0}),
    )
]
