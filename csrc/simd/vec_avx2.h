// SPDX-License-Identifier: BSD-3-Clause
// What simd/vec.h takes from AVX2 and FMA: eight floats or four doubles. Partial loads and stores
// are masked, and a masked-off lane does not touch memory. Included by simd/vec.h alone.
#pragma once

#include <immintrin.h>

namespace fastnn::FASTNN_ISA {

inline constexpr bool kFused = true;

template <>
FASTNN_SIMD_INLINE VecF broadcast<float>(float s) {
    return (VecF)_mm256_set1_ps(s);
}
template <>
FASTNN_SIMD_INLINE VecD broadcast<double>(double s) {
    return (VecD)_mm256_set1_pd(s);
}

FASTNN_SIMD_INLINE __m256i first_lanes(const float*, int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
FASTNN_SIMD_INLINE __m256i first_lanes(const double*, int n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}

template <>
FASTNN_SIMD_INLINE VecF load_partial<float>(const float* p, int n, float fill) {
    const __m256i mask = first_lanes(p, n);
    return (VecF)_mm256_blendv_ps(_mm256_set1_ps(fill), _mm256_maskload_ps(p, mask),
                                  _mm256_castsi256_ps(mask));
}
template <>
FASTNN_SIMD_INLINE VecD load_partial<double>(const double* p, int n, double fill) {
    const __m256i mask = first_lanes(p, n);
    return (VecD)_mm256_blendv_pd(_mm256_set1_pd(fill), _mm256_maskload_pd(p, mask),
                                  _mm256_castsi256_pd(mask));
}
template <>
FASTNN_SIMD_INLINE void store_partial<float>(float* p, VecF v, int n) {
    _mm256_maskstore_ps(p, first_lanes(p, n), (__m256)v);
}
template <>
FASTNN_SIMD_INLINE void store_partial<double>(double* p, VecD v, int n) {
    _mm256_maskstore_pd(p, first_lanes(p, n), (__m256d)v);
}

FASTNN_SIMD_INLINE VecF fma(VecF a, VecF b, VecF c) {
    return (VecF)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
FASTNN_SIMD_INLINE VecD fma(VecD a, VecD b, VecD c) {
    return (VecD)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}

// The instruction returns its second operand for NaN and for equal operands: the rule of vec.h.
FASTNN_SIMD_INLINE VecF min(VecF a, VecF b) { return (VecF)_mm256_min_ps((__m256)a, (__m256)b); }
FASTNN_SIMD_INLINE VecD min(VecD a, VecD b) { return (VecD)_mm256_min_pd((__m256d)a, (__m256d)b); }
FASTNN_SIMD_INLINE VecF max(VecF a, VecF b) { return (VecF)_mm256_max_ps((__m256)a, (__m256)b); }
FASTNN_SIMD_INLINE VecD max(VecD a, VecD b) { return (VecD)_mm256_max_pd((__m256d)a, (__m256d)b); }

FASTNN_SIMD_INLINE VecF sqrt(VecF v) { return (VecF)_mm256_sqrt_ps((__m256)v); }
FASTNN_SIMD_INLINE VecD sqrt(VecD v) { return (VecD)_mm256_sqrt_pd((__m256d)v); }

FASTNN_SIMD_INLINE VecF floor(VecF v) {
    return (VecF)_mm256_round_ps((__m256)v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
FASTNN_SIMD_INLINE VecD floor(VecD v) {
    return (VecD)_mm256_round_pd((__m256d)v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
FASTNN_SIMD_INLINE VecF ceil(VecF v) {
    return (VecF)_mm256_round_ps((__m256)v, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}
FASTNN_SIMD_INLINE VecD ceil(VecD v) {
    return (VecD)_mm256_round_pd((__m256d)v, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}
FASTNN_SIMD_INLINE VecF round_even(VecF v) {
    return (VecF)_mm256_round_ps((__m256)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
FASTNN_SIMD_INLINE VecD round_even(VecD v) {
    return (VecD)_mm256_round_pd((__m256d)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

FASTNN_SIMD_INLINE BitsOf<double> mul_low_halves(BitsOf<double> a, BitsOf<double> b) {
    return (BitsOf<double>)_mm256_mul_epu32((__m256i)a, (__m256i)b);
}

}  // namespace fastnn::FASTNN_ISA
