# SPDX-License-Identifier: BSD-3-Clause
"""The operations: one file each, with reference, forward, backward and public function."""

from __future__ import annotations

from fastnn.ops import adam, sgd  # the optimisers' kernels
from fastnn.ops._binary_op import binary, operators
from fastnn.ops._common import is_operand, one_dim, result_type
from fastnn.ops.activation import relu, relu_, sigmoid, sigmoid_, tanh, tanh_
from fastnn.ops.adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
)
from fastnn.ops.arrange import (
    flip,
    repeat,
    roll,
    tile,
    tril,
    tril_,
    triu,
    triu_,
)
from fastnn.ops.avg_pool import avg_pool1d, avg_pool2d
from fastnn.ops.batch_norm import batch_norm
from fastnn.ops.binary import Add, Div, Mul, Sub, add_, div_, mul_, neg_, sub_
from fastnn.ops.binary import add_tensors as add
from fastnn.ops.binary import div_tensors as div
from fastnn.ops.binary import mul_tensors as mul
from fastnn.ops.binary import negative as neg
from fastnn.ops.binary import sub_tensors as sub
from fastnn.ops.binary_cross_entropy import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
)
from fastnn.ops.compare import eq_tensors as eq
from fastnn.ops.compare import ge_tensors as ge
from fastnn.ops.compare import gt_tensors as gt
from fastnn.ops.compare import le_tensors as le
from fastnn.ops.compare import lt_tensors as lt
from fastnn.ops.compare import ne_tensors as ne
from fastnn.ops.conv import conv1d, conv2d
from fastnn.ops.conv_transpose import conv_transpose1d, conv_transpose2d
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
from fastnn.ops.embedding import embedding, one_hot
from fastnn.ops.feature_dropout import (
    alpha_dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from fastnn.ops.fold import fold, unfold
from fastnn.ops.gather import gather_elements as gather
from fastnn.ops.gather import take_along_dim
from fastnn.ops.group_norm import group_norm, instance_norm
from fastnn.ops.gru import gru_layer
from fastnn.ops.index import getitem, split
from fastnn.ops.index_put import setitem
from fastnn.ops.join import cat, hstack, stack, vstack
from fastnn.ops.kl_div import kl_div
from fastnn.ops.layer_norm import layer_norm, rms_norm
from fastnn.ops.linear import linear
from fastnn.ops.losses import huber_loss, l1_loss, mse_loss, smooth_l1_loss
from fastnn.ops.lstm import lstm_layer
from fastnn.ops.lstm_variant import lstm_variant_layer
from fastnn.ops.masked import masked_select
from fastnn.ops.matmul import matmul, mm
from fastnn.ops.max_pool import max_pool1d, max_pool2d
from fastnn.ops.nll import nll_loss
from fastnn.ops.pad import pad_tensor as pad
from fastnn.ops.pieces import (
    broadcast_to,
    chunk,
    expand_as,
    movedim,
    narrow,
    select,
    split_with_sizes,
    unbind,
    unflatten,
    view_as,
)
from fastnn.ops.random_fill import normal_, uniform_
from fastnn.ops.reduce import argmax, argmin, mean, sum
from fastnn.ops.rnn import rnn_layer
from fastnn.ops.rows import index_add, index_add_, index_select
from fastnn.ops.scatter import scatter_, scatter_add_
from fastnn.ops.scatter import scatter_add_elements as scatter_add
from fastnn.ops.scatter import scatter_elements as scatter
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
from fastnn.ops.where import masked_fill, masked_fill_, where

# isort: off
from fastnn.ops.bitwise import (
    BitwiseAnd, BitwiseOr, BitwiseXor, bitwise_and_, bitwise_and_tensors as bitwise_and,
    bitwise_not, bitwise_not_, bitwise_or_, bitwise_or_tensors as bitwise_or, bitwise_xor_,
    bitwise_xor_tensors as bitwise_xor, logical_and, logical_and_, logical_or, logical_or_,
    logical_xor, logical_xor_,
)  # fmt: skip
from fastnn.ops.bmm import bmm_tensors as bmm
from fastnn.ops.cumulative import cumprod, cumsum, prod
from fastnn.ops.elementwise_math import (
    acos, acos_, acosh, acosh_, asin, asin_, asinh, asinh_, atan, atan_, atanh, atanh_, cos, cos_,
    cosh, cosh_, erf, erf_, exp2, exp2_, expm1, expm1_, log10, log10_, log1p, log1p_, log2, log2_,
    reciprocal, reciprocal_, rsqrt, rsqrt_, sin, sin_, sinh, sinh_, sqrt, sqrt_, tan, tan_,
)  # fmt: skip
from fastnn.ops.extremum import amax_tensor as amax, amin_tensor as amin, max, min
from fastnn.ops.finite import (
    heaviside, isfinite, isinf, isnan, logical_not, logical_not_, nan_to_num, nan_to_num_,
)  # fmt: skip
from fastnn.ops.gated import glu, maxout, prelu, softmin
from fastnn.ops.local_response_norm import local_response_norm
from fastnn.ops.logsumexp import logsumexp_tensor as logsumexp
from fastnn.ops.minmax import (
    clamp, clamp_, clamp_max, clamp_max_, clamp_min, clamp_min_, clip, clip_,
    maximum_tensors as maximum, minimum_tensors as minimum,
)  # fmt: skip
from fastnn.ops.modulo import (
    FloorDivide, Remainder, floor_divide_, floor_divide_tensors as floor_divide, fmod_,
    fmod_tensors as fmod, remainder_, remainder_tensors as remainder,
)  # fmt: skip
from fastnn.ops.normalize import normalize
from fastnn.ops.power import (
    atan2_, atan2_tensors as atan2, float_power, pow_, pow_tensors as pow, power_operators,
)  # fmt: skip
from fastnn.ops.products import addmm, baddbmm, dot, mv, outer
from fastnn.ops.rectifiers import (
    celu, celu_, elu, elu_, hardshrink, hardsigmoid, hardswish, hardtanh, hardtanh_, leaky_relu,
    leaky_relu_, relu6, selu, selu_, softshrink, step, threshold, threshold_,
)  # fmt: skip
from fastnn.ops.rounding import (
    abs, abs_, ceil, ceil_, floor, floor_, round, round_, sign, sign_, square, square_, trunc,
    trunc_,
)  # fmt: skip
from fastnn.ops.smooth_activations import (
    gelu, logsigmoid, mish, silu, softplus, softsign, tanhshrink,
)  # fmt: skip
from fastnn.ops.truth import all, any, count_nonzero
from fastnn.ops.variance import std, std_mean, var, var_mean
from fastnn.ops.vector_norm import norm, vector_norm_tensor as vector_norm
# isort: on

__all__ = [
    "Add", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "FloorDivide", "Mul", "Remainder", "Sub",
    "abs", "abs_", "acos", "acos_", "acosh", "acosh_", "adam", "adaptive_avg_pool1d",
    "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d", "add", "add_", "addmm",
    "all", "alpha_dropout", "amax", "amin", "any", "arange", "argmax", "argmin", "as_tensor",
    "asarray", "asin", "asin_", "asinh", "asinh_", "atan", "atan2", "atan2_", "atan_", "atanh",
    "atanh_", "avg_pool1d", "avg_pool2d", "baddbmm", "batch_norm", "binary", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "bitwise_and", "bitwise_and_", "bitwise_not",
    "bitwise_not_", "bitwise_or", "bitwise_or_", "bitwise_xor", "bitwise_xor_", "bmm",
    "broadcast_to", "cat", "ceil", "ceil_", "celu", "celu_", "chunk", "clamp", "clamp_",
    "clamp_max", "clamp_max_", "clamp_min", "clamp_min_", "clip", "clip_", "clone", "contiguous",
    "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "converter", "copy_", "cos", "cos_",
    "cosh", "cosh_", "count_nonzero", "cross_entropy", "cumprod", "cumsum", "div", "div_", "dot",
    "dropout", "dropout1d", "dropout2d", "dropout3d", "elu", "elu_", "embedding", "empty",
    "empty_like", "eq", "erf", "erf_", "exp", "exp2", "exp2_", "exp_", "expand", "expand_as",
    "expm1", "expm1_", "feature_alpha_dropout", "fill_", "flatten", "flip", "float_power", "floor",
    "floor_", "floor_divide", "floor_divide_", "fmod", "fmod_", "fold", "from_dlpack", "from_numpy",
    "full", "full_like", "gather", "ge", "gelu", "getitem", "glu", "group_norm", "gru_layer", "gt",
    "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "hardtanh_", "heaviside", "hstack",
    "huber_loss", "index_add", "index_add_", "index_select", "instance_norm", "is_operand",
    "isfinite", "isinf", "isnan", "kl_div", "l1_loss", "layer_norm", "le", "leaky_relu",
    "leaky_relu_", "linear", "local_response_norm", "log", "log1p", "log1p_", "log2", "log2_",
    "log10", "log10_", "log_", "log_softmax", "logical_and", "logical_and_", "logical_not",
    "logical_not_", "logical_or", "logical_or_", "logical_xor", "logical_xor_", "logsigmoid",
    "logsumexp", "lstm_layer", "lstm_variant_layer", "lt", "masked_fill", "masked_fill_",
    "masked_select", "matmul", "max", "max_pool1d", "max_pool2d", "maximum", "maxout", "mean",
    "min", "minimum", "mish", "mm", "movedim", "mse_loss", "mul", "mul_", "mv", "nan_to_num",
    "nan_to_num_", "narrow", "ne", "neg", "neg_", "nll_loss", "norm", "normal_", "normalize",
    "one_dim", "one_hot", "ones", "ones_like", "operators", "outer", "pad", "permute", "pow",
    "pow_", "power_operators", "prelu", "prod", "reciprocal", "reciprocal_", "relu", "relu6",
    "relu_", "remainder", "remainder_", "repeat", "reshape", "result_type", "rms_norm", "rnn_layer",
    "roll", "round", "round_", "rsqrt", "rsqrt_", "scatter", "scatter_", "scatter_add",
    "scatter_add_", "select", "selu", "selu_", "setitem", "sgd", "sigmoid", "sigmoid_", "sign",
    "sign_", "silu", "sin", "sin_", "sinh", "sinh_", "smooth_l1_loss", "softmax", "softmin",
    "softplus", "softshrink", "softsign", "split", "split_with_sizes", "sqrt", "sqrt_", "square",
    "square_", "squeeze", "stack", "std", "std_mean", "step", "sub", "sub_", "sum", "t",
    "take_along_dim", "tan", "tan_", "tanh", "tanh_", "tanhshrink", "tensor", "threshold",
    "threshold_", "tile", "to", "transpose", "tril", "tril_", "triu", "triu_", "trunc", "trunc_",
    "type_as", "unbind", "unflatten", "unfold", "uniform_", "unsqueeze", "var", "var_mean",
    "vector_norm", "view", "view_as", "vstack", "where", "zero_", "zeros", "zeros_like",
]  # fmt: skip

from fastnn.ops import (  # noqa: F401  (the kernels of nn.utils and nn.init)
    _grad_norm,
    _initial,
    _methods,
)
