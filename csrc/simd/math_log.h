// SPDX-License-Identifier: BSD-3-Clause
// log for simd/math.h. x = 2^k m with m in [sqrt(1/2), sqrt(2)), and f = m - 1 exactly:
//
//   log(x) = k ln 2 + log(1 + f)
//   float:   log(1 + f) = f - f^2 / 2 + f^3 P(f)
//   double:  log(1 + f) = 2 atanh(s) = f - (f^2 / 2 - s (f^2 / 2 + s^2 P(s^2))), s = f / (2 + f)
//
// k is 0 for x near 1, so nothing cancels there. In double the division saves some fifteen
// coefficients, in float it would cost more than the polynomial. The arrangement of the sum for
// double, which adds the large terms last, is K. C. Ng's (fdlibm, 1993).
#pragma once

#include "simd/math_exp.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

template <class T>
struct LogConstants;

template <>
struct LogConstants<float> {
    static constexpr std::uint32_t kOne = 0x3f800000u;
    static constexpr std::uint32_t kSqrtHalf = 0x3f3504f3u;  // the float nearest to sqrt(1/2)
    static constexpr std::uint32_t kMantissa = 0x007fffffu;
    static constexpr float kTwoP = 0x1p+23f;
    static constexpr float kBias = 127;
    static constexpr float kMinNormal = 0x1p-126f;
    static constexpr float kLift = 0x1p+25f;  // takes every denormal to a normal number
    static constexpr float kLiftBits = 25;
};

template <>
struct LogConstants<double> {
    static constexpr std::uint64_t kOne = 0x3ff0000000000000u;
    static constexpr std::uint64_t kSqrtHalf = 0x3fe6a09e667f3bcdu;
    static constexpr std::uint64_t kMantissa = 0x000fffffffffffffu;
    static constexpr double kTwoP = 0x1p+52;
    static constexpr double kBias = 1023;
    static constexpr double kMinNormal = 0x1p-1022;
    static constexpr double kLift = 0x1p+54;
    static constexpr double kLiftBits = 54;
};

// k ln 2 + log(1 + f); errors of the polynomials relative to log(1 + f) below 2^-27 and 2^-58.
FASTNN_SIMD_INLINE VecF log_sum(VecF k, VecF f) {
    using C = ExpConstants<float>;
    const VecF f2 = f * f;
    const VecF p = poly(f, 0x1.555554p-2f, -0x1.000228p-2f, 0x1.99a022p-3f, -0x1.5471fcp-3f,
                        0x1.22d83p-3f, -0x1.0d86f4p-3f, 0x1.056864p-3f, -0x1.38c84ep-4f);
    VecF rest = fma(f * p, f2, k * broadcast(C::kLn2Lo));
    rest = fma(f2, broadcast(-0.5f), rest);
    return fma(k, broadcast(C::kLn2Hi), f + rest);
}

FASTNN_SIMD_INLINE VecD log_sum(VecD k, VecD f) {
    using C = ExpConstants<double>;
    const VecD s = f / (broadcast(2.0) + f);
    const VecD s2 = s * s;
    const VecD half_f2 = f * f * broadcast(0.5);
    const VecD p = poly(s2, 0x1.5555555555593p-1, 0x1.999999997f9e9p-2, 0x1.249249422b9a3p-2,
                        0x1.c71c51d672bcep-3, 0x1.74664a024f58fp-3, 0x1.39a08c41a6d1fp-3,
                        0x1.2f11e5601b805p-3);
    const VecD rest = fma(s, fma(s2, p, half_f2), k * broadcast(C::kLn2Lo));
    return fma(k, broadcast(C::kLn2Hi), f - (half_f2 - rest));
}

// x = 2^k (1 + f) for x > 0.
template <class V>
struct LogReduced {
    V k, f;
};

template <class T>
FASTNN_SIMD_INLINE LogReduced<Vec<T>> log_reduce(Vec<T> x) {
    using C = LogConstants<T>;
    const auto denormal = x < broadcast(C::kMinNormal);
    const BitsOf<T> bits = as_bits(select(denormal, x * broadcast(C::kLift), x));
    // Moving the fraction's start from 1 to sqrt(1/2) makes the exponent field k + bias.
    const BitsOf<T> moved = bits + (C::kOne - C::kSqrtHalf);
    const Vec<T> m = from_bits<T>((moved & C::kMantissa) + C::kSqrtHalf);
    // Put into the mantissa of 2^(p - 1), the field is converted, at every level and width.
    const Vec<T> biased =
        from_bits<T>((moved >> ExpConstants<T>::kMantissaBits) | as_bits(broadcast(C::kTwoP)));
    const Vec<T> k = biased - select(denormal, broadcast(C::kTwoP + C::kBias + C::kLiftBits),
                                     broadcast(C::kTwoP + C::kBias));
    return {k, m - broadcast(T(1))};
}

// y, a logarithm of x, put right where x is not a positive number: +inf and NaN are their own
// logarithms, that of 0 is -inf and that of a negative number NaN.
template <class T>
FASTNN_SIMD_INLINE Vec<T> log_limits(Vec<T> x, Vec<T> y) {
    const Vec<T> zero = broadcast(T(0));
    const Vec<T> above = select(x < broadcast(T(__builtin_inf())), y, x);
    const Vec<T> below =
        select(x == zero, broadcast(T(-__builtin_inf())), broadcast(T(__builtin_nan(""))));
    return select(x <= zero, below, above);
}

template <class T>
FASTNN_SIMD_INLINE Vec<T> log_all(Vec<T> x) {
    const LogReduced<Vec<T>> red = log_reduce<T>(x);
    return log_limits<T>(x, log_sum(red.k, red.f));
}

FASTNN_SIMD_INLINE VecF log(VecF x) { return log_all<float>(x); }
FASTNN_SIMD_INLINE VecD log(VecD x) { return log_all<double>(x); }

}  // namespace fastnn::FASTNN_ISA
