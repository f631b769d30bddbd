// SPDX-License-Identifier: BSD-3-Clause
// Outputs written past the caches. A plain store first reads the line that it replaces, and pushes
// another one out: y = f(x) moves three bytes for two. Non-temporal stores do neither. They pay
// where y is too large to be found in a cache by the kernel that reads it next, so its size decides
// (kStreamBytes, measured on chains of kernels), never the value: the bits are the same.
//
//   Stores<T> out(n)            for a kernel whose output has n elements; one object per piece of a
//                               parallel loop, at the end of which its stores are complete
//   out.write(y, n, value)      y[i, i + lanes) = value(i, span), as map1 of simd/vec.h does
#pragma once

#include "runtime/types.h"
#include "simd/ahead.h"
#include "simd/span.h"
#if FASTNN_SIMD_AVX512 || FASTNN_SIMD_AVX2 || FASTNN_SIMD_SSE4
#include <immintrin.h>
#endif

namespace fastnn::FASTNN_ISA {

inline constexpr idx kStreamBytes = 16'000'000;

// To an address that is a multiple of the vector's size.
FASTNN_SIMD_INLINE void stream(float* p, VecF v) {
#if FASTNN_SIMD_AVX512
    _mm512_stream_ps(p, (__m512)v);
#elif FASTNN_SIMD_AVX2
    _mm256_stream_ps(p, (__m256)v);
#elif FASTNN_SIMD_SSE4
    _mm_stream_ps(p, (__m128)v);
#else
    store<float>(p, v);
#endif
}
FASTNN_SIMD_INLINE void stream(double* p, VecD v) {
#if FASTNN_SIMD_AVX512
    _mm512_stream_pd(p, (__m512d)v);
#elif FASTNN_SIMD_AVX2
    _mm256_stream_pd(p, (__m256d)v);
#elif FASTNN_SIMD_SSE4
    _mm_stream_pd(p, (__m128d)v);
#else
    store<double>(p, v);
#endif
}

template <class T>
class Stores {
  public:
    explicit Stores(idx n) : stream_(n >= kStreamBytes / static_cast<idx>(sizeof(T))) {}
    Stores(const Stores&) = delete;
    Stores& operator=(const Stores&) = delete;
    ~Stores() {
#if FASTNN_SIMD_AVX512 || FASTNN_SIMD_AVX2 || FASTNN_SIMD_SSE4
        if (stream_) _mm_sfence();  // the pool's release orders plain stores alone
#endif
    }

    template <class F>
    __attribute__((flatten)) void write(T* y, idx n, const F& value) const {
        constexpr int lanes = kLanes<T>;
        constexpr idx line = 64 / static_cast<idx>(sizeof(T));
        idx i = 0;
        if (stream_) {
            const idx place = static_cast<idx>(reinterpret_cast<std::uintptr_t>(y) / sizeof(T));
            const idx before = -place & (line - 1);
            i = keep(y, 0, before < n ? before : n, value);
            // Whole lines: half of one would leave the processor's buffer alone, as a write of its
            // own.
            for (; i + line <= n; i += line) {
                for (int k = 0; k < line; k += lanes) stream(y + i + k, value(i + k, Whole{}));
            }
        } else {
            // The read of the line that a store replaces is waited for: asked for early.
            for (; i + lanes <= n; i += lanes) {
                fetch_ahead(y + i);
                store<T>(y + i, value(i, Whole{}));
            }
        }
        keep(y, i, n, value);
    }

  private:
    // y[i, end) by plain stores; returns end.
    template <class F>
    FASTNN_SIMD_INLINE idx keep(T* y, idx i, idx end, const F& value) const {
        constexpr int lanes = kLanes<T>;
        for (; i + lanes <= end; i += lanes) store<T>(y + i, value(i, Whole{}));
        if (i < end) {
            const Part part{static_cast<int>(end - i)};
            store_span(y + i, value(i, part), part);
        }
        return end;
    }

    bool stream_;
};

}  // namespace fastnn::FASTNN_ISA
