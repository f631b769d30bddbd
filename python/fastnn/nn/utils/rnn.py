# SPDX-License-Identifier: BSD-3-Clause
"""Sequences of different lengths: padded, packed and back, as torch.nn.utils.rnn.

A packed sequence holds, for every time step in turn, the rows of the sequences that are not over,
longest sequence first: no element is padding. Packing and padding take rows by their numbers, so
gradients pass through both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import ops
from fastnn._dtypes import int64
from fastnn.nn.utils._packed_sequence import PackedSequence, invert_permutation
from fastnn.nn.utils._packing import (
    checked_sizes,
    filled,
    host,
    lengths_of,
    listed,
    numbers,
    pack_rows,
    places,
    require_number,
    require_tensor,
)
from fastnn.ops.join import cat
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Packs a padded batch (t, b, ...), or (b, t, ...) with ``batch_first``.

    lengths: a tensor or list of b integers > 0, in decreasing order unless ``enforce_sorted`` is
    False, which sorts the rows.

    Raises RuntimeError for lengths that do not fit, or are not in order.
    """
    name = "pack_padded_sequence"
    require_tensor(name, "input (t, b, ...)", input, 2)
    steps, batch = input.shape[:2][:: -1 if batch_first else 1]
    sizes = host(name, "lengths", lengths)
    if sizes.shape != (batch,) or batch == 0:
        message = (
            f"{name}: expected lengths as {batch} integers, one for each row of a batch that is "
            f"not empty, got {sizes.shape}; give every row its length"
        )
        raise RuntimeError(message)
    order = None
    if not enforce_sorted:
        found = np.argsort(-sizes, kind="stable")
        sizes, order = sizes[found], numbers(found, input)
        input = input.index_select(0 if batch_first else 1, order)
    if (sizes[:-1] < sizes[1:]).any():
        message = (
            f"{name}: expected `lengths` sorted in decreasing order when `enforce_sorted` is True, "
            f"got {sizes.tolist()}; pass enforce_sorted=False to have the rows sorted"
        )
        raise RuntimeError(message)
    if sizes[-1] <= 0:
        message = (
            f"{name}: expected lengths greater than 0, got {sizes.tolist()}; leave empty rows out"
        )
        raise RuntimeError(message)
    if sizes[0] > steps:
        message = (
            f"{name}: expected lengths of at most {steps}, got {sizes.tolist()}; the steps are "
            f"dimension {1 if batch_first else 0} of the input"
        )
        raise RuntimeError(message)
    batch_sizes = (sizes > np.arange(sizes[0])[:, None]).sum(1)
    padded = input.transpose(0, 1) if batch_first else input
    data = pack_rows(padded[: int(sizes[0])], batch_sizes.tolist())
    return PackedSequence(data, ops.tensor(batch_sizes, dtype=int64), order)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The way back: (t, b, ...), or (b, t, ...) with ``batch_first``, and the lengths.

    Rows are in the order in which they were packed. ``total_length`` pads to more steps than the
    longest sequence has; ValueError if it has more.
    """
    name = "pad_packed_sequence"
    if not isinstance(sequence, PackedSequence):
        if not (isinstance(sequence, tuple) and len(sequence) == 4):
            message = (
                f"{name}: expected sequence as a PackedSequence, got {type(sequence).__name__}; "
                "make one with pack_sequence or pack_padded_sequence"
            )
            raise TypeError(message)
        sequence = PackedSequence(*sequence)
    require_number(name, "padding_value", padding_value)
    data, batch_sizes, _, unsorted = sequence
    sizes = checked_sizes(name, data, batch_sizes)
    total = sizes.size if total_length is None else total_length
    if isinstance(total, bool) or not hasattr(total, "__index__"):
        message = (
            f"{name}: expected total_length as an int, got {type(total).__name__}; convert with "
            "int()"
        )
        raise TypeError(message)
    if total < sizes.size:
        message = (
            f"{name}: expected total_length of at least {sizes.size}, the length of the longest "
            f"sequence, got {total}; leave it out for that length"
        )
        raise ValueError(message)
    rows, inside = places(sizes, total)
    lengths = lengths_of(sizes.tolist())
    if unsorted is not None:
        back = host(name, "unsorted_indices", unsorted)
        rows, inside, lengths = rows[:, back], inside[:, back], lengths[back.tolist()]
    if batch_first:
        rows, inside = rows.T, inside.T
    return filled(data, rows, inside, padding_value), lengths


def pad_sequence(
    sequences: Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (t_k, ...) as one tensor (t, b, ...), or (b, t, ...) with ``batch_first``.

    padding_side: 'right' pads at the end, 'left' at the beginning.
    """
    parts = listed("pad_sequence", sequences)
    require_number("pad_sequence", "padding_value", padding_value)
    if padding_side not in ("left", "right"):
        message = (
            f"pad_sequence: expected padding_side 'left' or 'right', got {padding_side!r}; 'right' "
            "pads at the end"
        )
        raise RuntimeError(message)
    first = parts[0]
    for p in parts:
        if p.shape[1:] != first.shape[1:] or p.dtype != first.dtype:
            message = (
                "pad_sequence: expected sequences of one type and equal sizes after the first "
                f"dimension, got {first.dtype} {first.shape} and {p.dtype} {p.shape}; convert or "
                "reshape them"
            )
            raise RuntimeError(message)
    lengths = np.array([p.shape[0] for p in parts])
    start = np.zeros_like(lengths) if padding_side == "right" else lengths.max() - lengths
    at = np.arange(int(lengths.max()))[:, None] - start
    inside = ((at >= 0) & (at < lengths)).astype(np.int64)
    rows = np.where(inside, at + np.cumsum(lengths) - lengths, 0)
    if batch_first:
        rows, inside = rows.T, inside.T
    return filled(cat(parts, 0), rows, inside, padding_value)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Any, batch_first: bool = False
) -> list[Tensor]:
    """The sequences of a padded batch, each of its length (views)."""
    name = "unpad_sequence"
    require_tensor(name, "padded_sequences (t, b, ...)", padded_sequences, 2)
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    sizes = host(name, "lengths", lengths).reshape(-1).tolist()
    if len(sizes) != rows.shape[0]:
        message = (
            f"{name}: expected {rows.shape[0]} lengths, got {len(sizes)}; rows are dimension "
            f"{0 if batch_first else 1} of the input"
        )
        raise ValueError(message)
    if min(sizes, default=0) < 0:
        message = f"{name}: expected lengths of at least 0, got {sizes}; 0 is for an empty row"
        raise ValueError(message)
    return [rows[k, :n] for k, n in enumerate(sizes)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """`pad_sequence`, then `pack_padded_sequence`."""
    parts = listed("pack_sequence", sequences)
    lengths = [v.shape[0] for v in parts]
    return pack_padded_sequence(pad_sequence(parts), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """`pad_packed_sequence`, then `unpad_sequence`."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
