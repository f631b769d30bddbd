# SPDX-License-Identifier: BSD-3-Clause
"""Sequences of different lengths: padded, packed and back, as torch.nn.utils.rnn.

A packed sequence holds, for every time step in turn, the rows of the sequences that are not over,
longest sequence first: no element is padding. Packing and padding take rows by their numbers, so
gradients pass through both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn import ops
from fastnn._dtypes import int64
from fastnn.nn.utils._packing import filled, host, lengths_of, numbers, pack_rows, places
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


class _Fields(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Fields):
    """What `pack_padded_sequence` and `pack_sequence` give and the recurrent modules take.

    data:             (n, ...), all elements, time step by time step.
    batch_sizes:      int64, on the CPU: how many rows each time step has.
    sorted_indices:   the order of the rows by length; None if they came sorted.
    unsorted_indices: the way back.
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not (isinstance(data, tuple | list) and len(data) == 2):
                message = "PackedSequence: expected data and batch_sizes, or a pair of them"
                raise TypeError(message)
            data, batch_sizes = data
        if batch_sizes.device.type != "cpu":
            message = (
                f"PackedSequence: expected batch_sizes on the CPU, got {batch_sizes.device}; make "
                "packed sequences with pack_sequence or pack_padded_sequence"
            )
            raise ValueError(message)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The data in another type or on another device, as Tensor.to; itself if it is already."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        order = [None if t is None else t.to(data.device) for t in self[2:]]
        return PackedSequence(data, self.batch_sizes, *order)

    def cpu(self) -> PackedSequence:
        """`to` the CPU."""
        return self.to("cpu")

    def cuda(self) -> PackedSequence:
        """`to` the GPU."""
        return self.to("cuda")

    def double(self) -> PackedSequence:
        """`to` float64."""
        return self._replace(data=self.data.double())

    def float(self) -> PackedSequence:
        """`to` float32."""
        return self._replace(data=self.data.float())

    def long(self) -> PackedSequence:
        """`to` int64."""
        return self._replace(data=self.data.long())

    @property
    def is_cuda(self) -> bool:
        """Whether the data are on a GPU."""
        return bool(self.data.device.type == "cuda")


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes one; None for None."""
    if permutation is None:
        return None
    return numbers(np.argsort(host(permutation), kind="stable"), permutation)


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Packs a padded batch (t, b, ...), or (b, t, ...) with ``batch_first``.

    lengths: a tensor or list of b integers > 0, in decreasing order unless ``enforce_sorted`` is
    False, which sorts the rows.

    Raises RuntimeError for lengths that do not fit, or are not in order.
    """
    name = "pack_padded_sequence"
    if not isinstance(input, Tensor) or input.ndim < 2:
        what = input.shape if isinstance(input, Tensor) else type(input).__name__
        message = f"{name}: expected input (t, b, ...) as a Tensor, got {what}"
        raise RuntimeError(message)
    steps, batch = input.shape[:2][:: -1 if batch_first else 1]
    sizes = host(lengths)
    if sizes.shape != (batch,) or batch == 0:
        message = (
            f"{name}: expected lengths as {batch} integers, one for each row of a batch that is "
            f"not empty, got {sizes.shape}"
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
        message = f"{name}: expected lengths greater than 0, got {sizes.tolist()}"
        raise RuntimeError(message)
    if sizes[0] > steps:
        message = f"{name}: expected lengths of at most {steps}, got {sizes.tolist()}"
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
    data, batch_sizes, _, unsorted = sequence
    sizes = host(batch_sizes)
    total = sizes.size if total_length is None else total_length
    if total < sizes.size:
        message = (
            "pad_packed_sequence: Expected total_length to be at least the length of the longest "
            f"sequence in input, but got total_length={total} and max sequence length being "
            f"{sizes.size}"
        )
        raise ValueError(message)
    rows, inside = places(sizes, total)
    lengths = lengths_of(sizes.tolist())
    if unsorted is not None:
        back = host(unsorted)
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
    if not hasattr(sequences, "__iter__"):
        message = (
            f"pad_sequence: Expected iterable for input sequences, got {type(sequences).__name__}"
        )
        raise RuntimeError(message)
    parts = list(sequences)
    if not parts:
        message = "pad_sequence: received an empty list of sequences"
        raise RuntimeError(message)
    if padding_side not in ("left", "right"):
        message = f"pad_sequence: expected padding_side 'left' or 'right', got {padding_side!r}"
        raise RuntimeError(message)
    first = parts[0]
    for p in parts:
        if p.ndim == 0 or p.shape[1:] != first.shape[1:] or p.dtype != first.dtype:
            message = (
                "pad_sequence: expected sequences of one type and equal sizes after the first "
                f"dimension, got {first.dtype} {first.shape} and {p.dtype} {p.shape}"
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
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    sizes = host(lengths).tolist()
    if len(sizes) != rows.shape[0]:
        message = f"unpad_sequence: expected {rows.shape[0]} lengths, got {len(sizes)}"
        raise ValueError(message)
    return [rows[k, :n] for k, n in enumerate(sizes)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """`pad_sequence`, then `pack_padded_sequence`."""
    lengths = [v.shape[0] for v in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """`pad_packed_sequence`, then `unpad_sequence`."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
