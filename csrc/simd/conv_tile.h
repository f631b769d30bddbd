// SPDX-License-Identifier: BSD-3-Clause
// The tile kernel of matrix multiplication for a matrix A that is given by two tables of offsets:
// element (i, p) of it stands at a[rows[i] + steps[p]]. The columns of a padded image are such a
// matrix, and so is their transpose, so that they need not be made (simd/conv_box.h).
//
//   C (rows x vectors) = or += sum_p A[i, p] B[p, :]
//
// Sums, order and tile sizes are those of simd/gemm_tile.h; C and B consist of whole vectors.
#pragma once

#include "runtime/types.h"
#include "simd/gemm_tile.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

using Offset = std::int32_t;

template <class T>
struct ConvTile {
    const T* a;
    const Offset* rows;
    const Offset* steps;
    const T* b;
    idx b_step;
    T* c;
    idx c_row;
    idx depth;
    bool add;  // C += the sums, else C = the sums
};

template <class T>
using ConvTileKernel = void (*)(const ConvTile<T>&);

template <class T, int R, int V>
__attribute__((noinline)) void conv_tile_kernel(const ConvTile<T>& t) {
    constexpr int lanes = kLanes<T>;
    const T* __restrict__ row[R];
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) row[i] = t.a + t.rows[i];
    const T* __restrict__ b = t.b;
    const idx b_step = t.b_step;
    const Offset* __restrict__ step = t.steps;
    const Offset* const end = step + t.depth;
    Vec<T> sum[R][V];
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) sum[i][v] = Vec<T>{};

    for (; step != end; ++step, b += b_step) {
        const idx at = *step;
        Vec<T> right[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) right[v] = load(b + v * lanes);
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) {
            const Vec<T> x = broadcast(row[i][at]);
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) sum[i][v] = fma(x, right[v], sum[i][v]);
        }
    }

    T* __restrict__ c = t.c;
    const idx c_row = t.c_row;
    const bool add = t.add;
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i, c += c_row)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v)
            store<T>(c + v * lanes, add ? load(c + v * lanes) + sum[i][v] : sum[i][v]);
}

// The kernel for 1..kTileRows rows and 1..kTileVectors vectors.
template <class T, int R = kTileRows>
ConvTileKernel<T> find_conv_tile(int rows, int vectors) {
    if constexpr (R > 1) {
        if (rows < R) return find_conv_tile<T, R - 1>(rows, vectors);
    }
    if constexpr (kTileVectors >= 3) {
        if (vectors == 3) return conv_tile_kernel<T, R, 3>;
    }
    return vectors == 2 ? conv_tile_kernel<T, R, 2> : conv_tile_kernel<T, R, 1>;
}

}  // namespace fastnn::FASTNN_ISA
