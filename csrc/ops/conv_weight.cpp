// SPDX-License-Identifier: BSD-3-Clause
// The gradient of a convolution's weights,
//
//   grad_weight[o, c, t] (+)= sum_{n, p} grad_y[n, o, p] x[n, c, p stride - padding + t dilation]
//
// contiguous, `=` or with accumulate `+=`. As a product of matrices it is X dY^T, with X the
// columns of x (simd/conv_columns.h), over all positions of all images: rows are (channel, tap),
// columns output channels. Both operands are made block by block: a block of X, which the tile
// kernel reads in place, and panels of dY transposed in registers. Sums of the transpose of
// grad_weight stand in scratch memory; at the end they are added up and turned.
//
// Bits: the positions are cut into splits and these into blocks, whose number depends on the shape
// alone; sums of a block, of a split's blocks and of the splits are taken in order.
//
// Scratch: slots 1 (dY), 2 (X) and, of the caller, 3 (sums).
#include "ops/conv_depthwise.h"
#include "ops/conv_shape.h"
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/conv_columns.h"
#include "simd/gemm.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPartTiles = 36;     // of X to a task; they share the panels of dY
constexpr idx kBatchTiles = 8;     // of X that are made at a time
constexpr idx kPartOutputs = 192;  // columns to a task; they share the blocks of X
constexpr idx kWantedTasks = 16;
constexpr idx kLeastSplit = 128;            // positions
constexpr idx kMostSums = idx{1} << 21;     // elements in scratch memory, if more than one split
constexpr idx kFinishPiece = idx{1} << 15;  // elements that a piece of the last loop turns

template <class T>
struct WeightProduct {
    const ConvShape* s;
    ColumnSource<T> source;
    const T* grad_y;
    idx positions;  // of an image
    idx all;        // positions of all images
    idx rows;       // channels of a group times taps
    idx width;      // output channels of a group, up to whole vectors
    idx tiles, depth;
    idx splits, row_parts, column_parts;
    T* sums;  // (splits, groups, rows, width)
};

template <class T>
WeightProduct<T> plan_weight(const ConvShape& s, const T* x, const T* grad_y) {
    constexpr idx lanes = kLanes<T>;
    WeightProduct<T> p{};
    p.s = &s;
    p.source = {x, s.channels * s.in_size(), s.in_size(), s.grid()};
    p.grad_y = grad_y;
    p.positions = s.out_size();
    p.all = s.images * p.positions;
    p.rows = s.group_channels * s.volume();
    p.width = (s.group_outputs + lanes - 1) / lanes * lanes;
    p.tiles = (p.rows + kTileRows - 1) / kTileRows;
    p.row_parts = (p.tiles + kPartTiles - 1) / kPartTiles;
    p.column_parts = (p.width + kPartOutputs - 1) / kPartOutputs;
    const idx tasks = s.groups * p.row_parts * p.column_parts;
    const double work =
        static_cast<double>(p.all) * static_cast<double>(p.rows) * static_cast<double>(s.outputs);
    const double worth = work / static_cast<double>(kTaskWork);
    p.splits = clamp_index((kWantedTasks + tasks - 1) / tasks, 1, kWantedTasks);
    if (worth < static_cast<double>(p.splits)) p.splits = static_cast<idx>(worth);
    if (work < static_cast<double>(kThreadWork)) p.splits = 1;
    const idx fit = kMostSums / p.rows / p.width / s.groups;
    p.splits = clamp_index(p.splits, 1, fit < 1 ? 1 : fit);
    p.splits = clamp_index(p.splits, 1, p.all / kLeastSplit < 1 ? 1 : p.all / kLeastSplit);
    p.depth = block_depth((p.all + p.splits - 1) / p.splits);
    return p;
}

// Rows [first, first + depth) of dY^T, of the output channels [output, output + outputs) of all.
template <class T>
void pack_grad(const WeightProduct<T>& p, idx first, idx depth, idx output, int vectors,
               idx outputs, T* to) {
    const idx step = idx{vectors} * kLanes<T>;
    for (idx done = 0; done < depth;) {
        const idx image = (first + done) / p.positions;
        const idx place = (first + done) % p.positions;
        const idx left = p.positions - place;
        const idx n = depth - done < left ? depth - done : left;
        const T* from = p.grad_y + (image * p.s->outputs + output) * p.positions + place;
        pack_b_panel(from, idx{1}, p.positions, n, vectors, outputs, to + done * step);
        done += n;
    }
}

// False: no memory.
template <class T>
bool run_weight_task(const WeightProduct<T>& p, idx split, idx group, idx row_part,
                     idx column_part) {
    constexpr idx lanes = kLanes<T>;
    const auto tile_row = [&](idx t) { return t * p.rows / p.tiles; };
    const idx tile0 = row_part * p.tiles / p.row_parts;
    const idx tile1 = (row_part + 1) * p.tiles / p.row_parts;
    const idx vector0 = column_part * (p.width / lanes) / p.column_parts;
    const idx vector1 = (column_part + 1) * (p.width / lanes) / p.column_parts;
    const idx panels = (vector1 - vector0 + kTileVectors - 1) / kTileVectors;
    const auto panel_vector = [&](idx q) { return vector0 + q * (vector1 - vector0) / panels; };
    T* packed = static_cast<T*>(pool_scratch(
        static_cast<std::size_t>(p.depth * (vector1 - vector0) * lanes) * sizeof(T), 1));
    T* made = static_cast<T*>(
        pool_scratch(static_cast<std::size_t>(p.depth * kBatchTiles * kTileRows) * sizeof(T), 2));
    if (packed == nullptr || made == nullptr) return false;
    T* sums = p.sums + (split * p.s->groups + group) * p.rows * p.width;
    const ColumnSource<T> source{p.source.x + group * p.s->group_channels * p.source.channel,
                                 p.source.image, p.source.channel, p.source.grid};
    const idx begin = split * p.all / p.splits;
    const idx end = (split + 1) * p.all / p.splits;
    Span spans[kMostSpans];
    for (idx block = begin; block < end; block += p.depth) {
        const idx depth = end - block < p.depth ? end - block : p.depth;
        for (idx q = 0; q < panels; ++q) {
            const idx v = panel_vector(q);
            const idx left = p.s->group_outputs - v * lanes;
            const idx most = (panel_vector(q + 1) - v) * lanes;
            pack_grad(p, block, depth, group * p.s->group_outputs + v * lanes,
                      static_cast<int>(panel_vector(q + 1) - v), left < most ? left : most,
                      packed + (v - vector0) * lanes * depth);
        }
        const int count = find_spans(source.grid, block, depth, spans);
        for (idx t0 = tile0; t0 < tile1; t0 += kBatchTiles) {
            const idx t1 = t0 + kBatchTiles < tile1 ? t0 + kBatchTiles : tile1;
            pack_columns(source, spans, count, tile_row(t0), tile_row(t1), depth, made);
            for (idx q = 0; q < panels; ++q) {
                const idx v = panel_vector(q);
                const int vectors = static_cast<int>(panel_vector(q + 1) - v);
                TileOperands<T> tile;
                tile.a_row = depth;
                tile.a_step = 1;
                tile.b = packed + (v - vector0) * lanes * depth;
                tile.b_step = vectors * lanes;
                tile.c_row = p.width;
                tile.depth = depth;
                tile.ahead = reinterpret_cast<const char*>(tile.b);
                tile.ahead_step = 0;
                tile.lanes = lanes;
                tile.add = block > begin;
                for (idx t = t0; t < t1; ++t) {
                    const idx row = tile_row(t);
                    tile.a = made + (row - tile_row(t0)) * depth;
                    tile.c = sums + row * p.width + v * lanes;
                    find_tile_kernel<T, false>(static_cast<int>(tile_row(t + 1) - row),
                                               vectors)(tile);
                }
            }
        }
    }
    return true;
}

// grad_weight (+)= the transpose of the splits' sums, in squares of a vector's width.
template <class T>
void finish_weight(const WeightProduct<T>& p, T* grad_weight, bool accumulate) {
    constexpr idx lanes = kLanes<T>;
    const idx strips = (p.rows + lanes - 1) / lanes;
    const idx split_step = p.s->groups * p.rows * p.width;
    const idx piece = kFinishPiece / (lanes * p.width * p.splits);
    parallel_for(p.s->groups * strips, piece < 1 ? 1 : piece, [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) {
            const idx group = i / strips;
            const idx row = i % strips * lanes;
            const idx rows = p.rows - row < lanes ? p.rows - row : lanes;
            const T* from = p.sums + (group * p.rows + row) * p.width;
            T* to = grad_weight + group * p.s->group_outputs * p.rows + row;
            for (idx o = 0; o < p.s->group_outputs; o += lanes) {
                Vec<T> r[lanes];
                for (idx j = 0; j < lanes; ++j) {
                    r[j] = Vec<T>{};
                    if (j >= rows) continue;
                    const T* sums = from + j * p.width + o;
                    r[j] = load(sums);
                    for (idx split = 1; split < p.splits; ++split)
                        r[j] += load(sums + split * split_step);
                }
                transpose(r);
                const int part = static_cast<int>(rows);
                for (idx j = 0; j < lanes && o + j < p.s->group_outputs; ++j) {
                    T* out = to + (o + j) * p.rows;
                    store_partial(out, accumulate ? load_partial(out, part) + r[j] : r[j], part);
                }
            }
        }
    });
}

template <class T>
bool weight_product(const ConvShape& s, const T* x, const T* grad_y, T* grad_weight,
                    bool accumulate) {
    WeightProduct<T> p = plan_weight(s, x, grad_y);
    if (s.pointwise()) {
        ConvGrid& g = p.source.grid;
        g.in[2] = g.out[2] = p.positions;
        g.in[0] = g.in[1] = g.out[0] = g.out[1] = 1;
    }
    const std::size_t size = static_cast<std::size_t>(p.splits * s.groups * p.rows * p.width);
    p.sums = static_cast<T*>(pool_scratch(size * sizeof(T), 3));
    if (p.sums == nullptr) return false;
    const idx tasks = p.splits * s.groups * p.row_parts * p.column_parts;
    const double each = static_cast<double>(p.all) * static_cast<double>(p.rows) *
                        static_cast<double>(s.outputs) / static_cast<double>(tasks);
    idx piece = 1;
    if (each < static_cast<double>(kTaskWork))
        piece = static_cast<idx>(static_cast<double>(kTaskWork) / (each + 1)) + 1;
    bool ok = true;
    parallel_for(tasks, piece, [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) {
            const idx column_part = i % p.column_parts;
            const idx row_part = i / p.column_parts % p.row_parts;
            const idx group = i / p.column_parts / p.row_parts % s.groups;
            const idx split = i / p.column_parts / p.row_parts / s.groups;
            if (!run_weight_task(p, split, group, row_part, column_part))
                __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
        }
    });
    if (ok) finish_weight(p, grad_weight, accumulate);
    return ok;
}

}  // namespace

template <class T>
Status conv_backward_weight(In<T> x, In<T> grad_y, InOut<T> grad_weight, Ints stride, Ints padding,
                            Ints dilation, idx groups, bool accumulate) {
    ConvShape s;
    if (!read_conv(x.shape, grad_weight.shape, grad_y.shape, stride, padding, dilation, groups, s))
        return Status::kBadValue;
    if (grad_weight.size == 0) return Status::kOk;
    if (x.size == 0 || grad_y.size == 0) {
        if (!accumulate)
            for (idx i = 0; i < grad_weight.size; ++i) grad_weight.data[i] = T(0);
        return Status::kOk;
    }
    const bool direct = s.group_channels == 1 && depthwise_fits<T>(s.grid(), s.group_outputs, 1);
    const bool done = direct
                          ? depthwise_weight(s, x.data, grad_y.data, grad_weight.data, accumulate)
                          : weight_product(s, x.data, grad_y.data, grad_weight.data, accumulate);
    return done ? Status::kOk : Status::kNoMemory;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(conv_backward_weight,
          "x(n,c,d,h,w) grad_y(n,o,od,oh,ow) grad_weight(o,cg,kd,kh,kw) stride padding dilation "
          "groups accumulate",
          kPlain, conv_backward_weight<float>, conv_backward_weight<double>)
