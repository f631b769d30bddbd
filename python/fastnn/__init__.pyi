# SPDX-License-Identifier: BSD-3-Clause
"""fastnn: neural networks with native CPU kernels, under torch's names.

    import fastnn as torch

``fastnn.show_config()`` says which backend and instruction set run, and why not the others.
"""

from __future__ import annotations

from typing import Any

from fastnn import autograd
from fastnn._config import (
    are_deterministic_algorithms_enabled,
    empty_cache,
    get_default_device,
    get_float32_matmul_precision,
    get_num_threads,
    is_deterministic_algorithms_warn_only_enabled,
    set_default_device,
    set_float32_matmul_precision,
    set_num_threads,
    show_config,
    use_deterministic_algorithms,
)
from fastnn._device import device
from fastnn._dtype_info import finfo, iinfo
from fastnn._dtypes import (
    bfloat16,
    bool_,
    can_cast,
    dtype,
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    set_default_dtype,
    uint8,
)
from fastnn._formats import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    layout,
    memory_format,
    preserve_format,
    strided,
)
from fastnn._grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from fastnn.amp import GradScaler, autocast

# isort: off
from fastnn.ops import (
    abs, abs_, acos, acos_, acosh, acosh_, add, addcdiv, addcmul, addmm, all, allclose, amax, amin,
    any, arange, argmax, argmin, as_tensor, asarray, asin, asin_, asinh, asinh_, atan, atan2, atan_,
    atanh, atanh_, baddbmm, bilinear, bitwise_and, bitwise_left_shift, bitwise_not, bitwise_or,
    bitwise_right_shift, bitwise_xor, bmm, broadcast_to, cat, ceil, ceil_, celu, celu_,
    channel_shuffle, chunk, clamp, clamp_, clamp_max, clamp_max_, clamp_min, clamp_min_, clip,
    clip_, clone, copysign, cos, cos_, cosh, cosh_, cosine_similarity, count_nonzero, cumprod,
    cumsum, deg2rad, deg2rad_, digamma, div, dot, empty, empty_like, eq, equal, erf, erf_, erfc,
    erfc_, erfinv, exp, exp2, exp2_, exp_, expm1, expm1_, eye, fill_, flatten, flip, float_power,
    floor, floor_, floor_divide, fmax, fmin, fmod, frac, frac_, from_dlpack, from_numpy, full,
    full_like, gather, ge, gt, heaviside, hstack, hypot, index_add, index_select, isclose, isfinite,
    isin, isinf, isnan, isneginf, isposinf, isreal, ldexp, ldexp_, le, lerp, lgamma, linspace, log,
    log1p, log1p_, log2, log2_, log10, log10_, log_, log_softmax, logaddexp, logaddexp2,
    logical_and, logical_not, logical_or, logical_xor, logit, logit_, logspace, logsumexp, lt,
    masked_fill, masked_select, matmul, max, maximum, mean, min, minimum, mm, movedim, mul, mv,
    nan_to_num, nan_to_num_, narrow, ne, neg, neg_, norm, ones, ones_like, outer, pairwise_distance,
    pdist, permute, pixel_shuffle, pixel_unshuffle, polygamma, positive, pow, prelu, prod, rad2deg,
    rad2deg_, reciprocal, reciprocal_, relu, relu_, remainder, reshape, result_type, roll, round,
    round_, rrelu, rrelu_, rsqrt, rsqrt_, rsub, scalar_tensor, scatter, scatter_add, select, selu,
    selu_, sigmoid, sigmoid_, sign, signbit, sin, sin_, sinc, sinc_, sinh, sinh_, softmax, split,
    split_with_sizes, sqrt, sqrt_, square, square_, squeeze, stack, std, std_mean, sub, sum, t,
    take_along_dim, tan, tan_, tanh, tanh_, tensor, threshold, threshold_, tile, transpose, tril,
    tril_indices, triu, triu_indices, true_divide, trunc, trunc_, unbind, unflatten, unsqueeze, var,
    var_mean, vstack, where, xlogy, xlogy_, zero_, zeros, zeros_like,
)  # fmt: skip
from fastnn.ops._arrays import index_reduce, matrix_exp
from fastnn.ops._arrays import (
    addbmm, addmv, addr, aminmax, argsort, argwhere, atleast_1d, atleast_2d, atleast_3d, bincount,
    block_diag, broadcast_tensors, bucketize, cartesian_prod, cdist, column_stack, combinations,
    corrcoef, cov, cross, cummax, cummin, det, diag, diag_embed, diagflat, diagonal,
    diagonal_scatter, diff, dist, dsplit, dstack, einsum, fliplr, flipud, hsplit, index_copy,
    index_fill, index_put, index_put_, inner, inverse, kron, kthvalue, logcumsumexp, logdet,
    masked_scatter, matrix_power, median, meshgrid, mode, moveaxis, msort, nanmean, nanmedian,
    nanquantile, nansum, nonzero, put, quantile, ravel, renorm, repeat_interleave, rot90,
    scatter_reduce, searchsorted, select_scatter, slice_scatter, slogdet, sort, swapaxes, take,
    tensor_split, tensordot, topk, trace, unique, unique_consecutive, vdot, vsplit,
)  # fmt: skip
from fastnn.ops._aliases import (
    absolute, absolute_, arccos, arccos_, arccosh, arccosh_, arcsin, arcsin_, arcsinh, arcsinh_,
    arctan, arctan2, arctan_, arctanh, arctanh_, concat, concatenate, divide, fix,
    fix_, ger, greater, greater_equal, less, less_equal, multiply, negative, negative_, not_equal,
    row_stack, sgn, subtract, swapdims,
)  # fmt: skip
from fastnn.ops._attributes import (
    adjoint, conj, detach, is_complex, is_conj, is_floating_point, is_neg, is_nonzero,
    is_same_size, is_signed, numel, resolve_conj, resolve_neg,
)  # fmt: skip

from fastnn.ops import (
    adaptive_avg_pool1d, avg_pool1d, conv1d, conv2d, conv_transpose1d, conv_transpose2d, hardshrink,
    rms_norm,
)  # fmt: skip
from fastnn.ops._torch_level import (
    adaptive_max_pool1d, alpha_dropout, alpha_dropout_, batch_norm, detach_, dropout, dropout_,
    embedding, feature_alpha_dropout, feature_alpha_dropout_, group_norm, layer_norm, max_pool1d,
    max_pool2d,
)  # fmt: skip

# isort: on
from fastnn._draws import bernoulli, multinomial, normal
from fastnn._random_integers import randint_like
from fastnn._repr import set_printoptions
from fastnn._size import Size, e, inf, nan, newaxis, pi
from fastnn._typed_tensors import (
    BFloat16Tensor,
    BoolTensor,
    ByteTensor,
    CharTensor,
    DoubleTensor,
    FloatTensor,
    HalfTensor,
    IntTensor,
    LongTensor,
    ShortTensor,
    set_default_tensor_type,
)
from fastnn.ops._attributes import is_tensor, typename
from fastnn.random import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    seed,
    set_rng_state,
)
from fastnn.serialization import load as load
from fastnn.serialization import save as save
from fastnn.tensor import Tensor

bool = bool_
float = float32
double = float64
half = float16
short = int16
int = int32
long = int64

__version__: str

def __getattr__(name: str) -> Any: ...  # the other files of the package

__all__ = [
    "BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor",
    "Generator", "GradScaler",
    "HalfTensor", "IntTensor", "LongTensor", "ShortTensor", "Tensor", "abs", "abs_",
    "absolute", "absolute_", "acos", "acos_", "acosh", "acosh_", "add", "addcdiv", "addcmul",
    "addmm", "all", "allclose", "amax", "amin", "any", "arange", "arccos", "arccos_", "arccosh",
    "arccosh_", "arcsin", "arcsin_", "arcsinh", "arcsinh_", "arctan", "arctan2", "arctan_",
    "arctanh", "arctanh_", "are_deterministic_algorithms_enabled", "argmax", "argmin", "as_tensor",
    "asarray", "asin", "asin_", "asinh", "asinh_", "atan", "atan2", "atan_", "atanh", "atanh_",
    "autocast", "autograd", "baddbmm",
    "bernoulli", "bfloat16", "bilinear", "bitwise_and", "bitwise_left_shift",
    "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "bmm", "bool",
    "broadcast_to", "can_cast", "cat", "ceil", "ceil_", "celu", "celu_",
    "channel_shuffle", "channels_last",
    "channels_last_3d", "chunk", "clamp", "clamp_", "clamp_max", "clamp_max_", "clamp_min",
    "clamp_min_", "clip", "clip_", "clone", "contiguous_format", "copysign", "cos", "cos_", "cosh",
    "cosh_",
    "cosine_similarity",
    "count_nonzero", "cumprod", "cumsum", "default_generator", "deg2rad", "deg2rad_",
    "device", "digamma", "div", "divide", "dot", "double", "dtype", "empty", "empty_cache",
    "empty_like", "enable_grad", "eq", "equal", "erf", "erf_", "erfc", "erfc_", "erfinv", "exp",
    "exp2", "exp2_", "exp_", "expm1", "expm1_", "eye", "fill_", "finfo", "fix", "fix_", "flatten",
    "flip", "float", "float16", "float32", "float64", "float_power", "floor", "floor_",
    "floor_divide", "fmax", "fmin", "fmod", "frac", "frac_", "from_dlpack", "from_numpy", "full",
    "full_like", "gather", "ge", "get_default_dtype", "get_num_threads", "get_rng_state", "greater",
    "greater_equal", "gt", "half", "heaviside", "hstack", "hypot", "iinfo", "index_add",
    "index_select", "inference_mode", "initial_seed", "int", "int8", "int16", "int32", "int64",
    "is_complex", "is_floating_point", "is_grad_enabled", "is_nonzero", "is_tensor", "isclose",
    "isfinite", "isin", "isinf", "isnan", "isneginf", "isposinf", "isreal", "layout", "ldexp",
    "ldexp_", "le", "lerp", "less", "less_equal", "lgamma", "linspace", "log", "log1p", "log1p_",
    "log2", "log2_", "log10", "log10_", "log_", "log_softmax", "logaddexp", "logaddexp2",
    "logical_and", "logical_not", "logical_or", "logical_xor", "logit", "logit_", "logspace",
    "logsumexp", "long", "lt", "manual_seed", "masked_fill", "masked_select", "matmul", "max",
    "maximum", "mean", "memory_format", "min", "minimum", "mm", "movedim", "mul", "multinomial",
    "multiply", "mv", "nan_to_num", "nan_to_num_", "narrow", "ne", "neg", "neg_", "negative",
    "negative_", "no_grad", "norm", "normal", "not_equal", "numel", "ones", "ones_like", "outer",
    "pairwise_distance", "pdist",
    "permute",
    "pixel_shuffle", "pixel_unshuffle",
    "polygamma", "positive", "pow", "prelu", "preserve_format", "prod", "promote_types",
    "rad2deg", "rad2deg_", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like",
    "randperm", "reciprocal", "reciprocal_", "relu", "relu_", "remainder", "reshape", "result_type",
    "roll", "round", "round_",
    "rrelu", "rrelu_", "rsqrt", "rsqrt_", "rsub", "scalar_tensor", "scatter", "scatter_add",
    "seed", "select", "selu", "selu_", "set_default_dtype", "set_grad_enabled", "set_num_threads",
    "set_printoptions", "set_rng_state", "sgn", "short", "show_config", "sigmoid", "sigmoid_",
    "sign", "signbit", "sin", "sin_", "sinc", "sinc_", "sinh", "sinh_", "softmax", "split",
    "split_with_sizes", "sqrt", "sqrt_", "square", "square_", "squeeze", "stack", "std", "std_mean",
    "strided", "sub", "subtract", "sum", "t", "take_along_dim", "tan", "tan_", "tanh", "tanh_",
    "tensor", "threshold", "threshold_", "tile", "transpose", "tril", "tril_indices", "triu",
    "triu_indices", "true_divide", "trunc", "trunc_", "typename",
    "uint8", "unbind", "unflatten", "unsqueeze",
    "use_deterministic_algorithms", "var", "var_mean", "vstack", "where", "xlogy", "xlogy_",
    "zero_", "zeros", "zeros_like",
]  # fmt: skip
__all__ += ["index_reduce", "matrix_exp"]
__all__ += [

    "addbmm", "addmv", "addr", "aminmax", "argsort", "argwhere", "atleast_1d", "atleast_2d",
    "atleast_3d", "bincount", "block_diag", "broadcast_tensors", "bucketize", "cartesian_prod",
    "cdist", "column_stack", "combinations", "corrcoef", "cov", "cross", "cummax", "cummin", "det",
    "diag", "diag_embed", "diagflat", "diagonal", "diagonal_scatter", "diff", "dist", "dsplit",
    "dstack", "einsum", "fliplr", "flipud", "hsplit", "index_copy", "index_fill", "index_put",
    "index_put_", "inner", "inverse", "kron", "kthvalue", "logcumsumexp", "logdet",
    "masked_scatter", "matrix_power", "median", "meshgrid", "mode", "moveaxis", "msort", "nanmean",
    "nanmedian", "nanquantile", "nansum", "nonzero", "put", "quantile", "ravel", "renorm",
    "repeat_interleave", "rot90", "scatter_reduce", "searchsorted", "select_scatter",
    "slice_scatter", "slogdet", "sort", "swapaxes", "take", "tensor_split", "tensordot", "topk",
    "trace", "unique", "unique_consecutive", "vdot", "vsplit",
]  # fmt: skip
__all__ += [
    "Size", "adjoint", "concat", "concatenate", "conj", "detach", "e", "ger",
    "get_default_device", "get_float32_matmul_precision", "inf", "is_conj",
    "is_deterministic_algorithms_warn_only_enabled", "is_neg", "is_same_size", "is_signed", "nan",
    "newaxis", "pi", "resolve_conj", "resolve_neg", "row_stack",
    "set_default_device", "set_default_tensor_type", "set_float32_matmul_precision", "swapdims",
]  # fmt: skip
__all__ += [
    "adaptive_avg_pool1d", "adaptive_max_pool1d", "alpha_dropout", "alpha_dropout_", "avg_pool1d",
    "batch_norm", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "detach_", "dropout",
    "dropout_", "embedding", "feature_alpha_dropout", "feature_alpha_dropout_", "group_norm",
    "hardshrink", "layer_norm", "max_pool1d", "max_pool2d", "rms_norm",
]  # fmt: skip
