// SPDX-License-Identifier: BSD-3-Clause
// The gradient of the weights of a convolution with one channel to a group.
//
//   strips (ops/conv_depthwise.h)      a vector of sums for each tap over the rows of a strip, its
//                                      lanes added up; strips and images in order within a piece
//   planes (ops/conv_depthwise_rows.h) R rows of dy are in registers, and each of the K shifted
//                                      vectors of R + K - 1 source rows is loaded once for all of
//                                      them; vectors of sums of all taps, over the rows of a plane,
//                                      are added to those of the planes before, the lanes at the
//                                      end. The sum of dy, the gradient of the bias, goes with it:
//                                      dy comes from a far cache, and this is done with one read.
//
// Pieces are added in order.
//
// Scratch: slots 0 (strip) and, of the caller, 3 (pieces' sums).
#pragma once

#include "ops/blocked_sum.h"
#include "ops/conv_depthwise.h"
#include "ops/conv_shape.h"

namespace fastnn::FASTNN_ISA {

inline constexpr int kTapSums = 9;  // taps whose sums are in registers at a time

// sums[t] += the products of `rows` rows of dy and of the strip.
template <class T>
void add_tap_products(const T* dy, idx rows, idx width, const T* strip, idx strip_step,
                      const idx* offsets, int taps, T* sums) {
    constexpr int lanes = kLanes<T>;
    for (int first = 0; first < taps; first += kTapSums) {
        const int count = taps - first < kTapSums ? taps - first : kTapSums;
        const T* from[kTapSums];
        for (int t = 0; t < kTapSums; ++t) from[t] = strip + offsets[first + (t < count ? t : 0)];
        Vec<T> sum[kTapSums] = {};
        for (idx h = 0; h < rows; ++h) {
            const T* y = dy + h * width;
            const idx at = h * strip_step;
            idx w = 0;
            for (; w + lanes <= width; w += lanes) {
                const Vec<T> v = load(y + w);
#pragma GCC unroll 9
                for (int t = 0; t < kTapSums; ++t) sum[t] = fma(v, load(from[t] + at + w), sum[t]);
            }
            if (w == width) continue;
            const int rest = static_cast<int>(width - w);
            const Vec<T> v = load_partial(y + w, rest);
#pragma GCC unroll 9
            for (int t = 0; t < kTapSums; ++t)
                sum[t] = fma(v, load_partial(from[t] + at + w, rest), sum[t]);
        }
        for (int t = 0; t < count; ++t) sums[first + t] += reduce_add(sum[t]);
    }
}

inline constexpr int kWalkTaps = 3;      // in one direction; more have too many sums
inline constexpr idx kWalkChannels = 4;  // to a task: planes of an image that are neighbours

// Whether depthwise_weight gives the gradient of the bias as well.
inline bool walks_weight(const ConvGrid& g) {
    return kWalks && walk_fits(g) && g.taps[2] == kWalkTaps;
}

// The sums of all taps, and of dy.
template <class T>
struct WalkSums {
    Vec<T> tap[kWalkTaps][kWalkTaps];
    Vec<T> dy;
};

// Rows of dy that are in registers with the sums.
constexpr int walk_rows(int vectors) {
    const int fit = (kVecBytes == 64 ? 32 : 16) - kWalkTaps * kWalkTaps - 2;
    return fit / vectors >= 4 ? 4 : 2;
}

// Asks for what another plane has in the same place.
template <class T>
FASTNN_SIMD_INLINE void fetch_elements(const T* p, idx count) {
    for (idx i = 0; i < count; i += 64 / static_cast<idx>(sizeof(T))) __builtin_prefetch(p + i);
}

// R rows of dy, from the source row h on.
template <class T, int V, int R>
FASTNN_SIMD_INLINE void add_walked(const Walk<T>& walk, const T* plane, idx h, const T* dy,
                                   idx dy_row, WalkSums<T>& sum) {
    constexpr int K = kWalkTaps;
    Vec<T> g[R][V];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r, dy += dy_row) {
        if (V == 2) g[r][0] = load(dy);
        g[r][V - 1] = load_lanes(dy + (V - 1) * kLanes<T>, walk.stored);
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) sum.dy += g[r][v];
    }
#pragma GCC unroll 8
    for (int i = 0; i < R + K - 1; ++i) {
        const T* from = walk.row(plane, h + i);
#pragma GCC unroll 3
        for (int k = 0; k < K; ++k) {
#pragma GCC unroll 2
            for (int v = 0; v < V; ++v) {
                const Vec<T> x = walk.template tap<K, V, true>(from, v, k);
#pragma GCC unroll 3
                for (int t = 0; t < K; ++t)
                    if (i >= t && i - t < R) sum.tap[t][k] = fma(g[i - t][v], x, sum.tap[t][k]);
            }
        }
    }
}

// total += the products of a plane's dy, at the first output of its rows, and of the plane, at the
// source column of the first tap; what they are next in memory for other planes is asked for.
template <class T, int V>
__attribute__((noinline)) void walk_products(const Walk<T>& walk, const T* plane, const T* dy,
                                             idx dy_row, const T* next_plane, const T* next_dy,
                                             WalkSums<T>& total) {
    constexpr int R = walk_rows(V);
    const Walk<T> local = walk;
    WalkSums<T> sum = {};
    idx h = 0;
    for (; h + R <= local.rows; h += R) {
        if (next_plane != nullptr) {
            fetch_elements(next_plane + h * local.in_row, R * local.in_row);
            fetch_elements(next_dy + h * dy_row, R * dy_row);
        }
        add_walked<T, V, R>(local, plane, local.first + h, dy + h * dy_row, dy_row, sum);
    }
#pragma GCC unroll 1
    for (; h < local.rows; ++h)
        add_walked<T, V, 1>(local, plane, local.first + h, dy + h * dy_row, dy_row, sum);
#pragma GCC unroll 3
    for (int i = 0; i < kWalkTaps; ++i)
#pragma GCC unroll 3
        for (int k = 0; k < kWalkTaps; ++k) total.tap[i][k] += sum.tap[i][k];
    total.dy += sum.dy;
}

// The rows [first, first + rows) of dy.
template <class T>
void walk_weights(const ConvGrid& g, const T* plane, const T* zeros, const T* dy,
                  const T* next_plane, const T* next_dy, idx first, idx rows, WalkSums<T>& total) {
    constexpr idx lanes = kLanes<T>;
    constexpr idx half = kWalkTaps / 2;
    Walk<T> walk;
    walk.in_rows = g.in[1];
    walk.in_row = g.in[2];
    walk.first = first + g.base[1];
    walk.rows = rows;
    walk.zeros = zeros;
    walk.apart = lanes;
    const idx width = g.out[2];
    const bool pairs = walk_pairs(g);
    dy += first * width;
    next_plane += first * g.in[2];
    next_dy += first * width;
    for (idx w = 0; w < width;) {
        const idx left = width - w;
        const idx at = w + g.base[2];
        const bool pair = pairs && left >= lanes + half;
        const idx last = pair ? lanes : 0;
        walk.stored = lane_range<T>(0, left - last);
        walk.mask(0, at, pair ? lanes : left);
        if (pair) walk.mask(1, at + lanes, left - lanes);
        const auto run = pair ? walk_products<T, 2> : walk_products<T, 1>;
        run(walk, plane + at, dy + w, width, w == 0 ? next_plane : nullptr, next_dy, total);
        w += last + lanes;
    }
}

// sums (count, taps + 1), the last the sum of dy, over the images [first, last), of the output
// channels from o on.
template <class T>
void walk_channels(const ConvShape& s, const T* x, const T* grad_y, idx first, idx last, idx o,
                   idx count, T* sums) {
    const ConvGrid g = s.grid();
    const idx parts = walk_parts(g);
    const T zeros[kWalkZeros<T>] = {};
    WalkSums<T> total[kWalkChannels] = {};
    PairwiseSum<T> dy_sums[kWalkChannels];
    for (idx n = first; n < last; ++n) {
        for (idx i = 0; i < count; ++i) {
            const auto plane = [&](idx image, idx c) {
                return x + (image * s.channels + (o + c) / s.group_outputs) * s.in_size();
            };
            const auto dy = [&](idx image, idx c) {
                return grad_y + (image * s.outputs + o + c) * s.out_size();
            };
            const bool same = i + 1 < count;  // the next is in the same image
            const idx next_n = same ? n : n + 1 < last ? n + 1 : n;
            const idx next_i = same ? i + 1 : 0;
            for (idx part = 0; part < parts; ++part) {
                const idx row = part * s.out[1] / parts;
                const idx rows = (part + 1) * s.out[1] / parts - row;
                walk_weights(g, plane(n, i), zeros, dy(n, i), plane(next_n, next_i),
                             dy(next_n, next_i), row, rows, total[i]);
                dy_sums[i].add(reduce_add(total[i].dy));
                total[i].dy = Vec<T>{};
            }
        }
    }
    for (idx i = 0; i < count; ++i) {
        for (const auto& row : total[i].tap)
            for (const Vec<T>& sum : row) *sums++ = reduce_add(sum);
        *sums++ = dy_sums[i].total();
    }
}

// grad_weight (o, taps) and, where walks_weight(g), grad_bias (o), unless it is null. False: no
// memory.
template <class T>
bool depthwise_weight(const ConvShape& s, const T* x, const T* grad_y, T* grad_weight,
                      bool accumulate, T* grad_bias, bool accumulate_bias) {
    const ConvGrid g = s.grid();
    const Strip<T> strip(g);
    const idx volume = s.volume();
    const idx work = s.out_size() * volume;  // of one image
    // Pieces of images: eight at least where that many pay, so that few channels are shared too.
    const idx all = static_cast<double>(s.images) * static_cast<double>(work) /
                                static_cast<double>(kDepthwiseWork) <
                            2
                        ? 1
                        : s.images;
    const bool walk = walks_weight(g);
    const idx each = walk ? volume + 1 : volume;  // sums of a channel
    const idx least = walk ? kWalkChannels : 1;
    const idx wanted = (8 * least + s.outputs - 1) / s.outputs;
    const idx pieces = wanted < all ? wanted : all;
    T* partial = static_cast<T*>(
        pool_scratch(static_cast<std::size_t>(pieces * s.outputs * each) * sizeof(T), 3));
    if (partial == nullptr) return false;
    idx offsets[kMostTaps];
    const int taps = find_taps(g, strip, offsets);
    const double unit =
        static_cast<double>(work) * static_cast<double>(s.images) / static_cast<double>(pieces);
    const idx piece = unit < static_cast<double>(kDepthwiseWork)
                          ? static_cast<idx>(static_cast<double>(kDepthwiseWork) / unit) + 1
                          : least;
    bool ok = true;
    parallel_for(pieces * s.outputs, piece, [&](idx begin, idx end) {
        if (walk) {
            for (idx u = begin; u < end;) {
                const idx part = u / s.outputs;
                const idx o = u % s.outputs;
                const idx left = end - u < s.outputs - o ? end - u : s.outputs - o;
                const idx count = left < kWalkChannels ? left : kWalkChannels;
                walk_channels(s, x, grad_y, part * s.images / pieces,
                              (part + 1) * s.images / pieces, o, count, partial + u * each);
                u += count;
            }
            return;
        }
        T* rows =
            static_cast<T*>(pool_scratch(static_cast<std::size_t>(strip.size) * sizeof(T), 0));
        if (rows == nullptr) {
            __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
            return;
        }
        for (idx u = begin; u < end; ++u) {
            const idx part = u / s.outputs;
            const idx o = u % s.outputs;
            T* sums = partial + u * volume;
            for (idx t = 0; t < volume; ++t) sums[t] = 0;
            for (idx n = part * s.images / pieces; n < (part + 1) * s.images / pieces; ++n) {
                const T* plane = x + (n * s.channels + o / s.group_outputs) * s.in_size();
                const T* dy = grad_y + (n * s.outputs + o) * s.out_size();
                for (idx d = 0; d < s.out[0]; ++d) {
                    for (idx h0 = 0; h0 < s.out[1]; h0 += strip.rows_per_strip) {
                        const idx left = s.out[1] - h0;
                        fill_strip(g, strip, plane, d, h0, rows);
                        add_tap_products(dy + (d * s.out[1] + h0) * s.out[2],
                                         left < strip.rows_per_strip ? left : strip.rows_per_strip,
                                         s.out[2], rows, g.stride[1] * strip.row, offsets, taps,
                                         sums);
                    }
                }
            }
        }
    });
    const idx size = s.outputs * each;
    for (idx i = 0; i < size; ++i) {
        T sum = partial[i];
        for (idx part = 1; part < pieces; ++part) sum += partial[part * size + i];
        const idx o = i / each;
        const idx tap = i % each;
        if (tap < volume) {
            T& to = grad_weight[o * volume + tap];
            to = accumulate ? to + sum : sum;
        } else if (grad_bias != nullptr) {
            grad_bias[o] = accumulate_bias ? grad_bias[o] + sum : sum;
        }
    }
    return ok;
}

}  // namespace fastnn::FASTNN_ISA
