// SPDX-License-Identifier: BSD-3-Clause
// A task of matrix multiplication: a range of tiles of rows times a range of panels of columns,
// over a range of k. Whose panels of B, its own or shared ones; what is packed; what is fetched
// ahead.
//
// A is read where it is if its rows are contiguous, else packed if enough panels use it. So is a
// panel of B if its rows are contiguous and few tiles use it.
//
// Scratch: slots 0 (A, of each thread) and 1 (B, of each thread where it is not shared).
#pragma once

#include <cstddef>
#include <type_traits>

#include "runtime/pool.h"
#include "runtime/types.h"
#include "simd/gemm_pack.h"
#include "simd/gemm_tile.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

// An epilogue is called with vectors of final sums: value, the row and column of its first lane,
// and how many lanes are elements of C. What it returns is stored; the other lanes are ignored. It
// must not look at C.
struct NoEpilogue {
    template <class V>
    FASTNN_SIMD_INLINE V operator()(V value, idx, idx, int) const {
        return value;
    }
};

// c_ij + bias_j
template <class T>
struct BiasEpilogue {
    const T* bias;

    FASTNN_SIMD_INLINE Vec<T> operator()(Vec<T> value, idx, idx col, int lanes) const {
        return value + (lanes == kLanes<T> ? load(bias + col) : load_partial(bias + col, lanes));
    }
};

// Measured on a core with 48 KB of L1 and 2 MB of L2, of 32 fused multiply-adds of floats a cycle.
inline constexpr idx kMostDepth = 384;    // of a block of k
inline constexpr idx kPackAPanels = 3;    // a task with these many panels packs A
inline constexpr idx kPackAStep = 1024;   // one panel less, if steps are so far apart
inline constexpr idx kPackBSteps = 1536;  // tiles times depth from which B is packed
inline constexpr idx kPackBStep = 1024;   // half as many, if rows of B are so far apart
inline constexpr idx kPackSteps = 16;     // of k, when packing A
inline constexpr idx kAheadRows = 24;     // of B, when reading it where it is

// The length of the blocks of k: at most kMostDepth and as equal as multiples of 16 allow, which
// are whole vectors when packing.
inline idx block_depth(idx k) {
    const idx blocks = (k + kMostDepth - 1) / kMostDepth;
    return (k + blocks * 16 - 1) / (blocks * 16) * 16;
}

template <class T>
struct GemmProblem {
    idx m, n, k;
    const T* a;
    idx a_row, a_step;
    const T* b;
    idx b_step, b_column;
    T* c;
    idx c_row;
    bool accumulate;

    idx depth;    // of a block of k
    idx tiles;    // of rows
    idx vectors;  // of columns
    idx panels;

    idx tile_row(idx t) const { return t * m / tiles; }
    idx panel_vector(idx q) const { return q * vectors / panels; }
};

// Tiles [tile0, tile1) times panels [panel0, panel1).
template <class T>
struct GemmTask {
    GemmTask(const GemmProblem<T>& g, idx first_tile, idx last_tile, idx first_panel,
             idx last_panel)
        : tile0(first_tile),
          tile1(last_tile),
          panel0(first_panel),
          panel1(last_panel),
          pack_a(g.a_step != 1 &&
                 last_panel - first_panel >= kPackAPanels - (g.a_step < kPackAStep ? 0 : 1)),
          pack_b(g.b_column != 1 || (last_tile - first_tile) * g.depth >
                                        (g.b_step < kPackBStep ? kPackBSteps : kPackBSteps / 2)) {}

    idx tile0, tile1, panel0, panel1;
    bool pack_a, pack_b;
    bool fill = false;  // packs the shared panels that it uses
};

// Packed B of a range of k: blocks of `depth` steps, in each the panels from `panel0` on, `vectors`
// in all.
template <class T>
struct SharedPanels {
    T* data;
    idx k0, k1;
    idx vector0, vectors;

    T* panel(idx block, idx block_depth, idx vector) const {
        return data + ((block - k0) * vectors + block_depth * (vector - vector0)) * kLanes<T>;
    }
};

template <class T, class Epilogue>
FASTNN_SIMD_INLINE void finish_tile(T* c, idx c_row, idx row, idx rows, idx col, idx cols,
                                    const Epilogue& epilogue) {
    constexpr int lanes = kLanes<T>;
    for (idx i = 0; i < rows; ++i) {
        T* out = c + (row + i) * c_row + col;
        idx j = 0;
        for (; j + lanes <= cols; j += lanes)
            store<T>(out + j, epilogue(load(out + j), row + i, col + j, lanes));
        if (j < cols) {
            const int rest = static_cast<int>(cols - j);
            store_partial(out + j, epilogue(load_partial(out + j, rest), row + i, col + j, rest),
                          rest);
        }
    }
}

// One task over the k of `shared`, or over all of k with panels of its own if shared.data is null.
// False: no memory.
template <class T, class Epilogue>
bool run_task(const GemmProblem<T>& g, const GemmTask<T>& task, const SharedPanels<T>& shared,
              const Epilogue& epilogue) {
    constexpr idx lanes = kLanes<T>;
    constexpr idx line = 64 / static_cast<idx>(sizeof(T));  // elements
    const idx row0 = g.tile_row(task.tile0);
    T* packed_a = nullptr;
    T* packed_b = nullptr;
    if (task.pack_a) {
        const idx size =
            (g.tile_row(task.tile1) - row0) * g.depth + (task.tile1 - task.tile0) * kPackSlack<T>;
        packed_a = static_cast<T*>(pool_scratch(static_cast<std::size_t>(size) * sizeof(T), 0));
        if (packed_a == nullptr) return false;
    }
    if (shared.data == nullptr && (task.pack_b || g.n % lanes != 0)) {
        const idx size = g.depth * kBroadVectors * lanes;
        packed_b = static_cast<T*>(pool_scratch(static_cast<std::size_t>(size) * sizeof(T), 1));
        if (packed_b == nullptr) return false;
    }
    const auto packed_tile = [&](idx t, idx row, idx depth) {
        return packed_a + (row - row0) * depth + (t - task.tile0) * kPackSlack<T>;
    };
    for (idx block = shared.k0; block < shared.k1; block += g.depth) {
        const idx depth = shared.k1 - block < g.depth ? shared.k1 - block : g.depth;
        const bool last_block = block + depth == g.k;
        if (task.pack_a) {
            // A few steps for all tiles, then the next few: a line of A holds parts of several.
            for (idx p = 0; p < depth; p += kPackSteps) {
                const idx steps = depth - p < kPackSteps ? depth - p : kPackSteps;
                for (idx t = task.tile0; t < task.tile1; ++t) {
                    const idx row = g.tile_row(t);
                    const idx rows = g.tile_row(t + 1) - row;
                    pack_a_tile(g.a + row * g.a_row + (block + p) * g.a_step, g.a_row, g.a_step,
                                rows, g.m - row, steps, packed_tile(t, row, depth) + p * rows);
                }
            }
        }
        for (idx q = task.panel0; q < task.panel1; ++q) {
            const idx vector = g.panel_vector(q);
            const int vectors = static_cast<int>(g.panel_vector(q + 1) - vector);
            const idx col = vector * lanes;
            const idx cols = g.n - col < vectors * lanes ? g.n - col : vectors * lanes;
            TileOperands<T> tile;
            tile.b_step = vectors * lanes;
            tile.depth = depth;
            tile.c_row = g.c_row;
            tile.lanes = static_cast<int>(cols - (vectors - 1) * lanes);
            tile.add = g.accumulate || block > 0;
            const T* b = g.b + block * g.b_step + col * g.b_column;
            if (shared.data != nullptr) {
                T* panel = shared.panel(block, depth, vector);
                if (task.fill) pack_b_panel(b, g.b_step, g.b_column, depth, vectors, cols, panel);
                tile.b = panel;
            } else if (!task.pack_b && tile.lanes == lanes) {
                tile.b = b;
                tile.b_step = g.b_step;
            } else {
                pack_b_panel(b, g.b_step, g.b_column, depth, vectors, cols, packed_b);
                tile.b = packed_b;
            }
            // The next panel of shared B comes from L3 or memory: the tiles of this one fetch it,
            // each a part or, before it is packed, a line of every row. Of a B that is read where
            // it is, they fetch some rows ahead.
            idx ahead_bytes = 0;
            const T* next = nullptr;
            idx next_step = 0;
            idx next_width = 0;
            tile.ahead = reinterpret_cast<const char*>(tile.b);
            tile.ahead_step = 0;
            if (tile.b == b) {
                tile.ahead = reinterpret_cast<const char*>(b + kAheadRows * g.b_step);
                tile.ahead_step = g.b_step * static_cast<idx>(sizeof(T));
            } else if (task.fill) {
                if (g.b_column == 1 && q + 1 < task.panel1) next = b + vectors * lanes;
                next_step = g.b_step;
                next_width = kTileVectors * lanes + line;
            } else if (shared.data != nullptr && q + 1 < task.panel1) {
                const idx following = g.panel_vector(q + 1);
                ahead_bytes = depth * (g.panel_vector(q + 2) - following) * kVecBytes /
                              (task.tile1 - task.tile0);
                tile.ahead = reinterpret_cast<const char*>(shared.panel(block, depth, following));
                tile.ahead_step = ahead_bytes / depth;
            }
            // While the last of them passes by, each tile fetches a line of every step of the A
            // that is packed next.
            if (task.pack_a && g.a_row == 1 && shared.data != nullptr && q + 1 == task.panel1 &&
                block + depth < shared.k1) {
                next = g.a + row0 + (block + depth) * g.a_step;
                next_step = g.a_step;
                next_width = g.tile_row(task.tile1) - row0;
            }
            const auto find = [&](idx rows) {
                const int r = static_cast<int>(rows);
                return task.pack_a || g.a_row == 1 ? find_tile_kernel<T, true>(r, vectors)
                                                   : find_tile_kernel<T, false>(r, vectors);
            };
            const idx least = g.m / g.tiles;  // rows of a tile; some have one more
            const TileKernel<T> kernels[2] = {find(least), find(least + 1)};
            for (idx t = task.tile0; t < task.tile1; ++t) {
                const idx row = g.tile_row(t);
                const idx rows = g.tile_row(t + 1) - row;
                tile.a = task.pack_a ? packed_tile(t, row, depth)
                                     : g.a + row * g.a_row + block * g.a_step;
                tile.a_row = g.a_row;
                tile.a_step = task.pack_a ? rows : g.a_step;
                tile.c = g.c + row * g.c_row + col;
                if (next != nullptr) {
                    const idx i = (t - task.tile0) * line;
                    tile.ahead = reinterpret_cast<const char*>(i < next_width ? next + i : next);
                    tile.ahead_step = i < next_width ? next_step * static_cast<idx>(sizeof(T)) : 0;
                }
                kernels[rows - least](tile);
                tile.ahead += ahead_bytes;
                if constexpr (!std::is_same_v<Epilogue, NoEpilogue>) {
                    if (last_block) finish_tile(g.c, g.c_row, row, rows, col, cols, epilogue);
                }
            }
        }
    }
    return true;
}

}  // namespace fastnn::FASTNN_ISA
