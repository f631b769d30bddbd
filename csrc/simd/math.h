// SPDX-License-Identifier: BSD-3-Clause
// exp, log, tanh, sigmoid (the logistic function) and erf on the vectors of simd/vec.h, float and
// double, at every level. Branch-free range reduction and minimax polynomials; no tables, no calls,
// one division at most.
//
// NaN gives NaN. The limits at +-inf, the sign of zero (tanh(-0) = erf(-0) = -0), overflow to inf,
// denormal arguments and denormal results are right: the bounds below hold over the whole of the
// argument's format. log is -inf at +-0 and NaN below 0. Round-to-nearest and no flushing of
// denormals are assumed (the default environment).
//
// Levels differ in the last bits, because fma rounds once or twice (vec.h) and the compiler never
// contracts. Within a level the result depends on the argument alone. The bounds hold for every
// level.
//
// Range reduction after Cody and Waite, "Software Manual for the Elementary Functions" (1980), and
// Muller, "Elementary Functions" (3rd ed., 2016). The polynomials are minimax for the relative
// error of the function: tests/simd_math/derive_coefficients.py derives them.
#pragma once

#include "simd/math_erf.h"
#include "simd/math_exp.h"
#include "simd/math_log.h"

namespace fastnn::FASTNN_ISA {

// Bounds on |result - exact| in units in the last place: 2^(e - p + 1) where the exact value is in
// [2^e, 2^(e + 1)) and p is the precision in bits, but not less than the least denormal.
// tests/simd_math/check_ulp.cpp holds the functions to them. They hold for every float (tried out
// on all 2^32); for double, where only samples can be tried, they leave more room.
template <class T>
struct MaxUlp;
template <>
struct MaxUlp<float> {
    static constexpr double kExp = 1.25;
    static constexpr double kLog = 1.0;
    static constexpr double kTanh = 1.75;
    static constexpr double kSigmoid = 2.5;
    static constexpr double kErf = 1.5;
};
template <>
struct MaxUlp<double> {
    static constexpr double kExp = 1.5;
    static constexpr double kLog = 1.0;
    static constexpr double kTanh = 2.0;
    static constexpr double kSigmoid = 2.75;
    static constexpr double kErf = 1.75;
};

}  // namespace fastnn::FASTNN_ISA
