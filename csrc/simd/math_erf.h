// SPDX-License-Identifier: BSD-3-Clause
// erf for simd/math.h:
//
//   |x| < 1:  erf(x) = x + x S(x^2)
//   else:     erf(x) = sign(x) (1 - exp(L(|x| - 1))), L(t) = log(erfc(1 + t))
//
// Both are evaluated and one is taken. L only has to be right to the absolute error that 1 - erfc
// needs, so the fit is weighted by erfc: it takes few coefficients, and x^2 needs no second word.
// Where erfc is below half an ulp of 1 the argument is held back, which keeps 2^n a normal number.
#pragma once

#include "simd/math_exp.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

// erf(x) / x - 1 for z = x^2 <= 1; error relative to erf(x) / x below 2^-29 and 2^-56.
FASTNN_SIMD_INLINE VecF erf_small_poly(VecF z) {
    return poly(z, 0x1.06eba8p-3f, -0x1.81273ep-2f, 0x1.ce2ce6p-4f, -0x1.b7f71ap-6f, 0x1.53f224p-8f,
                -0x1.a3515ep-11f, 0x1.4771fcp-14f);
}
FASTNN_SIMD_INLINE VecD erf_small_poly(VecD z) {
    return poly_even_odd(z, 0x1.06eba8214db68p-3, -0x1.812746b03799dp-2, 0x1.ce2f21a03f8b4p-4,
                         -0x1.b82ce311a951dp-6, 0x1.565bcceed1561p-8, -0x1.c02daeb529b9bp-11,
                         0x1.f9a2967b4c732p-14, -0x1.f4c82acbc8756p-17, 0x1.b96b262863f98p-20,
                         -0x1.5b8b106a7dbbfp-23, 0x1.d3d307e058909p-27, -0x1.a21ac68b4c6a1p-31);
}

// log(erfc(1 + t)) for 0 <= t <= 2.95 and 4.95; absolute error of erfc below 2^-26 and 2^-57.
FASTNN_SIMD_INLINE VecF log_erfc_poly(VecF t) {
    return poly(t, -0x1.d97fcp+0f, -0x1.51c9aap+1f, -0x1.afad36p-1f, -0x1.53f92cp-5f,
                0x1.441a3cp-7f, -0x1.deb42ap-10f, 0x1.85259cp-13f);
}
FASTNN_SIMD_INLINE VecD log_erfc_poly(VecD t) {
    return poly_even_odd(t, -0x1.d97fbf27aa2a1p+0, -0x1.51c9b0006c22ap+1, -0x1.afabc11a2a719p-1,
                         -0x1.5477f09a40662p-5, 0x1.48c9d3925e3f4p-7, -0x1.033f5ba07cd96p-9,
                         0x1.f1b0a25551cd7p-13, 0x1.b92723acbdcaep-16, -0x1.c846f3412245ep-16,
                         0x1.4466a314da35cp-17, -0x1.1db54b5afe5cfp-19, 0x1.b3060fdc9b361p-23,
                         0x1.fc095bb5256dap-25, -0x1.226151de21p-25, 0x1.2857c9e15c46cp-27,
                         -0x1.6f8babcc8ee94p-30, 0x1.0a690758764ap-33, -0x1.5c2e474835f65p-38);
}

template <class T>
FASTNN_SIMD_INLINE Vec<T> erf_all(Vec<T> x) {
    constexpr T rounds_to_one = sizeof(T) == 4 ? T(3.95) : T(5.95);
    const Vec<T> one = broadcast(T(1));
    const Vec<T> a = min(broadcast(rounds_to_one), abs(x));
    const Vec<T> small = fma(x, erf_small_poly(a * a), x);
    const ExpReduced<Vec<T>> red = exp_reduce<T>(log_erfc_poly(a - one), ExpConstants<T>::kRound);
    const Vec<T> large = fma(-exp_poly(red.r), power_of_two<T>(red.sum), one);
    return select(a < one, small, copysign(large, x));
}

FASTNN_SIMD_INLINE VecF erf(VecF x) { return erf_all<float>(x); }
FASTNN_SIMD_INLINE VecD erf(VecD x) { return erf_all<double>(x); }

}  // namespace fastnn::FASTNN_ISA
