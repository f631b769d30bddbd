# SPDX-License-Identifier: BSD-3-Clause
"""Linear algebra under the names of torch.linalg, on batches of matrices, by LAPACK.

x = fastnn.linalg.solve(a, b)
"""

from __future__ import annotations

from typing import Any

from fastnn.ops._arrays import (
    cholesky,
    det,
    householder_product,
    inv,
    matrix_exp,
    matrix_norm,
    matrix_power,
    multi_dot,
    slogdet,
    solve,
    svd,
    svdvals,
    vecdot,
)
from fastnn.ops._arrays import diagonal as _diagonal
from fastnn.ops._matrix_op import LinAlgError
from fastnn.ops.matmul import matmul
from fastnn.ops.matrix_norm import linalg_norm as norm
from fastnn.ops.tensor_products import cross_of
from fastnn.ops.vector_norm import vector_norm_tensor as vector_norm
from fastnn.tensor import Tensor


def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vector product along ``dim``, by default the last; as torch.linalg.cross.

    Raises RuntimeError for a dimension of another size than 3 and shapes that do not broadcast.
    """
    return cross_of("cross", input, other, dim)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """A view of the diagonals of matrices, by default of the last two dimensions.

    As torch.linalg.diagonal.   Raises as `fastnn.diagonal`.
    """
    return _diagonal(A, offset, dim1, dim2)


__all__ = [
    "LinAlgError", "cholesky", "cross", "det", "diagonal", "householder_product", "inv", "matmul",
    "matrix_exp", "matrix_norm", "matrix_power", "multi_dot", "norm", "slogdet", "solve", "svd",
    "svdvals", "vecdot", "vector_norm",
]  # fmt: skip
