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


def host(name: str, argument: str, value: Any) -> IntArray:
    """Whole numbers of a tensor or list as an array; TypeError for anything else."""
    try:
        made = np.asarray(value.detach().cpu().numpy() if isinstance(value, Tensor) else value)
        if made.size == 0 or made.dtype.kind in "iub":
            return made.astype(np.int64)
        if made.dtype.kind == "f" and (np.abs(made) < 2.0**53).all():
            whole = made.astype(np.int64)
            if (whole == made).all():
                return whole
    except (TypeError, ValueError, OverflowError):
        pass
    shown = repr(value.tolist() if isinstance(value, Tensor) else value)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    message = f"{name}: expected {argument} as integers, got {shown}; give a list of ints"
    raise TypeError(message)


def checked_sizes(name: str, data: Tensor, batch_sizes: Tensor) -> IntArray:
    """The batch sizes of a packed sequence; RuntimeError unless they are those of its data."""
    sizes = host(name, "batch_sizes", batch_sizes)
    fits = sizes.ndim == 1 and sizes.size > 0 and int(sizes.sum()) == data.shape[0]
    if not fits or sizes[-1] < 1 or (sizes[:-1] < sizes[1:]).any():
        message = (
            f"{name}: expected batch_sizes that do not grow, are at least 1 and add up to "
            f"{data.shape[0]} rows of data, got {sizes.tolist()}; make packed sequences with "
            "pack_sequence or pack_padded_sequence"
        )
        raise RuntimeError(message)
    return sizes


def require_tensor(name: str, argument: str, value: Any, least: int = 0) -> None:
    """TypeError unless it is a tensor, RuntimeError unless of that many dimensions."""
    if not isinstance(value, Tensor):
        message = (
            f"{name}: expected {argument} as a Tensor, got {type(value).__name__}; make one with "
            "fastnn.tensor(...)"
        )
        raise TypeError(message)
    if value.ndim < least:
        message = (
            f"{name}: expected {argument} of {least} or more dimensions, got {value.shape}; "
            "unsqueeze adds a dimension"
        )
        raise RuntimeError(message)


def require_number(name: str, argument: str, value: Any) -> None:
    if not isinstance(value, int | float | np.number | np.bool_ | Tensor):
        message = (
            f"{name}: expected {argument} as a number, got {type(value).__name__}; convert it "
            "with float()"
        )
        raise TypeError(message)


def listed(name: str, sequences: Any) -> list[Tensor]:
    """Sequences as a list of tensors of one or more dimensions."""
    parts = list(sequences) if hasattr(sequences, "__iter__") else [sequences]
    wrong = next((p for p in parts if not isinstance(p, Tensor) or p.ndim == 0), None)
    if wrong is not None or not hasattr(sequences, "__iter__"):
        got = f"a tensor {wrong.shape}" if isinstance(wrong, Tensor) else type(wrong).__name__
        message = (
            f"{name}: expected sequences as a list of Tensors (t, ...) of one or more dimensions, "
            f"got {got}; put them into a list"
        )
        raise TypeError(message)
    if not parts:
        message = (
            f"{name}: expected one sequence or more, got an empty list of sequences; leave "
            "empty batches out"
        )
        raise RuntimeError(message)
    return parts


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
