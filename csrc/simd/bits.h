// SPDX-License-Identifier: BSD-3-Clause
// Comparisons as bits and back, a bit per lane, the first lane's lowest.
//
//   bits_of<T>(mask)    bit i set where lane i of the comparison holds
//   lanes_of<T>(bits)   the comparison whose bits these are; bits beyond the lanes are not looked
//   at
#pragma once

#include "simd/vec.h"
#if FASTNN_SIMD_AVX512 || FASTNN_SIMD_AVX2 || FASTNN_SIMD_SSE4
#include <immintrin.h>
#endif

namespace fastnn::FASTNN_ISA {

template <class T>
FASTNN_SIMD_INLINE unsigned bits_of(MaskOf<T> mask) {
    constexpr bool is_float = sizeof(T) == 4;
#if FASTNN_SIMD_AVX512
    return is_float ? _mm512_movepi32_mask((__m512i)mask) : _mm512_movepi64_mask((__m512i)mask);
#elif FASTNN_SIMD_AVX2
    return static_cast<unsigned>(is_float ? _mm256_movemask_ps((__m256)mask)
                                          : _mm256_movemask_pd((__m256d)mask));
#elif FASTNN_SIMD_SSE4
    return static_cast<unsigned>(is_float ? _mm_movemask_ps((__m128)mask)
                                          : _mm_movemask_pd((__m128d)mask));
#else
    unsigned bits = 0;
    for (int i = 0; i < kLanes<T>; ++i) bits |= static_cast<unsigned>(mask[i] & 1) << i;
    return bits;
#endif
}

template <class T>
FASTNN_SIMD_INLINE MaskOf<T> lanes_of(unsigned bits) {
    BitsOf<T> lane;
    for (int i = 0; i < kLanes<T>; ++i) lane[i] = 1u << i;
    return (MaskOf<T>)((lane & (BitsOf<T>{} + bits)) != 0);
}

}  // namespace fastnn::FASTNN_ISA
