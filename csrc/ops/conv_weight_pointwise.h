// SPDX-License-Identifier: BSD-3-Clause
// The gradient of the weights of a convolution of one tap, whose columns are x itself,
//
//   grad_weight[o, c] (+)= sum_{n, p} grad_y[n, o, p] x[n, c, p]      contiguous, `=` or `+=`
//   grad_bias[o] (+)= sum_{n, p} grad_y[n, o, p]                      if it is wanted: dY, large,
//                                                                     is read once for both
// as dY X^T, for as many output channels as there are channels of x or more: dY, the larger, is
// read where it is, by tables (simd/conv_tile.h); panels of X^T are transposed in registers.
//
// Blocking: an image is cut into blocks of at most kPointwiseDepth positions. A panel of a block of
// X^T stays in L1 while the tiles of dY pass by; while it works on one tile, the first panel
// fetches the next into L2, whose rows lie in as many pages. A task is a range of blocks times a
// range of rows; its sums stand in scratch memory, those of all are added up in the end.
//
// Bits: blocks, ranges and their order depend on the shape alone.
//
// Scratch: slots 1 (panel, tables) and, of the caller, 3 (sums).
#pragma once

#include "ops/conv_shape.h"
#include "runtime/parallel.h"
#include "runtime/pool.h"
#include "simd/conv_tile.h"
#include "simd/gemm.h"
#include "simd/gemm_pack.h"

namespace fastnn::FASTNN_ISA {

inline constexpr idx kPointwiseDepth = 256;  // positions; fewer in an image are not worth it
inline constexpr idx kPointwiseTiles = 36;   // of a task at most
inline constexpr idx kPointwiseTasks = 16;
inline constexpr idx kPointwiseRun = 16;  // blocks whose sums of dY are added up by themselves
inline constexpr idx kPointwiseSums = idx{1} << 21;  // elements, if there is more than one range

template <class T>
struct PointwiseWeight {
    const T* x;
    const T* grad_y;
    idx images, groups, positions;
    idx rows, columns;  // output channels and channels of a group
    idx width;          // columns, up to whole vectors
    idx tiles, row_parts, splits;
    idx blocks;  // of an image
    T* sums;     // (splits, groups, rows, width)
    T* biases;   // (splits, groups, rows, 2 lanes), or null

    idx tile_row(idx t) const { return t * rows / tiles; }
    idx panels() const { return (width / kLanes<T> + kTileVectors - 1) / kTileVectors; }
};

// False where another kernel is to compute it.
template <class T>
bool plan_pointwise_weight(const ConvShape& s, const T* x, const T* grad_y, PointwiseWeight<T>& p) {
    constexpr idx lanes = kLanes<T>;
    p = PointwiseWeight<T>{};
    p.positions = s.out_size();
    p.columns = s.group_channels;
    p.width = (p.columns + lanes - 1) / lanes * lanes;
    if (!s.pointwise() || s.group_outputs < p.columns || p.positions < kPointwiseDepth ||
        p.positions > kLargestSize / kTileRows / 2 || p.columns * 3 < p.width * 2)
        return false;
    p.x = x;
    p.grad_y = grad_y;
    p.images = s.images;
    p.groups = s.groups;
    p.rows = s.group_outputs;
    p.tiles = (p.rows + kTileRows - 1) / kTileRows;
    p.row_parts = (p.tiles + kPointwiseTiles - 1) / kPointwiseTiles;
    p.blocks = (p.positions + kPointwiseDepth - 1) / kPointwiseDepth;
    const double work = static_cast<double>(p.images * p.positions) * static_cast<double>(p.rows) *
                        static_cast<double>(p.columns * p.groups);
    const idx tasks = p.groups * p.row_parts;
    const double worth = work / static_cast<double>(kTaskWork);
    p.splits = clamp_index((kPointwiseTasks + tasks - 1) / tasks, 1, kPointwiseTasks);
    if (worth < static_cast<double>(p.splits)) p.splits = static_cast<idx>(worth);
    if (work < static_cast<double>(kThreadWork)) p.splits = 1;
    p.splits = clamp_index(p.splits, 1, p.images * p.blocks);
    p.splits = clamp_index(p.splits, 1,
                           clamp_index(kPointwiseSums / p.rows / p.width / p.groups, 1, p.splits));
    return true;
}

// Brings a tile of dY into L2.
template <class T>
FASTNN_SIMD_INLINE void fetch_tile(const T* from, idx row, idx rows, idx depth) {
    constexpr idx line = 64 / static_cast<idx>(sizeof(T));
    for (idx i = 0; i < rows; ++i, from += row)
        for (idx j = 0; j < depth; j += line) __builtin_prefetch(from + j, 0, 2);
}

// Adds the elements of row i at the places that leave the remainder `lane` to sums[i, 0, lane]. At
// the start of every run of blocks what is there goes to sums[i, 1, lane]: so an error grows with
// the blocks of a run and the runs, not with their product.
template <class T>
FASTNN_SIMD_INLINE void sum_tile(const T* from, idx row, idx rows, idx depth, idx unit, T* sums) {
    constexpr idx lanes = kLanes<T>;
    const bool start = unit % kPointwiseRun == 0;
    for (idx i = 0; i < rows; ++i, from += row, sums += 2 * lanes) {
        Vec<T> sum{};
        idx j = 0;
        for (; j + lanes <= depth; j += lanes) sum += load(from + j);
        if (j < depth) sum += load_partial(from + j, static_cast<int>(depth - j));
        if (start) {
            const Vec<T> zero{};
            store<T>(sums + lanes, unit == 0 ? zero : load(sums + lanes) + load(sums));
        }
        store<T>(sums, start ? sum : load(sums) + sum);
    }
}

// The blocks of a split times the tiles of a part. False: no memory.
template <class T>
bool run_pointwise_task(const PointwiseWeight<T>& p, idx split, idx group, idx part) {
    constexpr idx lanes = kLanes<T>;
    constexpr idx wide = kPointwiseDepth * kTileVectors * lanes;
    T* packed = static_cast<T*>(
        pool_scratch(static_cast<std::size_t>(wide) * sizeof(T) +
                         static_cast<std::size_t>(kPointwiseDepth + kTileRows) * sizeof(Offset),
                     1));
    if (packed == nullptr) return false;
    Offset* steps = static_cast<Offset*>(static_cast<void*>(packed + wide));
    Offset* rows = steps + kPointwiseDepth;
    for (idx j = 0; j < kPointwiseDepth; ++j) steps[j] = static_cast<Offset>(j);
    for (idx i = 0; i < kTileRows; ++i) rows[i] = static_cast<Offset>(i * p.positions);
    const idx tile0 = part * p.tiles / p.row_parts;
    const idx tile1 = (part + 1) * p.tiles / p.row_parts;
    const idx first_row = (split * p.groups + group) * p.rows;
    T* sums = p.sums + first_row * p.width;
    const idx units = p.images * p.blocks;
    const idx first_unit = split * units / p.splits;
    ConvTile<T> tile;
    tile.b = packed;
    tile.rows = rows;
    tile.steps = steps;
    tile.c_row = p.width;
    tile.add = false;
    for (idx unit = first_unit; unit < (split + 1) * units / p.splits; ++unit) {
        const idx image = unit / p.blocks;
        const idx block = unit % p.blocks;
        const idx first = block * p.positions / p.blocks;
        tile.depth = (block + 1) * p.positions / p.blocks - first;
        const T* x = p.x + (image * p.groups + group) * p.columns * p.positions + first;
        const T* grad_y = p.grad_y + (image * p.groups + group) * p.rows * p.positions + first;
        for (idx q = 0; q < p.panels(); ++q) {
            const idx vector = q * (p.width / lanes) / p.panels();
            const int vectors = static_cast<int>((q + 1) * (p.width / lanes) / p.panels() - vector);
            const idx left = p.columns - vector * lanes;
            tile.b_step = vectors * lanes;
            pack_b_panel(x + vector * lanes * p.positions, idx{1}, p.positions, tile.depth, vectors,
                         left < tile.b_step ? left : tile.b_step, packed);
            for (idx t = tile0; t < tile1; ++t) {
                const idx row = p.tile_row(t);
                const idx next = p.tile_row(t + 1);
                if (q == 0 && t + 1 < tile1)
                    fetch_tile(grad_y + next * p.positions, p.positions, p.tile_row(t + 2) - next,
                               tile.depth);
                tile.a = grad_y + row * p.positions;
                tile.c = sums + row * p.width + vector * lanes;
                find_conv_tile<T>(static_cast<int>(next - row), vectors)(tile);
                if (q == 0 && p.biases != nullptr)
                    sum_tile(tile.a, p.positions, next - row, tile.depth, unit - first_unit,
                             p.biases + (first_row + row) * 2 * lanes);
            }
        }
        tile.add = true;
    }
    return true;
}

// grad_bias may be null. False: no memory.
template <class T>
bool pointwise_weight(PointwiseWeight<T>& p, T* grad_weight, bool accumulate, T* grad_bias,
                      bool accumulate_bias) {
    constexpr idx lanes = kLanes<T>;
    const idx rows = p.groups * p.rows;
    const idx step = rows * p.width;
    p.sums = static_cast<T*>(pool_scratch(
        static_cast<std::size_t>(p.splits * rows * (p.width + 2 * lanes)) * sizeof(T), 3));
    if (p.sums == nullptr) return false;
    p.biases = grad_bias == nullptr ? nullptr : p.sums + p.splits * step;
    bool ok = true;
    const idx parts = p.groups * p.row_parts;
    const double each = static_cast<double>(p.images * p.positions) * static_cast<double>(rows) *
                        static_cast<double>(p.columns) / static_cast<double>(p.splits * parts);
    const idx piece = each < static_cast<double>(kTaskWork)
                          ? static_cast<idx>(static_cast<double>(kTaskWork) / (each + 1)) + 1
                          : 1;
    parallel_for(p.splits * parts, piece, [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) {
            if (!run_pointwise_task(p, i / parts, i % parts / p.row_parts, i % p.row_parts))
                __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
        }
    });
    if (!ok) return false;
    const idx share = kTaskWork / 8 / (p.splits * p.width);
    parallel_for(rows, share < 1 ? 1 : share, [&](idx begin, idx end) {
        for (idx row = begin; row < end; ++row) {
            T* to = grad_weight + row * p.columns;
            for (idx c = 0; c < p.columns; c += lanes) {
                const T* from = p.sums + row * p.width + c;
                Vec<T> sum = load(from);
                for (idx split = 1; split < p.splits; ++split) sum += load(from + split * step);
                const idx left = p.columns - c;
                const int n = static_cast<int>(left < lanes ? left : lanes);
                store_partial(to + c, accumulate ? load_partial(to + c, n) + sum : sum, n);
            }
            if (grad_bias == nullptr) continue;
            Vec<T> sum{};
            for (idx split = 0; split < p.splits; ++split) {
                const T* from = p.biases + (split * rows + row) * 2 * lanes;
                sum += load(from) + load(from + lanes);
            }
            const T total = reduce_add(sum);
            grad_bias[row] = accumulate_bias ? grad_bias[row] + total : total;
        }
    });
    return true;
}

}  // namespace fastnn::FASTNN_ISA
