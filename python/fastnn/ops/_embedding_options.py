# SPDX-License-Identifier: BSD-3-Clause
"""The options of `embedding`: rows held below a norm, gradients by frequency."""

from __future__ import annotations

import math
from typing import Any

from fastnn import _dtypes
from fastnn.autograd import no_grad
from fastnn.ops import _common
from fastnn.ops._elementwise import number
from fastnn.ops.copy import clone, to
from fastnn.ops.vector_norm import norm
from fastnn.ops.where import where
from fastnn.tensor import Tensor


def check_options(
    name: str, max_norm: Any, norm_type: Any, scale_grad_by_freq: Any, sparse: Any
) -> None:
    """TypeError or ValueError for what an option cannot be; gradients are dense also if sparse."""
    if max_norm is not None:
        if not number(name, "max_norm", max_norm) >= 0.0:
            message = (
                f"{name}: expected max_norm >= 0, got {max_norm}; None leaves the rows as they are"
            )
            raise ValueError(message)
        if math.isnan(number(name, "norm_type", norm_type)):
            message = f"{name}: expected norm_type as a number, got nan; 2.0 is the Euclidean norm"
            raise ValueError(message)
    for key, value in (("scale_grad_by_freq", scale_grad_by_freq), ("sparse", sparse)):
        if not isinstance(value, bool):
            message = (
                f"{name}: expected {key} as a bool, got {type(value).__name__}; pass True or False"
            )
            raise TypeError(message)


def renormalise(weight: Tensor, numbers: Tensor, max_norm: float, norm_type: float) -> None:
    """weight[j] *= max_norm / (|weight[j]| + 1e-7), in place, for numbers j of a larger norm.

    A row that is named twice is written twice, with the same values. A weight on read-only memory
    (a mapped file) is given a copy that can be written.
    """
    if not numbers.numel():
        return
    with no_grad():
        if not getattr(weight.array.flags, "writeable", True):
            if weight.array.size and 0 in weight.array.strides:
                message = (
                    "embedding: expected a weight with memory for every element to hold below "
                    "max_norm, got an expanded tensor; clone() it first"
                )
                raise RuntimeError(message)
            weight.data = clone(weight.data)
        flat = numbers.reshape(-1)
        rows = weight[flat]
        norms = to(norm(rows, norm_type, 1, keepdim=True), _dtypes.float64)
        scale = to(max_norm / (norms + 1e-7), weight.dtype)
        weight[flat] = where(norms > max_norm, rows * scale, rows)


def by_frequency(table: Any, rows: Any, index: Any, n: int) -> Any:
    """Every row (m, d) over how many of the m numbers, all below n, are the same as its own."""
    m = index.size
    # Counts of float64 are exact.
    ones, counts, own = (table.empty(s, "float64") for s in ((m, 1), (n, 1), (1, m, 1)))
    table.fill(table.xp.ones(1, "float64"), ones)
    table.embedding_backward(ones, index, counts, -1, False)
    table.take_rows(counts[None], index, own, False)
    table.div(ones, own[0], ones)
    factor = ones
    if rows.dtype != ones.dtype:
        factor = table.empty((m, 1), rows.dtype)
        table.cast(ones, factor)
    out = table.empty(rows.shape, rows.dtype)
    table.mul(rows, _common.broadcast_array(table, factor, rows.shape), out)
    return out
