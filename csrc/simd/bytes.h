// SPDX-License-Identifier: BSD-3-Clause
// Bytes in memory that are lanes of BitsOf<T> in registers, by the conversion instructions that
// compilers do not find for __builtin_convertvector at every level: they take lane by lane.
//
//   load_bytes<T>(p)       kLanes<T> bytes at any address
//   store_bytes<T>(p, v)   the lowest byte of each lane
#pragma once

#include "simd/vec.h"
#if FASTNN_SIMD_AVX512 || FASTNN_SIMD_AVX2 || FASTNN_SIMD_SSE4
#include <immintrin.h>
#endif

namespace fastnn::FASTNN_ISA {

#if FASTNN_SIMD_AVX512 || FASTNN_SIMD_AVX2 || FASTNN_SIMD_SSE4
// kBytes bytes, zeros in front of which nothing is read.
template <int kBytes>
FASTNN_SIMD_INLINE __m128i bytes_at(const std::uint8_t* p) {
    typedef long long Register __attribute__((vector_size(16)));
    Register v = {};
    __builtin_memcpy(&v, p, kBytes);
    return (__m128i)v;
}
#endif

template <class T>
FASTNN_SIMD_INLINE BitsOf<T> load_bytes(const std::uint8_t* p) {
#if FASTNN_SIMD_AVX512
    const __m128i v = bytes_at<kLanes<T>>(p);
    return (BitsOf<T>)(sizeof(T) == 4 ? _mm512_maskz_cvtepu8_epi32(0xffff, v)
                                      : _mm512_maskz_cvtepu8_epi64(0xff, v));
#elif FASTNN_SIMD_AVX2
    const __m128i v = bytes_at<kLanes<T>>(p);
    return (BitsOf<T>)(sizeof(T) == 4 ? _mm256_cvtepu8_epi32(v) : _mm256_cvtepu8_epi64(v));
#elif FASTNN_SIMD_SSE4
    const __m128i v = bytes_at<kLanes<T>>(p);
    return (BitsOf<T>)(sizeof(T) == 4 ? _mm_cvtepu8_epi32(v) : _mm_cvtepu8_epi64(v));
#else
    BitsOf<T> v;
    for (int i = 0; i < kLanes<T>; ++i) v[i] = p[i];
    return v;
#endif
}

template <class T>
FASTNN_SIMD_INLINE void store_bytes(std::uint8_t* p, BitsOf<T> v) {
#if FASTNN_SIMD_AVX512
    const __m128i bytes = sizeof(T) == 4 ? _mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)v)
                                         : _mm512_maskz_cvtepi64_epi8(0xff, (__m512i)v);
    __builtin_memcpy(p, &bytes, kLanes<T>);
#elif FASTNN_SIMD_AVX2 || FASTNN_SIMD_SSE4
    const __m128i lowest =
        sizeof(T) == 4
            ? _mm_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1)
            : _mm_setr_epi8(0, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
#if FASTNN_SIMD_AVX2
    const __m128i low = _mm_shuffle_epi8(_mm256_castsi256_si128((__m256i)v), lowest);
    const __m128i high = _mm_shuffle_epi8(_mm256_extracti128_si256((__m256i)v, 1), lowest);
    const __m128i bytes =
        sizeof(T) == 4 ? _mm_unpacklo_epi32(low, high) : _mm_unpacklo_epi16(low, high);
#else
    const __m128i bytes = _mm_shuffle_epi8((__m128i)v, lowest);
#endif
    __builtin_memcpy(p, &bytes, kLanes<T>);
#else
    for (int i = 0; i < kLanes<T>; ++i) p[i] = static_cast<std::uint8_t>(v[i]);
#endif
}

}  // namespace fastnn::FASTNN_ISA
