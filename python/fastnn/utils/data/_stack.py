# SPDX-License-Identifier: BSD-3-Clause
"""Samples side by side.

This runs outside of a training step, often in a loader's thread: plain assignment to rows of memory
that comes from the allocator, so that batches of an epoch reuse each other's memory.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from fastnn._backend import kernels
from fastnn._dtypes import promote_types
from fastnn.tensor import Tensor


def stack_rows(samples: Sequence[Tensor]) -> Tensor:
    """A new tensor with ``samples``, all of one shape, along a new first dimension."""
    first = samples[0].array
    table = kernels(first)
    for i, sample in enumerate(samples):
        if sample.shape != first.shape:
            message = (
                "default_collate: expected tensors of equal size to stack, got "
                f"{list(first.shape)} at entry 0 and {list(sample.shape)} at entry {i}; pad the "
                "samples in the data set, or pass a collate_fn of your own"
            )
            raise RuntimeError(message)
    dtype = functools.reduce(promote_types, (s.dtype for s in samples))
    out = table.empty((len(samples), *first.shape), dtype.numpy)
    for i, sample in enumerate(samples):
        out[i] = sample.array
    return Tensor._wrap(out)
