# SPDX-License-Identifier: BSD-3-Clause
"""fastnn: neural networks with native CPU kernels, under torch's names.

    import fastnn as torch

``fastnn.show_config()`` says which backend and instruction set run, and why not the others.
"""

from __future__ import annotations

import importlib
from typing import Any

from fastnn import _startup  # noqa: F401  isort: skip  (before all that imports NumPy)
from fastnn import autograd
from fastnn._config import empty_cache, get_num_threads, set_num_threads, show_config
from fastnn._device import device
from fastnn._dtypes import (
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
from fastnn._grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)

# isort: off
from fastnn.ops import (
    abs, abs_, acos, acos_, acosh, acosh_, add, addmm, all, amax, amin, any, arange, argmax, argmin,
    as_tensor, asarray, asin, asin_, asinh, asinh_, atan, atan2, atan_, atanh, atanh_, baddbmm,
    bitwise_and, bitwise_not, bitwise_or, bitwise_xor, bmm, broadcast_to, cat, ceil, ceil_, celu,
    celu_, chunk, clamp, clamp_, clamp_max, clamp_max_, clamp_min, clamp_min_, clip, clip_, clone,
    cos, cos_, cosh, cosh_, count_nonzero, cumprod, cumsum, div, dot, empty, empty_like, eq, erf,
    erf_, exp, exp2, exp2_, expm1, expm1_, flatten, flip, float_power, floor, floor_, floor_divide,
    fmod, from_dlpack, from_numpy, full, full_like, gather, ge, gt, heaviside, hstack, index_add,
    index_select, isfinite, isinf, isnan, le, log, log10, log10_, log1p, log1p_, log2, log2_,
    log_softmax, logical_and, logical_not, logical_or, logical_xor, logsumexp, lt, masked_fill,
    masked_select, matmul, max, maximum, mean, min, minimum, mm, movedim, mul, mv, nan_to_num,
    nan_to_num_, narrow, ne, neg, norm, ones, ones_like, outer, permute, pow, prelu, prod,
    reciprocal, reciprocal_, relu, remainder, reshape, result_type, roll, round, round_, rsqrt,
    rsqrt_, scatter, scatter_add, select, selu, selu_, sigmoid, sign, sin, sin_, sinh, sinh_,
    softmax, split, split_with_sizes, sqrt, sqrt_, square, square_, squeeze, stack, std, std_mean,
    sub, sum, t, take_along_dim, tan, tan_, tanh, tensor, threshold, threshold_, tile, transpose,
    tril, triu, trunc, trunc_, unbind, unflatten, unsqueeze, var, var_mean, vstack, where, zeros,
    zeros_like,
)  # fmt: skip
# isort: on

# isort: on
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
from fastnn.tensor import Tensor

bool = bool_
float = float32
double = float64
half = float16
short = int16
int = int32
long = int64

# Imported at first use: a script that only wants kernels does not pay for them.
_LAZY = ("cli", "data", "nn", "optim", "testing", "train", "utils")


def _version() -> str:
    # Reading the installed metadata takes a quarter of the import's time: only when asked for.
    metadata = importlib.import_module("importlib.metadata")
    try:
        return str(metadata.version("fastnn-native"))
    except metadata.PackageNotFoundError:  # a source tree on the path
        return "0+unknown"


def is_tensor(obj: object) -> Any:
    """Whether an object is a Tensor."""
    return isinstance(obj, Tensor)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name in _LAZY:
        return importlib.import_module(f"fastnn.{name}")
    message = f"module 'fastnn' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted([*(k for k in globals() if not k.startswith("_")), *_LAZY])


__all__ = [
    "Generator", "Tensor", "abs", "abs_", "acos", "acos_", "acosh", "acosh_", "add", "addmm", "all",
    "amax", "amin", "any", "arange", "argmax", "argmin", "as_tensor", "asarray", "asin", "asin_",
    "asinh", "asinh_", "atan", "atan2", "atan_", "atanh", "atanh_", "autograd", "baddbmm",
    "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "bmm", "bool", "broadcast_to",
    "can_cast", "cat", "ceil", "ceil_", "celu", "celu_", "chunk", "clamp", "clamp_", "clamp_max",
    "clamp_max_", "clamp_min", "clamp_min_", "clip", "clip_", "clone", "cos", "cos_", "cosh",
    "cosh_", "count_nonzero", "cumprod", "cumsum", "default_generator", "device", "div", "dot",
    "double", "dtype", "empty", "empty_cache", "empty_like", "enable_grad", "eq", "erf", "erf_",
    "exp", "exp2", "exp2_", "expm1", "expm1_", "flatten", "flip", "float", "float16", "float32",
    "float64", "float_power", "floor", "floor_", "floor_divide", "fmod", "from_dlpack",
    "from_numpy", "full", "full_like", "gather", "ge", "get_default_dtype", "get_num_threads",
    "get_rng_state", "gt", "half", "heaviside", "hstack", "index_add", "index_select",
    "inference_mode", "initial_seed", "int", "int8", "int16", "int32", "int64", "is_grad_enabled",
    "is_tensor", "isfinite", "isinf", "isnan", "le", "log", "log1p", "log1p_", "log2", "log2_",
    "log10", "log10_", "log_softmax", "logical_and", "logical_not", "logical_or", "logical_xor",
    "logsumexp", "long", "lt", "manual_seed", "masked_fill", "masked_select", "matmul", "max",
    "maximum", "mean", "min", "minimum", "mm", "movedim", "mul", "mv", "nan_to_num", "nan_to_num_",
    "narrow", "ne", "neg", "no_grad", "norm", "ones", "ones_like", "outer", "permute", "pow",
    "prelu", "prod", "promote_types", "rand", "rand_like", "randint", "randn", "randn_like",
    "randperm", "reciprocal", "reciprocal_", "relu", "remainder", "reshape", "result_type", "roll",
    "round", "round_", "rsqrt", "rsqrt_", "scatter", "scatter_add", "seed", "select", "selu",
    "selu_", "set_default_dtype", "set_grad_enabled", "set_num_threads", "set_rng_state", "short",
    "show_config", "sigmoid", "sign", "sin", "sin_", "sinh", "sinh_", "softmax", "split",
    "split_with_sizes", "sqrt", "sqrt_", "square", "square_", "squeeze", "stack", "std", "std_mean",
    "sub", "sum", "t", "take_along_dim", "tan", "tan_", "tanh", "tensor", "threshold", "threshold_",
    "tile", "transpose", "tril", "triu", "trunc", "trunc_", "uint8", "unbind", "unflatten",
    "unsqueeze", "var", "var_mean", "vstack", "where", "zeros", "zeros_like",
]  # fmt: skip
