# SPDX-License-Identifier: BSD-3-Clause
"""Where values belong among those that are in order: searchsorted, bucketize.

    i = how many of the row are < x (with right: <= x)

Shapes:   rows (..., n) or (n), values (..., m) -> (..., m).      Backward: none.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.ops import _common
from fastnn.ops.copy import to
from fastnn.ops.gather import gather_elements
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def search_rows(rows: Any, x: Any, index: Any, right: bool) -> None:
    """index[o, k] = how many of rows[o], which are in order, are less than x[o, k] (or equal)."""
    side = "right" if right else "left"
    for o in range(rows.shape[0]):
        index[o] = array_module(rows).searchsorted(rows[o], x[o], side)


def searched(name: str, rows: Tensor, x: Tensor, int32: bool, right: bool) -> Tensor:
    """Where values belong in rows that are in order; one row for all or one for each."""
    if rows.array.dtype != x.array.dtype:
        dtype = _common.result_type(rows, x)
        rows, x = to(rows, dtype), to(x, dtype)
    table = _common.table_of(rows, x, op=name)
    outer = 1
    for n in rows.shape[:-1]:
        outer *= n
    width = x.numel() // outer if outer else 0
    index = table.empty((outer, width), _dtypes.int64.numpy)
    table.search_rows(
        _common.reshaped(table, rows.array, (outer, rows.shape[-1])),
        _common.reshaped(table, x.array, (outer, width)),
        index,
        right,
    )
    found = Tensor._wrap(index.reshape(x.shape))
    return to(found, _dtypes.int32) if int32 else found


def _values(name: str, rows: Tensor, input: Any) -> Tensor:
    value = _common.as_operand(name, input)
    if isinstance(value, Tensor):
        return value
    dtype = _common.result_type(rows, value)
    if dtype.category == rows.dtype.category:
        dtype = rows.dtype
    return Tensor._wrap(_common.scalar_array(_common.table_of(rows), value, dtype, op=name))


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where values belong in rows that are in order, as torch.searchsorted.

    sorted_sequence (..., n), or (n) for all; input (..., m) or a number -> (..., m): how many
    elements of the row are less than the value, or with ``right`` not greater.  sorter: the places
    of the rows in order. Rows and values of two types are compared in the type that holds both.
    Raises RuntimeError where shapes do not go together, TypeError for no tensors.
    """
    name = "searchsorted"
    _common.require_tensor(name, "sorted_sequence", sorted_sequence)
    x = _values(name, sorted_sequence, input)
    _common.require_dims(name, sorted_sequence)
    if side not in (None, "left", "right") or (side == "left" and right):
        message = f"{name}: expected side as left or right, got {side!r} and right={right}; drop it"
        raise RuntimeError(message)
    rows = sorted_sequence
    if sorter is not None:
        _common.require_tensor(name, "sorter", sorter)
        if sorter.shape != rows.shape or sorter.dtype is not _dtypes.int64:
            message = (
                f"{name}: expected sorter of int64 {rows.shape}, got {sorter.dtype} "
                f"{sorter.shape}; argsort() makes it"
            )
            raise RuntimeError(message)
        least = int(sorter.min()) if sorter.numel() else 0
        if sorter.numel() and not 0 <= least <= int(sorter.max()) < rows.shape[-1]:
            message = (
                f"{name}: expected numbers in [0, {rows.shape[-1]}) in sorter, got others; "
                "argsort() makes it"
            )
            raise RuntimeError(message)
        rows = gather_elements(rows.detach(), -1, sorter)
    if rows.ndim > 1 and (x.ndim != rows.ndim or x.shape[:-1] != rows.shape[:-1]):
        message = (
            f"{name}: expected values (..., m) for rows (..., n), got {x.shape} and {rows.shape}; "
            "one row for all has one dimension"
        )
        raise RuntimeError(message)
    return searched(name, rows, x, out_int32, right or side == "right")


def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """Between which boundaries values lie, as torch.bucketize: `searchsorted` the other way round.

    boundaries: a vector in order; input: a tensor or a number.   Raises RuntimeError for boundaries
    of other dimensions, TypeError for no tensors.
    """
    _common.require_tensor("bucketize", "boundaries", boundaries)
    if boundaries.ndim != 1:
        message = (
            f"bucketize: expected boundaries as a vector, got {boundaries.shape}; searchsorted() "
            "takes rows"
        )
        raise RuntimeError(message)
    x = _values("bucketize", boundaries, input)
    return searched("bucketize", boundaries, x, out_int32, right)


def _plain(rows: Any, x: Any, right: bool = False, side: str = "left") -> Any:
    rows = rows if rows.ndim == 1 else rows[..., None, :]
    less = rows <= x[..., None] if right or side == "right" else rows < x[..., None]
    return less.sum(-1)


_ROW = ("cells", [1, 3, 3, 8])
_ROWS = ("cells", [[1, 3, 3, 8], [0, 0, 5, 6]])
CASES = [
    *(
        OpCase(searchsorted, "searchsorted", a, k, _plain, grad=False)
        for a, k in (
            ([_ROW, ("cells", [[0, 3], [9, 8]])], {}),
            ([_ROW, ("cells", 3)], {"right": True}),
            ([_ROWS, ("cells", [[3], [5]])], {"side": "right"}),
        )
    ),
    OpCase(
        searchsorted,
        "searchsorted",
        [_ROW, 3],
        {"out_int32": True},
        lambda *a, **_: array_module(a[0]).int32(1),
        grad=False,
    ),
    OpCase(
        bucketize,
        "bucketize",
        [("cells", [[0, 3], [9, 8]]), _ROW],
        {"right": True},
        lambda x, b, right: _plain(b, x, right),
        grad=False,
    ),
    OpCase(bucketize, "bucketize", [4, _ROW], ref=lambda *_: 3, grad=False),
]
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    (searchsorted, "searchsorted", [_ROW, "a"], TypeError, "a tensor or a number"),
    (searchsorted, "searchsorted", [_ROWS, ("cells", [1])], RuntimeError, "values (..., m)"),
    (searchsorted, "searchsorted", [(), 1.0], RuntimeError, "at least one dimension"),
    (bucketize, "bucketize", [1.0, (2, 2)], RuntimeError, "boundaries as a vector"),
    (bucketize, "bucketize", [1.0, [2.0]], TypeError, "boundaries as a Tensor"),
    (bucketize, "bucketize", ["a", (2,)], TypeError, "a tensor or a number"),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]
