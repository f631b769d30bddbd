# SPDX-License-Identifier: BSD-3-Clause
"""Methods of Tensor, as in `_methods`: in-place forms that torch has as methods alone."""

from __future__ import annotations

from fastnn.ops._shape_in_place import (
    squeeze_,
    swapaxes_,
    swapdims_,
    t_,
    transpose_,
    unsqueeze_,
)
from fastnn.ops.added_products import addbmm_, addmv_, addr_
from fastnn.ops.cumulative import cumprod_, cumsum_
from fastnn.ops.index_reduce import index_reduce, index_reduce_
from fastnn.ops.products import addmm_, baddbmm_


class InPlaceMethods:
    """The base of `Methods` for these."""

    addbmm_ = addbmm_
    addmm_ = addmm_
    addmv_ = addmv_
    addr_ = addr_
    baddbmm_ = baddbmm_
    cumprod_ = cumprod_
    cumsum_ = cumsum_
    index_reduce = index_reduce
    index_reduce_ = index_reduce_
    squeeze_ = squeeze_
    swapaxes_ = swapaxes_
    swapdims_ = swapdims_
    t_ = t_
    transpose_ = transpose_
    unsqueeze_ = unsqueeze_
