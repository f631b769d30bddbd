// SPDX-License-Identifier: BSD-3-Clause
// The tile kernel of simd/gemm_tile.h whose sums, with a bias of each row, go from registers past
// the caches. Full tiles of two or three vectors, where vectors are lines; nothing is added to C.
// Through scratch memory, as other tiles take, every sum is stored and loaded once more: 4 % of the
// time of a tile of 64 steps.
#pragma once

#include "runtime/types.h"
#include "simd/gemm_tile.h"
#include "simd/streaming.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

inline constexpr bool kStreamTiles = kVecBytes == 64 && kTileVectors == 3;

template <class T, int R, int V>
__attribute__((noinline)) void stream_tile_kernel(const TileOperands<T>& t, const T* bias) {
    constexpr int lanes = kLanes<T>;
    const T* __restrict__ a = t.a;
    const T* __restrict__ b = t.b;
    const idx a_row = t.a_row;
    const idx a_step = t.a_step;
    const idx b_step = t.b_step;
    Vec<T> sum[R][V];
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) sum[i][v] = Vec<T>{};
    const char* ahead = t.ahead;
    const idx ahead_step = t.ahead_step;
    for (idx p = t.depth; p > 0; --p) {
        __builtin_prefetch(ahead, 0, 2);
        ahead += ahead_step;
        Vec<T> row[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) row[v] = load(b + v * lanes);
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) {
            const Vec<T> x = broadcast(a[i * a_row]);
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) sum[i][v] = fma(x, row[v], sum[i][v]);
        }
        a += a_step;
        b += b_step;
    }
    T* c = t.c;
    const idx c_row = t.c_row;
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i, c += c_row) {
        const Vec<T> extra = bias == nullptr ? Vec<T>{} : broadcast(bias[i]);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v)
            stream(c + v * lanes, bias == nullptr ? sum[i][v] : sum[i][v] + extra);
    }
}

// False, and nothing is done, unless the tile is one of these.
template <class T>
FASTNN_SIMD_INLINE bool stream_tile(const TileOperands<T>& t, idx rows, int vectors,
                                    const T* bias) {
    if constexpr (kStreamTiles) {
        if (rows != kTileRows || vectors < 2 || t.lanes != kLanes<T>) return false;
        if (vectors == 3) {
            stream_tile_kernel<T, kTileRows, 3>(t, bias);
        } else {
            stream_tile_kernel<T, kTileRows, 2>(t, bias);
        }
        return true;
    }
    return false;
}

}  // namespace fastnn::FASTNN_ISA
