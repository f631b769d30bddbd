// SPDX-License-Identifier: BSD-3-Clause
// Pooling that halves both sides of an image: windows of 2 by 2, or of 3 by 3 with one row and
// column of padding, each with a stride of 2, over rows of an even length. Output o of a row sees
// columns 2 o, 2 o + 1 and, of three, 2 o - 1: two vectors of x, taken apart into even and odd
// columns, are all the taps of a vector of outputs, the third by a shift. So nothing is copied,
// rows of x are read in their order, and what is left is the time that memory takes. Values, and
// the order in which they are added, are those of the other kernels.
//
// A vector of outputs is `lanes` outputs o, o + 1, ... with o <= out - lanes; the last of a row
// ends with it. Rows that are narrower than a vector (spread_out) are read and written as a whole
// vector all the same: what is beyond their end is the next row's, which is written later.
#pragma once

#include "ops/pooling_rows.h"
#include "simd/ahead.h"
#include "simd/streaming.h"

namespace fastnn::FASTNN_ISA {

// 2 or 3: the size of the windows; 0: the shape is another one.
template <class T>
int halving_kernel(const PoolShape& s) {
    const auto halves = [](const PoolAxis& a) {
        return !a.adaptive && a.stride == 2 && a.dilation == 1 && a.in == 2 * a.out &&
               (a.kernel == 2 || a.kernel == 3) && a.padding == a.kernel - 2;
    };
    const PoolAxis& d = s.d;
    const bool flat =
        !d.adaptive && d.in == d.out && d.kernel == 1 && d.stride == 1 && d.padding == 0;
    if (!flat || !halves(s.h) || !halves(s.w) || s.h.kernel != s.w.kernel ||
        s.w.in > kBlockElements)
        return 0;
    return static_cast<int>(s.w.kernel);
}

// Rows of a strip of grad_x: pairs of them, a block in all.
inline idx halving_rows(const PoolShape& s) {
    const idx pairs = kBlockElements / s.w.in / 2;
    return pairs < 1 ? 2 : 2 * pairs < s.h.in ? 2 * pairs : s.h.in;
}

template <class T>
FASTNN_SIMD_INLINE idx last_vector(idx i, idx out) {
    return i + kLanes<T> <= out || out < kLanes<T> ? i : out - kLanes<T>;
}

// Of a row of outputs, how many are read or written.
template <class T>
constexpr idx spread_out(idx out) {
    return out < kLanes<T> ? kLanes<T> : out;
}

// a lane of `a`, v[0], v[1], ...
template <class T>
FASTNN_SIMD_INLINE Vec<T> shift_in(Vec<T> v, Vec<T> a) {
    if constexpr (kLanes<T> == 16) {
        return __builtin_shufflevector(a, v, 0, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28,
                                       29, 30);
    } else if constexpr (kLanes<T> == 8) {
        return __builtin_shufflevector(a, v, 0, 8, 9, 10, 11, 12, 13, 14);
    } else if constexpr (kLanes<T> == 4) {
        return __builtin_shufflevector(a, v, 0, 4, 5, 6);
    } else {
        return __builtin_shufflevector(a, v, 0, 2);
    }
}

// v[1], v[2], ..., a lane of `b`
template <class T>
FASTNN_SIMD_INLINE Vec<T> shift_out(Vec<T> v, Vec<T> b) {
    if constexpr (kLanes<T> == 16) {
        return __builtin_shufflevector(v, b, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
    } else if constexpr (kLanes<T> == 8) {
        return __builtin_shufflevector(v, b, 1, 2, 3, 4, 5, 6, 7, 8);
    } else if constexpr (kLanes<T> == 4) {
        return __builtin_shufflevector(v, b, 1, 2, 3, 4);
    } else {
        return __builtin_shufflevector(v, b, 1, 2);
    }
}

// Asks for `bytes` bytes from p on that are read in a while.
FASTNN_SIMD_INLINE void fetch_far(const void* p, idx bytes) {
    const std::uintptr_t at = reinterpret_cast<std::uintptr_t>(p) + 2 * kAheadBytes;
    for (idx i = 0; i < bytes; i += 64)
        __builtin_prefetch(reinterpret_cast<const void*>(at + static_cast<std::uintptr_t>(i)));
}

// A row of means: `rows` rows of x from `first` on.
template <class T, int kTaps>
FASTNN_SIMD_INLINE void mean_row(const PoolAxis& w, const T* first, idx rows, const T* scales,
                                 T* y) {
    constexpr idx lanes = kLanes<T>;
    const idx out = w.out;
    const idx in = w.in;
    for (idx i = 0; i < out; i += lanes) {
        const idx o = last_vector<T>(i, out);
        const T* p = first + 2 * o;
        Vec<T> low = {}, high = {};
        T left = 0;
        for (idx r = 0; r < rows; ++r, p += in) {
            low += load(p);
            high += load(p + lanes);
            if (kTaps == 3 && o != 0) left += p[-1];
        }
        const Vec<T> even = even_lanes<T>(low, high);
        const Vec<T> odd = odd_lanes<T>(low, high);
        const Vec<T> sum = kTaps == 3 ? shift_in<T>(odd, broadcast(left)) + even + odd : even + odd;
        store<T>(y + o, sum * load(scales + o));
    }
}

// A row of grad_y and the factors of its elements.
template <class T, bool kNarrow>
struct Scaled {
    const T* g;
    const T* by;
    int out;

    Vec<T> at(idx o) const { return (kNarrow ? load_partial(g, out) : load(g + o)) * load(by + o); }
    T one(idx o) const { return g[o] * by[o]; }
};

// Rows 2 j and 2 j + 1 of grad_x, from rows j and j + 1 of grad_y.
template <class T, int kTaps, bool kNarrow>
FASTNN_SIMD_INLINE void spread_pair(const PoolAxis& w, Scaled<T, kNarrow> own,
                                    Scaled<T, kNarrow> next, T* x) {
    constexpr idx lanes = kLanes<T>;
    const idx out = w.out;
    const idx in = w.in;
    for (idx i = 0; i < out; i += lanes) {
        const idx o = last_vector<T>(i, out);
        const bool more = o + lanes < out;
        const Vec<T> a = own.at(o);
        const Vec<T> even = Vec<T>{} + a;
        Vec<T> odd = even, even_below = even, odd_below = even;
        if constexpr (kTaps == 3) {
            const Vec<T> c = next.at(o);
            odd = even + shift_out<T>(a, broadcast(more ? own.one(o + lanes) : T(0)));
            even_below = even + c;
            odd_below = odd + c + shift_out<T>(c, broadcast(more ? next.one(o + lanes) : T(0)));
        }
        T* to = x + 2 * o;
        store<T>(to, zip_low<T>(even, odd));
        store<T>(to + lanes, zip_high<T>(even, odd));
        store<T>(to + in, zip_low<T>(even_below, odd_below));
        store<T>(to + in + lanes, zip_high<T>(even_below, odd_below));
    }
}

}  // namespace fastnn::FASTNN_ISA
