# SPDX-License-Identifier: BSD-3-Clause
"""More of the operations that are methods of Tensor, as in `_methods`: elementwise functions beyond
the first ones, second names, draws, and tensors like a given one."""

from __future__ import annotations

from fastnn import _draws, _random_integers, ops
from fastnn.ops import _aliases, _attributes, _like


class ElementwiseMethods:
    """The base of `Methods` for these."""

    # Shifts, and comparisons in place
    __lshift__, __rlshift__, __ilshift__ = ops.operators(ops.LeftShift, "lshift")
    __rshift__, __rrshift__, __irshift__ = ops.operators(ops.RightShift, "rshift")
    eq_, ge_, gt_ = ops.eq_, ops.ge_, ops.gt_
    le_, lt_, ne_ = ops.le_, ops.lt_, ops.ne_

    # Further elementwise functions
    addcdiv, addcdiv_ = ops.addcdiv, ops.addcdiv_
    addcmul, addcmul_ = ops.addcmul, ops.addcmul_
    allclose = ops.allclose
    bitwise_left_shift, bitwise_left_shift_ = ops.bitwise_left_shift, ops.bitwise_left_shift_
    bitwise_right_shift, bitwise_right_shift_ = ops.bitwise_right_shift, ops.bitwise_right_shift_
    copysign, copysign_ = ops.copysign, ops.copysign_
    deg2rad, deg2rad_ = ops.deg2rad, ops.deg2rad_
    digamma, digamma_ = ops.digamma, ops.digamma_
    equal = ops.equal
    erfc, erfc_ = ops.erfc, ops.erfc_
    erfinv, erfinv_ = ops.erfinv, ops.erfinv_
    float_power_ = ops.float_power_
    fmax = ops.fmax
    fmin = ops.fmin
    frac, frac_ = ops.frac, ops.frac_
    hardshrink = ops.hardshrink
    heaviside_ = ops.heaviside_
    hypot, hypot_ = ops.hypot, ops.hypot_
    isclose = ops.isclose
    isneginf = ops.isneginf
    isposinf = ops.isposinf
    isreal = ops.isreal
    ldexp, ldexp_ = ops.ldexp, ops.ldexp_
    lerp, lerp_ = ops.lerp, ops.lerp_
    lgamma, lgamma_ = ops.lgamma, ops.lgamma_
    logaddexp = ops.logaddexp
    logaddexp2 = ops.logaddexp2
    logit, logit_ = ops.logit, ops.logit_
    polygamma, polygamma_ = ops.polygamma, ops.polygamma_
    positive = ops.positive
    prelu = ops.prelu
    rad2deg, rad2deg_ = ops.rad2deg, ops.rad2deg_
    signbit = ops.signbit
    sinc, sinc_ = ops.sinc, ops.sinc_
    true_divide, true_divide_ = ops.true_divide, ops.true_divide_
    xlogy, xlogy_ = ops.xlogy, ops.xlogy_

    # Second names
    absolute, absolute_ = _aliases.absolute, _aliases.absolute_
    arccos, arccos_ = _aliases.arccos, _aliases.arccos_
    arccosh, arccosh_ = _aliases.arccosh, _aliases.arccosh_
    arcsin, arcsin_ = _aliases.arcsin, _aliases.arcsin_
    arcsinh, arcsinh_ = _aliases.arcsinh, _aliases.arcsinh_
    arctan, arctan_ = _aliases.arctan, _aliases.arctan_
    arctan2, arctan2_ = _aliases.arctan2, _aliases.arctan2_
    arctanh, arctanh_ = _aliases.arctanh, _aliases.arctanh_
    divide, divide_ = _aliases.divide, _aliases.divide_
    fix, fix_ = _aliases.fix, _aliases.fix_
    ger = _aliases.ger
    greater, greater_ = _aliases.greater, _aliases.greater_
    greater_equal, greater_equal_ = _aliases.greater_equal, _aliases.greater_equal_
    less, less_ = _aliases.less, _aliases.less_
    less_equal, less_equal_ = _aliases.less_equal, _aliases.less_equal_
    multiply, multiply_ = _aliases.multiply, _aliases.multiply_
    negative, negative_ = _aliases.negative, _aliases.negative_
    not_equal, not_equal_ = _aliases.not_equal, _aliases.not_equal_
    sgn, sgn_ = _aliases.sgn, _aliases.sgn_
    subtract, subtract_ = _aliases.subtract, _aliases.subtract_
    swapdims = _aliases.swapdims

    # Random numbers
    bernoulli, bernoulli_ = _draws.bernoulli, _draws.bernoulli_
    cauchy_ = _draws.cauchy_
    exponential_ = _draws.exponential_
    geometric_ = _draws.geometric_
    log_normal_ = _draws.log_normal_
    multinomial = _draws.multinomial
    random_ = _random_integers.random_

    # Tensors like this one, and what it says about itself
    adjoint = _attributes.adjoint
    apply_ = _attributes.apply_
    conj = _attributes.conj
    get_device = _attributes.get_device
    is_conj = _attributes.is_conj
    is_neg = _attributes.is_neg
    is_same_size = _attributes.is_same_size
    resolve_conj = _attributes.resolve_conj
    resolve_neg = _attributes.resolve_neg
    is_complex = _attributes.is_complex
    is_signed = _attributes.is_signed
    is_nonzero = _attributes.is_nonzero
    map_ = _attributes.map_
    new_empty = _like.new_empty
    new_full = _like.new_full
    new_ones = _like.new_ones
    new_tensor = _like.new_tensor
    new_zeros = _like.new_zeros
    storage_offset = _attributes.storage_offset
