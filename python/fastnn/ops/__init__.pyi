# SPDX-License-Identifier: BSD-3-Clause
"""The operations: one file each, with reference, forward, backward and public function."""

from __future__ import annotations

from fastnn.ops import _optimizer_rules, adam, sgd  # noqa: F401  (the optimisers' kernels)
from fastnn.ops._attributes import own_dim
from fastnn.ops._binary_op import binary, operators
from fastnn.ops._common import is_operand, result_type
from fastnn.ops._like import empty_like, full_like, ones_like, zeros_like
from fastnn.ops.activation import relu, relu_, sigmoid, sigmoid_, tanh, tanh_
from fastnn.ops.adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
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
from fastnn.ops.attention import scaled_dot_product_attention
from fastnn.ops.avg_pool import avg_pool1d, avg_pool2d
from fastnn.ops.batch_norm import batch_norm
from fastnn.ops.bilinear import bilinear
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
from fastnn.ops.class_margin_losses import multi_margin_loss, multiclass_svm_loss
from fastnn.ops.compare import eq_, ge_, gt_, le_, lt_, ne_
from fastnn.ops.compare import eq_tensors as eq
from fastnn.ops.compare import ge_tensors as ge
from fastnn.ops.compare import gt_tensors as gt
from fastnn.ops.compare import le_tensors as le
from fastnn.ops.compare import lt_tensors as lt
from fastnn.ops.compare import ne_tensors as ne
from fastnn.ops.conv import conv1d, conv2d
from fastnn.ops.conv_transpose import conv_transpose1d, conv_transpose2d
from fastnn.ops.conv_volumes import conv3d, conv_transpose3d
from fastnn.ops.conversion import bfloat16, byte, char, short
from fastnn.ops.conversion import tensor_type as type
from fastnn.ops.copy import clone, contiguous, converter, copy_, fill_, to, type_as, zero_
from fastnn.ops.creation import (
    arange,
    as_tensor,
    asarray,
    empty,
    from_dlpack,
    from_numpy,
    full,
    ones,
    tensor,
    zeros,
)
from fastnn.ops.cross_entropy import cross_entropy
from fastnn.ops.ctc_loss import ctc_loss
from fastnn.ops.distance import cosine_similarity, pairwise_distance, pdist
from fastnn.ops.dropout import dropout
from fastnn.ops.embedding import embedding, one_hot
from fastnn.ops.embedding_bag import embedding_bag
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
from fastnn.ops.grid_sample import affine_grid, grid_sample
from fastnn.ops.group_norm import group_norm, instance_norm
from fastnn.ops.gru import gru_layer
from fastnn.ops.index import getitem, split
from fastnn.ops.index_put import setitem
from fastnn.ops.interpolate import interpolate
from fastnn.ops.join import cat, hstack, stack, vstack
from fastnn.ops.kl_div import kl_div
from fastnn.ops.layer_norm import layer_norm, rms_norm
from fastnn.ops.likelihood_losses import gaussian_nll_loss, poisson_nll_loss
from fastnn.ops.linear import linear
from fastnn.ops.losses import huber_loss, l1_loss, mse_loss, smooth_l1_loss
from fastnn.ops.lp_pool import lp_pool1d, lp_pool2d, lp_pool3d
from fastnn.ops.lstm import lstm_layer
from fastnn.ops.lstm_variant import lstm_variant_layer
from fastnn.ops.margin_losses import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    perceptron_loss,
    soft_margin_loss,
)
from fastnn.ops.masked import masked_select
from fastnn.ops.matmul import matmul, mm
from fastnn.ops.max_pool import max_pool1d, max_pool2d
from fastnn.ops.max_unpool import max_unpool1d, max_unpool2d, max_unpool3d
from fastnn.ops.multi_head_attention import multi_head_attention_forward
from fastnn.ops.multilabel_losses import multilabel_margin_loss, multilabel_soft_margin_loss
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
from fastnn.ops.pixel_shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
from fastnn.ops.pool3d import avg_pool3d, max_pool3d
from fastnn.ops.random_fill import normal_, uniform_
from fastnn.ops.reduce import argmax, argmin, mean, sum
from fastnn.ops.rnn import rnn_layer
from fastnn.ops.rows import index_add, index_add_, index_select
from fastnn.ops.rrelu import gumbel_softmax, rrelu, rrelu_
from fastnn.ops.scatter import scatter_, scatter_add_
from fastnn.ops.scatter import scatter_add_elements as scatter_add
from fastnn.ops.scatter import scatter_elements as scatter
from fastnn.ops.softmax import log_softmax, softmax
from fastnn.ops.triplet_loss import triplet_margin_loss, triplet_margin_with_distance_loss
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
    heaviside, heaviside_, isfinite, isinf, isnan, isneginf, isposinf, isreal, logical_not,
    logical_not_, nan_to_num, nan_to_num_, signbit,
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
    atan2_, atan2_tensors as atan2, float_power, float_power_, pow_, pow_tensors as pow,
    power_operators,
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
from fastnn.ops.special import (
    deg2rad, deg2rad_, digamma, digamma_, erfc, erfc_, erfinv, erfinv_, frac, frac_, lgamma,
    lgamma_, logit, logit_, polygamma, polygamma_, rad2deg, rad2deg_, sinc, sinc_,
)  # fmt: skip
from fastnn.ops.pair_functions import (
    copysign, copysign_, fmax, fmin, hypot, hypot_, ldexp, ldexp_, logaddexp, logaddexp2, xlogy,
    xlogy_,
)  # fmt: skip
from fastnn.ops.shift import (
    LeftShift, RightShift, bitwise_left_shift_, bitwise_left_shift_tensors as bitwise_left_shift,
    bitwise_right_shift_, bitwise_right_shift_tensors as bitwise_right_shift,
)  # fmt: skip
from fastnn.ops.mixtures import addcdiv, addcdiv_, addcmul, addcmul_, lerp_, lerp_tensors as lerp
from fastnn.ops.closeness import allclose, equal, isclose, isin_tensors as isin
from fastnn.ops.arithmetic_names import positive, rsub, true_divide, true_divide_
from fastnn.ops._ranges import eye, linspace, logspace, scalar_tensor, tril_indices, triu_indices
from fastnn.ops import _arrays
from fastnn.ops._arrays import *  # noqa: F403  (sorting, counting, joining, linear algebra)
# isort: on

__all__ = [
    "Add", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "FloorDivide", "LeftShift", "Mul",
    "Remainder", "RightShift", "Sub", "abs", "abs_", "acos", "acos_", "acosh", "acosh_", "adam",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d",
    "add", "add_", "addcdiv", "addcdiv_", "addcmul", "addcmul_", "addmm", "affine_grid", "all",
    "allclose", "alpha_dropout", "amax", "amin", "any", "arange", "argmax", "argmin", "as_tensor",
    "asarray", "asin", "asin_", "asinh", "asinh_", "atan", "atan2", "atan2_", "atan_", "atanh",
    "atanh_", "avg_pool1d", "avg_pool2d", "avg_pool3d", "baddbmm", "batch_norm", "bfloat16",
    "bilinear", "binary",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "bitwise_and", "bitwise_and_",
    "bitwise_left_shift", "bitwise_left_shift_", "bitwise_not", "bitwise_not_", "bitwise_or",
    "bitwise_or_", "bitwise_right_shift", "bitwise_right_shift_", "bitwise_xor", "bitwise_xor_",
    "bmm", "broadcast_to", "byte", "cat", "ceil", "ceil_", "celu", "celu_", "channel_shuffle",
    "char", "chunk", "clamp", "clamp_", "clamp_max", "clamp_max_", "clamp_min", "clamp_min_",
    "clip", "clip_", "clone", "contiguous", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
    "conv_transpose2d", "conv_transpose3d",
    "converter", "copy_", "copysign", "copysign_", "cos", "cos_", "cosh",
    "cosh_", "cosine_embedding_loss", "cosine_similarity", "count_nonzero", "cross_entropy",
    "ctc_loss", "cumprod", "cumsum", "deg2rad", "deg2rad_", "digamma", "digamma_", "div", "div_",
    "dot", "dropout", "dropout1d", "dropout2d", "dropout3d", "elu", "elu_", "embedding",
    "embedding_bag", "empty", "empty_like", "eq", "eq_", "equal", "erf", "erf_", "erfc", "erfc_",
    "erfinv", "erfinv_", "exp", "exp2", "exp2_", "exp_", "expand", "expand_as", "expm1", "expm1_",
    "eye", "feature_alpha_dropout", "fill_", "flatten", "flip", "float_power", "float_power_",
    "floor", "floor_", "floor_divide", "floor_divide_", "fmax", "fmin", "fmod", "fmod_", "fold",
    "frac", "frac_", "from_dlpack", "from_numpy", "full", "full_like", "gather",
    "gaussian_nll_loss", "ge", "ge_", "gelu", "getitem", "glu", "grid_sample", "group_norm",
    "gru_layer", "gt", "gt_", "gumbel_softmax", "hardshrink", "hardsigmoid", "hardswish",
    "hardtanh", "hardtanh_", "heaviside", "heaviside_", "hinge_embedding_loss", "hstack",
    "huber_loss", "hypot", "hypot_", "index_add", "index_add_", "index_select", "instance_norm",
    "interpolate", "is_operand", "isclose", "isfinite", "isin", "isinf", "isnan", "isneginf",
    "isposinf", "isreal", "kl_div", "l1_loss", "layer_norm", "ldexp", "ldexp_", "le", "le_",
    "leaky_relu", "leaky_relu_", "lerp", "lerp_", "lgamma", "lgamma_", "linear", "linspace",
    "local_response_norm", "log", "log1p", "log1p_", "log2", "log2_", "log10", "log10_", "log_",
    "log_softmax", "logaddexp", "logaddexp2", "logical_and", "logical_and_", "logical_not",
    "logical_not_", "logical_or", "logical_or_", "logical_xor", "logical_xor_", "logit", "logit_",
    "logsigmoid", "logspace", "logsumexp", "lp_pool1d", "lp_pool2d", "lp_pool3d", "lstm_layer",
    "lstm_variant_layer", "lt", "lt_", "margin_ranking_loss", "masked_fill", "masked_fill_",
    "masked_select", "matmul", "max", "max_pool1d", "max_pool2d", "max_pool3d", "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d", "maximum", "maxout", "mean", "min", "minimum", "mish", "mm", "movedim",
    "mse_loss", "mul", "mul_", "multi_head_attention_forward", "multi_margin_loss",
    "multiclass_svm_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss", "mv",
    "nan_to_num", "nan_to_num_", "narrow", "ne", "ne_", "neg", "neg_", "nll_loss", "norm",
    "normal_", "normalize", "one_hot", "ones", "ones_like", "operators", "outer", "own_dim", "pad",
    "pairwise_distance", "pdist", "perceptron_loss", "permute", "pixel_shuffle", "pixel_unshuffle",
    "poisson_nll_loss", "polygamma", "polygamma_", "positive", "pow", "pow_", "power_operators",
    "prelu", "prod", "rad2deg", "rad2deg_", "reciprocal", "reciprocal_", "relu", "relu6", "relu_",
    "remainder", "remainder_", "repeat", "reshape", "result_type", "rms_norm", "rnn_layer", "roll",
    "round", "round_", "rrelu", "rrelu_", "rsqrt", "rsqrt_", "rsub", "scalar_tensor",
    "scaled_dot_product_attention", "scatter", "scatter_", "scatter_add", "scatter_add_", "select",
    "selu", "selu_", "setitem", "sgd", "short", "sigmoid", "sigmoid_", "sign", "sign_", "signbit",
    "silu", "sin", "sin_", "sinc", "sinc_", "sinh", "sinh_", "smooth_l1_loss", "soft_margin_loss",
    "softmax", "softmin", "softplus", "softshrink", "softsign", "split", "split_with_sizes", "sqrt",
    "sqrt_", "square", "square_", "squeeze", "stack", "std", "std_mean", "step", "sub", "sub_",
    "sum", "t", "take_along_dim", "tan", "tan_", "tanh", "tanh_", "tanhshrink", "tensor",
    "threshold", "threshold_", "tile", "to", "transpose", "tril", "tril_", "tril_indices",
    "triplet_margin_loss", "triplet_margin_with_distance_loss", "triu", "triu_", "triu_indices",
    "true_divide", "true_divide_", "trunc", "trunc_", "type", "type_as", "unbind", "unflatten",
    "unfold", "uniform_", "unsqueeze", "var", "var_mean", "vector_norm", "view", "view_as",
    "vstack", "where", "xlogy", "xlogy_", "zero_", "zeros", "zeros_like",
]  # fmt: skip

from fastnn.ops import (  # noqa: F401  (what Tensor itself calls; the kernels of nn.utils, nn.init)
    _constructor,
    _grad_norm,
    _initial,
    _methods,
)

__all__ += _arrays.__all__
