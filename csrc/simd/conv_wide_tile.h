// SPDX-License-Identifier: BSD-3-Clause
// Tiles of simd/conv_wide.h: some output channels, an element of W broadcast for each, by vectors
// of neighbouring outputs, whose sources stand at rows[v] + steps[k] of a box.
#pragma once

#include "runtime/types.h"
#include "simd/conv_tile.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

inline constexpr int kWideRows = 8;  // of kTileRows * kTileVectors sums at least

// Vectors of a tile of so many rows; each has a pointer.
constexpr int wide_vectors(int rows) {
    const int fit = kTileRows * kTileVectors / rows;
    return fit < kTileRows ? fit : kTileRows;
}

// Keeps a loaded vector in its register: left alone, GCC reads it anew for each multiply-add, and
// the loads, most of which touch two lines, are what the kernel waits for.
template <class V>
FASTNN_SIMD_INLINE void keep_in_register(V& v) {
#if FASTNN_SIMD_AVX512
    __asm__("" : "+v"(v));
#elif defined(__x86_64__)
    __asm__("" : "+x"(v));
#elif FASTNN_SIMD_NEON
    __asm__("" : "+w"(v));
#else
    static_cast<void>(v);
#endif
}

// The sums of a tile, (rows, V) vectors. W (depth, R) at a.
template <class T, int R, int V>
FASTNN_SIMD_INLINE void add_wide(const ConvTile<T>& t, Vec<T> (&sum)[R][V]) {
    const T* __restrict__ column[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) column[v] = t.b + t.rows[v];
    const T* __restrict__ a = t.a;
    const Offset* __restrict__ step = t.steps;
    const Offset* const end = step + t.depth;
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sum[i][v] = Vec<T>{};

    for (; step != end; ++step, a += R) {
        const idx at = *step;
        // The fewer of the two are kept, so that nothing is spilled.
        if constexpr (R > V) {
            Vec<T> x[V];
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) {
                x[v] = load(column[v] + at);
                keep_in_register(x[v]);
            }
#pragma GCC unroll 8
            for (int i = 0; i < R; ++i) {
                const Vec<T> w = broadcast(a[i]);
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v) sum[i][v] = fma(w, x[v], sum[i][v]);
            }
        } else {
            Vec<T> w[R];
#pragma GCC unroll 8
            for (int i = 0; i < R; ++i) w[i] = broadcast(a[i]);
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) {
                Vec<T> x = load(column[v] + at);
                keep_in_register(x);
#pragma GCC unroll 8
                for (int i = 0; i < R; ++i) sum[i][v] = fma(w[i], x, sum[i][v]);
            }
        }
    }
}

// A tile's sums as whole vectors at c.
template <class T, int R, int V>
__attribute__((noinline)) void wide_kernel(const ConvTile<T>& t) {
    constexpr int lanes = kLanes<T>;
    Vec<T> sum[R][V];
    add_wide(t, sum);
    T* __restrict__ c = t.c;
    const bool add = t.add;
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v, c += lanes) store<T>(c, add ? load(c) + sum[i][v] : sum[i][v]);
}

// A vector of outputs of a box: where its sources stand, and where it is written. It may go on in
// the next row.
struct WideVector {
    idx to, next_to;  // of y, without the channel
    Offset from;
    std::int16_t count, next, next_count;  // lanes
};

// Where a tile's sums go without a stay in scratch memory.
template <class T>
struct WideOutput {
    const WideVector* vectors;
    int count, rows;  // that there are
    T* y;
    idx channel;
    const T* bias;  // or null
};

template <class T>
using WideOutputKernel = void (*)(const ConvTile<T>&, const WideOutput<T>&);

// A tile's sums to their places, with one block of k and vectors that end with their row.
template <class T, int R, int V>
__attribute__((noinline)) void wide_output_kernel(const ConvTile<T>& t, const WideOutput<T>& out) {
    Vec<T> sum[R][V];
    add_wide(t, sum);
    T* to[V];
    int lanes[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
        to[v] = out.y + (v < out.count ? out.vectors[v].to : 0);
        lanes[v] = v < out.count ? out.vectors[v].count : 0;
    }
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
        if (i >= out.rows) break;
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
            const Vec<T> value =
                out.bias == nullptr ? sum[i][v] : sum[i][v] + broadcast(out.bias[i]);
            store_partial(to[v], value, lanes[v]);
            to[v] += out.channel;
        }
    }
}

// Null where partial vectors are not stored by one instruction.
template <class T, int R = kWideRows>
WideOutputKernel<T> find_wide_output(idx rows) {
#if FASTNN_SIMD_AVX512
    if constexpr (R > 1) {
        if (rows < R) return find_wide_output<T, R - 1>(rows);
    }
    return wide_output_kernel<T, R, wide_vectors(R)>;
#else
    static_cast<void>(rows);
    return nullptr;
#endif
}

template <class T, int R = kWideRows>
ConvTileKernel<T> find_wide_kernel(idx rows) {
    if constexpr (R > 1) {
        if (rows < R) return find_wide_kernel<T, R - 1>(rows);
    }
    return wide_kernel<T, R, wide_vectors(R)>;
}

}  // namespace fastnn::FASTNN_ISA
