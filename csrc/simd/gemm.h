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
// size so that no edge is padded. A panel of B, one tile wide and a block of k deep, is in L1 and
// L2 while the tiles of A pass by; a task's rows of A are in L2. There are two ways to share the
// work:
//
//   * Few rows: a task is a range of panels. It packs each panel just before it is used.
//   * Many rows: all threads pack B first, in parts of at most kSharedBytes. A task is a block of
//     rows times a range of panels; while it works on one panel it fetches the next into L2.
//
// A is read where it is if its rows are contiguous, else packed if enough panels use it. So is a
// panel of B if its rows are contiguous and few tiles use it. Tasks depend on the shape alone.
//
// Scratch: slots 0 (A, of each thread) and 1 (B, of the caller if shared, else of each thread).
//
// Source: Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication"; Smith,
// van de Geijn, Smelyanskiy, Hammond, Van Zee 2014 for the parallel loops.
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

// Measured on a core with 48 KB of L1 and 2 MB of L2, of 32 fused multiply-adds of floats a cycle.
inline constexpr idx kMostDepth = 384;             // of a block of k
inline constexpr idx kThreadWork = idx{1} << 20;   // multiply-adds; below, one thread is faster
inline constexpr idx kTaskWork = idx{1} << 18;     // the least that a task should have to do
inline constexpr idx kVectorWork = idx{1} << 17;   // the same for a matrix times a vector
inline constexpr idx kMostTasks = 32;              // unless blocks of kTaskRows make more
inline constexpr idx kFewRows = 192;               // A with these many rows stays in L2
inline constexpr idx kTaskRows = 96;               // of a task where there are many
inline constexpr idx kTaskPanels = 8;              // a task has at least half as many, if it can
inline constexpr idx kPackAPanels = 3;             // a task with these many panels packs A
inline constexpr idx kPackAStep = 1024;            // one panel less, if steps are so far apart
inline constexpr idx kRowTasks = 8;                // row tasks are a multiple of these many
inline constexpr idx kPackBSteps = 1536;           // tiles times depth from which B is packed
inline constexpr idx kPackSteps = 16;              // of k, when packing A
inline constexpr idx kAheadRows = 24;              // of B, when reading it where it is
inline constexpr idx kSharedBytes = idx{8} << 20;  // of packed B

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
          pack_b(g.b_column != 1 || (last_tile - first_tile) * g.depth > kPackBSteps) {}

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
                tile.b = shared.panel(block, depth, vector);
            } else if (!task.pack_b && tile.lanes == lanes) {
                tile.b = b;
                tile.b_step = g.b_step;
            } else {
                pack_b_panel(b, g.b_step, g.b_column, depth, vectors, cols, packed_b);
                tile.b = packed_b;
            }
            // The next panel of shared B comes from L3 or memory: the tiles of this one fetch it,
            // each a part. Of a B that is read where it is, they fetch some rows ahead.
            idx ahead_bytes = 0;
            tile.ahead = reinterpret_cast<const char*>(tile.b);
            tile.ahead_step = 0;
            if (tile.b == b) {
                tile.ahead = reinterpret_cast<const char*>(b + kAheadRows * g.b_step);
                tile.ahead_step = g.b_step * static_cast<idx>(sizeof(T));
            } else if (shared.data != nullptr && q + 1 < task.panel1) {
                const idx next = g.panel_vector(q + 1);
                ahead_bytes =
                    depth * (g.panel_vector(q + 2) - next) * kVecBytes / (task.tile1 - task.tile0);
                tile.ahead = reinterpret_cast<const char*>(shared.panel(block, depth, next));
                tile.ahead_step = ahead_bytes / depth;
            }
            // While the last of them passes by, each tile fetches a line of every step of the A
            // that is packed next.
            const T* next_a = nullptr;
            if (task.pack_a && g.a_row == 1 && shared.data != nullptr && q + 1 == task.panel1 &&
                block + depth < shared.k1)
                next_a = g.a + row0 + (block + depth) * g.a_step;
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
                if (next_a != nullptr) {
                    const idx i = (t - task.tile0) * line;
                    const bool any = row0 + i < g.tile_row(task.tile1);
                    tile.ahead = reinterpret_cast<const char*>(any ? next_a + i : next_a);
                    tile.ahead_step = any ? g.a_step * static_cast<idx>(sizeof(T)) : 0;
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

inline idx clamp_index(idx x, idx low, idx high) {
    const idx most = x < high ? x : high;
    return most < low ? low : most;
}

template <class T, class Epilogue>
bool run_few_rows(const GemmProblem<T>& g, idx tasks, const Epilogue& epilogue) {
    const SharedPanels<T> none{nullptr, 0, g.k, 0, 0};
    bool ok = true;
    parallel_for(tasks, 1, [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) {
            const GemmTask<T> task(g, 0, g.tiles, i * g.panels / tasks, (i + 1) * g.panels / tasks);
            if (!run_task(g, task, none, epilogue)) __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
        }
    });
    return ok;
}

// Packs panels [panel0, panel0 + panels) of the range of k of `shared`.
template <class T>
void pack_shared(const GemmProblem<T>& g, const SharedPanels<T>& shared, idx panel0, idx panels) {
    constexpr idx lanes = kLanes<T>;
    const idx pieces = (shared.k1 - shared.k0 + g.depth - 1) / g.depth * panels;
    parallel_for(pieces, clamp_index(pieces / 16, 1, pieces), [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) {
            const idx block = shared.k0 + i / panels * g.depth;
            const idx depth = shared.k1 - block < g.depth ? shared.k1 - block : g.depth;
            const idx vector = g.panel_vector(panel0 + i % panels);
            const idx next = g.panel_vector(panel0 + i % panels + 1);
            const idx col = vector * lanes;
            const idx cols = (next * lanes < g.n ? next * lanes : g.n) - col;
            pack_b_panel(g.b + block * g.b_step + col * g.b_column, g.b_step, g.b_column, depth,
                         static_cast<int>(next - vector), cols, shared.panel(block, depth, vector));
        }
    });
}

template <class T, class Epilogue>
bool run_many_rows(const GemmProblem<T>& g, idx worth, const Epilogue& epilogue) {
    const idx most = kSharedBytes / kVecBytes;  // vectors of packed B
    const idx wide = clamp_index(most / g.depth / kTileVectors, 1, g.panels);
    const idx groups = (g.panels + wide - 1) / wide;
    const idx all_blocks = (g.k + g.depth - 1) / g.depth;
    const idx row_blocks = (g.m + kTaskRows - 1) / kTaskRows;
    // Multiples of eight let up to eight threads have the same to do, more than the work is worth
    // never pays.
    const idx row_tasks = clamp_index(
        clamp_index((row_blocks + kRowTasks - 1) / kRowTasks * kRowTasks, 1, worth), 1, g.tiles);
    bool ok = true;
    for (idx group = 0; group < groups; ++group) {
        const idx panel0 = group * g.panels / groups;
        const idx panels = (group + 1) * g.panels / groups - panel0;
        const idx vector0 = g.panel_vector(panel0);
        const idx vectors = g.panel_vector(panel0 + panels) - vector0;
        const idx blocks = clamp_index(most / g.depth / vectors, 1, all_blocks);
        const idx deep = blocks == all_blocks ? g.k : blocks * g.depth;
        const idx bytes = vectors * kVecBytes * deep;
        T* data = static_cast<T*>(pool_scratch(static_cast<std::size_t>(bytes), 1));
        if (data == nullptr) return false;
        // Every range of panels packs A anew.
        const idx most_tasks = g.a_step == 1 ? kMostTasks : kMostTasks / 2;
        const idx panel_tasks = clamp_index((worth < most_tasks ? worth : most_tasks) / row_tasks,
                                            1, (panels + kTaskPanels - 1) / kTaskPanels);
        for (idx k0 = 0; k0 < g.k; k0 += deep) {
            const SharedPanels<T> shared{data, k0, g.k - k0 < deep ? g.k : k0 + deep, vector0,
                                         vectors};
            pack_shared(g, shared, panel0, panels);
            parallel_for(row_tasks * panel_tasks, 1, [&](idx begin, idx end) {
                for (idx i = begin; i < end; ++i) {
                    const idx r = i / panel_tasks;
                    const idx q = i % panel_tasks;
                    const GemmTask<T> task(
                        g, r * g.tiles / row_tasks, (r + 1) * g.tiles / row_tasks,
                        panel0 + q * panels / panel_tasks, panel0 + (q + 1) * panels / panel_tasks);
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
    const double tasks = work / static_cast<double>(kTaskWork);
    const idx worth = tasks < 1e9 ? static_cast<idx>(tasks) : idx{1000000000};
    if (m <= kFewRows && g.panels >= 3) {
        // An even number of few panels, so that two threads have the same to do.
        if (g.panels < 8) g.panels = clamp_index(g.panels + g.panels % 2, 1, g.vectors);
        const idx most = g.panels < kMostTasks ? g.panels : kMostTasks;
        return run_few_rows(g, worth < most ? worth : most, epilogue);
    }
    return run_many_rows(g, worth, epilogue);
}

}  // namespace fastnn::FASTNN_ISA
