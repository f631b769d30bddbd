// SPDX-License-Identifier: BSD-3-Clause
// exp, tanh and sigmoid for simd/math.h. n is the whole number next to x / ln 2, r = x - n ln 2:
//
//   exp(x)     = 2^n exp(r), |r| <= ln 2 / 2
//   tanh(x)    = x + x^3 T(x^2) for |x| < 0.55, else sign(x) (1 - 2 / (exp(2 |x|) + 1)), where the
//                subtrahend, which has the rounding errors, is less than the result
//   sigmoid(x) = (x >= 0 ? 1 : e) / (1 + e), e = exp(-|x|), which cannot overflow
//
// n comes from adding 1.5 * 2^(p - 1) to x / ln 2, p being the precision: the sum has n, rounded,
// in its low bits. 2^n is wanted next, so the addend includes the bias of the exponent, and one
// shift moves n + bias into the exponent's place.
#pragma once

#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

template <class T>
struct ExpConstants;

template <>
struct ExpConstants<float> {
    static constexpr int kMantissaBits = 23;
    static constexpr int kBias = 127;
    static constexpr float kLog2e = 0x1.715476p+0f;
    static constexpr float kLn2Hi = 0x1.62e4p-1f;  // 15 bits, so that n * kLn2Hi is exact
    static constexpr float kLn2Lo = 0x1.7f7d1cp-20f;
    static constexpr float kRound = 0x1.8p+23f + 127;      // for 2^n as a normal number
    static constexpr float kRoundWide = 0x1.8p+23f + 254;  // for 2^n as a product of two
    static constexpr float kLow = -104.0f;                 // exp rounds to 0 from here down
    static constexpr float kHigh = 89.0f;                  // and to inf from here up
    static constexpr float kTanhOne = 9.1f;                // tanh rounds to 1 from here up
};

template <>
struct ExpConstants<double> {
    static constexpr int kMantissaBits = 52;
    static constexpr int kBias = 1023;
    static constexpr double kLog2e = 0x1.71547652b82fep+0;
    static constexpr double kLn2Hi = 0x1.62e42fefa38p-1;  // 42 bits
    static constexpr double kLn2Lo = 0x1.ef35793c7673p-45;
    static constexpr double kRound = 0x1.8p+52 + 1023;
    static constexpr double kRoundWide = 0x1.8p+52 + 2046;
    static constexpr double kLow = -746.0;
    static constexpr double kHigh = 710.0;
    static constexpr double kTanhOne = 19.1;
};

// (exp(r) - 1 - r) / r^2 for |r| <= ln 2 / 2; error relative to exp(r) below 2^-28 and 2^-57.
FASTNN_SIMD_INLINE VecF exp_tail(VecF r) {
    return poly(r, 0x1.fffffcp-2f, 0x1.555492p-3f, 0x1.5558b4p-5f, 0x1.12399ap-7f, 0x1.6a48cap-10f);
}
FASTNN_SIMD_INLINE VecD exp_tail(VecD r) {
    return poly_even_odd(r, 0x1.000000000000ap-1, 0x1.5555555555508p-3, 0x1.555555555074dp-5,
                         0x1.11111111253ecp-7, 0x1.6c16c18453801p-10, 0x1.a01a01348c3afp-13,
                         0x1.a01999b7124f3p-16, 0x1.71df132d4e6a4p-19, 0x1.28adb770819dbp-22,
                         0x1.ad974da9f5f05p-26);
}

// exp(r) for |r| <= ln 2 / 2.
FASTNN_SIMD_INLINE VecF exp_poly(VecF r) {
    return fma(fma(exp_tail(r), r, broadcast(1.0f)), r, broadcast(1.0f));
}
FASTNN_SIMD_INLINE VecD exp_poly(VecD r) {
    return fma(fma(exp_tail(r), r, broadcast(1.0)), r, broadcast(1.0));
}

// (tanh(x) / x - 1) / z for z = x^2 <= 0.55^2; error relative to tanh(x) below 2^-29 and 2^-55.
FASTNN_SIMD_INLINE VecF tanh_small_poly(VecF z) {
    return poly(z, -0x1.55554ap-2f, 0x1.110ceep-3f, -0x1.b91e7ep-5f, 0x1.58e518p-6f,
                -0x1.9921ap-8f);
}
FASTNN_SIMD_INLINE VecD tanh_small_poly(VecD z) {
    return poly_even_odd(z, -0x1.555555555549ep-2, 0x1.11111111029b4p-3, -0x1.ba1ba1ad73a73p-5,
                         0x1.664f45c32da53p-6, -0x1.226ddd4f5e3b6p-7, 0x1.d6c61e812ecbfp-9,
                         -0x1.7cf3c4a54c398p-10, 0x1.2fa2aec00a84ep-11, -0x1.b90a9b1fcb532p-13,
                         0x1.ac0346b0cd10fp-15);
}

// x = n ln 2 + r; the low bits of `sum` hold n plus the bias in `round`.
template <class V>
struct ExpReduced {
    V r, n, sum;
};

template <class T>
FASTNN_SIMD_INLINE ExpReduced<Vec<T>> exp_reduce(Vec<T> x, T round) {
    using C = ExpConstants<T>;
    const Vec<T> sum = fma(x, broadcast(C::kLog2e), broadcast(round));
    const Vec<T> n = sum - broadcast(round);
    const Vec<T> r = fma(n, broadcast(-C::kLn2Lo), fma(n, broadcast(-C::kLn2Hi), x));
    return {r, n, sum};
}

// 2^n where that is a normal number, from a sum made with kRound.
template <class T>
FASTNN_SIMD_INLINE Vec<T> power_of_two(Vec<T> sum) {
    return from_bits<T>(as_bits(sum) << ExpConstants<T>::kMantissaBits);
}

// exp for kLow <= x <= kHigh, and NaN.
template <class T>
FASTNN_SIMD_INLINE Vec<T> exp_in_range(Vec<T> x) {
    using C = ExpConstants<T>;
    const ExpReduced<Vec<T>> red = exp_reduce<T>(x, C::kRoundWide);
    const Vec<T> p = exp_poly(red.r);
#if FASTNN_SIMD_AVX512
    return scale_by_power(p, red.n);
#else
    // 2^n may be denormal or too large, but p 2^n is not: two factors, of which the first keeps p
    // normal, so that the result is rounded once. The low bits of `sum` hold n + 2 * bias.
    const BitsOf<T> biased = as_bits(red.sum);
    const BitsOf<T> half = biased >> 1;
    const Vec<T> first = from_bits<T>(half << C::kMantissaBits);
    const Vec<T> second = from_bits<T>((biased - half) << C::kMantissaBits);
    return p * first * second;
#endif
}

template <class T>
FASTNN_SIMD_INLINE Vec<T> exp_all(Vec<T> x) {
    using C = ExpConstants<T>;
    // The argument stands second, where min and max pass a NaN on.
    return exp_in_range<T>(max(broadcast(C::kLow), min(broadcast(C::kHigh), x)));
}

template <class T>
FASTNN_SIMD_INLINE Vec<T> tanh_all(Vec<T> x) {
    using C = ExpConstants<T>;
    const Vec<T> one = broadcast(T(1));
    const Vec<T> a = min(broadcast(C::kTanhOne), abs(x));
    const Vec<T> z = a * a;
    const Vec<T> small = fma(a * z, tanh_small_poly(z), a);
    const ExpReduced<Vec<T>> red = exp_reduce<T>(a + a, C::kRound);
    const Vec<T> e_plus_1 = fma(exp_poly(red.r), power_of_two<T>(red.sum), one);
    const Vec<T> large = one - broadcast(T(2)) / e_plus_1;
    return copysign(select(a < broadcast(T(0.55)), small, large), x);
}

template <class T>
FASTNN_SIMD_INLINE Vec<T> sigmoid_all(Vec<T> x) {
    using C = ExpConstants<T>;
    const Vec<T> one = broadcast(T(1));
    const Vec<T> e = exp_in_range<T>(max(broadcast(C::kLow), -abs(x)));
    return select(x < broadcast(T(0)), e, one) / (one + e);
}

FASTNN_SIMD_INLINE VecF exp(VecF x) { return exp_all<float>(x); }
FASTNN_SIMD_INLINE VecD exp(VecD x) { return exp_all<double>(x); }
FASTNN_SIMD_INLINE VecF tanh(VecF x) { return tanh_all<float>(x); }
FASTNN_SIMD_INLINE VecD tanh(VecD x) { return tanh_all<double>(x); }
FASTNN_SIMD_INLINE VecF sigmoid(VecF x) { return sigmoid_all<float>(x); }
FASTNN_SIMD_INLINE VecD sigmoid(VecD x) { return sigmoid_all<double>(x); }

}  // namespace fastnn::FASTNN_ISA
