// SPDX-License-Identifier: BSD-3-Clause
// Elementwise maths by rows of ops/elementwise.h: roots, powers of two, logarithms, trigonometric
// and hyperbolic functions, erf. Roots are one instruction; exp2, expm1, log2, log1p and erf are
// vector code (simd/); log10 and the trigonometric and hyperbolic functions, which no layer is made
// of, call the C library for one lane at a time, by threads.
#include "ops/elementwise.h"
#include "simd/math.h"
#include "simd/math_near.h"

namespace fastnn::FASTNN_ISA {

namespace {

template <class T>
Vec<T> each_lane(Vec<T> v, T (*f)(T)) {
    for (int i = 0; i < kLanes<T>; ++i) v[i] = f(v[i]);
    return v;
}

// A function of the C library on vectors; float has its own, whose names end with f.
#define FASTNN_LIBRARY(NAME)                                            \
    inline float one_##NAME(float x) { return __builtin_##NAME##f(x); } \
    inline double one_##NAME(double x) { return __builtin_##NAME(x); }  \
    template <class T>                                                  \
    FASTNN_SIMD_INLINE Vec<T> all_##NAME(Vec<T> x) {                    \
        return each_lane<T>(x, [](T v) { return one_##NAME(v); });      \
    }
FASTNN_LIBRARY(log10)
FASTNN_LIBRARY(sin)
FASTNN_LIBRARY(cos)
FASTNN_LIBRARY(tan)
FASTNN_LIBRARY(asin)
FASTNN_LIBRARY(acos)
FASTNN_LIBRARY(atan)
FASTNN_LIBRARY(sinh)
FASTNN_LIBRARY(cosh)
FASTNN_LIBRARY(asinh)
FASTNN_LIBRARY(acosh)
FASTNN_LIBRARY(atanh)
#undef FASTNN_LIBRARY

// A row: the function of x, and the gradient from v (x or y) and g; `one` and T are at hand.
#define FASTNN_FUNCTION(ROW, VALUE, GRADIENT)                    \
    template <class T>                                           \
    struct ROW {                                                 \
        Vec<T> value(Vec<T> x) const {                           \
            [[maybe_unused]] const Vec<T> one = broadcast(T(1)); \
            return VALUE;                                        \
        }                                                        \
        Vec<T> gradient(Vec<T> v, Vec<T> g) const {              \
            [[maybe_unused]] const Vec<T> one = broadcast(T(1)); \
            return GRADIENT;                                     \
        }                                                        \
    };

constexpr double kLn2 = 0.693147180559945309417232121458;
constexpr double kLn10 = 2.30258509299404568401799145468;
constexpr double kTwoOverSqrtPi = 1.12837916709551257389615890312;

FASTNN_FUNCTION(Sqrt, sqrt(x), g / (v + v))
FASTNN_FUNCTION(Rsqrt, one / sqrt(x), broadcast(T(-0.5)) * g * v * v * v)
FASTNN_FUNCTION(Reciprocal, one / x, -g * v * v)
FASTNN_FUNCTION(Exp2, exp2(x), g * v * broadcast(T(kLn2)))
FASTNN_FUNCTION(Expm1, expm1(x), g*(v + one))
FASTNN_FUNCTION(Log2, log2(x), g / (v * broadcast(T(kLn2))))
FASTNN_FUNCTION(Log10, all_log10<T>(x), g / (v * broadcast(T(kLn10))))
FASTNN_FUNCTION(Log1p, log1p(x), g / (v + one))
FASTNN_FUNCTION(Sin, all_sin<T>(x), g* all_cos<T>(v))
FASTNN_FUNCTION(Cos, all_cos<T>(x), -g* all_sin<T>(v))
FASTNN_FUNCTION(Tan, all_tan<T>(x), g*(one + v * v))
FASTNN_FUNCTION(Asin, all_asin<T>(x), g / sqrt(one - v * v))
FASTNN_FUNCTION(Acos, all_acos<T>(x), -g / sqrt(one - v * v))
FASTNN_FUNCTION(Atan, all_atan<T>(x), g / (one + v * v))
FASTNN_FUNCTION(Sinh, all_sinh<T>(x), g* all_cosh<T>(v))
FASTNN_FUNCTION(Cosh, all_cosh<T>(x), g* all_sinh<T>(v))
FASTNN_FUNCTION(Asinh, all_asinh<T>(x), g / sqrt(v * v + one))
FASTNN_FUNCTION(Acosh, all_acosh<T>(x), g / sqrt(v * v - one))
FASTNN_FUNCTION(Atanh, all_atanh<T>(x), g / (one - v * v))
FASTNN_FUNCTION(Erf, erf(x), g* broadcast(T(kTwoOverSqrtPi)) * exp(-v * v))
#undef FASTNN_FUNCTION

}  // namespace

}  // namespace fastnn::FASTNN_ISA

FASTNN_ROW(sqrt, Sqrt, 0, "y", "")
FASTNN_ROW(rsqrt, Rsqrt, 0, "y", "")
FASTNN_ROW(reciprocal, Reciprocal, 0, "y", "")
FASTNN_ROW(exp2, Exp2, 0, "y", "")
FASTNN_ROW(expm1, Expm1, 0, "y", "")
FASTNN_ROW(log2, Log2, 0, "x", "")
FASTNN_ROW(log10, Log10, 0, "x", "")
FASTNN_ROW(log1p, Log1p, 0, "x", "")
FASTNN_ROW(sin, Sin, 0, "x", "")
FASTNN_ROW(cos, Cos, 0, "x", "")
FASTNN_ROW(tan, Tan, 0, "y", "")
FASTNN_ROW(asin, Asin, 0, "x", "")
FASTNN_ROW(acos, Acos, 0, "x", "")
FASTNN_ROW(atan, Atan, 0, "x", "")
FASTNN_ROW(sinh, Sinh, 0, "x", "")
FASTNN_ROW(cosh, Cosh, 0, "x", "")
FASTNN_ROW(asinh, Asinh, 0, "x", "")
FASTNN_ROW(acosh, Acosh, 0, "x", "")
FASTNN_ROW(atanh, Atanh, 0, "x", "")
FASTNN_ROW(erf, Erf, 0, "x", "")
