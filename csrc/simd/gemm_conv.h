// SPDX-License-Identifier: BSD-3-Clause
// Convolution as matrix multiplication: Y = A X + bias, with A a matrix of weights (rows, depth),
// X the columns of a source (conv_columns.h) that are packed panel by panel where the tile kernel
// wants them, and Y (rows, columns) anywhere in the images of the output: the columns of an image
// may be spread with any strides.
//
// A is read in place, or stands in tiles: tile t at row * depth, element (i, p) of it at p * rows +
// i. Y is written with `=`. The bits of an element are those that simd/gemm.h defines, whatever the
// panel that its column falls into: they depend on the shape of the layer alone.
//
// Blocking: a task is a range of panels and a range of tiles. For each block of k it packs a panel
// (at most kMostDepth by a tile's width) and lets the tiles of A go over it; the block of A stays
// in L2 while the task's panels pass by. Panels end with an image ("direct": Y is written in place)
// unless the images are small or Y is spread out: then panels go on over the images, the task's
// part of Y stands in scratch memory and is copied once it is done. A large Y of one block of k is
// written past the caches (simd/stream_tile.h), if its rows are whole vectors of memory.
//
// Scratch: slots 0 (Y of a task) and 1 (a panel).
#pragma once

#include "runtime/parallel.h"
#include "runtime/pool.h"
#include "simd/conv_columns.h"
#include "simd/gemm.h"
#include "simd/stream_tile.h"
#include "simd/streaming.h"

namespace fastnn::FASTNN_ISA {

// c_ij + bias_i
template <class T>
struct RowBiasEpilogue {
    const T* bias;

    FASTNN_SIMD_INLINE Vec<T> operator()(Vec<T> value, idx row, idx, int) const {
        return value + broadcast(bias[row]);
    }
};

inline constexpr idx kConvPanels = 8;              // of a task at most
inline constexpr idx kConvTasks = 32;              // with fewer panels to a task than that
inline constexpr idx kConvScratch = idx{1} << 15;  // elements of Y in scratch memory
inline constexpr idx kConvWaste = 16;              // multiply-adds that copying an element costs

template <class T>
struct ConvProduct {
    idx images;
    idx groups;
    idx rows;   // of one group
    idx depth;  // of A: channels of one group times taps
    const T* a;
    bool tiled;
    ColumnSource<T> source;  // group g's begins g * group_channels channels later
    idx group_channels;
    bool plain;  // an image's columns are a matrix: rows `channel` apart, of unit stride
    T* y;
    idx y_image;
    idx y_channel;    // from row to row
    idx y_stride[3];  // of the columns of an image
    const T* bias;    // of all groups' rows, or null
};

struct ConvPlan {
    bool direct;
    idx units;            // ranges of columns that panels do not cross: images, or all of them
    idx columns;          // of a unit
    idx vectors, panels;  // of a unit
    idx tiles;
    idx depth;  // of a block of k
    idx panels_per_task, column_tasks, row_tasks;
    bool stream;  // Y is written past the caches, by whole lines, from sums in scratch memory
};

struct ConvPanel {
    idx unit, first, count;  // columns [first, first + count) of the unit
    int vectors;
};

template <class T>
ConvPanel conv_panel(const ConvPlan& plan, idx u) {
    const idx q = u % plan.panels;
    const idx from = q * plan.vectors / plan.panels;
    const idx to = (q + 1) * plan.vectors / plan.panels;
    const idx first = from * kLanes<T>;
    const idx last = to * kLanes<T> < plan.columns ? to * kLanes<T> : plan.columns;
    return {u / plan.panels, first, last - first, static_cast<int>(to - from)};
}

inline bool dense_columns(const ConvGrid& g, const idx* stride) {
    return (g.out[2] == 1 || stride[2] == 1) && (g.out[1] == 1 || stride[1] == g.out[2]) &&
           (g.out[0] == 1 || stride[0] == g.out[1] * g.out[2]);
}

template <class T>
ConvPlan plan_conv(const ConvProduct<T>& p) {
    constexpr idx lanes = kLanes<T>;
    constexpr idx wide = kTileVectors * lanes;
    const idx positions = p.source.grid.positions();
    ConvPlan plan{};
    // What an image's last vector wastes, in multiply-adds for each of its elements.
    const idx waste = (positions + lanes - 1) / lanes * lanes - positions;
    plan.direct = dense_columns(p.source.grid, p.y_stride) && p.depth > 0 &&
                  (p.images == 1 || waste * p.depth <= positions * kConvWaste);
    plan.units = plan.direct ? p.images : 1;
    plan.columns = plan.direct ? positions : positions * p.images;
    plan.vectors = (plan.columns + lanes - 1) / lanes;
    plan.panels = (plan.vectors + kTileVectors - 1) / kTileVectors;
    plan.tiles = (p.rows + kTileRows - 1) / kTileRows;
    plan.depth = p.depth > 0 ? block_depth(p.depth) : 1;
    const std::uintptr_t start = reinterpret_cast<std::uintptr_t>(p.y);
    plan.stream = plan.direct && plan.depth >= p.depth && positions % lanes == 0 &&
                  start % kVecBytes == 0 &&
                  p.images * p.y_image >= kStreamBytes / static_cast<idx>(sizeof(T));
    const double panel_work =
        static_cast<double>(p.rows) * static_cast<double>(wide) * static_cast<double>(p.depth + 1);
    const double least = static_cast<double>(kTaskWork) / panel_work + 1;
    const idx most =
        plan.direct ? kConvPanels : clamp_index(kConvScratch / p.rows / wide, 1, kConvPanels);
    const idx all = plan.units * plan.panels;
    const idx few = least < static_cast<double>(most) ? static_cast<idx>(least) : most;
    plan.panels_per_task = clamp_index(all * p.groups / kConvTasks, few, most);
    plan.column_tasks = (all + plan.panels_per_task - 1) / plan.panels_per_task;
    const idx tasks = p.groups * plan.column_tasks;
    const double task_work = panel_work * static_cast<double>(plan.panels_per_task);
    const double worth = task_work / static_cast<double>(kTaskWork);
    plan.row_tasks = tasks >= 8 ? 1 : clamp_index((8 + tasks - 1) / tasks, 1, plan.tiles);
    if (worth < static_cast<double>(plan.row_tasks))
        plan.row_tasks = clamp_index(static_cast<idx>(worth), 1, plan.row_tasks);
    return plan;
}

template <class T>
FASTNN_SIMD_INLINE void add_and_copy(const T* from, idx count, const T* bias, T* to, idx to_step) {
    constexpr idx lanes = kLanes<T>;
    const T extra = bias != nullptr ? *bias : T(0);
    if (to_step != 1) {
        for (idx i = 0; i < count; ++i)
            to[i * to_step] = bias != nullptr ? from[i] + extra : from[i];
        return;
    }
    idx i = 0;
    for (; i + lanes <= count; i += lanes)
        store<T>(to + i, bias != nullptr ? load(from + i) + broadcast(extra) : load(from + i));
    if (i < count) {
        const int rest = static_cast<int>(count - i);
        const Vec<T> v = load_partial(from + i, rest);
        store_partial(to + i, bias != nullptr ? v + broadcast(extra) : v, rest);
    }
}

// Copies columns [first, first + count) over all images from scratch memory to where they belong,
// and adds the bias. Rows [row0, row1) of all groups' rows; `c` is the first of them.
template <class T>
void place_columns(const ConvProduct<T>& p, idx row0, idx row1, idx first, idx count, const T* c,
                   idx c_row) {
    const ConvGrid& g = p.source.grid;
    const idx positions = g.positions();
    const bool dense = dense_columns(g, p.y_stride);
    idx image = first / positions;
    idx place = first % positions;
    for (idx j = 0; j < count;) {
        const idx row_place = dense ? place : place % g.out[2];
        const idx row_length = dense ? positions : g.out[2];
        const idx left = row_length - row_place;
        const idx n = count - j < left ? count - j : left;
        T* to = p.y + image * p.y_image;
        if (dense) {
            to += place;
        } else {
            const idx d = place / (g.out[1] * g.out[2]);
            const idx h = place / g.out[2] % g.out[1];
            to += d * p.y_stride[0] + h * p.y_stride[1] + row_place * p.y_stride[2];
        }
        for (idx row = row0; row < row1; ++row)
            add_and_copy(c + (row - row0) * c_row + j, n,
                         p.bias == nullptr ? nullptr : p.bias + row, to + row * p.y_channel,
                         dense ? 1 : p.y_stride[2]);
        j += n;
        place += n;
        if (place == positions) {
            place = 0;
            ++image;
        }
    }
}

// Packs rows [k0, k1) of a panel of group g, or finds that they can be read where they are.
template <class T>
const T* conv_operand(const ConvProduct<T>& p, const ConvPlan& plan, idx group,
                      const ConvPanel& panel, idx k0, idx k1, idx tiles, T* packed, idx& b_step) {
    constexpr idx lanes = kLanes<T>;
    const ColumnSource<T>& whole = p.source;
    const T* x = whole.x + group * p.group_channels * whole.channel;
    const idx step = panel.vectors * lanes;
    b_step = step;
    if (p.plain && plan.direct) {
        const T* b = x + panel.unit * whole.image + k0 * whole.channel + panel.first;
        if (panel.count == step && tiles * plan.depth <= kPackBSteps) {
            b_step = whole.channel;
            return b;
        }
        pack_b_panel(b, whole.channel, idx{1}, k1 - k0, panel.vectors, panel.count, packed);
        return packed;
    }
    if (panel.count < step) {
        // The last vector's lanes that are no columns are multiplied all the same.
        T* last = packed + step - lanes;
        for (idx k = k0; k < k1; ++k, last += step) store<T>(last, Vec<T>{});
    }
    Span spans[kTileVectors * kLanes<T>];
    const ColumnSource<T> source{x, whole.image, whole.channel, whole.grid};
    const idx first = panel.unit * plan.columns + panel.first;
    const int count = find_spans(whole.grid, first, panel.count, spans);
    pack_columns(source, spans, count, k0, k1, step, packed);
    return packed;
}

// A panel of an image's columns that are read where they are, which the tiles of the panel before
// it bring into L2: each a line of every row. The rows are pages apart, so that nobody else does.
template <class T>
class PanelAhead {
  public:
    PanelAhead() = default;

    PanelAhead(const ConvProduct<T>& p, idx group, idx k0, const ConvPanel& panel) {
        const ColumnSource<T>& s = p.source;
        first_ =
            s.x + panel.unit * s.image + (group * p.group_channels + k0) * s.channel + panel.first;
        bytes_ = panel.count * static_cast<idx>(sizeof(T));
        step_ = s.channel * static_cast<idx>(sizeof(T));
    }

    // For the tile i of a panel.
    void fetch(idx i, TileOperands<T>& tile) const {
        const bool any = i * kLine < bytes_;
        tile.ahead = any ? reinterpret_cast<const char*>(first_) + i * kLine
                         : reinterpret_cast<const char*>(tile.b);
        tile.ahead_step = any ? step_ : 0;
    }

  private:
    static constexpr idx kLine = 64;  // bytes
    const T* first_ = nullptr;
    idx bytes_ = 0, step_ = 0;
};

// Sums of a tile, and their bias, past the caches.
template <class T>
void stream_sums(const T* sums, idx rows, const ConvPanel& panel, const T* bias, T* y,
                 idx y_channel, const Stores<T>& out) {
    constexpr int lanes = kLanes<T>;
    for (idx i = 0; i < rows; ++i, y += y_channel, sums += panel.vectors * lanes) {
        const T extra = bias == nullptr ? T(0) : bias[i];
        if (kVecBytes == 64 && panel.count == panel.vectors * lanes) {  // vectors are lines
            for (int v = 0; v < panel.vectors; ++v) {
                const Vec<T> sum = load(sums + v * lanes);
                stream(y + v * lanes, bias == nullptr ? sum : sum + broadcast(extra));
            }
            continue;
        }
        out.write(y, panel.count, [&](idx j, auto span) {
            const Vec<T> v = load_span(sums + j, span);
            return bias == nullptr ? v : v + broadcast(extra);
        });
    }
}

// Panels [panel0, panel1) times tiles [tile0, tile1) of one group. False: no memory.
template <class T>
bool run_conv_task(const ConvProduct<T>& p, const ConvPlan& plan, idx group, idx tile0, idx tile1,
                   idx panel0, idx panel1) {
    constexpr idx lanes = kLanes<T>;
    const auto tile_row = [&](idx t) { return t * p.rows / plan.tiles; };
    const idx row0 = tile_row(tile0);
    const idx row1 = tile_row(tile1);
    T* packed = static_cast<T*>(
        pool_scratch(static_cast<std::size_t>(plan.depth * kTileVectors * lanes) * sizeof(T), 1));
    if (packed == nullptr) return false;
    const ConvPanel begin = conv_panel<T>(plan, panel0);
    const ConvPanel end = conv_panel<T>(plan, panel1 - 1);
    const idx count = end.first + end.count - begin.first;  // of columns, if they are of one unit
    const idx scratch_row = (count + lanes - 1) / lanes * lanes;
    T* scratch = nullptr;
    if (!plan.direct) {
        const std::size_t bytes = static_cast<std::size_t>((row1 - row0) * scratch_row) * sizeof(T);
        scratch = static_cast<T*>(pool_scratch(bytes, 0));
        if (scratch == nullptr) return false;
        if (p.depth == 0) __builtin_memset(scratch, 0, bytes);
    }
    const Stores<T> out(plan.stream ? p.images * p.y_image : 0);
    const idx least = p.rows / plan.tiles;  // rows of a tile; some have one more
    for (idx block = 0; block < p.depth; block += plan.depth) {
        const idx depth = p.depth - block < plan.depth ? p.depth - block : plan.depth;
        const bool last_block = block + depth == p.depth;
        for (idx u = panel0; u < panel1; ++u) {
            const ConvPanel panel = conv_panel<T>(plan, u);
            TileOperands<T> tile;
            tile.b = conv_operand(p, plan, group, panel, block, block + depth, tile1 - tile0,
                                  packed, tile.b_step);
            tile.depth = depth;
            tile.lanes = static_cast<int>(panel.count - (panel.vectors - 1) * lanes);
            tile.add = block > 0;
            PanelAhead<T> ahead;
            if (p.plain && plan.direct && u + 1 < panel1)
                ahead = PanelAhead<T>(p, group, block, conv_panel<T>(plan, u + 1));
            T* c = plan.direct
                       ? p.y + panel.unit * p.y_image + group * p.rows * p.y_channel + panel.first
                       : scratch + (panel.first - begin.first);
            tile.c_row = plan.direct ? p.y_channel : scratch_row;
            const idx c_row0 = plan.direct ? 0 : row0;
            const auto find = [&](idx rows) {
                const int r = static_cast<int>(rows);
                return p.tiled ? find_tile_kernel<T, true>(r, panel.vectors)
                               : find_tile_kernel<T, false>(r, panel.vectors);
            };
            const TileKernel<T> kernels[2] = {find(least), find(least + 1)};
            for (idx t = tile0; t < tile1; ++t) {
                const idx row = tile_row(t);
                const idx rows = tile_row(t + 1) - row;
                const T* a = p.a + (group * p.rows + row) * p.depth;
                tile.a = p.tiled ? a + block * rows : a + block;
                tile.a_row = p.depth;
                tile.a_step = p.tiled ? rows : 1;
                ahead.fetch(t - tile0, tile);
                if (plan.stream) {
                    const T* bias = p.bias == nullptr ? nullptr : p.bias + group * p.rows + row;
                    tile.c = c + row * p.y_channel;
                    tile.c_row = p.y_channel;
                    if (!p.tiled && stream_tile(tile, rows, panel.vectors, bias)) continue;
                    alignas(kVecBytes) T sums[kTileRows * kTileVectors * lanes];
                    tile.c = sums;
                    tile.c_row = panel.vectors * lanes;
                    kernels[rows - least](tile);
                    stream_sums(sums, rows, panel, bias, c + row * p.y_channel, p.y_channel, out);
                    continue;
                }
                tile.c = c + (row - c_row0) * tile.c_row;
                kernels[rows - least](tile);
                if (last_block && plan.direct && p.bias != nullptr)
                    finish_tile(c, tile.c_row, row, rows, idx{0}, panel.count,
                                RowBiasEpilogue<T>{p.bias + group * p.rows});
            }
        }
    }
    if (!plan.direct)
        place_columns(p, group * p.rows + row0, group * p.rows + row1, begin.first, count, scratch,
                      scratch_row);
    return true;
}

// False: there was no memory for packing, and Y is undefined.
template <class T>
bool conv_product(const ConvProduct<T>& p) {
    const idx positions = p.source.grid.positions();
    if (p.images <= 0 || p.groups <= 0 || p.rows <= 0 || positions <= 0) return true;
    const ConvPlan plan = plan_conv(p);
    const idx all_panels = plan.units * plan.panels;
    const idx tasks = p.groups * plan.column_tasks * plan.row_tasks;
    const double work = static_cast<double>(p.images * positions) *
                        static_cast<double>(p.groups * p.rows) * static_cast<double>(p.depth + 1);
    const double each = work / static_cast<double>(tasks);
    idx piece = 1;
    if (work < static_cast<double>(kThreadWork)) {
        piece = tasks;
    } else if (each < static_cast<double>(kTaskWork)) {
        piece = static_cast<idx>(static_cast<double>(kTaskWork) / each);
    }
    bool ok = true;
    parallel_for(tasks, piece, [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) {
            const idx r = i % plan.row_tasks;
            const idx q = i / plan.row_tasks % plan.column_tasks;
            const idx panel0 = q * plan.panels_per_task;
            const idx panel1 = clamp_index(panel0 + plan.panels_per_task, 1, all_panels);
            const bool done = run_conv_task(p, plan, i / plan.row_tasks / plan.column_tasks,
                                            r * plan.tiles / plan.row_tasks,
                                            (r + 1) * plan.tiles / plan.row_tasks, panel0, panel1);
            if (!done) __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
        }
    });
    return ok;
}

}  // namespace fastnn::FASTNN_ISA
