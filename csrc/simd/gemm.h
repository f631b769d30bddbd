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
// size so that no edge is padded, or into broad tiles where the columns are one of them, or two and
// the rows few. A panel of B, one tile wide and a block of k deep, is in L1 and L2 while the tiles
// of A pass by; a task's rows of A are in L2. There are three ways to share the work:
//
//   * Few rows: a task is a range of panels. It packs each panel just before it is used.
//   * More, and a B that the threads' L2 hold: each thread has a part of the columns. It packs the
//     panels while it computes the first tiles, and each fetches lines of the next panel of B; then
//     it takes a few tiles at a time. Who is ready helps those that have packed, once each, so that
//     an uneven machine costs a few tiles' time, not a part's, unless it is uneven by far.
//   * Else all threads pack B first, in parts of at most kSharedBytes. A task is a block of rows
//     times a range of panels; while it works on one panel it fetches the next into L2.
//
// The tasks depend on the shape and, in the second case and where broad tiles would be two tasks,
// on the number of threads; the bits do not.
//
// Scratch: slots 0 (A, of each thread) and 1 (B, of the caller if shared, else of each thread).
//
// Source: Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication"; Smith,
// van de Geijn, Smelyanskiy, Hammond, Van Zee 2014 for the parallel loops.
#pragma once

#include <cstddef>

#include "runtime/parallel.h"
#include "runtime/pool.h"
#include "runtime/types.h"
#include "simd/gemm_task.h"
#include "simd/gemm_vector.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

// Measured on the core of gemm_task.h.
inline constexpr idx kThreadWork = idx{1} << 20;   // multiply-adds; below, one thread is faster
inline constexpr idx kTaskWork = idx{1} << 18;     // the least that a task should have to do
inline constexpr idx kVectorWork = idx{1} << 17;   // the same for a matrix times a vector
inline constexpr idx kMostTasks = 32;              // unless blocks of kTaskRows make more
inline constexpr idx kFewRows = 192;               // A with these many rows stays in L2
inline constexpr idx kTaskRows = 96;               // of a task where there are many
inline constexpr idx kTaskPanels = 8;              // a task has at least half as many, if it can
inline constexpr idx kRowTasks = 8;                // row tasks are a multiple of these many
inline constexpr idx kSharedBytes = idx{8} << 20;  // of packed B
inline constexpr idx kPartRows = 1024;             // at most, for parts of the columns
inline constexpr double kPartBytes = 3 << 19;      // of B at most, the same
inline constexpr idx kMostParts = 16;              // one for each thread
inline constexpr idx kGroupTiles = 4;              // that a thread takes at a time

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

// What the threads must know of a part of the columns.
struct alignas(64) GemmPart {
    idx next;  // group of tiles
    bool packed;
};

// Every thread begins with a part of the columns of its own, packs its panels while it computes the
// first group of tiles, and takes group after group; then it helps the others, whose panels are
// packed by then. Nobody waits for anybody.
template <class T, class Epilogue>
bool run_parts(GemmProblem<T> g, idx parts, const Epilogue& epilogue) {
    g.panels = clamp_index((g.panels + parts - 1) / parts * parts, 1, g.vectors);
    const std::size_t size = static_cast<std::size_t>(g.vectors * g.k) * kVecBytes;
    T* data = static_cast<T*>(pool_scratch(size, 1));
    if (data == nullptr) return false;
    const SharedPanels<T> shared{data, 0, g.k, 0, g.vectors};
    const idx groups = (g.tiles + kGroupTiles - 1) / kGroupTiles;
    GemmPart part[kMostParts] = {};
    bool ok = true;
    const auto run = [&](idx p, idx group) {
        GemmTask<T> task(g, group * g.tiles / groups, (group + 1) * g.tiles / groups,
                         p * g.panels / parts, (p + 1) * g.panels / parts);
        task.fill = group == 0;
        if (!run_task(g, task, shared, epilogue)) __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
    };
    parallel_for(parts, 1, [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) {
            run(i, 0);
            __atomic_store_n(&part[i].packed, true, __ATOMIC_RELEASE);
            for (idx j = 0; j < parts; ++j) {
                const idx p = (i + j) % parts;
                if (!__atomic_load_n(&part[p].packed, __ATOMIC_ACQUIRE)) continue;
                for (;;) {
                    const idx group = 1 + __atomic_fetch_add(&part[p].next, 1, __ATOMIC_RELAXED);
                    if (group >= groups) break;
                    run(p, group);
                }
            }
        }
    });
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
    // Two broad tiles and few rows are two tasks: no more threads than that may be waiting.
    const bool pair = g.vectors == 2 * kBroadVectors && m <= kFewRows && pool_threads() <= 2;
    const bool broad = kBroadVectors > kTileVectors && (g.vectors == kBroadVectors || pair);
    if (broad) {
        g.tiles = (m + kBroadRows - 1) / kBroadRows;
        g.panels = g.vectors / kBroadVectors;
    }
    const double work = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    if (work < static_cast<double>(kThreadWork)) return run_few_rows(g, 1, epilogue);
    const double tasks = work / static_cast<double>(kTaskWork);
    const idx worth = tasks < 1e9 ? static_cast<idx>(tasks) : idx{1000000000};
    if (m <= kFewRows && g.panels >= (broad ? 2 : 3)) {
        // An even number of few panels, so that two threads have the same to do.
        if (g.panels < 8) g.panels = clamp_index(g.panels + g.panels % 2, 1, g.vectors);
        const idx most = g.panels < kMostTasks ? g.panels : kMostTasks;
        return run_few_rows(g, worth < most ? worth : most, epilogue);
    }
    const double bytes = static_cast<double>(n) * static_cast<double>(k) * sizeof(T);
    const idx parts = pool_threads() < 2 ? 2 : pool_threads();  // one would not use the pool
    if (m <= kPartRows && bytes <= kPartBytes && parts <= kMostParts && g.panels >= 2 * parts)
        return run_parts(g, parts, epilogue);
    return run_many_rows(g, worth, epilogue);
}

}  // namespace fastnn::FASTNN_ISA
