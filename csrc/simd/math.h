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
// Polynomial coefficients: Remez exchange with the low coefficients rounded first and the others
// fitted again, for the relative error of the function (tests/simd_math/derive_coefficients.py).
// Range reduction after Cody and Waite, "Software Manual for the Elementary Functions" (1980);
// Muller, "Elementary Functions" (3rd ed., 2016).
#pragma once

#include "simd/math_erf.h"
#include "simd/math_exp.h"
#include "simd/math_log.h"

namespace fastnn::FASTNN_ISA {

// Bounds on |result - exact| in units in the last place of the result: 2^(e - p + 1) for an exact
// value in [2^e, 2^(e + 1)) and p bits of precision, not less than the least denormal.
// tests/simd_math/check_ulp.cpp holds the functions to them: float over all arguments, double over
// dense random ones.
template <class T>
struct MaxUlp;
template <>
struct MaxUlp<float> {
    static constexpr double kExp = 1.5;
    static constexpr double kLog = 1.5;
    static constexpr double kTanh = 2.0;
    static constexpr double kSigmoid = 2.5;
    static constexpr double kErf = 2.5;
};
template <>
struct MaxUlp<double> {
    static constexpr double kExp = 1.5;
    static constexpr double kLog = 1.5;
    static constexpr double kTanh = 2.5;
    static constexpr double kSigmoid = 2.5;
    static constexpr double kErf = 2.5;
};

}  // namespace fastnn::FASTNN_ISA
