// SPDX-License-Identifier: BSD-3-Clause
// The gradients of a convolution of one tap, whose columns are x itself,
//
//   grad_weight[o, c] (+)= sum_{n, p} grad_y[n, o, p] x[n, c, p]      contiguous, `=` or `+=`
//   grad_bias[o] (+)= sum_{n, p} grad_y[n, o, p]                      if it is wanted
//   grad_x[n, c, p] = sum_o weight[o, c] grad_y[n, o, p]              if it is wanted
//
// for as many output channels as there are channels of x or more: dY, the largest, is read once for
// all of them. For dW = dY X^T it is read where it is, and panels of X^T are transposed in
// registers; for dX = W^T dY panels of it are packed, and W^T stands in tiles.
//
// Blocking: an image is cut into blocks of at most kPointwiseDepth positions, of which dY is in L2.
// Panels of dY, then of X^T, stay in L1 while the tiles of W^T and of dY pass by; all of these
// fetch the next block into L2, a few lines each (simd/ahead_tile.h), as its rows lie in as many
// pages. A task is a range of blocks times a range of rows; its sums of dW stand in scratch memory,
// those of all are added up in the end. The first range of rows has dX to do.
//
// Bits: blocks, ranges and their order depend on the shape alone; dX is as simd/gemm.h defines.
//
// Scratch: slots 1 (panel) and, of the caller, 3 (sums, W^T).
#pragma once

#include "ops/conv_shape.h"
#include "runtime/parallel.h"
#include "runtime/pool.h"
#include "simd/ahead_tile.h"
#include "simd/gemm.h"
#include "simd/gemm_pack.h"

namespace fastnn::FASTNN_ISA {

inline constexpr idx kPointwiseDepth = 256;  // positions; fewer in an image are not worth it
inline constexpr idx kPointwiseVectors = 2;  // of a panel of dY: kMostDepth rows of it fit L1
inline constexpr idx kPointwiseTiles = 64;   // of a task at most
inline constexpr idx kPointwiseTasks = 16;
inline constexpr idx kPointwiseRun = 16;  // blocks whose sums of dY are added up by themselves
inline constexpr idx kPointwiseSums = idx{1} << 21;  // elements, if there is more than one range

template <class T>
struct PointwiseWeight {
    const T* x;
    const T* grad_y;
    const T* weight;  // if grad_x is wanted, else null
    T* grad_x;
    idx images, groups, positions;
    idx rows, columns;  // output channels and channels of a group
    idx width;          // columns, up to whole vectors
    idx tiles, row_parts, splits;
    idx blocks;     // of an image
    T* sums;        // (splits, groups, rows, width)
    T* biases;      // (splits, groups, rows, 2 lanes), or null
    T* transposed;  // weight in tiles of columns, group by group

    static constexpr idx wide() { return kPointwiseVectors * kLanes<T>; }
    idx tile_row(idx t) const { return t * rows / tiles; }
    idx panels() const { return (width / kLanes<T> + kTileVectors - 1) / kTileVectors; }
    idx column_tiles() const { return (columns + kTileRows - 1) / kTileRows; }
    idx tile_column(idx t) const { return t * columns / column_tiles(); }
    const T* column_tile(idx group, idx t) const {
        return transposed + (group * columns + tile_column(t)) * rows;
    }
    idx units() const { return images * blocks; }
    // Blocks consist of whole panels of dY, but for the last.
    idx first(idx block) const {
        const idx at = block * ((positions + wide() - 1) / wide()) / blocks * wide();
        return at < positions ? at : positions;
    }
    idx unit_positions(idx u) const { return first(u % blocks + 1) - first(u % blocks); }
    idx x_place(idx u, idx group) const {
        return (u / blocks * groups + group) * columns * positions + first(u % blocks);
    }
    const T* unit_grad(idx u, idx group) const {
        return grad_y + (u / blocks * groups + group) * rows * positions + first(u % blocks);
    }
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
        p.columns * 3 < p.width * 2)
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

template <class T>
FASTNN_SIMD_INLINE void run_pointwise_tile(const TileOperands<T>& tile, idx rows, int vectors,
                                           const std::int32_t* places) {
    if (rows == kTileRows && tile.lanes == kLanes<T>) {
        if constexpr (kTileVectors >= 3) {
            if (vectors == 3) return ahead_tile_kernel<T, kTileRows, 3>(tile, places);
        }
        if (vectors == 2) return ahead_tile_kernel<T, kTileRows, 2>(tile, places);
    }
    fetch_places(tile.ahead, places, tile.depth);
    find_tile_kernel<T, false>(static_cast<int>(rows), vectors)(tile);
}

// dX of a unit: all channels of a group.
template <class T>
void run_pointwise_input(const PointwiseWeight<T>& p, idx group, idx unit, T* packed, Ahead& ahead,
                         const std::int32_t* places) {
    constexpr idx lanes = kLanes<T>;
    const idx positions = p.unit_positions(unit);
    const idx depth = block_depth(p.rows);
    const T* grad_y = p.unit_grad(unit, group);
    T* grad_x = p.grad_x + p.x_place(unit, group);
    TileOperands<T> tile{};
    tile.b = packed;
    tile.a_row = 1;
    tile.c_row = p.positions;
    for (idx first = 0; first < positions; first += p.wide()) {
        const idx count = clamp_index(positions - first, 1, p.wide());
        const int vectors = static_cast<int>((count + lanes - 1) / lanes);
        tile.b_step = vectors * lanes;
        tile.lanes = static_cast<int>(count - (vectors - 1) * lanes);
        for (idx row = 0; row < p.rows; row += depth) {
            tile.depth = clamp_index(p.rows - row, 1, depth);
            tile.add = row > 0;
            pack_b_panel(grad_y + row * p.positions + first, p.positions, idx{1}, tile.depth,
                         vectors, count, packed);
            for (idx t = 0; t < p.column_tiles(); ++t) {
                const idx columns = p.tile_column(t + 1) - p.tile_column(t);
                tile.a = p.column_tile(group, t) + row * columns;
                tile.a_step = columns;
                tile.c = grad_x + p.tile_column(t) * p.positions + first;
                tile.ahead = ahead.next();
                run_pointwise_tile(tile, columns, vectors, places);
            }
        }
    }
}

// The blocks of a split times the tiles of a part. False: no memory.
template <class T>
bool run_pointwise_task(const PointwiseWeight<T>& p, idx split, idx group, idx part) {
    constexpr idx lanes = kLanes<T>;
    constexpr idx most = kMostDepth > kPointwiseDepth ? kMostDepth : kPointwiseDepth;
    constexpr idx panel = most * kTileVectors * lanes;
    T* packed = static_cast<T*>(pool_scratch(static_cast<std::size_t>(panel) * sizeof(T), 1));
    if (packed == nullptr) return false;
    const idx tile0 = part * p.tiles / p.row_parts;
    const idx tile1 = (part + 1) * p.tiles / p.row_parts;
    const bool input = p.weight != nullptr && part == 0;
    const idx row0 = p.tile_row(tile0);
    const idx rows = (input ? p.rows : p.tile_row(tile1)) - row0;
    const idx first_row = (split * p.groups + group) * p.rows;
    T* sums = p.sums + first_row * p.width;
    const idx first_unit = split * p.units() / p.splits;
    const idx last_unit = (split + 1) * p.units() / p.splits;
    const idx row_bytes = p.positions * static_cast<idx>(sizeof(T));
    const idx depth = block_depth(p.rows);
    std::int32_t places[2][most];
    TileOperands<T> tile{};
    tile.b = packed;
    tile.a_row = p.positions;
    tile.a_step = 1;
    tile.c_row = p.width;
    tile.lanes = lanes;
    for (idx unit = first_unit; unit < last_unit; ++unit) {
        const T* x = p.x + p.x_place(unit, group);
        const T* grad_y = p.unit_grad(unit, group);
        tile.depth = p.unit_positions(unit);
        const bool more = unit + 1 < last_unit;
        const idx next = more ? unit + 1 : unit;
        Ahead ahead(p.unit_grad(next, group) + row0 * p.positions, rows,
                    p.x + p.x_place(next, group), p.columns, row_bytes);
        idx calls = p.panels() * (tile1 - tile0);
        if (input)
            calls += (tile.depth + p.wide() - 1) / p.wide() * p.column_tiles() *
                     ((p.rows + depth - 1) / depth);
        ahead.share(calls);
        const idx bytes = more ? p.unit_positions(next) * static_cast<idx>(sizeof(T)) : 0;
        ahead.spread(bytes, depth, places[0]);
        ahead.spread(bytes, tile.depth, places[1]);
        if (input) run_pointwise_input(p, group, unit, packed, ahead, places[0]);
        for (idx q = 0; q < p.panels(); ++q) {
            const idx vector = q * (p.width / lanes) / p.panels();
            const int vectors = static_cast<int>((q + 1) * (p.width / lanes) / p.panels() - vector);
            const idx left = p.columns - vector * lanes;
            tile.b_step = vectors * lanes;
            pack_b_panel(x + vector * lanes * p.positions, idx{1}, p.positions, tile.depth, vectors,
                         left < tile.b_step ? left : tile.b_step, packed);
            for (idx t = tile0; t < tile1; ++t) {
                const idx row = p.tile_row(t);
                const idx count = p.tile_row(t + 1) - row;
                tile.a = grad_y + row * p.positions;
                tile.c = sums + row * p.width + vector * lanes;
                tile.ahead = ahead.next();
                run_pointwise_tile(tile, count, vectors, places[1]);
                if (q == 0 && p.biases != nullptr)
                    sum_tile(tile.a, p.positions, count, tile.depth, unit - first_unit,
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
    const idx sums = p.splits * rows * (p.width + 2 * lanes);
    const idx turned = p.weight == nullptr ? 0 : rows * p.columns + kPackSlack<T>;
    p.sums = static_cast<T*>(pool_scratch(static_cast<std::size_t>(sums + turned) * sizeof(T), 3));
    if (p.sums == nullptr) return false;
    p.transposed = p.sums + sums;
    for (idx g = 0; p.weight != nullptr && g < p.groups; ++g) {
        for (idx t = 0; t < p.column_tiles(); ++t) {
            const idx column = p.tile_column(t);
            pack_a_tile(p.weight + g * p.rows * p.columns + column, idx{1}, p.columns,
                        p.tile_column(t + 1) - column, p.columns - column, p.rows,
                        p.transposed + (g * p.columns + column) * p.rows);
        }
    }
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
