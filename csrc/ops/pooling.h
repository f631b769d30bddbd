// SPDX-License-Identifier: BSD-3-Clause
// The windows of the pooling kernels: sizes read from the arguments and checked, the part of a
// window that lies in the input, and vectors of elements that stand a stride apart.
//
//   x (planes, d, h, w)   y (planes, od, oh, ow); a plane is one channel of one image
//
// Output o of an axis sees o * stride - padding + k * dilation for 0 <= k < kernel. An empty list
// of kernel sizes asks for adaptive windows: output o sees [floor(o in / out), ceil((o + 1) in /
// out)).
#pragma once

#include "runtime/op.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

struct Window {
    idx first, end, step;

    bool empty() const { return first >= end; }
    idx count() const { return end - first; }  // of a window with step 1
};

struct PoolAxis {
    idx in, out, kernel, stride, padding, dilation;
    bool adaptive;

    idx left(idx o) const { return o * stride - padding; }
    Window window(idx o) const {
        if (adaptive) return {o * in / out, ((o + 1) * in + out - 1) / out, 1};
        const idx from = left(o);
        const idx stop = from + (kernel - 1) * dilation + 1;
        const idx skipped = from < 0 ? (dilation - 1 - from) / dilation : 0;
        return {from + skipped * dilation, stop < in ? stop : in, dilation};
    }
    // The outputs [first, end) whose windows lie inside as a whole; none of adaptive ones.
    Window whole() const {
        const idx last = in - 1 - (kernel - 1) * dilation + padding;
        if (adaptive || last < 0) return {0, 0, 1};
        const idx start = (padding + stride - 1) / stride;
        const idx first = start < out ? start : out;
        const idx end = last / stride + 1 < out ? last / stride + 1 : out;
        return {first, end < first ? first : end, 1};
    }
};

struct PoolShape {
    idx planes;
    PoolAxis d, h, w;

    idx in_size() const { return d.in * h.in * w.in; }
    idx out_size() const { return d.out * h.out * w.out; }
    idx volume() const {
        if (!d.adaptive) return d.kernel * h.kernel * w.kernel;
        return greater_or_one(in_size() / greater_or_one(out_size()));
    }
    static idx greater_or_one(idx v) { return v < 1 ? 1 : v; }
};

inline constexpr idx kLargestPoolSize = idx{1} << 31;
inline constexpr idx kLargestPoolStep = idx{1} << 20;

// False where the sizes are such that a product of them could overflow, or make no sense.
inline bool read_pool(const idx* x, const idx* y, Ints kernel, Ints stride, Ints padding,
                      Ints dilation, PoolShape& s) {
    const bool adaptive = kernel.count == 0;
    const idx count = adaptive ? 0 : 3;
    if (kernel.count != count || stride.count != count || padding.count != count ||
        dilation.count != count)
        return false;
    s.planes = x[0];
    PoolAxis* const axes[] = {&s.d, &s.h, &s.w};
    for (int i = 0; i < 3; ++i) {
        PoolAxis& a = *axes[i];
        a = {x[1 + i], y[1 + i], 1, 1, 0, 1, adaptive};
        if (a.in > kLargestPoolSize || a.out > kLargestPoolSize) return false;
        if (adaptive) continue;
        a.kernel = kernel.values[i];
        a.stride = stride.values[i];
        a.padding = padding.values[i];
        a.dilation = dilation.values[i];
        if (a.kernel < 1 || a.stride < 1 || a.padding < 0 || a.dilation < 1 ||
            a.kernel > kLargestPoolStep || a.stride > kLargestPoolStep ||
            a.padding > kLargestPoolStep || a.dilation > kLargestPoolStep)
            return false;
    }
    return true;
}

// The dilations of windows that have none, as many as there are kernel sizes.
inline Ints ones_like(Ints kernel) {
    static constexpr idx kOnes[kMaxDims] = {1, 1, 1, 1, 1, 1, 1, 1};
    return {kOnes, kernel.count};
}

// Lanes 0, 2, 4, ... of a, then of b.
template <class T>
FASTNN_SIMD_INLINE Vec<T> even_lanes(Vec<T> a, Vec<T> b) {
    if constexpr (kLanes<T> == 16) {
        return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28,
                                       30);
    } else if constexpr (kLanes<T> == 8) {
        return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
    } else if constexpr (kLanes<T> == 4) {
        return __builtin_shufflevector(a, b, 0, 2, 4, 6);
    } else {
        return __builtin_shufflevector(a, b, 0, 2);
    }
}

// Lanes 0, 2, 4, ... of a, then 1, 3, 5, ... of b.
template <class T>
FASTNN_SIMD_INLINE Vec<T> even_then_odd_lanes(Vec<T> a, Vec<T> b) {
    if constexpr (kLanes<T> == 16) {
        return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29,
                                       31);
    } else if constexpr (kLanes<T> == 8) {
        return __builtin_shufflevector(a, b, 0, 2, 4, 6, 9, 11, 13, 15);
    } else if constexpr (kLanes<T> == 4) {
        return __builtin_shufflevector(a, b, 0, 2, 5, 7);
    } else {
        return __builtin_shufflevector(a, b, 0, 3);
    }
}

// Every lane of the lower (or upper) half twice.
template <class T>
FASTNN_SIMD_INLINE Vec<T> doubled_low(Vec<T> a) {
    if constexpr (kLanes<T> == 16) {
        return __builtin_shufflevector(a, a, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    } else if constexpr (kLanes<T> == 8) {
        return __builtin_shufflevector(a, a, 0, 0, 1, 1, 2, 2, 3, 3);
    } else if constexpr (kLanes<T> == 4) {
        return __builtin_shufflevector(a, a, 0, 0, 1, 1);
    } else {
        return __builtin_shufflevector(a, a, 0, 0);
    }
}
template <class T>
FASTNN_SIMD_INLINE Vec<T> doubled_high(Vec<T> a) {
    if constexpr (kLanes<T> == 16) {
        return __builtin_shufflevector(a, a, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15,
                                       15);
    } else if constexpr (kLanes<T> == 8) {
        return __builtin_shufflevector(a, a, 4, 4, 5, 5, 6, 6, 7, 7);
    } else if constexpr (kLanes<T> == 4) {
        return __builtin_shufflevector(a, a, 2, 2, 3, 3);
    } else {
        return __builtin_shufflevector(a, a, 1, 1);
    }
}

// p[0], p[stride], p[2 stride], ...: n of them, nothing else is read. kStride 0: as `stride` says.
template <class T, int kStride>
FASTNN_SIMD_INLINE Vec<T> load_apart(const T* p, idx stride, int n) {
    constexpr int lanes = kLanes<T>;
    if constexpr (kStride == 1) {
        return n == lanes ? load(p) : load_partial(p, n);
    } else if constexpr (kStride == 2) {
        if (n == lanes) return even_then_odd_lanes<T>(load(p), load(p + lanes - 1));
        const int reach = 2 * n - 1;
        return even_lanes<T>(load_partial(p, reach < lanes ? reach : lanes),
                             load_partial(p + lanes, reach < lanes ? 0 : reach - lanes));
    } else {
        Vec<T> v = {};
        for (int i = 0; i < n; ++i) v[i] = p[i * stride];
        return v;
    }
}

}  // namespace fastnn::FASTNN_ISA
