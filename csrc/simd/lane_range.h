// SPDX-License-Identifier: BSD-3-Clause
// Loads and stores of some neighbouring lanes of a vector, for runs that begin or end inside it.
//
//   lane_range<T>(lo, hi)   the lanes lo <= i < hi; both may lie outside 0..kLanes<T>
//   load_lanes(p, range)    those lanes of the vector at p, zero in the others
//   store_lanes(p, v, range)
//
// Memory of the other lanes is not touched: p itself need not be a place that can be read.
#pragma once

#include "runtime/types.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

FASTNN_SIMD_INLINE int lane_bound(idx i, int lanes) {
    return i < 0 ? 0 : i > lanes ? lanes : static_cast<int>(i);
}

#if FASTNN_SIMD_AVX512

template <class T>
struct LaneRange {
    std::uint32_t mask;
};

template <class T>
FASTNN_SIMD_INLINE LaneRange<T> lane_range(idx lo, idx hi) {
    const std::uint32_t below_lo = (1u << lane_bound(lo, kLanes<T>)) - 1u;
    const std::uint32_t below_hi = (1u << lane_bound(hi, kLanes<T>)) - 1u;
    return {below_hi & ~below_lo};
}

FASTNN_SIMD_INLINE VecF load_lanes(const float* p, LaneRange<float> range) {
    return (VecF)_mm512_maskz_loadu_ps(static_cast<__mmask16>(range.mask), p);
}
FASTNN_SIMD_INLINE VecD load_lanes(const double* p, LaneRange<double> range) {
    return (VecD)_mm512_maskz_loadu_pd(static_cast<__mmask8>(range.mask), p);
}
FASTNN_SIMD_INLINE void store_lanes(float* p, VecF v, LaneRange<float> range) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>(range.mask), (__m512)v);
}
FASTNN_SIMD_INLINE void store_lanes(double* p, VecD v, LaneRange<double> range) {
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>(range.mask), (__m512d)v);
}

#elif FASTNN_SIMD_AVX2

template <class T>
struct LaneRange {
    __m256i mask;
};

template <class T>
FASTNN_SIMD_INLINE LaneRange<T> lane_range(idx lo, idx hi) {
    const int first = lane_bound(lo, kLanes<T>);
    const int last = lane_bound(hi, kLanes<T>);
    if constexpr (sizeof(T) == 4) {
        const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        return {_mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(first), lane),
                                    _mm256_cmpgt_epi32(_mm256_set1_epi32(last), lane))};
    } else {
        const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
        return {_mm256_andnot_si256(_mm256_cmpgt_epi64(_mm256_set1_epi64x(first), lane),
                                    _mm256_cmpgt_epi64(_mm256_set1_epi64x(last), lane))};
    }
}

FASTNN_SIMD_INLINE VecF load_lanes(const float* p, LaneRange<float> range) {
    return (VecF)_mm256_maskload_ps(p, range.mask);
}
FASTNN_SIMD_INLINE VecD load_lanes(const double* p, LaneRange<double> range) {
    return (VecD)_mm256_maskload_pd(p, range.mask);
}
FASTNN_SIMD_INLINE void store_lanes(float* p, VecF v, LaneRange<float> range) {
    _mm256_maskstore_ps(p, range.mask, (__m256)v);
}
FASTNN_SIMD_INLINE void store_lanes(double* p, VecD v, LaneRange<double> range) {
    _mm256_maskstore_pd(p, range.mask, (__m256d)v);
}

#else

template <class T>
struct LaneRange {
    int lo, hi;
};

template <class T>
FASTNN_SIMD_INLINE LaneRange<T> lane_range(idx lo, idx hi) {
    return {lane_bound(lo, kLanes<T>), lane_bound(hi, kLanes<T>)};
}

template <class T>
FASTNN_SIMD_INLINE Vec<T> load_lanes(const T* p, LaneRange<T> range) {
    Vec<T> v = {};
    for (int i = 0; i < kLanes<T>; ++i)
        if (i >= range.lo && i < range.hi) v[i] = p[i];
    return v;
}
template <class T>
FASTNN_SIMD_INLINE void store_lanes(T* p, Vec<T> v, LaneRange<T> range) {
    for (int i = 0; i < kLanes<T>; ++i)
        if (i >= range.lo && i < range.hi) p[i] = v[i];
}

#endif

}  // namespace fastnn::FASTNN_ISA
