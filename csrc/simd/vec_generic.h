// SPDX-License-Identifier: BSD-3-Clause
// simd/vec.h on an architecture without a level of its own: the compiler lowers the 16-byte vectors
// to what the machine has, the roundings go lane by lane. Included by simd/vec.h alone.
#pragma once

#include "simd/vec_partial.h"

namespace fastnn::FASTNN_ISA {

inline constexpr bool kFused = false;

FASTNN_SIMD_INLINE VecF fma(VecF a, VecF b, VecF c) { return a * b + c; }
FASTNN_SIMD_INLINE VecD fma(VecD a, VecD b, VecD c) { return a * b + c; }
FASTNN_SIMD_INLINE VecF min(VecF a, VecF b) { return a < b ? a : b; }
FASTNN_SIMD_INLINE VecD min(VecD a, VecD b) { return a < b ? a : b; }
FASTNN_SIMD_INLINE VecF max(VecF a, VecF b) { return a > b ? a : b; }
FASTNN_SIMD_INLINE VecD max(VecD a, VecD b) { return a > b ? a : b; }

template <class V, class F>
FASTNN_SIMD_INLINE V by_lane(V v, F f) {
    for (int i = 0; i < static_cast<int>(sizeof(V) / sizeof(v[0])); ++i) {
        v[i] = f(v[i]);
    }
    return v;
}

FASTNN_SIMD_INLINE VecF sqrt(VecF v) {
    return by_lane(v, [](float s) { return __builtin_sqrtf(s); });
}
FASTNN_SIMD_INLINE VecD sqrt(VecD v) {
    return by_lane(v, [](double s) { return __builtin_sqrt(s); });
}
FASTNN_SIMD_INLINE VecF floor(VecF v) {
    return by_lane(v, [](float s) { return __builtin_floorf(s); });
}
FASTNN_SIMD_INLINE VecD floor(VecD v) {
    return by_lane(v, [](double s) { return __builtin_floor(s); });
}
FASTNN_SIMD_INLINE VecF ceil(VecF v) {
    return by_lane(v, [](float s) { return __builtin_ceilf(s); });
}
FASTNN_SIMD_INLINE VecD ceil(VecD v) {
    return by_lane(v, [](double s) { return __builtin_ceil(s); });
}
FASTNN_SIMD_INLINE VecF round_even(VecF v) {
    return by_lane(v, [](float s) { return __builtin_rintf(s); });
}
FASTNN_SIMD_INLINE VecD round_even(VecD v) {
    return by_lane(v, [](double s) { return __builtin_rint(s); });
}

FASTNN_SIMD_INLINE BitsOf<double> mul_low_halves(BitsOf<double> a, BitsOf<double> b) {
    return (a & 0xFFFFFFFFULL) * (b & 0xFFFFFFFFULL);
}

}  // namespace fastnn::FASTNN_ISA
