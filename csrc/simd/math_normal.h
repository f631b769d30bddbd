// SPDX-License-Identifier: BSD-3-Clause
// The normal distribution function F and the slope F(x) + x f(x) of gelu, f being the density. With
// t = |x|, both are h where x < 0 and 1 - h elsewhere:
//
//   float, F:      h = F(-t) = 2^L(t), L(t) = log2 F(-t)
//   float, slope:  h = e^(-t^2 / 2) S(t), S(t) = e^(t^2 / 2) F(-t) - t / sqrt(2 pi)
//   double:        by erf and exp
//
// L and S only have to be right to the absolute error that h needs, so their fits are weighted by
// F(-t) and e^(-t^2 / 2): one polynomial each over the whole range. Absolute errors of F and
// of the slope are below 2^-23 and 2^-22 (float), 2^-52 and 2^-51 (double); in float F(-t) is 0
// from t = 5.9 on, where it is less than 2^-29. At +-inf F has its limits and the slope is NaN.
#pragma once

#include "simd/math_erf.h"
#include "simd/math_exp.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

// 2^x for -126 <= x < 127; error of the polynomial relative to 2^r below 2^-28.
FASTNN_SIMD_INLINE VecF exp2_in_range(VecF x) {
    using C = ExpConstants<float>;
    const VecF sum = x + broadcast(C::kRound);
    const VecF r = x - (sum - broadcast(C::kRound));
    const VecF p = poly(r, 1.0f, 0x1.62e43p-1f, 0x1.ebfbdcp-3f, 0x1.c6af7cp-5f, 0x1.3b2dep-7f,
                        0x1.5f0838p-10f, 0x1.416b82p-13f);
    return p * power_of_two<float>(sum);
}

FASTNN_SIMD_INLINE VecF normal_cdf(VecF x) {
    const VecF t = abs(x);
    // Absolute error of 2^L below 2^-26 for t <= 5.9.
    const VecF log2_h =
        poly(t, -1.0f, -0x1.26aed4p+0f, -0x1.d63ac2p-2f, -0x1.ae0a86p-5f, 0x1.ced318p-8f,
             -0x1.1d3812p-13f, -0x1.8737cep-13f, 0x1.4aef2cp-15f, -0x1.7d40fep-19f);
    const VecF h = select(t < broadcast(5.9f), exp2_in_range(log2_h), VecF{});
    return select(x < VecF{}, h, broadcast(1.0f) - h);
}

FASTNN_SIMD_INLINE VecD normal_cdf(VecD x) {
    const VecD sqrt_half = broadcast(0.707106781186547524400844362105);
    return broadcast(0.5) * (broadcast(1.0) + erf(x * sqrt_half));
}

// F(x) + x f(x)
FASTNN_SIMD_INLINE VecF gelu_slope(VecF x) {
    // Beyond 5.5 what S lacks is below 2^-26. min passes NaN on.
    const VecF t = min(broadcast(5.5f), abs(x));
    const VecF s =
        poly_even_odd(t, 0.5f, -0x1.98842ep-1f, 0x1.fff45p-3f, -0x1.100744p-3f, 0x1.fba536p-5f,
                      -0x1.a24526p-6f, 0x1.288f2ap-7f, -0x1.56a586p-9f, 0x1.2bb3fap-11f,
                      -0x1.6a62a6p-14f, 0x1.08e43ap-17f, -0x1.5c8058p-22f);
    const VecF z = x * broadcast(-0x1.715476p-1f) * x;  // -x^2 / 2 in units of ln 2
    const VecF e = select(z > broadcast(-100.0f), exp2_in_range(z), x - x);
    const VecF h = e * s;
    return select(x < VecF{}, h, broadcast(1.0f) - h);
}

FASTNN_SIMD_INLINE VecD gelu_slope(VecD x) {
    const VecD density = broadcast(0.398942280401432677939946059934) * exp(broadcast(-0.5) * x * x);
    return normal_cdf(x) + x * density;
}

}  // namespace fastnn::FASTNN_ISA
