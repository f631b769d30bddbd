// SPDX-License-Identifier: BSD-3-Clause
// What simd/vec.h takes from AVX-512 (F, DQ, VL): sixteen floats or eight doubles. Partial loads
// and stores are masked, and a masked-off lane does not touch memory. Included by simd/vec.h alone.
#pragma once

#include <immintrin.h>

namespace fastnn::FASTNN_ISA {

inline constexpr bool kFused = true;

// The unmasked forms of some intrinsics read an undefined vector in GCC 12's header, which then
// warns at every use; with a constant mask of ones the masked forms are the same instruction.
inline constexpr __mmask16 kAll16 = 0xffff;
inline constexpr __mmask8 kAll8 = 0xff;

template <>
FASTNN_SIMD_INLINE VecF broadcast<float>(float s) {
    return (VecF)_mm512_set1_ps(s);
}
template <>
FASTNN_SIMD_INLINE VecD broadcast<double>(double s) {
    return (VecD)_mm512_set1_pd(s);
}

template <>
FASTNN_SIMD_INLINE VecF load_partial<float>(const float* p, int n, float fill) {
    const auto first_n = static_cast<__mmask16>((1u << n) - 1u);
    return (VecF)_mm512_mask_loadu_ps(_mm512_set1_ps(fill), first_n, p);
}
template <>
FASTNN_SIMD_INLINE VecD load_partial<double>(const double* p, int n, double fill) {
    const auto first_n = static_cast<__mmask8>((1u << n) - 1u);
    return (VecD)_mm512_mask_loadu_pd(_mm512_set1_pd(fill), first_n, p);
}
template <>
FASTNN_SIMD_INLINE void store_partial<float>(float* p, VecF v, int n) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1u), (__m512)v);
}
template <>
FASTNN_SIMD_INLINE void store_partial<double>(double* p, VecD v, int n) {
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1u), (__m512d)v);
}

FASTNN_SIMD_INLINE VecF fma(VecF a, VecF b, VecF c) {
    return (VecF)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
FASTNN_SIMD_INLINE VecD fma(VecD a, VecD b, VecD c) {
    return (VecD)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
}

// The instruction returns its second operand for NaN and for equal operands: the rule of vec.h.
FASTNN_SIMD_INLINE VecF min(VecF a, VecF b) {
    return (VecF)_mm512_maskz_min_ps(kAll16, (__m512)a, (__m512)b);
}
FASTNN_SIMD_INLINE VecD min(VecD a, VecD b) {
    return (VecD)_mm512_maskz_min_pd(kAll8, (__m512d)a, (__m512d)b);
}
FASTNN_SIMD_INLINE VecF max(VecF a, VecF b) {
    return (VecF)_mm512_maskz_max_ps(kAll16, (__m512)a, (__m512)b);
}
FASTNN_SIMD_INLINE VecD max(VecD a, VecD b) {
    return (VecD)_mm512_maskz_max_pd(kAll8, (__m512d)a, (__m512d)b);
}

FASTNN_SIMD_INLINE VecF sqrt(VecF v) { return (VecF)_mm512_maskz_sqrt_ps(kAll16, (__m512)v); }
FASTNN_SIMD_INLINE VecD sqrt(VecD v) { return (VecD)_mm512_maskz_sqrt_pd(kAll8, (__m512d)v); }

FASTNN_SIMD_INLINE VecF floor(VecF v) {
    return (VecF)_mm512_maskz_roundscale_ps(kAll16, (__m512)v,
                                            _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
FASTNN_SIMD_INLINE VecD floor(VecD v) {
    return (VecD)_mm512_maskz_roundscale_pd(kAll8, (__m512d)v,
                                            _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
FASTNN_SIMD_INLINE VecF ceil(VecF v) {
    return (VecF)_mm512_maskz_roundscale_ps(kAll16, (__m512)v,
                                            _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}
FASTNN_SIMD_INLINE VecD ceil(VecD v) {
    return (VecD)_mm512_maskz_roundscale_pd(kAll8, (__m512d)v,
                                            _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}
FASTNN_SIMD_INLINE VecF round_even(VecF v) {
    return (VecF)_mm512_maskz_roundscale_ps(kAll16, (__m512)v,
                                            _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
FASTNN_SIMD_INLINE VecD round_even(VecD v) {
    return (VecD)_mm512_maskz_roundscale_pd(kAll8, (__m512d)v,
                                            _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

// v * 2^n for whole n, rounded once also where the result is denormal.
FASTNN_SIMD_INLINE VecF scale_by_power(VecF v, VecF n) {
    return (VecF)_mm512_maskz_scalef_ps(kAll16, (__m512)v, (__m512)n);
}
FASTNN_SIMD_INLINE VecD scale_by_power(VecD v, VecD n) {
    return (VecD)_mm512_maskz_scalef_pd(kAll8, (__m512d)v, (__m512d)n);
}

FASTNN_SIMD_INLINE BitsOf<double> mul_low_halves(BitsOf<double> a, BitsOf<double> b) {
    return (BitsOf<double>)_mm512_maskz_mul_epu32(kAll8, (__m512i)a, (__m512i)b);
}

}  // namespace fastnn::FASTNN_ISA
