// SPDX-License-Identifier: BSD-3-Clause
// expm1, log1p, exp2 and log2 on vectors: exp and log (simd/math_exp.h, simd/math_log.h) where
// these would lose digits. NaN gives NaN, limits and the sign of zero are right.
//
//   expm1(x) = 2^n (t + (1 - 2^-n)), t = exp(r) - 1, x = n ln 2 + r: for n = 0 it is t itself
//   log1p(x) = log(w) + (x - (w - 1)) / w, w = 1 + x rounded: the second term is what rounding lost
//   exp2(x)  = 2^n exp((x - n) ln 2), n the whole number next to x: exact where x is whole
//   log2(x)  = k + log(1 + f) / ln 2, x = 2^k (1 + f): exact where x is a power of two
//
// Errors below 3 ulp for every one of them (tests/ops/test_elementwise.py).
// Source for log1p: Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 1.14.
#pragma once

#include "simd/math_exp.h"
#include "simd/math_log.h"

namespace fastnn::FASTNN_ISA {

template <class T>
FASTNN_SIMD_INLINE Vec<T> expm1_all(Vec<T> x) {
    using C = ExpConstants<T>;
    const Vec<T> one = broadcast(T(1));
    // Below -40 the result rounds to -1. The argument stands second, so that NaN passes.
    const Vec<T> v = max(broadcast(T(-40)), min(broadcast(C::kHigh), x));
    const ExpReduced<Vec<T>> red = exp_reduce<T>(v, C::kRoundWide);
    const Vec<T> tail = fma(red.r * red.r, exp_tail(red.r), red.r);
    // 2^n as two factors: n may be one more than the largest exponent.
    const BitsOf<T> biased = as_bits(red.sum);
    const BitsOf<T> half = biased >> 1;
    const Vec<T> first = from_bits<T>(half << C::kMantissaBits);
    const Vec<T> second = from_bits<T>((biased - half) << C::kMantissaBits);
    const Vec<T> power = first * second;
    const Vec<T> near = fma(tail, power, power - one);
    const Vec<T> far = fma(tail, second, second) * first - one;
    const Vec<T> y = select(red.n > broadcast(T(20)), far, near);
    return select(x == broadcast(T(0)), x, y);
}

template <class T>
FASTNN_SIMD_INLINE Vec<T> log1p_all(Vec<T> x) {
    const Vec<T> one = broadcast(T(1));
    const Vec<T> w = one + x;
    const LogReduced<Vec<T>> red = log_reduce<T>(w);
    // x - (w - 1), exact; for large x the other way about.
    const Vec<T> lost = select(x < one, x - (w - one), one - (w - x));
    const Vec<T> y = log_limits<T>(w, log_sum(red.k, red.f) + lost / w);
    return select(x == broadcast(T(0)), x, y);
}

template <class T>
FASTNN_SIMD_INLINE Vec<T> exp2_all(Vec<T> x) {
    using C = ExpConstants<T>;
    constexpr T low = sizeof(T) == 4 ? T(-150) : T(-1080);
    constexpr T high = sizeof(T) == 4 ? T(128) : T(1024);
    const Vec<T> v = max(broadcast(low), min(broadcast(high), x));
    const Vec<T> sum = v + broadcast(C::kRoundWide);
    const Vec<T> n = sum - broadcast(C::kRoundWide);
    const Vec<T> p = exp_poly((v - n) * broadcast(T(0.693147180559945309417232121458)));
    const BitsOf<T> biased = as_bits(sum);
    const BitsOf<T> half = biased >> 1;
    return p * from_bits<T>(half << C::kMantissaBits) *
           from_bits<T>((biased - half) << C::kMantissaBits);
}

template <class T>
FASTNN_SIMD_INLINE Vec<T> log2_all(Vec<T> x) {
    const LogReduced<Vec<T>> red = log_reduce<T>(x);
    const Vec<T> log2e = broadcast(T(1.44269504088896340735992468100));
    return log_limits<T>(x, fma(log_sum(Vec<T>{}, red.f), log2e, red.k));
}

FASTNN_SIMD_INLINE VecF expm1(VecF x) { return expm1_all<float>(x); }
FASTNN_SIMD_INLINE VecD expm1(VecD x) { return expm1_all<double>(x); }
FASTNN_SIMD_INLINE VecF log1p(VecF x) { return log1p_all<float>(x); }
FASTNN_SIMD_INLINE VecD log1p(VecD x) { return log1p_all<double>(x); }
FASTNN_SIMD_INLINE VecF exp2(VecF x) { return exp2_all<float>(x); }
FASTNN_SIMD_INLINE VecD exp2(VecD x) { return exp2_all<double>(x); }
FASTNN_SIMD_INLINE VecF log2(VecF x) { return log2_all<float>(x); }
FASTNN_SIMD_INLINE VecD log2(VecD x) { return log2_all<double>(x); }

}  // namespace fastnn::FASTNN_ISA
