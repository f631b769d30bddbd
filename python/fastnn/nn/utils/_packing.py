# SPDX-License-Identifier: BSD-3-Clause
"""Which row of packed data stands where in padded data, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import ops
from fastnn._dtypes import int64
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

IntArray = np.ndarray[Any, np.dtype[np.int64]]


def host(t: Any) -> IntArray:
    """Integers of a tensor or list as an array."""
    made = np.asarray(t.cpu().numpy() if isinstance(t, Tensor) else t)
    return made.astype(np.int64)


def numbers(values: IntArray, like: Tensor) -> Tensor:
    """Integers as a tensor on the device of another."""
    return ops.tensor(np.ascontiguousarray(values), dtype=int64, device=like.device)


def lengths_of(batch_sizes: Sequence[int]) -> Tensor:
    """The rows' lengths, longest first, from the number of rows at each time step."""
    sizes = np.asarray(batch_sizes)
    return ops.tensor((sizes[:, None] > np.arange(sizes[0])).sum(0), dtype=int64)


def take(rows: Tensor, at: IntArray) -> Tensor:
    """The rows with these numbers; views of all of them in order are free."""
    if at.size == rows.shape[0] and np.array_equal(at, np.arange(at.size)):
        return rows
    return ops.index_select(rows, 0, numbers(at, rows))


def places(sizes: IntArray, total: int) -> tuple[IntArray, IntArray]:
    """For (total, b): the packed row at each place, or some row, and whether there is one."""
    starts = np.cumsum(sizes) - sizes
    column = np.arange(int(sizes[0]))
    inside = np.zeros((total, column.size), np.int64)
    inside[: sizes.size] = column < sizes[:, None]
    rows = np.zeros((total, column.size), np.int64)
    rows[: sizes.size] = starts[:, None] + np.where(column < sizes[:, None], column, 0)
    return rows, inside


def padded_rows(data: Tensor, batch_sizes: Sequence[int]) -> Tensor:
    """Packed data as (t, b, ...), with other rows of the data where a sequence is over."""
    sizes = np.asarray(batch_sizes, np.int64)
    rows, _ = places(sizes, sizes.size)
    return take(data, rows.reshape(-1)).reshape(*rows.shape, *data.shape[1:])


def pack_rows(padded: Tensor, batch_sizes: Sequence[int]) -> Tensor:
    """The rows of (t, b, ...) that belong to sequences, packed."""
    sizes = np.asarray(batch_sizes, np.int64)
    steps, batch = padded.shape[:2]
    keep = np.flatnonzero(np.arange(batch) < sizes[:, None])
    return take(padded.reshape(steps * batch, *padded.shape[2:]), keep)


def filled(data: Tensor, rows: IntArray, inside: IntArray, value: float) -> Tensor:
    """``data[rows]``, with a value where nothing is inside."""
    shape = (*rows.shape, *data.shape[1:])
    out = take(data, rows.reshape(-1)).reshape(shape)
    if inside.all():
        return out
    mask = inside.astype(bool).reshape(*rows.shape, *(1,) * (data.ndim - 1))
    padding = ops.full((), value, dtype=data.dtype, device=data.device)
    return ops.where(ops.tensor(mask, device=data.device), out, padding)
