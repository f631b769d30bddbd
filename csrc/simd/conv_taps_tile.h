// SPDX-License-Identifier: BSD-3-Clause
// The tile kernel of simd/conv_tile.h for a single vector of columns, and for rows of A that come
// in runs of W neighbours: the taps along a row of a kernel (ops/conv_weight.cpp), or outputs along
// a row (simd/conv_direct.h), where their sources stand next to each other.
//
//   C (R W x 1 vector) = or += sum_p A[i, p] B[p, :]
//
// One vector to 8 rows is 8 sums, as many as the latency of a multiply-add needs and no more, for 9
// loads. A run shares a pointer, so that a tile may have as many rows as there are registers for
// sums: up to 27, for which B is loaded once. Each multiply-add takes its element of A from memory.
//
// Sums and order are those of simd/conv_tile.h.
#pragma once

#include "runtime/types.h"
#include "simd/conv_tile.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

// Runs to a tile: all taps of a channel of 5 x 5, or of three channels of 3 x 3. 0: no kernel, as
// where there are 16 registers.
constexpr int most_tap_runs(idx run) {
    if (kTileVectors < 3) return 0;
    return run == 3 ? 9 : run == 5 ? 5 : 0;
}

// More than fit in a tile are cut into tiles of no fewer.
inline constexpr int kLeastTapRuns = 3;

// The run that tiles of so many rows are made of, which come in runs of `run`: that, or 1.
constexpr idx tap_run(idx rows, idx run) {
    return most_tap_runs(run) > 0 && rows >= kLeastTapRuns * run ? run : 1;
}

// Rows of a full tile.
constexpr idx row_tile(idx run) {
    return most_tap_runs(run) > 0 ? run * most_tap_runs(run) : kTileRows;
}

constexpr idx count_row_tiles(idx rows, idx run) {
    return (rows + row_tile(run) - 1) / row_tile(run);
}

// Makes the compiler compute a pointer here and use it as it is: an indexed address in each
// multiply-add takes a tenth of their rate.
template <class T>
FASTNN_SIMD_INLINE void keep_pointer(const T*& p) {
    __asm__("" : "+r"(p));
}

// R runs, at rows[0], rows[W] and so on. Rows of C follow each other.
template <class T, int R, int W>
__attribute__((noinline)) void tap_tile_kernel(const ConvTile<T>& t) {
    const T* run[R];
#pragma GCC unroll 9
    for (int i = 0; i < R; ++i) {
        run[i] = t.a + t.rows[i * W];
        keep_pointer(run[i]);
    }
    const T* __restrict__ b = t.b;
    const Offset* __restrict__ step = t.steps;
    const Offset* const end = step + t.depth;
    Vec<T> sum[R][W];
#pragma GCC unroll 9
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 5
        for (int j = 0; j < W; ++j) sum[i][j] = Vec<T>{};

    for (; step != end; ++step, b += kLanes<T>) {
        const idx at = *step;
        const Vec<T> right = load(b);
#pragma GCC unroll 9
        for (int i = 0; i < R; ++i) {
            const T* taps = run[i] + at;
            keep_pointer(taps);
#pragma GCC unroll 5
            for (int j = 0; j < W; ++j) sum[i][j] = fma(broadcast(taps[j]), right, sum[i][j]);
        }
    }

    T* __restrict__ c = t.c;
    if (t.add) {
#pragma GCC unroll 9
        for (int i = 0; i < R; ++i)
#pragma GCC unroll 5
            for (int j = 0; j < W; ++j) sum[i][j] = load(c + (i * W + j) * kLanes<T>) + sum[i][j];
    }
#pragma GCC unroll 9
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 5
        for (int j = 0; j < W; ++j) store<T>(c + (i * W + j) * kLanes<T>, sum[i][j]);
}

template <class T, int W, int R = most_tap_runs(W)>
ConvTileKernel<T> find_tap_tile(int runs) {
    if constexpr (R > kLeastTapRuns) {
        if (runs < R) return find_tap_tile<T, W, R - 1>(runs);
    }
    return tap_tile_kernel<T, R, W>;
}

// The kernel for `rows` rows and `vectors` vectors, the rows in runs of `run` if that is not 1.
template <class T>
ConvTileKernel<T> find_tile_of_runs(idx run, idx rows, int vectors) {
    const int n = static_cast<int>(rows);
    if constexpr (most_tap_runs(3) > 0) {
        if (run == 3) return find_tap_tile<T, 3>(n / 3);
        if (run == 5) return find_tap_tile<T, 5>(n / 5);
    }
    return find_conv_tile<T>(n, vectors);
}

}  // namespace fastnn::FASTNN_ISA
