# SPDX-License-Identifier: BSD-3-Clause
"""Methods of Tensor, as in ``_methods.py``: of the operations in ``_arrays.py``."""

from __future__ import annotations

from fastnn.ops import _arrays as arrays
from fastnn.ops.sliding import unfold_dimension


class ArrayMethods:
    """What Tensor gets from the operations that order, count, join, index and multiply arrays."""

    addbmm = arrays.addbmm
    addmv = arrays.addmv
    addr = arrays.addr
    aminmax = arrays.aminmax
    argsort = arrays.argsort
    argwhere = arrays.argwhere
    bincount = arrays.bincount
    corrcoef = arrays.corrcoef
    cov = arrays.cov
    cross = arrays.cross
    cummax = arrays.cummax
    cummin = arrays.cummin
    det = arrays.det
    diag = arrays.diag
    diag_embed = arrays.diag_embed
    diagflat = arrays.diagflat
    diagonal = arrays.diagonal
    diagonal_scatter = arrays.diagonal_scatter
    diff = arrays.diff
    dist = arrays.dist
    dsplit = arrays.dsplit
    fill_diagonal_ = arrays.fill_diagonal_
    fliplr = arrays.fliplr
    flipud = arrays.flipud
    hsplit = arrays.hsplit
    index_copy = arrays.index_copy
    index_copy_ = arrays.index_copy_
    index_fill = arrays.index_fill
    index_fill_ = arrays.index_fill_
    index_put = arrays.index_put
    index_put_ = arrays.index_put_
    inner = arrays.inner
    inverse = arrays.inverse
    kron = arrays.kron
    kthvalue = arrays.kthvalue
    logcumsumexp = arrays.logcumsumexp
    logdet = arrays.logdet
    masked_scatter = arrays.masked_scatter
    masked_scatter_ = arrays.masked_scatter_
    matrix_exp = arrays.matrix_exp
    matrix_power = arrays.matrix_power
    median = arrays.median
    mode = arrays.mode
    moveaxis = arrays.moveaxis
    msort = arrays.msort
    nanmean = arrays.nanmean
    nanmedian = arrays.nanmedian
    nanquantile = arrays.nanquantile
    nansum = arrays.nansum
    nonzero = arrays.nonzero
    put = arrays.put
    put_ = arrays.put_
    quantile = arrays.quantile
    ravel = arrays.ravel
    renorm = arrays.renorm
    renorm_ = arrays.renorm_
    repeat_interleave = arrays.repeat_interleave
    reshape_as = arrays.reshape_as
    rot90 = arrays.rot90
    scatter_reduce = arrays.scatter_reduce
    scatter_reduce_ = arrays.scatter_reduce_
    select_scatter = arrays.select_scatter
    slice_scatter = arrays.slice_scatter
    slogdet = arrays.slogdet
    sort = arrays.sort
    sum_to_size = arrays.sum_to_size
    swapaxes = arrays.swapaxes
    take = arrays.take
    tensor_split = arrays.tensor_split
    topk = arrays.topk
    trace = arrays.trace
    unfold = unfold_dimension
    unique = arrays.unique
    unique_consecutive = arrays.unique_consecutive
    vdot = arrays.vdot
    vsplit = arrays.vsplit
