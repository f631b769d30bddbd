// SPDX-License-Identifier: BSD-3-Clause
// expm1, log1p, exp2 and log2 on vectors: exp and log (simd/math_exp.h, simd/math_log.h) where
// these would lose digits. NaN gives NaN, limits and the sign of zero are right.
//
//   expm1(x) = 2^n (t + (1 - 2^-n)), t = exp(r) - 1, x = n ln 2 + r: for n = 0 it is t itself
//   log1p(x) = log(w) + (x - (w - 1)) / w, w = 1 + x rounded: the second term is what rounding lost
//   log1p_exp(x) = log(1 + exp(x)) = max(x, 0) + log1p(e), e = exp(-|x|) <= 1, where
//       float:   log1p(e) = e + e^2 Q(e)
//       double:  log1p(e) = k ln 2 + log(1 + f), f = e or (e - 1) / 2: no digit of e is lost
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
    constexpr T middle = C::kRound - C::kBias;
    // Below -40 the result rounds to -1. The argument stands second, so that NaN passes.
    const Vec<T> v = max(broadcast(T(-40)), min(broadcast(C::kHigh), x));
    const Vec<T> sum = fma(v, broadcast(-C::kLog2e), broadcast(C::kRound));  // -n and the bias
    const Vec<T> n = broadcast(C::kRound) - sum;
    const Vec<T> r = fma(n, broadcast(-C::kLn2Lo), fma(n, broadcast(-C::kLn2Hi), v));
    const Vec<T> t = fma(r * r, exp_tail(r), r);
    // 2^-n; 0 for the largest n, which has no place among the normal numbers' exponents.
    const Vec<T> inverse = power_of_two<T>(max(broadcast(middle), sum));
    const Vec<T> p = t + (broadcast(T(1)) - inverse);
#if FASTNN_SIMD_AVX512
    const Vec<T> y = scale_by_power(p, n);
#else
    // Twice 2^(n - 1): 2^n may be more than the largest number.
    constexpr auto other = static_cast<decltype(as_bits(sum)[0] + 0)>(2 * C::kBias - 1);
    const Vec<T> half = from_bits<T>((other - as_bits(sum)) << C::kMantissaBits);
    const Vec<T> y = p * half * broadcast(T(2));
#endif
    return copysign(y, x);  // expm1(-0) = -0
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

// m + log(1 + e) for 0 <= e <= 1; error of the polynomial relative to log(1 + e) below 2^-30.
FASTNN_SIMD_INLINE VecF add_log1p(VecF m, VecF e) {
    const VecF q =
        poly(e, -0x1.fffff8p-2f, 0x1.5553b6p-2f, -0x1.ffc59ep-3f, 0x1.978b56p-3f, -0x1.4a72c4p-3f,
             0x1.ff295cp-4f, -0x1.54f26ap-4f, 0x1.590164p-5f, -0x1.c0a6dp-7f, 0x1.113ab4p-9f);
    return fma(fma(q, e, broadcast(1.0f)), e, m);
}
FASTNN_SIMD_INLINE VecD add_log1p(VecD m, VecD e) {
    const VecD one = broadcast(1.0);
    const auto above = e > broadcast(0.41421356237309515);
    const VecD f = select(above, (e - one) * broadcast(0.5), e);
    return m + log_sum(select(above, one, VecD{}), f);
}

template <class T>
FASTNN_SIMD_INLINE Vec<T> log1p_exp_all(Vec<T> x) {
    const Vec<T> e = exp_in_range<T>(max(broadcast(ExpConstants<T>::kLow), -abs(x)));
    return add_log1p(max(Vec<T>{}, x), e);  // max(0, x) is x for NaN
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
FASTNN_SIMD_INLINE VecF log1p_exp(VecF x) { return log1p_exp_all<float>(x); }
FASTNN_SIMD_INLINE VecD log1p_exp(VecD x) { return log1p_exp_all<double>(x); }
FASTNN_SIMD_INLINE VecF exp2(VecF x) { return exp2_all<float>(x); }
FASTNN_SIMD_INLINE VecD exp2(VecD x) { return exp2_all<double>(x); }
FASTNN_SIMD_INLINE VecF log2(VecF x) { return log2_all<float>(x); }
FASTNN_SIMD_INLINE VecD log2(VecD x) { return log2_all<double>(x); }

}  // namespace fastnn::FASTNN_ISA
