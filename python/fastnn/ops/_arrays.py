# SPDX-License-Identifier: BSD-3-Clause
"""The operations that order, count, join, index and multiply arrays, by their public names."""

from __future__ import annotations

# isort: off
from fastnn.ops.added_products import addbmm, addmv, addr, vdot, vecdot_tensors as vecdot
from fastnn.ops.counting import argwhere, bincount, nonzero, repeat_interleave
from fastnn.ops.determinant import det, logdet, slogdet
from fastnn.ops.diagonal_fill import diagflat, fill_diagonal_, sum_to_size
from fastnn.ops.diagonals import (
    diag, diag_embed, diagonal, diagonal_scatter, trace_of as trace,
)  # fmt: skip
from fastnn.ops.einsum import einsum_tensors as einsum
from fastnn.ops.grids import (
    block_diag, broadcast_tensors, cartesian_prod, column_stack, combinations, dstack, meshgrid,
)  # fmt: skip
from fastnn.ops.index_write import (
    index_copy, index_copy_, index_fill, index_fill_, index_put_, index_put_tensor as index_put,
    put, put_, take,
)  # fmt: skip
from fastnn.ops.index_reduce import index_reduce
from fastnn.ops.inverse import cholesky, inv, inverse, matrix_power, solve
from fastnn.ops.matrix_functions import householder_product, matrix_exp
from fastnn.ops.matrix_norm import matrix_norm, svd, svdvals
from fastnn.ops.multi_dot import multi_dot_tensors as multi_dot
from fastnn.ops.nan_reductions import aminmax, diff, dist, nanmean, nansum, renorm, renorm_
from fastnn.ops.order_statistics import kthvalue, median, mode, nanmedian
from fastnn.ops.part_write import masked_scatter, masked_scatter_, select_scatter, slice_scatter
from fastnn.ops.quantile import nanquantile, quantile_tensor as quantile
from fastnn.ops.running import cummax, cummin, logcumsumexp
from fastnn.ops.scatter_reduce import scatter_reduce_, scatter_reduced as scatter_reduce
from fastnn.ops.search import bucketize, searchsorted
from fastnn.ops.sorting import argsort, msort, sort, topk
from fastnn.ops.statistics import cdist, corrcoef, cov
from fastnn.ops.tensor_products import cross, inner, kron, tensordot
from fastnn.ops.turns import (
    atleast_1d, atleast_2d, atleast_3d, dsplit, fliplr, flipud, hsplit, moveaxis, ravel, reshape_as,
    rot90, swapaxes, tensor_split, vsplit,
)  # fmt: skip
from fastnn.ops.unique import unique_consecutive, unique_tensor as unique
# isort: on

__all__ = [
    "addbmm", "addmv", "addr", "aminmax", "argsort", "argwhere", "atleast_1d", "atleast_2d",
    "atleast_3d", "bincount", "block_diag", "broadcast_tensors", "bucketize", "cartesian_prod",
    "cdist", "cholesky", "column_stack", "combinations", "corrcoef", "cov", "cross", "cummax",
    "cummin", "det", "diag", "diag_embed", "diagflat", "diagonal", "diagonal_scatter", "diff",
    "dist", "dsplit", "dstack", "einsum", "fill_diagonal_", "fliplr", "flipud", "hsplit",
    "index_copy", "index_copy_", "index_fill", "index_fill_", "index_put", "index_put_", "inner",
    "inv", "inverse", "kron", "kthvalue", "logcumsumexp", "logdet", "masked_scatter",
    "masked_scatter_", "matrix_norm", "matrix_power", "median", "meshgrid", "mode", "moveaxis",
    "msort", "multi_dot", "nanmean", "nanmedian", "nanquantile", "nansum", "nonzero", "put", "put_",
    "quantile", "ravel", "renorm", "renorm_", "repeat_interleave", "reshape_as", "rot90",
    "scatter_reduce", "scatter_reduce_", "searchsorted", "select_scatter", "slice_scatter",
    "slogdet", "solve", "sort", "sum_to_size", "svd", "svdvals", "swapaxes", "take", "tensor_split",
    "tensordot", "topk", "trace", "unique", "unique_consecutive", "vdot", "vecdot", "vsplit",
]  # fmt: skip
__all__ += ["householder_product", "index_reduce", "matrix_exp"]
