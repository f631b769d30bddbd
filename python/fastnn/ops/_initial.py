# SPDX-License-Identifier: BSD-3-Clause
"""The factorisation behind `fastnn.nn.init.orthogonal_`: by LAPACK, once per parameter."""

from __future__ import annotations

from typing import Any

from fastnn import _backend
from fastnn._backend import array_module, reference
from fastnn.ops import _common
from fastnn.ops.softmax import wide
from fastnn.tensor import Tensor


@reference
def orthogonal_factor(x: Any, y: Any) -> None:
    """y = Q of x (n, m) = Q R, n >= m, with a positive diagonal of R, which makes Q unique.

    Of normally distributed x, Q is uniform over all matrices with orthonormal columns (Mezzadri,
    "How to generate random matrices from the classical compact groups", 2007).
    """
    xp = array_module(x)
    q, r = xp.linalg.qr(wide(x))
    y[...] = q * xp.where(xp.diagonal(r) < 0, -1.0, 1.0).astype(q.dtype)


def orthogonal(x: Tensor) -> Tensor:
    """The orthogonal factor of a matrix; of one with more columns than rows, its transpose's."""
    table = _backend.kernels(x.array)
    wide_matrix = x.shape[0] < x.shape[1]
    array = _common.contiguous_array(table, x.array.T if wide_matrix else x.array)
    out = table.empty(array.shape, array.dtype)
    table.orthogonal_factor(array, out)
    return Tensor._wrap(out.T if wide_matrix else out)
