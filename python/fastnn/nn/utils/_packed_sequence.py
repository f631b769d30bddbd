# SPDX-License-Identifier: BSD-3-Clause
"""``PackedSequence``: the rows of sequences that are not over, time step by time step."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastnn.nn.utils._packing import host, numbers, require_tensor
from fastnn.tensor import Tensor

__all__ = ["PackedSequence", "invert_permutation"]


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
                message = (
                    "PackedSequence: expected data and batch_sizes, or a pair of them, got"
                    f" {type(data).__name__} alone; pack_sequence makes one of tensors"
                )
                raise TypeError(message)
            data, batch_sizes = data
        require_tensor("PackedSequence", "data", data, 1)
        require_tensor("PackedSequence", "batch_sizes", batch_sizes)
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
    require_tensor("invert_permutation", "permutation", permutation)
    values = host("invert_permutation", "permutation", permutation)
    order = np.argsort(values, kind="stable")
    if values.ndim != 1 or (values[order] != np.arange(values.size)).any():
        message = (
            f"invert_permutation: expected the numbers 0 to {values.size - 1}, got "
            f"{values.tolist()}; argsort gives a permutation"
        )
        raise ValueError(message)
    return numbers(order, permutation)
