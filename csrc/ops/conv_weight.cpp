// SPDX-License-Identifier: BSD-3-Clause
// The gradient of a convolution's weights,
//
//   grad_weight[o, c, t] (+)= sum_{n, p} grad_y[n, o, p] x[n, c, p stride - padding + t dilation]
//
// contiguous, `=` or with accumulate `+=`. As a product of matrices it is X dY^T, with X the
// columns of x, over all positions of all images: rows are (channel, tap), columns output channels.
// X is read from boxes of the padded x through tables (simd/conv_box.h), of which rows and steps
// have changed places with those of the convolution itself; where there are no boxes it is made
// for some positions at a time. Panels of dY are transposed in registers. Sums of the transpose of
// grad_weight stand in scratch memory; at the end they are added up and turned.
//
//   grad_bias[o] (+)= sum_{n, p} grad_y[n, o, p]
//
// goes with it in conv_backward_parameters: for planes ops/conv_depthwise_weight.h reads grad_y
// once for both, and so does ops/conv_weight_pointwise.h.
//
// Few output channels, whose vectors would be mostly empty: ops/conv_weight_images.h. One tap
// and no fewer output channels than channels: ops/conv_weight_pointwise.h. 3 x 3 taps of stride 1
// and many channels: ops/conv_weight_winograd.h. 7 or 8 rows of taps of stride 2, few channels:
// ops/conv_weight_halving.h.
//
// Bits: the positions are cut into splits of boxes and these into blocks, whose number depends on
// the shape alone; sums of a block, of a split's blocks and of the splits are taken in order.
//
// Scratch: slots 1 (dY), 2 (X and its tables) and, of the caller, 3 (sums).
#include "ops/channel_sum.h"
#include "ops/conv_depthwise_weight.h"
#include "ops/conv_shape.h"
#include "ops/conv_weight_halving.h"
#include "ops/conv_weight_images.h"
#include "ops/conv_weight_pointwise.h"
#include "ops/conv_weight_winograd.h"
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/conv_box.h"
#include "simd/conv_columns.h"
#include "simd/conv_taps_tile.h"
#include "simd/gemm.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPartTiles = 36;     // of X to a task; they share the panels of dY
constexpr idx kPartOutputs = 192;  // columns to a task; they share X
constexpr idx kWeightDepth = 256;  // of a block of positions
constexpr idx kUnitPositions = 2048;
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
    idx run;        // rows that no tile parts
    idx tiles;
    idx splits, row_parts, column_parts;
    bool boxed;  // X is read from boxes, else made
    ConvBoxes boxes;
    idx units;  // boxes, or blocks of positions
    T* sums;    // (splits, groups, rows, width)

    idx tile_row(idx t) const { return t * (rows / run) / tiles * run; }
    idx unit_first(idx u) const { return u * all / units; }
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
    p.tiles = count_row_tiles(p.rows, 1);
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
    const idx wanted = clamp_index((p.all + p.splits - 1) / p.splits, 1, kUnitPositions);
    const idx part_rows = (p.tiles / p.row_parts + 1) * kTileRows;
    const idx channels = clamp_index(part_rows / s.volume() + 2, 1, s.group_channels);
    p.boxed = s.volume() <= kBoxElements && (s.volume() > 1 || s.pointwise()) &&
              plan_boxes(p.source.grid, s.images, channels, wanted, idx{16}, p.boxes);
    p.units = p.boxed ? p.boxes.boxes : (p.all + kWeightDepth - 1) / kWeightDepth;
    p.splits = clamp_index(p.splits, 1, p.units);
    const bool runs = p.boxed && p.width == lanes && s.dilation[2] == 1;
    p.run = runs ? tap_run(p.rows, s.kernel[2]) : 1;
    p.tiles = count_row_tiles(p.rows, p.run);
    return p;
}

// What a task has of X: element (row r, position j) of a unit stands at data[rows[r] + places[j]].
template <class T>
struct WeightOperand {
    T* data;
    Offset* rows;
    Offset* places;
};

// The rows [row0, row1) of X for one unit. Returns how many positions it has.
template <class T>
idx prepare_unit(const WeightProduct<T>& p, idx group, idx row0, idx row1, idx unit, ConvBox& box,
                 const WeightOperand<T>& to) {
    const idx volume = p.s->volume();
    ColumnSource<T> source = p.source;
    source.x += group * p.s->group_channels * source.channel;
    if (p.boxed) {
        const idx channel0 = row0 / volume;
        const idx channels = (row1 + volume - 1) / volume - channel0;
        box = conv_box(source.grid, p.boxes, p.s->images, unit);
        source.x += channel0 * source.channel;
        fill_box(source, p.boxes, box, channels, to.data);
        fill_places(source.grid, p.boxes, box, channels, to.places);
        return box.outputs();
    }
    const idx first = p.unit_first(unit);
    const idx count = p.unit_first(unit + 1) - first;
    Span spans[kMostSpans];
    const int n = find_spans(source.grid, first, count, spans);
    pack_columns(source, spans, n, row0, row1, count, to.data);
    for (idx j = 0; j < count; ++j) to.places[j] = static_cast<Offset>(j);
    for (idx r = row0; r < row1; ++r) to.rows[r - row0] = static_cast<Offset>((r - row0) * count);
    return count;
}

// Positions [first, first + depth) of a unit of dY^T, of the output channels [output, output +
// outputs) of all.
template <class T>
void pack_grad(const WeightProduct<T>& p, idx unit, const ConvBox& box, idx first, idx depth,
               idx output, int vectors, idx outputs, T* to) {
    const ConvGrid& g = p.source.grid;
    for (idx done = 0; done < depth;) {
        idx image, place, left;
        if (p.boxed) {
            const BoxRun run = box_run(g, box, true, first + done);
            image = run.image;
            place = (run.place[0] * g.out[1] + run.place[1]) * g.out[2] + run.place[2];
            left = run.count;
        } else {
            const idx at = p.unit_first(unit) + first + done;
            image = at / p.positions;
            place = at % p.positions;
            left = p.positions - place;
        }
        const idx n = depth - done < left ? depth - done : left;
        const T* from = p.grad_y + (image * p.s->outputs + output) * p.positions + place;
        pack_b_panel(from, idx{1}, p.positions, n, vectors, outputs,
                     to + done * vectors * kLanes<T>);
        done += n;
    }
}

// False: no memory.
template <class T>
bool run_weight_task(const WeightProduct<T>& p, idx split, idx group, idx row_part,
                     idx column_part) {
    constexpr idx lanes = kLanes<T>;
    const idx tile0 = row_part * p.tiles / p.row_parts;
    const idx tile1 = (row_part + 1) * p.tiles / p.row_parts;
    const idx row0 = p.tile_row(tile0);
    const idx row1 = p.tile_row(tile1);
    const idx vector0 = column_part * (p.width / lanes) / p.column_parts;
    const idx vector1 = (column_part + 1) * (p.width / lanes) / p.column_parts;
    const idx panels = (vector1 - vector0 + kTileVectors - 1) / kTileVectors;
    const auto panel_vector = [&](idx q) { return vector0 + q * (vector1 - vector0) / panels; };
    const idx volume = p.s->volume();
    const idx channel0 = row0 / volume;
    const idx channels = (row1 + volume - 1) / volume - channel0;
    const idx most = p.boxed ? p.boxes.outputs() : kWeightDepth;
    const idx elements = p.boxed ? p.boxes.images * channels * p.boxes.channel() + lanes
                                 : (row1 - row0) * kWeightDepth;
    const idx wide = kWeightDepth * kTileVectors * lanes;
    T* packed = static_cast<T*>(pool_scratch(static_cast<std::size_t>(wide) * sizeof(T), 1));
    WeightOperand<T> x{};
    x.data = static_cast<T*>(
        pool_scratch(static_cast<std::size_t>(elements) * sizeof(T) +
                         static_cast<std::size_t>(most + row1 - row0) * sizeof(Offset),
                     2));
    if (packed == nullptr || x.data == nullptr) return false;
    x.rows = static_cast<Offset*>(static_cast<void*>(x.data + elements));
    x.places = x.rows + (row1 - row0);
    if (p.boxed)
        fill_steps(p.source.grid, p.boxes, row0 - channel0 * volume, row1 - channel0 * volume,
                   x.rows);
    ConvTile<T> tile;
    tile.a = x.data;
    tile.b = packed;
    tile.c_row = p.width;
    tile.add = false;
    T* sums = p.sums + (split * p.s->groups + group) * p.rows * p.width;
    ConvBox box{};
    for (idx unit = split * p.units / p.splits; unit < (split + 1) * p.units / p.splits; ++unit) {
        const idx count = prepare_unit(p, group, row0, row1, unit, box, x);
        const idx blocks = (count + kWeightDepth - 1) / kWeightDepth;
        for (idx block = 0; block < blocks; ++block) {
            const idx first = block * count / blocks;
            tile.depth = (block + 1) * count / blocks - first;
            tile.steps = x.places + first;
            for (idx q = 0; q < panels; ++q) {
                const idx v = panel_vector(q);
                const int vectors = static_cast<int>(panel_vector(q + 1) - v);
                const idx left = p.s->group_outputs - v * lanes;
                tile.b_step = vectors * lanes;
                pack_grad(p, unit, box, first, tile.depth, group * p.s->group_outputs + v * lanes,
                          vectors, left < tile.b_step ? left : tile.b_step, packed);
                for (idx t = tile0; t < tile1; ++t) {
                    const idx row = p.tile_row(t);
                    tile.rows = x.rows + (row - row0);
                    tile.c = sums + row * p.width + v * lanes;
                    find_tile_of_runs<T>(p.run, p.tile_row(t + 1) - row, vectors)(tile);
                }
            }
            tile.add = true;
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

// As weight_product. Where a sum is not finite `finite` is cleared, and there is no result.
template <class T, class P>
bool weight_winograd(const ConvShape& s, P& winograd, T* grad_weight, bool accumulate,
                     bool& finite) {
    if (!winograd_weight(winograd, finite)) return false;
    if (!finite) return true;
    WeightProduct<T> p{};
    p.s = &s;
    p.rows = s.group_channels * s.volume();
    p.width = winograd.width;
    p.splits = 1;
    p.sums = winograd.sums;
    finish_weight(p, grad_weight, accumulate);
    return true;
}

template <class T>
bool weight_product(const ConvShape& s, const T* x, const T* grad_y, T* grad_weight,
                    bool accumulate) {
    if constexpr (kWinograd<T>) {
        HalvingWeight<T> halving;
        WinogradWeight<T> winograd;
        bool finite = true, ok = true;
        if (plan_halving_weight(s, x, grad_y, halving)) {
            ok = weight_winograd(s, halving, grad_weight, accumulate, finite);
        } else if (plan_winograd_weight(s, x, grad_y, winograd)) {
            ok = weight_winograd(s, winograd, grad_weight, accumulate, finite);
        } else {
            finite = false;
        }
        if (!ok || finite) return ok;
    }
    WeightProduct<T> p = plan_weight(s, x, grad_y);
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
    if constexpr (kImageLanes<T>) {
        ImageWeight<T> images;
        if (plan_weight_images(s, x.data, grad_y.data, images))
            return weight_images(images, grad_weight.data, accumulate) ? Status::kOk
                                                                       : Status::kNoMemory;
    }
    PointwiseWeight<T> pointwise;
    if (plan_pointwise_weight(s, x.data, grad_y.data, pointwise))
        return pointwise_weight<T>(pointwise, grad_weight.data, accumulate, nullptr, false)
                   ? Status::kOk
                   : Status::kNoMemory;
    const bool direct = s.group_channels == 1 && depthwise_fits<T>(s.grid(), s.group_outputs, 1);
    const bool done = direct ? depthwise_weight<T>(s, x.data, grad_y.data, grad_weight.data,
                                                   accumulate, nullptr, false)
                             : weight_product(s, x.data, grad_y.data, grad_weight.data, accumulate);
    return done ? Status::kOk : Status::kNoMemory;
}

template <class T>
Status conv_backward_parameters(In<T> x, In<T> grad_y, InOut<T> grad_weight, InOut<T> grad_bias,
                                Ints stride, Ints padding, Ints dilation, idx groups,
                                bool accumulate, bool accumulate_bias) {
    ConvShape s;
    if (!read_conv(x.shape, grad_weight.shape, grad_y.shape, stride, padding, dilation, groups, s))
        return Status::kBadValue;
    if (x.size > 0 && grad_y.size > 0 && s.group_channels == 1 && walks_weight(s.grid()) &&
        depthwise_fits<T>(s.grid(), s.group_outputs, 1)) {
        const bool done = depthwise_weight<T>(s, x.data, grad_y.data, grad_weight.data, accumulate,
                                              grad_bias.data, accumulate_bias);
        return done ? Status::kOk : Status::kNoMemory;
    }
    PointwiseWeight<T> pointwise;
    if (x.size > 0 && grad_y.size > 0 && plan_pointwise_weight(s, x.data, grad_y.data, pointwise)) {
        const bool done = pointwise_weight(pointwise, grad_weight.data, accumulate, grad_bias.data,
                                           accumulate_bias);
        return done ? Status::kOk : Status::kNoMemory;
    }
    const Status status = conv_backward_weight<T>(x, grad_y, grad_weight, stride, padding, dilation,
                                                  groups, accumulate);
    if (status != Status::kOk) return status;
    const bool done = sum_channels<T>(grad_y.data, grad_y.size > 0 ? s.images : 0, s.outputs,
                                      s.out_size(), grad_bias.data, accumulate_bias);
    return done ? Status::kOk : Status::kNoMemory;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(conv_backward_weight,
          "x(n,c,d,h,w) grad_y(n,o,od,oh,ow) grad_weight(o,cg,kd,kh,kw) stride padding dilation "
          "groups accumulate",
          kPlain, conv_backward_weight<float>, conv_backward_weight<double>)
FASTNN_OP(conv_backward_parameters,
          "x(n,c,d,h,w) grad_y(n,o,od,oh,ow) grad_weight(o,cg,kd,kh,kw) grad_bias(o) stride "
          "padding dilation groups accumulate accumulate_bias",
          kPlain, conv_backward_parameters<float>, conv_backward_parameters<double>)
