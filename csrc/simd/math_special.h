// SPDX-License-Identifier: BSD-3-Clause
// erfc, erfinv, logit, sine and cosine of pi x, sinc, and the derivatives of ln gamma, on vectors
// of doubles (floats are computed in them too: ops/special.cpp).
//
//   erfc(x)     1 - erf(x) for |x| < 1/2, else from a = |x| (2 - that for negative x)
//                   exp(-a^2) P(t) / (1 + 2 a),  t = (a - k) / (a + k)
//               with the part of a^2 that rounding lost put back in. P is nearly constant, and t
//               maps all a to a short interval: Shepherd and Laframboise, "Chebyshev approximation
//               of (1 + 2x) exp(x^2) erfc x in 0 <= x < infinity", 1981.
//   erfinv(x)   x Q(w), w = -log(1 - x^2), by polynomials in w below 5 and in its root from there:
//               Giles, "Approximating the erfinv function", GPU Computing Gems, 2011.
//   logit(x)    log(x / (1 - x)), by log(1 + t) where the quotient is near 1
//   sin(pi x), cos(pi x): from the distance to the nearest whole number, which is exact, so that
//               multiples of 1/2 give 0, 1 and -1; polynomials up to 1/4.
//   digamma, trigamma: ln' gamma and ln'' gamma. Up to 10 by the recurrence, whose terms are summed
//               as one fraction, from there by their asymptotic series; below 1/2 by reflection.
//               Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964: 6.3.5, 6.3.7,
//               6.3.18, 6.4.6, 6.4.7, 6.4.12.
//
// NaN gives NaN. Limits and the sign of zero are right. Errors: erfc below kMaxUlpErfc, erfinv,
// logit and sinc below 4 ulp, digamma and trigamma a few ulp of the largest term
// (tests/ops/test_special.py). The polynomials are minimax
// (tests/simd_math/derive_coefficients.py).
#pragma once

#include "simd/math_erf.h"
#include "simd/math_exp.h"
#include "simd/math_log.h"

namespace fastnn::FASTNN_ISA {

constexpr double kMaxUlpErfc = 5;
constexpr double kPi = 3.14159265358979323846264338328;

// Shared by the functions here: long, and not worth a copy for each of them.
__attribute__((noinline)) inline VecD shared_exp(VecD x) { return exp(x); }
__attribute__((noinline)) inline VecD shared_log(VecD x) { return log(x); }

// (1 + 2 a) exp(a^2) erfc(a) for 1/2 <= a; relative error below 2^-53.
FASTNN_SIMD_INLINE VecD erfc_scaled_poly(VecD t) {
    return poly_even_odd(t, 0x1.3ccda0b5d5dc2p+0, -0x1.1f367683f89a6p-3, 0x1.d5f294816e4p-9,
                         0x1.510169d09664dp-4, -0x1.bda9309a4cd19p-4, 0x1.7a14188a9f9f5p-4,
                         -0x1.e0d0fa67bdf6dp-5, 0x1.d0b0037bafc6ap-6, -0x1.3f603d4dba8b9p-7,
                         0x1.cc3a0fb1bba25p-10, 0x1.33fc09fc5e946p-12, -0x1.303fc852e7458p-12,
                         0x1.b12786bdc3a2bp-15, 0x1.77955c5da1aa8p-16, -0x1.7ee5b984297dep-17,
                         -0x1.06f95efe2bf64p-20, 0x1.c84e8293b5cdp-20, -0x1.9706c0dac0b72p-25,
                         -0x1.c34898988cfe9p-23, 0x1.ec8d62a638fd4p-27, 0x1.eda8bad036cc4p-27);
}

// exp(-a^2) for 0 <= a <= 27.3, and NaN, with no more than the errors of exp.
FASTNN_SIMD_INLINE VecD exp_minus_square(VecD a) {
    const VecD square = a * a;
    VecD lost;
    if constexpr (kFused) {
        lost = fma(a, a, -square);
    } else {
        // Two words of 26 bits, whose products are exact.
        const VecD high = from_bits<double>(as_bits(a) & (BitsOf<double>{} + 0xfffffffff8000000u));
        const VecD low = a - high;
        lost = ((high * high - square) + (high + high) * low) + low * low;
    }
    const VecD e = shared_exp(-square);
    return fma(-e, lost, e);
}

FASTNN_SIMD_INLINE VecD erfc(VecD x) {
    const VecD one = broadcast(1.0);
    const VecD middle = broadcast(3.75);
    const VecD a = min(broadcast(27.3), abs(x));  // from where it is 0
    const VecD p = erfc_scaled_poly((a - middle) / (a + middle));
    const VecD tail = exp_minus_square(a) * (p / (one + (a + a)));
    const VecD small = one - fma(x, erf_small_poly(x * x), x);
    const VecD far = select(x < VecD{}, broadcast(2.0) - tail, tail);
    return select(a < broadcast(0.5), small, far);
}

// erfinv(x) / x from w = -log(1 - x^2); relative error below 2^-52.
FASTNN_SIMD_INLINE VecD erfinv_ratio(VecD w) {
    const VecD root = sqrt(w);
    const VecD near =
        poly_even_odd(w - broadcast(2.5), 0x1.805c5cfcedef5p+0, 0x1.f91e8993f0d14p-3,
                      -0x1.11c3c302e061fp-8, -0x1.4863cdfb61b37p-10, 0x1.c9b437ed6fab4p-13,
                      -0x1.4f47fe7145a4fp-18, -0x1.ca9227e6f2c38p-19, 0x1.01037e19a2f05p-21,
                      0x1.ccff88fa85583p-27, -0x1.752fd2042db77p-27, 0x1.f2cb3b8900674p-31,
                      0x1.07037d8299bdap-33, -0x1.1195b7354d534p-35, 0x1.00d0f2869f1bep-40,
                      0x1.2dc9de0d07eddp-41, -0x1.57b1cdd54cba3p-44, -0x1.b4d0fb09f9a21p-49,
                      0x1.1514cbccfa0f5p-49, -0x1.02b95fb2b03bep-53, -0x1.098e1b079d581p-55,
                      0x1.a8f8c83f470a1p-59, 0x1.134bc8f2daaa2p-62);
    const VecD far =
        poly_even_odd(root - broadcast(3.0), 0x1.6a9efbd66eae7p+1, 0x1.006dca7a9c234p+0,
                      0x1.3582c8113b0a5p-7, -0x1.f4f1c6f0ffc7p-8, 0x1.749588954c60bp-8,
                      -0x1.d2754fc56c571p-9, 0x1.84f3eb7582cb2p-10, -0x1.384317517cda7p-13,
                      -0x1.28e054e97a061p-12, 0x1.aefff7aa1cff4p-13, -0x1.85ca3aca1b7c1p-15,
                      -0x1.7fbbc54e59b83p-16, 0x1.70583f86eb917p-16, -0x1.8fa3867121019p-18,
                      -0x1.c6d1a0daab046p-20, 0x1.0fa0970cc763p-19, -0x1.3edcd3ef500e9p-21,
                      -0x1.ff519ed542fd5p-24, 0x1.27fa9724b6484p-23, -0x1.0860071eff6e9p-25);
    const VecD last = poly_even_odd(
        root - broadcast(5.0), 0x1.3664ddd1ad7fbp+2, 0x1.02a30d1fba109p+0, -0x1.22ea5df0fd9cdp-13,
        -0x1.c2f36aa02dec6p-13, 0x1.3ebf4ec56537dp-14, -0x1.4a3490db97ff5p-16,
        0x1.2fbd216670e79p-18, -0x1.0a8ff75dc28a8p-20, 0x1.ebcc3b260ed8cp-23,
        -0x1.22436b8ba37ffp-24, 0x1.f48cff848c58fp-26, -0x1.052e9d92add2dp-26,
        0x1.061ff6f1aec96p-27, -0x1.e53131098f88fp-29, 0x1.9c50bb956cfd7p-30,
        -0x1.bacd827e34bcbp-32, -0x1.bc4179cba3a7bp-36, 0x1.2f168d713618dp-35);
    return select(w < broadcast(5.0), near, select(w < broadcast(16.0), far, last));
}

FASTNN_SIMD_INLINE VecD erfinv(VecD x) {
    const VecD one = broadcast(1.0);
    const VecD y = x * erfinv_ratio(-shared_log((one - x) * (one + x)));
    return select(abs(x) == one, copysign(broadcast(__builtin_inf()), x), y);
}

// From 1/4 to 3/4 the quotient is 1 + t, t = (2x - 1) / (1 - x), with an exact numerator; what the
// sum loses is put back in.
FASTNN_SIMD_INLINE VecD logit(VecD x) {
    const VecD one = broadcast(1.0);
    const VecD rest = one - x;
    const VecD t = ((x + x) - one) / rest;
    const auto middle = abs(x - broadcast(0.5)) <= broadcast(0.25);
    const VecD w = select(middle, one + t, x / rest);
    const VecD lost = select(middle, (t - (w - one)) / w, VecD{});
    return shared_log(w) + lost;
}

// sin(pi r) / r and cos(pi r) for z = r^2 <= 1/16; relative errors below 2^-54.
FASTNN_SIMD_INLINE VecD sin_ratio_poly(VecD z) {
    return poly(z, 0x1.921fb54442d18p+1, -0x1.4abbce625bdaep+2, 0x1.466bc6774afd3p+1,
                -0x1.32d2ccd46ad1ap-1, 0x1.507821d5906bdp-4, -0x1.e2f3f1a575b44p-8,
                0x1.dfc5f9bc75178p-12);
}
FASTNN_SIMD_INLINE VecD cos_poly(VecD z) {
    return poly(z, 0x1p+0, -0x1.3bd3cc9be45dep+2, 0x1.03c1f081b5a52p+2, -0x1.55d3c7e3bfe56p+0,
                0x1.e1f50675b2051p-3, -0x1.a6d1e238de9bp-6, 0x1.f9c4adab04dacp-10,
                -0x1.b034553e81c41p-14);
}

struct SinCos {
    VecD sin, cos;
};

// Of pi x; NaN for infinities.
__attribute__((noinline)) inline SinCos sin_cos_pi(VecD x) {
    const VecD half = broadcast(0.5);
    const VecD one = broadcast(1.0);
    const VecD turns = round_even(x * half);
    const VecD q = x - (turns + turns);  // in [-1, 1]
    const VecD a = abs(q);
    const auto left = a > half;
    const VecD h = select(left, one - a, a);
    const auto steep = h > broadcast(0.25);
    const VecD r = select(steep, half - h, h);
    const VecD z = r * r;
    const VecD s = r * sin_ratio_poly(z);
    const VecD c = cos_poly(z);
    const VecD sign = select(q == VecD{}, x, q);
    const VecD cosine = select(steep, s, c);
    return {copysign(select(steep, c, s), sign), select(left, -cosine, cosine)};
}

// sin(pi x) / (pi x)
FASTNN_SIMD_INLINE VecD sinc(VecD x) {
    const VecD y = sin_cos_pi(x).sin / (x * broadcast(kPi));
    return select(x == VecD{}, broadcast(1.0), y);
}

// The factor of x^(2k - 1) in the series of sinc': (-1)^k pi^2k 2k / (2k + 1)!
constexpr double sinc_slope_term(int k) {
    double term = k % 2 == 0 ? 2 * k : -2 * k;
    for (int i = 1; i <= k; ++i) term *= kPi * kPi / (2 * i * (2 * i + 1));
    return term;
}

// sinc'(x) / x at z = x^2 for |x| < 1/4.
FASTNN_SIMD_INLINE VecD sinc_slope_series(VecD z) {
    constexpr int terms = 9;
    VecD sum = broadcast(sinc_slope_term(terms));
    for (int k = terms - 1; k > 0; --k) sum = fma(sum, z, broadcast(sinc_slope_term(k)));
    return sum;
}

// (cos(pi x) - sinc(x)) / x; below 1/4, where the terms cancel, by its series.
FASTNN_SIMD_INLINE VecD sinc_slope(VecD x) {
    const SinCos t = sin_cos_pi(x);
    const VecD far = (t.cos - t.sin / (x * broadcast(kPi))) / x;
    const VecD near = x * sinc_slope_series(x * x) + VecD{};  // 0 for -0
    return select(abs(x) < broadcast(0.25), near, far);
}

// Bernoulli's numbers B2, B4, ...
constexpr int kBernoulliCount = 8;
constexpr double kBernoulli[kBernoulliCount] = {1.0 / 6,  -1.0 / 30,     1.0 / 42, -1.0 / 30,
                                                5.0 / 66, -691.0 / 2730, 7.0 / 6,  -3617.0 / 510};

// x or, below 1/2, 1 - x.
FASTNN_SIMD_INLINE VecD reflected(VecD x) {
    return select(x < broadcast(0.5), broadcast(1.0) - x, x);
}

// The sum of (b + k)^-kPower over the b + k below 10, as a fraction; b becomes the first one that
// is not.
template <int kPower>
FASTNN_SIMD_INLINE VecD raised(VecD& b) {
    const VecD one = broadcast(1.0);
    VecD above{};
    VecD below = one;
    for (int k = 0; k < 10; ++k) {
        const auto low = b < broadcast(10.0);
        const VecD d = kPower == 1 ? b : b * b;
        above = select(low, fma(above, d, below), above);
        below = select(low, below * d, below);
        b = select(low, b + one, b);
    }
    return above / below;
}

FASTNN_SIMD_INLINE VecD digamma(VecD x) {
    const VecD zero{};
    VecD b = reflected(x);
    const VecD sum = raised<1>(b);
    const VecD inverse = broadcast(1.0) / b;
    const VecD z = inverse * inverse;
    VecD series = zero;
    for (int k = kBernoulliCount; k > 0; --k)
        series = fma(series, z, broadcast(kBernoulli[k - 1] / (2 * k)));
    const VecD y = (shared_log(b) - broadcast(0.5) * inverse) - series * z - sum;
    const SinCos t = sin_cos_pi(x);
    const VecD low = y - broadcast(kPi) * t.cos / t.sin;
    const VecD pole = select((x < zero) & (floor(x) == x), broadcast(__builtin_nan("")), low);
    const VecD inf = broadcast(__builtin_inf());
    return select(x == zero, copysign(inf, -x), select(x < broadcast(0.5), pole, y));
}

FASTNN_SIMD_INLINE VecD trigamma(VecD x) {
    VecD b = reflected(x);
    const VecD sum = raised<2>(b);
    const VecD inverse = broadcast(1.0) / b;
    const VecD z = inverse * inverse;
    VecD series{};
    for (int k = kBernoulliCount; k > 0; --k) series = fma(series, z, broadcast(kBernoulli[k - 1]));
    const VecD y = inverse * (broadcast(1.0) + (broadcast(0.5) * inverse + series * z)) + sum;
    const VecD s = sin_cos_pi(x).sin;
    return select(x < broadcast(0.5), broadcast(kPi * kPi) / (s * s) - y, y);
}

}  // namespace fastnn::FASTNN_ISA
