# SPDX-License-Identifier: BSD-3-Clause
"""Second names that torch has for functions, most of them NumPy's. Their errors name the first."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from fastnn import ops

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastnn.tensor import Tensor

    Alias = Callable[..., Tensor]


def _alias(name: str, function: Alias) -> Alias:
    @functools.wraps(function)
    def other(*args: Any, **kwargs: Any) -> Tensor:
        return function(*args, **kwargs)

    other.__name__ = other.__qualname__ = name
    other.__doc__ = f"Another name of `{function.__name__}`, as torch's {name}."
    return other


absolute: Alias = _alias("absolute", ops.abs)
absolute_: Alias = _alias("absolute_", ops.abs_)
arccos: Alias = _alias("arccos", ops.acos)
arccos_: Alias = _alias("arccos_", ops.acos_)
arccosh: Alias = _alias("arccosh", ops.acosh)
arccosh_: Alias = _alias("arccosh_", ops.acosh_)
arcsin: Alias = _alias("arcsin", ops.asin)
arcsin_: Alias = _alias("arcsin_", ops.asin_)
arcsinh: Alias = _alias("arcsinh", ops.asinh)
arcsinh_: Alias = _alias("arcsinh_", ops.asinh_)
arctan: Alias = _alias("arctan", ops.atan)
arctan_: Alias = _alias("arctan_", ops.atan_)
arctan2: Alias = _alias("arctan2", ops.atan2)
arctan2_: Alias = _alias("arctan2_", ops.atan2_)
arctanh: Alias = _alias("arctanh", ops.atanh)
arctanh_: Alias = _alias("arctanh_", ops.atanh_)
concat: Alias = _alias("concat", ops.cat)
concatenate: Alias = _alias("concatenate", ops.cat)
divide: Alias = _alias("divide", ops.div)
divide_: Alias = _alias("divide_", ops.div_)
expit: Alias = _alias("expit", ops.sigmoid)
fix: Alias = _alias("fix", ops.trunc)
fix_: Alias = _alias("fix_", ops.trunc_)
gammaln: Alias = _alias("gammaln", ops.lgamma)
ger: Alias = _alias("ger", ops.outer)
greater: Alias = _alias("greater", ops.gt)
greater_: Alias = _alias("greater_", ops.gt_)
greater_equal: Alias = _alias("greater_equal", ops.ge)
greater_equal_: Alias = _alias("greater_equal_", ops.ge_)
less: Alias = _alias("less", ops.lt)
less_: Alias = _alias("less_", ops.lt_)
less_equal: Alias = _alias("less_equal", ops.le)
less_equal_: Alias = _alias("less_equal_", ops.le_)
multiply: Alias = _alias("multiply", ops.mul)
multiply_: Alias = _alias("multiply_", ops.mul_)
negative: Alias = _alias("negative", ops.neg)
negative_: Alias = _alias("negative_", ops.neg_)
not_equal: Alias = _alias("not_equal", ops.ne)
not_equal_: Alias = _alias("not_equal_", ops.ne_)
sgn: Alias = _alias("sgn", ops.sign)
sgn_: Alias = _alias("sgn_", ops.sign_)
psi: Alias = _alias("psi", ops.digamma)
row_stack: Alias = _alias("row_stack", ops.vstack)
subtract: Alias = _alias("subtract", ops.sub)
subtract_: Alias = _alias("subtract_", ops.sub_)
swapdims: Alias = _alias("swapdims", ops.transpose)
