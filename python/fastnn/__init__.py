# SPDX-License-Identifier: BSD-3-Clause
"""fastnn: neural networks with native CPU kernels, under torch's names.

    import fastnn as torch

``fastnn.show_config()`` says which backend and instruction set run, and why not the others.
"""

from __future__ import annotations

import importlib
from typing import Any

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
from fastnn.ops import (
    add,
    arange,
    argmax,
    as_tensor,
    asarray,
    clone,
    div,
    empty,
    empty_like,
    eq,
    exp,
    flatten,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    ge,
    gt,
    index_select,
    le,
    log,
    log_softmax,
    lt,
    matmul,
    mean,
    mm,
    mul,
    ne,
    neg,
    ones,
    ones_like,
    permute,
    relu,
    reshape,
    result_type,
    sigmoid,
    softmax,
    split,
    squeeze,
    sub,
    sum,
    t,
    tanh,
    tensor,
    transpose,
    unsqueeze,
    where,
    zeros,
    zeros_like,
)
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
    "Generator",
    "Tensor",
    "add",
    "arange",
    "argmax",
    "as_tensor",
    "asarray",
    "autograd",
    "bool",
    "can_cast",
    "clone",
    "default_generator",
    "device",
    "div",
    "double",
    "dtype",
    "empty",
    "empty_cache",
    "empty_like",
    "enable_grad",
    "eq",
    "exp",
    "flatten",
    "float",
    "float16",
    "float32",
    "float64",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "ge",
    "get_default_dtype",
    "get_num_threads",
    "get_rng_state",
    "gt",
    "half",
    "index_select",
    "inference_mode",
    "initial_seed",
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_grad_enabled",
    "is_tensor",
    "le",
    "log",
    "log_softmax",
    "long",
    "lt",
    "manual_seed",
    "matmul",
    "mean",
    "mm",
    "mul",
    "ne",
    "neg",
    "no_grad",
    "ones",
    "ones_like",
    "permute",
    "promote_types",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "relu",
    "reshape",
    "result_type",
    "seed",
    "set_default_dtype",
    "set_grad_enabled",
    "set_num_threads",
    "set_rng_state",
    "short",
    "show_config",
    "sigmoid",
    "softmax",
    "split",
    "squeeze",
    "sub",
    "sum",
    "t",
    "tanh",
    "tensor",
    "transpose",
    "uint8",
    "unsqueeze",
    "where",
    "zeros",
    "zeros_like",
]  # fmt: skip
