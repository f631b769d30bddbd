// SPDX-License-Identifier: BSD-3-Clause
// Depthwise convolution of planes with K x K taps, stride and dilation 1, without a copy of the
// source: rows of vectors walk down the plane, and what is loaded once serves all that use it:
// each of the K shifted vectors of a source row the K rows of outputs that it reaches, whose sums
// are in registers. A sum begins with the bias and takes the taps in order; of several source
// planes each has sums of its own, which are added in order. The gradient of the weights has the
// same masks (ops/conv_depthwise_weight.h).
//
// What lies beside the plane is masked off, rows above and below come from an array of zeros. Two
// vectors side by side need masks only for the taps that reach over their outer edges; a vector by
// itself, for narrow planes or what is left of a wide one, has them for all taps. A last vector
// of outputs begins earlier rather than being shorter: some are computed twice.
#pragma once

#include "runtime/types.h"
#include "simd/ahead.h"
#include "simd/conv_columns.h"
#include "simd/conv_wide.h"
#include "simd/lane_range.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

inline constexpr int kMostWalked = 5;               // taps in one direction
inline constexpr idx kWalkElements = idx{1} << 12;  // of y to a task, in L1 with their sources
inline constexpr idx kLeastWalk = 8;                // rows to a task, which reads K - 1 more
inline constexpr idx kWalkWork = idx{1} << 17;      // multiply-adds of a piece

template <class T>
inline constexpr idx kWalkZeros = 2 * kLanes<T> + kMostWalked;

// Masked loads are single instructions.
inline constexpr bool kWalks = kVecBytes >= 32;

inline bool walk_fits(const ConvGrid& g) {
    const idx k = g.taps[2];
    if (!kWalks || (k != 3 && k != 5) || g.taps[1] != k || g.taps[0] != 1) return false;
    if (g.in[0] != 1 || g.out[0] != 1 || g.base[0] != 0) return false;
    return g.stride[1] == 1 && g.stride[2] == 1 && g.step[1] == 1 && g.step[2] == 1;
}

// Tasks of a plane.
inline idx walk_parts(const ConvGrid& g) {
    const idx fit = kWalkElements / g.out[2];
    const idx rows = fit < kLeastWalk ? kLeastWalk : fit;
    return (g.out[1] + rows - 1) / rows;
}

// Whether at most half of the taps of outputs in a row reach over either of its ends.
inline bool walk_pairs(const ConvGrid& g) {
    const idx half = g.taps[2] / 2;
    return g.base[2] >= -half && g.out[2] + g.base[2] + g.taps[2] - 1 - g.in[2] <= half;
}

// Rows of outputs of a plane, at columns [at, at + kLanes) and, of two vectors, `apart` further on.
template <class T>
struct Walk {
    idx in_rows, in_row;  // of the plane
    idx first, rows;      // of the source, at the first output; rows of outputs
    idx apart = 0;
    LaneRange<T> range[2][kMostWalked];  // of the first and the last vector, for each tap
    const T* zeros;                      // 2 kLanes + kMostWalked
    const T* weights = nullptr;          // (taps, taps)
    LaneRange<T> stored;                 // of a single vector
    const T* prior = nullptr;            // what is added to the outputs, rows of y's size
    idx prior_row = 0;

    // at: source column of the first tap.
    __attribute__((noinline)) void mask(int which, idx at, idx count) {
        for (int k = 0; k < kMostWalked; ++k) {
            const idx left = in_row - at - k;
            range[which][k] = lane_range<T>(-at - k, left < count ? left : count);
        }
    }
    FASTNN_SIMD_INLINE const T* row(const T* plane, idx h) const {
        return static_cast<std::uint64_t>(h) < static_cast<std::uint64_t>(in_rows)
                   ? plane + h * in_row
                   : zeros;
    }
    // kLast: all of the last vector's taps are masked.
    template <int K, int V, bool kLast = false>
    FASTNN_SIMD_INLINE Vec<T> tap(const T* from, int v, int k) const {
        const T* p = from + k + (v == 0 ? 0 : apart);
        Vec<T> x;
        if (V == 1 || (v == 0 && k < K / 2)) {
            x = load_lanes(p, range[0][k]);
        } else if (v == V - 1 && (kLast || k > K / 2)) {
            x = load_lanes(p, range[1][k]);
        } else {
            x = load(p);
        }
        keep_in_register(x);
        return x;
    }
};

// plane: at the source column of the first tap of the first output; y at that output.
template <class T, int K, int V>
__attribute__((noinline)) void walk_outputs(const Walk<T>& walk, const T* plane, T bias, T* y,
                                            idx y_row) {
    constexpr int lanes = kLanes<T>;
    Vec<T> w[K][K];
#pragma GCC unroll 5
    for (int i = 0; i < K; ++i)
#pragma GCC unroll 5
        for (int k = 0; k < K; ++k) w[i][k] = broadcast(walk.weights[i * K + k]);
    const Vec<T> start = broadcast(bias);
    // sum[t] has the taps of rows 0 to t; those of outputs above the first are not stored.
    Vec<T> sum[K][V] = {};
    const Walk<T> local = walk;
    T spare[2 * lanes] = {};
    T* to = y - (K - 1) * y_row;
    for (idx i = 1 - K; i < local.rows; ++i, to += y_row) {
        const T* from = local.row(plane, local.first + K - 1 + i);
        fetch_ahead(from);
        if (V == 2) fetch_ahead(from + lanes);
#pragma GCC unroll 5
        for (int k = 0; k < K; ++k) {
#pragma GCC unroll 2
            for (int v = 0; v < V; ++v) {
                const Vec<T> x = local.template tap<K, V>(from, v, k);
#pragma GCC unroll 5
                for (int t = K - 1; t >= 0; --t) {
                    const Vec<T> before = k > 0 ? sum[t][v] : t > 0 ? sum[t - 1][v] : start;
                    sum[t][v] = fma(w[t][k], x, before);
                }
            }
        }
        T* out = i < 0 ? spare : to;
        if (i >= 0 && local.prior != nullptr) {
            const T* before = local.prior + i * local.prior_row;
            if (V == 2) {
                sum[K - 1][0] += load(before);
                sum[K - 1][V - 1] += load(before + local.apart);
            } else {
                sum[K - 1][0] += load_lanes(before, local.stored);
            }
        }
        fetch_ahead(to);
        if (V == 2) {
            fetch_ahead(to + lanes);
            store<T>(out, sum[K - 1][0]);
            store<T>(out + local.apart, sum[K - 1][V - 1]);
        } else {
            store_lanes(out, sum[K - 1][0], local.stored);
        }
    }
}

// Rows [first, first + rows) of outputs, from y on; `prior`, if it is not null, is added to them.
template <class T, int K>
void walk_plane(const ConvGrid& g, const T* plane, const T* zeros, const T* weights, T bias,
                idx first, idx rows, const T* prior, T* y, idx y_row) {
    constexpr idx lanes = kLanes<T>;
    constexpr idx half = K / 2;
    Walk<T> walk;
    walk.in_rows = g.in[1];
    walk.in_row = g.in[2];
    walk.first = first + g.base[1];
    walk.rows = rows;
    walk.zeros = zeros;
    walk.weights = weights;
    const idx width = g.out[2];
    walk.stored = lane_range<T>(0, width);
    const bool pairs = width >= lanes + half && walk_pairs(g);
    walk.prior_row = width;
    const auto prior_at = [&](idx at) { return prior == nullptr ? prior : prior + at; };
    for (idx w = 0; w < width;) {
        const idx left = width - w;
        if (pairs && left > lanes) {
            const idx a = left < lanes + half ? width - lanes - half : w;
            const idx b = left < 2 * lanes ? width - lanes : a + lanes;
            walk.apart = b - a;
            walk.mask(0, a + g.base[2], lanes);
            walk.mask(1, b + g.base[2], lanes);
            walk.prior = prior_at(a);
            walk_outputs<T, K, 2>(walk, plane + a + g.base[2], bias, y + a, y_row);
            w += 2 * lanes;
        } else {
            const idx a = left < lanes && width >= lanes ? width - lanes : w;
            walk.mask(0, a + g.base[2], lanes);
            walk.prior = prior_at(a);
            walk_outputs<T, K, 1>(walk, plane + a + g.base[2], bias, y + a, y_row);
            w += lanes;
        }
    }
}

}  // namespace fastnn::FASTNN_ISA
