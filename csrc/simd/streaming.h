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

// map1_ahead of simd/ahead.h with two inputs; past the caches if `past` says so and y is aligned,
// by one body of f, as there are many.
template <class T, class F>
__attribute__((flatten)) inline std::int64_t map2_far(const T* a, const T* b, T* y, std::int64_t n,
                                                      bool past, F f) {
    constexpr int lanes = kLanes<T>;
    int streams = past && reinterpret_cast<std::uintptr_t>(y) % kVecBytes == 0;
    std::int64_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        fetch_ahead(a + i);
        fetch_ahead(b + i);
        const Vec<T> value = f(load(a + i), load(b + i));
        __asm__("" : "+r"(streams));  // else there would be two loops
        if (streams) {
            stream(y + i, value);
        } else {
            fetch_ahead(y + i);
            store<T>(y + i, value);
        }
    }
#if FASTNN_SIMD_AVX512 || FASTNN_SIMD_AVX2 || FASTNN_SIMD_SSE4
    if (streams) _mm_sfence();
#endif
    return i;
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

    // Whether stores go past the caches.
    bool past() const { return stream_; }

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

// An array that is made in scratch memory and goes from there past the caches, a little at a time:
// memory takes it while the next is made.
template <class T>
class Behind {
  public:
    // Of what began before, nothing may be left.
    void begin(T* y, const T* from, idx n) {
        y_ = y;
        from_ = from;
        left_ = n;
    }
    // About n elements, to the end of a line.
    void some(const Stores<T>& out, idx n) {
        constexpr idx line = 64 / static_cast<idx>(sizeof(T));
        const idx place = static_cast<idx>(reinterpret_cast<std::uintptr_t>(y_) / sizeof(T)) + n;
        copy(out, n < left_ ? n - (place & (line - 1)) : left_);
    }
    void rest(const Stores<T>& out) { copy(out, left_); }

  private:
    void copy(const Stores<T>& out, idx n) {
        if (n <= 0) return;
        const T* from = from_;
        out.write(y_, n, [=](idx i, auto span) { return load_span(from + i, span); });
        y_ += n;
        from_ += n;
        left_ -= n;
    }

    T* y_ = nullptr;
    const T* from_ = nullptr;
    idx left_ = 0;
};

}  // namespace fastnn::FASTNN_ISA
