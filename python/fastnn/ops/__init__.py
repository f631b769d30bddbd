# SPDX-License-Identifier: BSD-3-Clause
"""The operations: one file each, with reference, forward, backward and public function."""

from __future__ import annotations

from fastnn.ops import adam, sgd  # the optimisers' kernels
from fastnn.ops._binary_op import binary, operators
from fastnn.ops._common import is_operand, one_dim, result_type
from fastnn.ops.activation import relu, relu_, sigmoid, sigmoid_, tanh, tanh_
from fastnn.ops.binary import Add, Div, Mul, Sub, add_, div_, mul_, neg_, sub_
from fastnn.ops.binary import add_tensors as add
from fastnn.ops.binary import div_tensors as div
from fastnn.ops.binary import mul_tensors as mul
from fastnn.ops.binary import negative as neg
from fastnn.ops.binary import sub_tensors as sub
from fastnn.ops.compare import eq_tensors as eq
from fastnn.ops.compare import ge_tensors as ge
from fastnn.ops.compare import gt_tensors as gt
from fastnn.ops.compare import le_tensors as le
from fastnn.ops.compare import lt_tensors as lt
from fastnn.ops.compare import ne_tensors as ne
from fastnn.ops.copy import clone, contiguous, converter, copy_, fill_, to, type_as, zero_
from fastnn.ops.creation import (
    arange,
    as_tensor,
    asarray,
    empty,
    empty_like,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from fastnn.ops.cross_entropy import cross_entropy
from fastnn.ops.dropout import dropout
from fastnn.ops.index import getitem, split
from fastnn.ops.index_put import setitem
from fastnn.ops.linear import linear
from fastnn.ops.matmul import matmul, mm
from fastnn.ops.random_fill import normal_, uniform_
from fastnn.ops.reduce import argmax, mean, sum
from fastnn.ops.rows import index_select
from fastnn.ops.softmax import log_softmax, softmax
from fastnn.ops.unary import exp, exp_, log, log_
from fastnn.ops.view import (
    expand,
    flatten,
    permute,
    reshape,
    squeeze,
    t,
    transpose,
    unsqueeze,
    view,
)
from fastnn.ops.where import where

__all__ = [
    "Add", "Div", "Mul", "Sub", "adam", "add", "add_", "arange", "argmax", "as_tensor",
    "asarray", "binary", "clone", "contiguous",
    "converter", "copy_", "cross_entropy", "div", "div_", "dropout",
    "empty", "empty_like", "eq", "exp", "exp_", "expand", "fill_", "flatten",
    "from_dlpack", "from_numpy", "full", "full_like", "ge", "getitem", "gt",
    "index_select", "is_operand", "le", "linear", "log", "log_", "log_softmax",
    "lt", "matmul", "mean", "mm", "mul", "mul_", "ne", "neg", "neg_", "normal_", "one_dim",
    "ones", "ones_like", "operators", "permute", "relu", "relu_", "reshape", "result_type",
    "setitem", "sgd", "sigmoid", "sigmoid_", "softmax", "split", "squeeze", "sub",
    "sub_", "sum", "t", "tanh", "tanh_", "tensor", "to", "transpose", "type_as",
    "uniform_", "unsqueeze", "view", "where", "zero_", "zeros", "zeros_like",
]  # fmt: skip

from fastnn.ops import _methods  # noqa: F401  (puts the operations into Tensor)
