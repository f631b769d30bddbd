// SPDX-License-Identifier: BSD-3-Clause
// C = A B or C += A B, with an epilogue on the finished elements. A (m, k) and B (k, n) have any
// strides, which is how the four transpose forms are said; the fast ones have a unit stride in one
// direction. C (m, n) has unit stride along its rows and overlaps neither A nor B.
//
// Bits: c_ij depends on row i of A, column j of B, k and, where it is added to, the old c_ij; on
// nothing else. k is cut into equal blocks (block_depth(k)); within a block one sum takes a
// multiply-add for each step in order, from zero, and the blocks' sums are added to the total in
// order. m, n, strides, alignment, the tile that the element falls into and the number of threads
// have no influence, on levels with fused multiply-add not even the level.
//
// Blocking: C is cut into tiles of up to kTileRows rows and kTileVectors vectors, of nearly equal
// size so that no edge is padded. A block of k deep panel of B (one tile wide) stays in L1 or comes
// from L2 while the tiles of A pass by; a task's rows of A stay in L2. Two ways to share the work:
//   few rows    tasks are ranges of panels; each packs its panels of B by itself just before using
//   them many rows   B is packed once, by all threads, and tasks are blocks of rows times ranges of
//   panels
// A is packed where enough panels use it, B unless it is used once and contiguous. Tasks depend on
// the shape alone.
//
// Scratch: slots 0 (A, per thread) and 1 (B: the caller's if shared, else per thread) of
// pool_scratch.
//
// Source: Goto and van de Geijn 2008; Smith, van de Geijn, Smelyanskiy, Hammond, Van Zee 2014 for
// the parallel loops.
#pragma once

#include <cstddef>
#include <type_traits>

#include "runtime/parallel.h"
#include "runtime/pool.h"
#include "runtime/types.h"
#include "simd/gemm_pack.h"
#include "simd/gemm_tile.h"
#include "simd/gemm_vector.h"
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

#ifndef FASTNN_GEMM_TUNE
inline constexpr idx kMostDepth = 384;
inline constexpr idx kThreadWork = idx{1} << 20;  // multiply-adds below which one thread is faster
inline constexpr idx kTaskWork = idx{1} << 18;    // and the least that a task is worth
inline constexpr idx kVectorWork = idx{1} << 17;  // the same for a matrix times a vector
inline constexpr idx kMostTasks = 32;
inline constexpr idx kFewRows = 192;
inline constexpr idx kTaskRows = 96;
inline constexpr idx kTaskPanels = 8;
inline constexpr idx kPackSteps = 16;
inline constexpr idx kAheadRows = 24;
inline constexpr idx kPackAPanels = 3;             // A is packed for this many panels or more
inline constexpr idx kPackBSteps = 1536;           // B where the tiles of a panel take more steps of k
inline constexpr idx kSharedBytes = idx{8} << 20;  // of packed B at a time
#endif

// Blocks of at most kMostDepth steps, as equal as multiples of 16 (whole vectors when packing)
// allow.
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
struct GemmTask {
    idx tile0, tile1, panel0, panel1;
    bool pack_a, pack_b;
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
bool run_task(const GemmProblem<T>& g, const GemmTask& task, const SharedPanels<T>& shared,
              const Epilogue& epilogue) {
    constexpr idx lanes = kLanes<T>;
    const idx row0 = g.tile_row(task.tile0);
    T* packed_a = nullptr;
    T* packed_b = nullptr;
    if (task.pack_a) {
        const idx size = (g.tile_row(task.tile1) - row0) * g.depth +
                         (task.tile1 - task.tile0) * kPackSlack<T>;
        packed_a = static_cast<T*>(pool_scratch(static_cast<std::size_t>(size) * sizeof(T), 0));
        if (packed_a == nullptr) return false;
    }
    const bool whole_panels = g.b_column == 1 && g.n % lanes == 0;
    if (shared.data == nullptr && (task.pack_b || !whole_panels)) {
        const idx size = g.depth * kTileVectors * lanes;
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
                                rows, g.m - row, steps,
                                packed_tile(t, row, depth) + p * rows);
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
                tile.b = shared.panel(block, depth, vector);
            } else if (!task.pack_b && g.b_column == 1 && tile.lanes == lanes) {
                tile.b = b;
                tile.b_step = g.b_step;
            } else {
                pack_b_panel(b, g.b_step, g.b_column, depth, vectors, cols, packed_b);
                tile.b = packed_b;
            }
            // The next panel of shared B comes from L3 or memory: the tiles of this one fetch it, each a part.
            const idx tiles = task.tile1 - task.tile0;
            idx ahead_bytes = 0;
            tile.ahead = reinterpret_cast<const char*>(tile.b);
            tile.ahead_step = 0;
            if (tile.b == b) {
                tile.ahead = reinterpret_cast<const char*>(b + kAheadRows * g.b_step);
                tile.ahead_step = g.b_step * static_cast<idx>(sizeof(T));
            } else if (shared.data != nullptr && q + 1 < task.panel1) {
                const idx next = g.panel_vector(q + 1);
                ahead_bytes = depth * (g.panel_vector(q + 2) - next) * kVecBytes / tiles;
                tile.ahead = reinterpret_cast<const char*>(shared.panel(block, depth, next));
                tile.ahead_step = ahead_bytes / depth;
            }
            idx kernel_rows = 0;
            TileKernel<T> kernel = nullptr;
            for (idx t = task.tile0; t < task.tile1; ++t) {
                const idx row = g.tile_row(t);
                const idx rows = g.tile_row(t + 1) - row;
                if (rows != kernel_rows) {
                    const bool packed_rows = task.pack_a || g.a_row == 1;
                    kernel = packed_rows
                                 ? find_tile_kernel<T, true>(static_cast<int>(rows), vectors)
                                 : find_tile_kernel<T, false>(static_cast<int>(rows), vectors);
                    kernel_rows = rows;
                }
                tile.a = task.pack_a ? packed_tile(t, row, depth) : g.a + row * g.a_row + block * g.a_step;
                tile.a_row = g.a_row;
                tile.a_step = task.pack_a ? rows : g.a_step;
                tile.c = g.c + row * g.c_row + col;
                kernel(tile);
                tile.ahead += ahead_bytes;
                if constexpr (!std::is_same_v<Epilogue, NoEpilogue>) {
                    if (last_block) finish_tile(g.c, g.c_row, row, rows, col, cols, epilogue);
                }
            }
        }
    }
    return true;
}

inline idx clamp_index(idx x, idx low, idx high) { return x < low ? low : x > high ? high : x; }

// Few rows: ranges of panels, which are made an even number so that two threads have the same to
// do.
template <class T, class Epilogue>
bool run_few_rows(const GemmProblem<T>& g, idx tasks, const Epilogue& epilogue) {
    const SharedPanels<T> none{nullptr, 0, g.k, 0, 0};
    bool ok = true;
    parallel_for(tasks, 1, [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) {
            GemmTask task{0,
                          g.tiles,
                          i * g.panels / tasks,
                          (i + 1) * g.panels / tasks,
                          false,
                          g.tiles * g.depth > kPackBSteps};
            task.pack_a = g.a_step != 1 && task.panel1 - task.panel0 >= kPackAPanels;
            if (!run_task(g, task, none, epilogue)) __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
        }
    });
    return ok;
}

// Many rows: B packed by all in parts of at most kSharedBytes, each part then used by all.
template <class T, class Epilogue>
bool run_many_rows(const GemmProblem<T>& g, idx tasks, const Epilogue& epilogue) {
    constexpr idx lanes = kLanes<T>;
    const idx most = kSharedBytes / static_cast<idx>(sizeof(T)) / lanes;  // vectors
    const idx wide = clamp_index(most / g.depth / kTileVectors, 1, g.panels);
    const idx groups = (g.panels + wide - 1) / wide;
    bool ok = true;
    for (idx group = 0; group < groups; ++group) {
        const idx panel0 = group * g.panels / groups;
        const idx panel1 = (group + 1) * g.panels / groups;
        const idx panels = panel1 - panel0;
        const idx vector0 = g.panel_vector(panel0);
        const idx vectors = g.panel_vector(panel1) - vector0;
        const idx all_blocks = (g.k + g.depth - 1) / g.depth;
        const idx blocks = clamp_index(most / g.depth / vectors, 1, all_blocks);
        const idx size = vectors * lanes * (blocks == all_blocks ? g.k : blocks * g.depth);
        T* data = static_cast<T*>(pool_scratch(static_cast<std::size_t>(size) * sizeof(T), 1));
        if (data == nullptr) return false;
        const idx row_tasks =
            clamp_index((g.m + kTaskRows - 1) / kTaskRows, tasks < 8 ? tasks : 8, g.tiles);
        const idx panel_tasks =
            clamp_index(tasks / row_tasks, 1, (panels + kTaskPanels - 1) / kTaskPanels);
        for (idx k0 = 0; k0 < g.k; k0 += blocks * g.depth) {
            const idx k1 = g.k - k0 < blocks * g.depth ? g.k : k0 + blocks * g.depth;
            const SharedPanels<T> shared{data, k0, k1, vector0, vectors};
            const idx here = (k1 - k0 + g.depth - 1) / g.depth;
            const idx pieces = here * panels;
            parallel_for(pieces, clamp_index(pieces / 16, 1, pieces), [&](idx begin, idx end) {
                for (idx i = begin; i < end; ++i) {
                    const idx block = k0 + i / panels * g.depth;
                    const idx vector = g.panel_vector(panel0 + i % panels);
                    const idx next = g.panel_vector(panel0 + i % panels + 1);
                    const idx depth = k1 - block < g.depth ? k1 - block : g.depth;
                    const idx end_col = next * lanes < g.n ? next * lanes : g.n;
                    pack_b_panel(g.b + block * g.b_step + vector * lanes * g.b_column, g.b_step,
                                 g.b_column, depth, static_cast<int>(next - vector),
                                 end_col - vector * lanes, shared.panel(block, depth, vector));
                }
            });
            parallel_for(row_tasks * panel_tasks, 1, [&](idx begin, idx end) {
                for (idx i = begin; i < end; ++i) {
                    const idx r = i / panel_tasks;
                    const idx q = i % panel_tasks;
                    GemmTask task{r * g.tiles / row_tasks,
                                  (r + 1) * g.tiles / row_tasks,
                                  panel0 + q * panels / panel_tasks,
                                  panel0 + (q + 1) * panels / panel_tasks,
                                  false,
                                  true};
                    task.pack_a = g.a_step != 1 && task.panel1 - task.panel0 >= kPackAPanels;
                    if (!run_task(g, task, shared, epilogue))
                        __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
                }
            });
        }
    }
    return ok;
}

// False: there was no memory for packing, and C is undefined.
template <class T, class Epilogue>
bool gemm(idx m, idx n, idx k, const T* a, idx a_rs, idx a_cs, const T* b, idx b_rs, idx b_cs, T* c,
          idx c_rs, bool accumulate, const Epilogue& epilogue) {
    constexpr idx lanes = kLanes<T>;
    if (m <= 0 || n <= 0) return true;
    if (k <= 0) {
        if (accumulate) return true;
        for (idx i = 0; i < m; ++i) {
            for (idx j = 0; j < n; j += lanes) {
                const int rest = static_cast<int>(n - j < lanes ? n - j : lanes);
                store_partial(c + i * c_rs + j, Vec<T>(epilogue(Vec<T>{}, i, j, rest)), rest);
            }
        }
        return true;
    }
    const idx depth = block_depth(k);
    if (m == 1 && (b_cs == 1 || b_rs == 1)) {
        const VectorResult<T, Epilogue> y{c, 1, false, accumulate, epilogue};
        multiply_vector(n, k, depth, b, b_cs == 1 ? b_rs : b_cs, b_cs != 1, a, a_cs, kVectorWork,
                        y);
        return true;
    }
    if (n == 1 && (a_cs == 1 || a_rs == 1)) {
        const VectorResult<T, Epilogue> y{c, c_rs, true, accumulate, epilogue};
        multiply_vector(m, k, depth, a, a_cs == 1 ? a_rs : a_cs, a_cs == 1, b, b_rs, kVectorWork,
                        y);
        return true;
    }
    GemmProblem<T> g{m, n, k, a, a_rs, a_cs, b, b_rs, b_cs, c, c_rs, accumulate, depth, 0, 0, 0};
    g.tiles = (m + kTileRows - 1) / kTileRows;
    g.vectors = (n + lanes - 1) / lanes;
    g.panels = (g.vectors + kTileVectors - 1) / kTileVectors;
    const double work = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    if (work < static_cast<double>(kThreadWork)) return run_few_rows(g, 1, epilogue);
    const double worth = work / static_cast<double>(kTaskWork);
    const idx tasks =
        worth < static_cast<double>(kMostTasks) ? static_cast<idx>(worth) : kMostTasks;
    if (m <= kFewRows && g.panels >= 3) {
        if (g.panels < 8) g.panels = clamp_index(g.panels + g.panels % 2, 1, g.vectors);
        return run_few_rows(g, tasks < g.panels ? tasks : g.panels, epilogue);
    }
    return run_many_rows(g, tasks, epilogue);
}

}  // namespace fastnn::FASTNN_ISA
