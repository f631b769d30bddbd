// SPDX-License-Identifier: BSD-3-Clause
// Convolution with few output channels and stride 1 along the rows: as conv_direct.h, with the two
// operands changed over. A vector holds neighbouring outputs, whose sources are neighbours in the
// box too; an element of W is broadcast. A tile is up to kWideRows output channels by as many
// vectors, from anywhere in the box, as the registers hold; so a tile of one channel has eight
// vectors. Nothing is transposed, and a tile of 8 x 3 sums has fewer loads than the 8 x 1 that one
// vector of channels leaves to conv_direct.h.
//
// Vectors begin with each row of outputs, or go on over the ends of rows where that makes fewer of
// them: the rows of the box follow each other, and the lanes between two rows of outputs are
// computed and dropped, as those beyond the end are.
//
// Bits of an element: as in conv_direct.h.
//
// Scratch: slots 0 (vectors), 1 (box) and, of the caller, 3 (W, steps).
#pragma once

#include "runtime/parallel.h"
#include "runtime/pool.h"
#include "simd/conv_direct.h"
#include "simd/conv_wide_tile.h"

namespace fastnn::FASTNN_ISA {

template <class T>  // output channels of a group
inline constexpr idx kMostWide = kLanes<T> > kWideRows ? kLanes<T> : kWideRows;
inline constexpr idx kLeastWide = 24;  // steps of k; below, ops/conv_depthwise.h has less to do
// Of so few steps of k, with the widest vectors, more channels: what conv_direct.h spends on
// transposing, as many steps as kTransposeSteps, weighs more than lanes that stand idle at the ends
// of rows.
inline constexpr idx kShallowDepth = 32;
template <class T>
inline constexpr idx kShallowWide = kVecBytes == 64 ? 32 : kMostWide<T>;
inline constexpr idx kTransposeSteps = 8;

// Vectors over the outputs of a box's plane.
template <class T>
struct WideRows {
    static constexpr idx lanes = kLanes<T>;
    idx rows, columns, pitch;  // of outputs; of the box
    bool flat;                 // vectors go on over the ends of rows

    WideRows(const ConvGrid& g, const ConvBoxes& b, const ConvBox& box)
        : WideRows(box.count[1], box.count[2], b.extent[2], g.stride[1]) {}

    WideRows(idx height, idx width, idx extent, idx stride)
        : rows(height),
          columns(width),
          pitch(extent),
          flat(stride == 1 && extent >= lanes && flat_vectors() < row_vectors() * height) {}

    idx row_vectors() const { return (columns + lanes - 1) / lanes; }
    idx flat_vectors() const { return ((rows - 1) * pitch + columns + lanes - 1) / lanes; }
    idx vectors() const { return flat ? flat_vectors() : row_vectors() * rows; }
};

// Over the outputs of a whole plane, however it is cut into boxes: that depends on the batch, and
// what is chosen by it must not.
template <class T>
WideRows<T> whole_plane(const ConvGrid& g) {
    const idx reach = (g.taps[2] - 1) * g.step[2];
    const idx extent = (g.out[2] - 1) * g.stride[2] + (reach < 0 ? -reach : reach) + 1;
    return {g.out[1], g.out[2], extent, g.stride[1]};
}

template <class T>
bool plan_wide(ConvDirect<T>& p) {
    constexpr idx lanes = kLanes<T>;
    const ConvGrid& g = p.source.grid;
    if (p.rows > kShallowWide<T> || g.stride[2] != 1 || p.terms > kBoxElements ||
        g.volume() > kBoxElements)
        return false;
    p.depth = p.terms * g.volume();
    const bool shallow = p.rows > kMostWide<T>;
    if (shallow && p.depth > kShallowDepth) return false;
    if (p.depth < kLeastWide || (p.terms == 1 && p.rows == 1)) return false;
    // One tap: instead comes simd/gemm_conv.h, which copies nothing and cuts k otherwise, so that
    // the choice must be the layer's alone.
    if (g.volume() == 1 && (p.rows > kWideRows || channels_fill_better<T>(g, p.rows))) return false;
    p.panels = (p.rows + kWideRows - 1) / kWideRows;
    p.vectors = (p.rows + p.panels - 1) / p.panels;
    p.width = p.panels * p.vectors;
    const idx blocks = (p.depth + kDirectDepth - 1) / kDirectDepth;
    p.block = (p.depth + blocks - 1) / blocks;
    const idx all = p.images * g.positions();
    const double each = static_cast<double>(p.rows) * static_cast<double>(p.depth);
    const idx least = static_cast<idx>(static_cast<double>(kTaskWork) / each) + 1;
    const idx wanted = clamp_index((all + kDirectTasks - 1) / kDirectTasks, 1, kDirectOutputs);
    if (!plan_boxes(g, p.images, p.terms, wanted > least ? wanted : least, 2 * lanes, p.boxes))
        return false;
    p.column_tasks = p.boxes.boxes;
    // Multiply-adds of whole vectors, of outputs or, by conv_direct.h, of channels, which must be
    // fewer by far if they are a single vector.
    const WideRows<T> plane = whole_plane<T>(g);
    const idx wide = plane.vectors() * p.width;
    const idx channels = (p.rows + lanes - 1) / lanes;
    const idx direct = plane.rows * plane.columns * channels;
    if (shallow) return wide * p.depth <= direct * (p.depth + kTransposeSteps);
    return g.volume() == 1 || wide * 5 <= direct * (channels == 1 ? 7 : 5);
}

// Those of a box. Returns how many.
template <class T>
idx fill_vectors(const ConvDirect<T>& p, const ConvBoxes& b, const ConvBox& box,
                 WideVector* vectors) {
    constexpr idx lanes = kLanes<T>;
    const ConvGrid& g = p.source.grid;
    const WideRows<T> rows(g, b, box);
    const auto lanes_left = [](idx left) {
        return static_cast<std::int16_t>(left < 0 ? 0 : left < lanes ? left : lanes);
    };
    const WideVector* const first = vectors;
    for (idx image = 0; image < box.images; ++image) {
        for (idx d = 0; d < box.count[0]; ++d) {
            const idx plane =
                image * p.terms * b.channel() + d * g.stride[0] * b.extent[1] * b.extent[2];
            const idx to = (box.image + image) * p.y_image + (box.first[0] + d) * p.y_stride[0] +
                           box.first[1] * p.y_stride[1] + box.first[2] * p.y_stride[2];
            idx row = 0;
            idx column = 0;
            while (row < rows.rows) {
                WideVector v{};
                v.from = static_cast<Offset>(plane + row * g.stride[1] * rows.pitch + column);
                v.count = lanes_left(rows.columns - column);
                v.to = to + row * p.y_stride[1] + column * p.y_stride[2];
                column += lanes;
                if (rows.flat && column >= rows.pitch) {
                    column -= rows.pitch;
                    ++row;
                    const idx tail = column < rows.columns ? column : rows.columns;
                    if (row < rows.rows) {
                        v.next = static_cast<std::int16_t>(lanes - column);
                        v.next_count = static_cast<std::int16_t>(tail);
                        v.next_to = to + row * p.y_stride[1];
                    }
                } else if (!rows.flat && column >= rows.columns) {
                    column = 0;
                    ++row;
                } else if (rows.flat && row + 1 == rows.rows && column >= rows.columns) {
                    ++row;
                }
                *vectors++ = v;
            }
        }
    }
    return vectors - first;
}

// Writes the first n lanes of the vectors from `from` on, from_step apart, to rows of y.
template <class T>
FASTNN_SIMD_INLINE void place_lanes(const T* from, idx from_step, idx rows, int n, const T* bias,
                                    T* to, idx to_channel, idx to_step) {
    for (idx i = 0; i < rows; ++i, from += from_step, to += to_channel) {
        if (to_step != 1) {
            const T extra = bias == nullptr ? T(0) : bias[i];
            for (int at = 0; at < n; ++at)
                to[at * to_step] = bias == nullptr ? from[at] : from[at] + extra;
        } else if (n == kLanes<T>) {
            store<T>(to, bias == nullptr ? load(from) : load(from) + broadcast(bias[i]));
        } else {
            const Vec<T> value = load_partial(from, n);
            store_partial(to, bias == nullptr ? value : value + broadcast(bias[i]), n);
        }
    }
}

// The sums of one box, and Y.
template <class T>
void run_wide_box(const ConvDirect<T>& p, idx group, const T* data, const WideVector* vectors,
                  idx all, bool ends) {
    constexpr idx lanes = kLanes<T>;
    alignas(kVecBytes) T sums[kShallowWide<T> / kWideRows * kTileRows * kTileVectors * lanes];
    const int wide = wide_vectors(static_cast<int>(p.vectors));
    const idx sums_row = wide * lanes;
    T* y = p.y + group * p.rows * p.y_channel;
    const T* bias = p.bias == nullptr ? nullptr : p.bias + group * p.rows;
    const ConvTileKernel<T> kernel = find_wide_kernel<T>(p.vectors);
    const WideOutputKernel<T> output =
        ends && p.depth <= p.block && p.y_stride[2] == 1 ? find_wide_output<T>(p.vectors) : nullptr;
    ConvTile<T> tile;
    tile.b = data;
    for (idx first = 0; first < all; first += wide) {
        const WideVector* v = vectors + first;
        const idx n = all - first < wide ? all - first : wide;
        Offset places[kTileRows];
        for (int i = 0; i < wide; ++i) places[i] = i < n ? v[i].from : 0;
        tile.rows = places;
        for (idx row = 0; output != nullptr && row < p.rows; row += p.vectors) {
            const idx rows = p.rows - row < p.vectors ? p.rows - row : p.vectors;
            tile.depth = p.depth;
            tile.steps = p.steps;
            tile.a = p.packed + (group * p.width + row) * p.depth;
            output(tile, {v, static_cast<int>(n), static_cast<int>(rows), y + row * p.y_channel,
                          p.y_channel, bias == nullptr ? bias : bias + row});
        }
        if (output != nullptr) continue;
        for (idx k = 0; k < p.depth; k += p.block) {
            tile.depth = p.depth - k < p.block ? p.depth - k : p.block;
            tile.steps = p.steps + k;
            tile.add = k > 0;
            for (idx row = 0; row < p.rows; row += p.vectors) {
                tile.a = p.packed + (group * p.width + row) * p.depth + k * p.vectors;
                tile.c = sums + row * sums_row;
                kernel(tile);
            }
        }
        for (idx i = 0; i < n; ++i) {
            const T* from = sums + i * lanes;
            place_lanes(from, sums_row, p.rows, v[i].count, bias, y + v[i].to, p.y_channel,
                        p.y_stride[2]);
            if (v[i].next_count > 0)
                place_lanes(from + v[i].next, sums_row, p.rows, v[i].next_count, bias,
                            y + v[i].next_to, p.y_channel, p.y_stride[2]);
        }
    }
}

// One box of all jobs. False: no memory.
template <class T>
bool run_wide_task(const ConvDirect<T>* jobs, int count, idx group, idx box_number) {
    constexpr idx lanes = kLanes<T>;
    const ConvDirect<T>& p = jobs[0];
    const ColumnSource<T> source{p.source.x + group * p.terms * p.source.channel, p.source.image,
                                 p.source.channel, p.source.grid};
    const idx elements = p.boxes.images * p.terms * p.boxes.channel();
    // A box has no more vectors than outputs.
    WideVector* vectors = static_cast<WideVector*>(
        pool_scratch(static_cast<std::size_t>(p.boxes.outputs()) * sizeof(WideVector), 0));
    // The last vectors may read beyond the box.
    T* data = static_cast<T*>(
        pool_scratch(static_cast<std::size_t>(elements + 2 * lanes) * sizeof(T), 1));
    if (vectors == nullptr || data == nullptr) return false;
    fill_box(source, p.boxes, conv_box(source.grid, p.boxes, p.images, box_number), p.terms, data);
    for (int j = 0; j < count; ++j) {
        const ConvBox box = conv_box(jobs[j].source.grid, p.boxes, p.images, box_number);
        if (box.outputs() == 0) continue;
        const idx all = fill_vectors(jobs[j], p.boxes, box, vectors);
        const bool ends = !WideRows<T>(jobs[j].source.grid, p.boxes, box).flat;
        run_wide_box(jobs[j], group, data, vectors, all, ends);
    }
    return true;
}

template <class T>
void pack_wide_weights(const ConvDirect<T>& p) {
    const ConvGrid& g = p.source.grid;
    const ConvWeights<T>& w = p.weights;
    T* to = p.packed;
    for (idx i = 0; i < p.groups * p.panels; ++i) {
        const idx row = i % p.panels * p.vectors;
        const idx rows = p.rows - row < p.vectors ? p.rows - row : p.vectors;
        const T* from = w.data + i / p.panels * w.group + row * w.row;
        for (idx c = 0; c < p.terms; ++c, from += w.term) {
            for (idx d = 0; d < g.taps[0]; ++d) {
                for (idx h = 0; h < g.taps[1]; ++h) {
                    const T* tap = from + d * w.step[0] + h * w.step[1];
                    for (idx t = 0; t < g.taps[2]; ++t, tap += w.step[2]) {
                        for (idx r = 0; r < rows; ++r) *to++ = tap[r * w.row];
                        for (idx r = rows; r < p.vectors; ++r) *to++ = T(0);
                    }
                }
            }
        }
    }
}

// As conv_direct, of jobs after plan_wide.
template <class T>
bool conv_wide(ConvDirect<T>* jobs, int count) {
    if (count > 1 && !share_boxes(jobs, count)) {
        for (int j = 0; j < count; ++j)
            if (!conv_wide(jobs + j, 1)) return false;
        return true;
    }
    if (count == 0) return true;
    if (!place_direct_weights(jobs, count)) return false;
    for (int j = 0; j < count; ++j) pack_wide_weights(jobs[j]);
    const ConvDirect<T>& p = jobs[0];
    bool ok = true;
    run_direct_tasks(jobs, count, p.groups * p.boxes.boxes, [&](idx i) {
        if (!run_wide_task(jobs, count, i % p.groups, i / p.groups))
            __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
    });
    return ok;
}

}  // namespace fastnn::FASTNN_ISA
