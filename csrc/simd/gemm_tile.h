// SPDX-License-Identifier: BSD-3-Clause
// The innermost part of matrix multiplication: one tile of C, at most kTileRows rows by
// kTileVectors vectors, held in registers while one block of k goes by. Each step of k loads one
// row of B (kTileVectors vectors) and one column of A (an element for each row, broadcast), and
// every element of the tile gets one multiply-add.
//
// A step of a full tile is R * V multiply-adds for V + R loads. The tile sizes fill the register
// file (R * V sums, V of B, one of A) and have more sums in flight than the latency of a
// multiply-add needs:
//     x86_v4    8 x 3 vectors   24 + 3 + 1 of 32 registers
//     x86_v3    6 x 2           12 + 2 + 1 of 16
//     neon      8 x 3           24 + 3 + 1 of 32
//     others    4 x 2            8 + 2 + 1 of 16; the rest is for the products of unfused
//     arithmetic
// A broad tile, 6 x 4 where there are 32 registers, is for columns that it has no rest of: it loads
// 10 vectors for 24 multiply-adds, two tiles of 8 x 2 load 20 for 32.
//
// Source: the register blocking of Goto and van de Geijn 2008, "Anatomy of high-performance matrix
// multiplication"; tiles that need no padding of the smaller edges: Van Zee and van de Geijn 2015
// (BLIS).
#pragma once

#include "runtime/types.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
inline constexpr int kTileRows = 8;
inline constexpr int kTileVectors = 3;
#elif defined(__AVX2__) && defined(__FMA__)
inline constexpr int kTileRows = 6;
inline constexpr int kTileVectors = 2;
#elif defined(__aarch64__) && defined(__ARM_NEON)
inline constexpr int kTileRows = 8;
inline constexpr int kTileVectors = 3;
#else
inline constexpr int kTileRows = 4;
inline constexpr int kTileVectors = 2;
#endif

// A broad tile has one vector more, and fewer rows.
inline constexpr int kBroadVectors = kTileVectors >= 3 ? 4 : kTileVectors;
inline constexpr int kBroadRows = kBroadVectors > kTileVectors ? kTileRows - 2 : kTileRows;

// A panel of B is larger than L1 and comes from L2. Where another thread has half of the core, and
// of its reorder buffer, these many steps ahead save .95-.98 of the time; where not, they cost
// nothing. Beside rows of A that are not packed they gain nothing.
inline constexpr idx kNearSteps = 4;

// One tile's operands. Element (i, p) of A stands at a[i * a_row + p * a_step], row p of B at b + p
// * b_step; `lanes` elements of the last vector are columns of C, and of B's rows the whole vectors
// must be readable.
template <class T>
struct TileOperands {
    const T* a;
    idx a_row;
    idx a_step;
    const T* b;
    idx b_step;
    T* c;
    idx c_row;
    idx depth;          // steps of k
    const char* ahead;  // what is wanted next: each step brings a line to L2, ahead_step bytes on
    idx ahead_step;
    int lanes;
    bool add;  // C += the sums, else C = the sums
};

template <class T>
using TileKernel = void (*)(const TileOperands<T>&);

// kPackedRows: a_row is 1 and not looked at, so that the rows are constant offsets from one
// pointer.
template <class T, int R, int V, bool kPackedRows>
__attribute__((noinline)) void tile_kernel(const TileOperands<T>& t) {
    constexpr int lanes = kLanes<T>;
    const T* __restrict__ a = t.a;
    const T* __restrict__ b = t.b;
    T* __restrict__ c = t.c;
    const idx a_row = kPackedRows ? 1 : t.a_row;
    const idx a_step = t.a_step;
    const idx b_step = t.b_step;
    const idx c_row = t.c_row;

    // The tile of C is wanted when the sums are ready: by then it has come.
    const T* wanted = c;
#pragma GCC unroll 1
    for (int i = 0; i < R; ++i, wanted += c_row) {
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) __builtin_prefetch(wanted + v * lanes, 1);
    }

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
        if constexpr (kPackedRows && V == kTileVectors && kVecBytes == 64) {
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) __builtin_prefetch(b + kNearSteps * b_step + v * lanes);
        }
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

    const bool add = t.add;
    if (t.lanes == lanes) {
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) {
            T* out = c + i * c_row;
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v)
                store<T>(out + v * lanes, add ? load(out + v * lanes) + sum[i][v] : sum[i][v]);
        }
        return;
    }
    const int rest = t.lanes;
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
        T* out = c + i * c_row;
#pragma GCC unroll 4
        for (int v = 0; v < V - 1; ++v)
            store<T>(out + v * lanes, add ? load(out + v * lanes) + sum[i][v] : sum[i][v]);
        T* last = out + (V - 1) * lanes;
        store_partial(last, add ? load_partial(last, rest) + sum[i][V - 1] : sum[i][V - 1], rest);
    }
}

template <class T, int R, bool kPackedRows>
TileKernel<T> tile_kernel_of_width(int vectors) {
    if constexpr (kBroadVectors == 4 && R <= kBroadRows) {
        if (vectors == 4) return tile_kernel<T, R, 4, kPackedRows>;
    }
    if constexpr (kTileVectors >= 3) {
        if (vectors == 3) return tile_kernel<T, R, 3, kPackedRows>;
    }
    return vectors == 2 ? tile_kernel<T, R, 2, kPackedRows> : tile_kernel<T, R, 1, kPackedRows>;
}

// The kernel for a tile of 1..kTileRows rows and 1..kTileVectors vectors, or of 1..kBroadRows rows
// and kBroadVectors vectors.
template <class T, bool kPackedRows, int R = kTileRows>
TileKernel<T> find_tile_kernel(int rows, int vectors) {
    if constexpr (R > 1) {
        if (rows < R) return find_tile_kernel<T, kPackedRows, R - 1>(rows, vectors);
    }
    return tile_kernel_of_width<T, R, kPackedRows>(vectors);
}

#if defined(FASTNN_SHARED_KERNELS)  // a level's other objects take these from gemm.cpp's
extern template TileKernel<float> find_tile_kernel<float, false>(int, int);
extern template TileKernel<float> find_tile_kernel<float, true>(int, int);
extern template TileKernel<double> find_tile_kernel<double, false>(int, int);
extern template TileKernel<double> find_tile_kernel<double, true>(int, int);
#endif

}  // namespace fastnn::FASTNN_ISA
