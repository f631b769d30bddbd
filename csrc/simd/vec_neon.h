// SPDX-License-Identifier: BSD-3-Clause
// What simd/vec.h takes from AArch64's Advanced SIMD: four floats or two doubles. Included by
// simd/vec.h alone.
#pragma once

#include <arm_neon.h>

#include "simd/vec_partial.h"

namespace fastnn::FASTNN_ISA {

inline constexpr bool kFused = true;

FASTNN_SIMD_INLINE VecF fma(VecF a, VecF b, VecF c) {
    return (VecF)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
FASTNN_SIMD_INLINE VecD fma(VecD a, VecD b, VecD c) {
    return (VecD)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}

// Not FMIN and FMAX, which return NaN if either operand is NaN: one rule on every level.
FASTNN_SIMD_INLINE VecF min(VecF a, VecF b) { return a < b ? a : b; }
FASTNN_SIMD_INLINE VecD min(VecD a, VecD b) { return a < b ? a : b; }
FASTNN_SIMD_INLINE VecF max(VecF a, VecF b) { return a > b ? a : b; }
FASTNN_SIMD_INLINE VecD max(VecD a, VecD b) { return a > b ? a : b; }

FASTNN_SIMD_INLINE VecF sqrt(VecF v) { return (VecF)vsqrtq_f32((float32x4_t)v); }
FASTNN_SIMD_INLINE VecD sqrt(VecD v) { return (VecD)vsqrtq_f64((float64x2_t)v); }
FASTNN_SIMD_INLINE VecF floor(VecF v) { return (VecF)vrndmq_f32((float32x4_t)v); }
FASTNN_SIMD_INLINE VecD floor(VecD v) { return (VecD)vrndmq_f64((float64x2_t)v); }
FASTNN_SIMD_INLINE VecF ceil(VecF v) { return (VecF)vrndpq_f32((float32x4_t)v); }
FASTNN_SIMD_INLINE VecD ceil(VecD v) { return (VecD)vrndpq_f64((float64x2_t)v); }
FASTNN_SIMD_INLINE VecF round_even(VecF v) { return (VecF)vrndnq_f32((float32x4_t)v); }
FASTNN_SIMD_INLINE VecD round_even(VecD v) { return (VecD)vrndnq_f64((float64x2_t)v); }

FASTNN_SIMD_INLINE BitsOf<double> mul_low_halves(BitsOf<double> a, BitsOf<double> b) {
    return (BitsOf<double>)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
}

}  // namespace fastnn::FASTNN_ISA
