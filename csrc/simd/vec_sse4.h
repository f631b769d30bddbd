// SPDX-License-Identifier: BSD-3-Clause
// What simd/vec.h takes from SSE4.1: four floats or two doubles. There is no fused multiply-add
// (the C library's emulation costs dozens of instructions a lane), and no masked load. Included by
// simd/vec.h alone.
#pragma once

#include <immintrin.h>

#include "simd/vec_partial.h"

namespace fastnn::FASTNN_ISA {

inline constexpr bool kFused = false;

FASTNN_SIMD_INLINE VecF fma(VecF a, VecF b, VecF c) { return a * b + c; }
FASTNN_SIMD_INLINE VecD fma(VecD a, VecD b, VecD c) { return a * b + c; }

// The instruction returns its second operand for NaN and for equal operands: the rule of vec.h.
FASTNN_SIMD_INLINE VecF min(VecF a, VecF b) { return (VecF)_mm_min_ps((__m128)a, (__m128)b); }
FASTNN_SIMD_INLINE VecD min(VecD a, VecD b) { return (VecD)_mm_min_pd((__m128d)a, (__m128d)b); }
FASTNN_SIMD_INLINE VecF max(VecF a, VecF b) { return (VecF)_mm_max_ps((__m128)a, (__m128)b); }
FASTNN_SIMD_INLINE VecD max(VecD a, VecD b) { return (VecD)_mm_max_pd((__m128d)a, (__m128d)b); }

FASTNN_SIMD_INLINE VecF sqrt(VecF v) { return (VecF)_mm_sqrt_ps((__m128)v); }
FASTNN_SIMD_INLINE VecD sqrt(VecD v) { return (VecD)_mm_sqrt_pd((__m128d)v); }

FASTNN_SIMD_INLINE VecF floor(VecF v) {
    return (VecF)_mm_round_ps((__m128)v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
FASTNN_SIMD_INLINE VecD floor(VecD v) {
    return (VecD)_mm_round_pd((__m128d)v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
FASTNN_SIMD_INLINE VecF ceil(VecF v) {
    return (VecF)_mm_round_ps((__m128)v, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}
FASTNN_SIMD_INLINE VecD ceil(VecD v) {
    return (VecD)_mm_round_pd((__m128d)v, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}
FASTNN_SIMD_INLINE VecF round_even(VecF v) {
    return (VecF)_mm_round_ps((__m128)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
FASTNN_SIMD_INLINE VecD round_even(VecD v) {
    return (VecD)_mm_round_pd((__m128d)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

FASTNN_SIMD_INLINE BitsOf<double> mul_low_halves(BitsOf<double> a, BitsOf<double> b) {
    return (BitsOf<double>)_mm_mul_epu32((__m128i)a, (__m128i)b);
}

}  // namespace fastnn::FASTNN_ISA
