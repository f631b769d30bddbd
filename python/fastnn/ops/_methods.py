# SPDX-License-Identifier: BSD-3-Clause
"""The operations that are methods of Tensor: one line each.

``exp = ops.exp`` makes ``t.exp()`` of ``fastnn.exp(input)``: a function whose first parameter is
the tensor is a method as it is, with its own signature and docstring. Type checkers see `Methods`
as the base of Tensor. At run time Tensor is defined before the operations, which are written in
terms of it, and gets each function when it is first used: tools/make_homes.py reads these lines.

A function that is called as its file (matmul in ops/matmul.py) is imported under another name: type
checkers take ``ops.matmul`` for the file.
"""

from __future__ import annotations

from fastnn import _dtypes, ops
from fastnn.ops._array_methods import ArrayMethods
from fastnn.ops._elementwise_methods import ElementwiseMethods
from fastnn.ops._in_place_methods import InPlaceMethods
from fastnn.ops.bmm import bmm_tensors as _bmm
from fastnn.ops.conversion import cuda as _cuda
from fastnn.ops.logsumexp import logsumexp_tensor as _logsumexp
from fastnn.ops.matmul import matmul as _matmul
from fastnn.ops.softmax import softmax as _softmax


class Methods(ArrayMethods, ElementwiseMethods, InPlaceMethods):
    """What Tensor gets from the operations."""

    # Arithmetic
    __add__, __radd__, __iadd__ = ops.operators(ops.Add, "add")
    __sub__, __rsub__, __isub__ = ops.operators(ops.Sub, "sub")
    __mul__, __rmul__, __imul__ = ops.operators(ops.Mul, "mul")
    __truediv__, __rtruediv__, __itruediv__ = ops.operators(ops.Div, "truediv")
    __rdiv__ = __rtruediv__
    __idiv__ = __itruediv__
    __and__, __rand__, __iand__ = ops.operators(ops.BitwiseAnd, "and")
    __or__, __ror__, __ior__ = ops.operators(ops.BitwiseOr, "or")
    __xor__, __rxor__, __ixor__ = ops.operators(ops.BitwiseXor, "xor")
    __mod__, __rmod__, __imod__ = ops.operators(ops.Remainder, "mod")
    __floordiv__, __rfloordiv__, __ifloordiv__ = ops.operators(ops.FloorDivide, "floordiv")
    __pow__, __rpow__, __ipow__ = ops.power_operators
    add = ops.add
    add_ = ops.add_
    div = ops.div
    div_ = ops.div_
    mul = ops.mul
    mul_ = ops.mul_
    neg = __neg__ = ops.neg
    neg_ = ops.neg_
    sub = ops.sub
    sub_ = ops.sub_

    # Comparisons; == and != are in Tensor itself
    eq = ops.eq
    ge = __ge__ = ops.ge
    gt = __gt__ = ops.gt
    le = __le__ = ops.le
    lt = __lt__ = ops.lt
    ne = ops.ne

    # Elementwise functions
    abs = __abs__ = ops.abs
    abs_ = ops.abs_
    acos, acos_ = ops.acos, ops.acos_
    acosh, acosh_ = ops.acosh, ops.acosh_
    asin, asin_ = ops.asin, ops.asin_
    asinh, asinh_ = ops.asinh, ops.asinh_
    atan, atan_ = ops.atan, ops.atan_
    atan2, atan2_ = ops.atan2, ops.atan2_
    atanh, atanh_ = ops.atanh, ops.atanh_
    bitwise_and, bitwise_and_ = ops.bitwise_and, ops.bitwise_and_
    bitwise_not = __invert__ = ops.bitwise_not
    bitwise_not_ = ops.bitwise_not_
    bitwise_or, bitwise_or_ = ops.bitwise_or, ops.bitwise_or_
    bitwise_xor, bitwise_xor_ = ops.bitwise_xor, ops.bitwise_xor_
    ceil, ceil_ = ops.ceil, ops.ceil_
    clamp, clamp_ = ops.clamp, ops.clamp_
    clamp_max, clamp_max_ = ops.clamp_max, ops.clamp_max_
    clamp_min, clamp_min_ = ops.clamp_min, ops.clamp_min_
    clip, clip_ = ops.clip, ops.clip_
    cos, cos_ = ops.cos, ops.cos_
    cosh, cosh_ = ops.cosh, ops.cosh_
    erf, erf_ = ops.erf, ops.erf_
    exp = ops.exp
    exp2, exp2_ = ops.exp2, ops.exp2_
    exp_ = ops.exp_
    expm1, expm1_ = ops.expm1, ops.expm1_
    float_power = ops.float_power
    floor, floor_ = ops.floor, ops.floor_
    floor_divide, floor_divide_ = ops.floor_divide, ops.floor_divide_
    fmod, fmod_ = ops.fmod, ops.fmod_
    heaviside = ops.heaviside
    isfinite = ops.isfinite
    isinf = ops.isinf
    isnan = ops.isnan
    log = ops.log
    log10, log10_ = ops.log10, ops.log10_
    log1p, log1p_ = ops.log1p, ops.log1p_
    log2, log2_ = ops.log2, ops.log2_
    log_ = ops.log_
    log_softmax = ops.log_softmax
    logical_and, logical_and_ = ops.logical_and, ops.logical_and_
    logical_not, logical_not_ = ops.logical_not, ops.logical_not_
    logical_or, logical_or_ = ops.logical_or, ops.logical_or_
    logical_xor, logical_xor_ = ops.logical_xor, ops.logical_xor_
    maximum = ops.maximum
    minimum = ops.minimum
    nan_to_num, nan_to_num_ = ops.nan_to_num, ops.nan_to_num_
    pow, pow_ = ops.pow, ops.pow_
    reciprocal, reciprocal_ = ops.reciprocal, ops.reciprocal_
    relu = ops.relu
    relu_ = ops.relu_
    remainder, remainder_ = ops.remainder, ops.remainder_
    round, round_ = ops.round, ops.round_
    rsqrt, rsqrt_ = ops.rsqrt, ops.rsqrt_
    sigmoid = ops.sigmoid
    sigmoid_ = ops.sigmoid_
    sign, sign_ = ops.sign, ops.sign_
    sin, sin_ = ops.sin, ops.sin_
    sinh, sinh_ = ops.sinh, ops.sinh_
    softmax = _softmax
    sqrt, sqrt_ = ops.sqrt, ops.sqrt_
    square, square_ = ops.square, ops.square_
    tan, tan_ = ops.tan, ops.tan_
    tanh = ops.tanh
    tanh_ = ops.tanh_
    trunc, trunc_ = ops.trunc, ops.trunc_

    # Products
    addmm = ops.addmm
    baddbmm = ops.baddbmm
    bmm = _bmm
    dot = ops.dot
    matmul = __matmul__ = _matmul
    mm = ops.mm
    mv = ops.mv
    outer = ops.outer

    # Reductions
    all = ops.all
    amax = ops.amax
    amin = ops.amin
    any = ops.any
    argmax = ops.argmax
    argmin = ops.argmin
    count_nonzero = ops.count_nonzero
    cumprod = ops.cumprod
    cumsum = ops.cumsum
    logsumexp = _logsumexp
    max = ops.max
    mean = ops.mean
    min = ops.min
    norm = ops.norm
    prod = ops.prod
    std = ops.std
    sum = ops.sum
    var = ops.var

    # Copies, conversion, filling
    bfloat16 = ops.bfloat16
    bool = ops.converter("bool", _dtypes.bool_)
    byte = ops.byte
    char = ops.char
    clone = ops.clone
    contiguous = ops.contiguous
    copy_ = ops.copy_
    cpu = ops.converter("cpu", "cpu")
    cuda = _cuda
    double = ops.converter("double", _dtypes.float64)
    fill_ = ops.fill_
    float = ops.converter("float", _dtypes.float32)
    half = ops.converter("half", _dtypes.float16)
    int = ops.converter("int", _dtypes.int32)
    long = ops.converter("long", _dtypes.int64)
    normal_ = ops.normal_
    short = ops.short
    to = ops.to
    type = ops.type
    type_as = ops.type_as
    uniform_ = ops.uniform_
    zero_ = ops.zero_

    # Shape and indexing
    __getitem__ = ops.getitem
    __setitem__ = ops.setitem
    broadcast_to = ops.broadcast_to
    chunk = ops.chunk
    expand = ops.expand
    expand_as = ops.expand_as
    flatten = ops.flatten
    flip = ops.flip
    gather = ops.gather
    index_add = ops.index_add
    index_add_ = ops.index_add_
    index_select = ops.index_select
    masked_fill = ops.masked_fill
    masked_fill_ = ops.masked_fill_
    masked_select = ops.masked_select
    movedim = ops.movedim
    narrow = ops.narrow
    permute = ops.permute
    repeat = ops.repeat
    reshape = ops.reshape
    roll = ops.roll
    scatter = ops.scatter
    scatter_ = ops.scatter_
    scatter_add = ops.scatter_add
    scatter_add_ = ops.scatter_add_
    select = ops.select
    split = ops.split
    split_with_sizes = ops.split_with_sizes
    squeeze = ops.squeeze
    t = ops.t
    take_along_dim = ops.take_along_dim
    tile = ops.tile
    transpose = ops.transpose
    tril = ops.tril
    tril_ = ops.tril_
    triu = ops.triu
    triu_ = ops.triu_
    unbind = ops.unbind
    unflatten = ops.unflatten
    unsqueeze = ops.unsqueeze
    view = ops.view
    view_as = ops.view_as
