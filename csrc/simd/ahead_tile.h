// SPDX-License-Identifier: BSD-3-Clause
// The tile kernel of simd/gemm_tile.h that brings lines to L2 by a table while it works: step p
// fetches what stands at ahead + places[p]. A line in every step, which a constant distance says as
// well, is more than a core has buffers for: some 16 lines are under way for 30 steps each, and
// what the tile itself loads waits behind them. The table spreads few lines over all steps.
//
// Packed panels of B, whole vectors of C, full tiles; find_tile_kernel has the others.
#pragma once

#include "runtime/types.h"
#include "simd/gemm_tile.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

// Two matrices that the tiles to come fetch together, rows at a time: of each row so many bytes.
class Ahead {
  public:
    Ahead(const void* first, idx rows, const void* second, idx more, idx row_bytes)
        : first_(static_cast<const char*>(first)),
          second_(static_cast<const char*>(second)),
          rows_(rows),
          all_(rows + more),
          row_bytes_(row_bytes) {}

    // How many tiles there will be.
    void share(idx tiles) {
        tiles_ = tiles;
        count_ = (all_ + tiles - 1) / tiles;
    }

    // What the next tile fetches.
    const char* next() {
        const idx row = tile_ * all_ / tiles_;
        tile_ += tile_ + 1 < tiles_;
        return row < rows_ ? first_ + row * row_bytes_ : second_ + (row - rows_) * row_bytes_;
    }

    // Its places for tiles of `depth` steps.
    void spread(idx bytes, idx depth, std::int32_t* places) const {
        const bool any = bytes > 0 && row_bytes_ * (count_ + 1) <= kMostPlace;
        const float scale = static_cast<float>(bytes) / static_cast<float>(depth);
        idx row = 0;
        idx at = 0;
        for (idx p = 0; p < depth; ++p) {
            places[p] = static_cast<std::int32_t>(
                any ? row + static_cast<idx>(static_cast<float>(at) * scale) : 0);
            for (at += count_; at >= depth; at -= depth) row += row_bytes_;
        }
    }

  private:
    static constexpr idx kMostPlace = idx{1} << 30;

    const char* first_;
    const char* second_;
    idx rows_, all_, row_bytes_;
    idx tiles_ = 1, tile_ = 0, count_ = 0;
};

// All that a tile would fetch, at once.
inline void fetch_places(const char* ahead, const std::int32_t* places, idx depth) {
    if (places[depth - 1] == 0) return;
    for (idx p = 0; p < depth; ++p) __builtin_prefetch(ahead + places[p], 0, 2);
}

template <class T, int R, int V>
__attribute__((noinline)) void ahead_tile_kernel(const TileOperands<T>& t,
                                                 const std::int32_t* __restrict__ places) {
    constexpr int lanes = kLanes<T>;
    const T* __restrict__ a = t.a;
    const T* __restrict__ b = t.b;
    T* __restrict__ c = t.c;
    const idx a_row = t.a_row;
    const idx a_step = t.a_step;
    const idx c_row = t.c_row;
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
    const std::int32_t* const end = places + t.depth;
    for (; places != end; ++places, a += a_step, b += V * lanes) {
        __builtin_prefetch(ahead + *places, 0, 2);
        Vec<T> row[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) row[v] = load(b + v * lanes);
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) {
            const Vec<T> x = broadcast(a[i * a_row]);
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) sum[i][v] = fma(x, row[v], sum[i][v]);
        }
    }

    const bool add = t.add;
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i, c += c_row)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v)
            store<T>(c + v * lanes, add ? load(c + v * lanes) + sum[i][v] : sum[i][v]);
}

}  // namespace fastnn::FASTNN_ISA
