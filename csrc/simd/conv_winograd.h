// SPDX-License-Identifier: BSD-3-Clause
// Convolution with 3 x 3 taps and stride 1 by Winograd's F(2 x 2, 3 x 3) (simd/winograd.h):
//
//   M_i = V_i U_i for 16 i        V_i (tiles, channels of the source), U_i (those, outputs)
//
// Bits of an element depend on its image and the weights alone: k is cut into equal blocks of at
// most kDirectDepth; within one a multiply-add for each channel in order, from zero; the blocks'
// sums in order; then the transform, then the bias. An image in which an output is not finite is
// computed anew by conv_direct.h, so that infinities and NaN go where the definition sends them.
//
// Blocking: a task is some boxes of tiles. For each box V is made once and stays in L2; then come
// the outputs, kWinogradSlice vectors at a time, whose M stands in scratch memory too.
//
// Scratch: slots 0 (V, M), 1 (what is turned) and, of the caller, 3 (U).
#pragma once

#include "simd/conv_direct.h"
#include "simd/winograd_source.h"

namespace fastnn::FASTNN_ISA {

inline constexpr idx kWinogradTiles = 64;  // of a box at most
inline constexpr idx kWinogradSlice = 4;   // vectors of outputs
inline constexpr idx kWinogradTasks = 16;
inline constexpr idx kWinogradPiece = 32;      // channels whose weights a piece transforms
inline constexpr idx kWinogradOverhead = 200;  // of winograd_pays; measured

template <class T>
struct ConvWinograd {
    ConvDirect<T> direct;  // the same convolution
    ColumnSource<T> source;
    ConvBoxes boxes;
    idx depth, block;  // channels, and of a block of them
    idx terms;         // channels up to whole vectors
    idx vectors, panels, width;
    idx tasks;
    T* packed;  // (groups, panels, product, depth, of a panel)

    idx panel_vector(idx q) const { return q * vectors / panels; }
};

template <class T>
bool plan_winograd(const ConvDirect<T>& job, ConvWinograd<T>& p) {
    constexpr idx lanes = kLanes<T>;
    // A single vector of outputs: a multiply-add needs an element of V then, and conv_wide.h is
    // faster.
    if (job.rows <= lanes ||
        !winograd_pays<T>(job.source.grid, job.rows, job.terms, kWinogradOverhead))
        return false;
    p.direct = job;
    if (!plan_direct(p.direct) || !p.direct.dense) return false;
    const ConvGrid& g = job.source.grid;
    idx base[3];
    for (int i = 1; i < 3; ++i) base[i] = g.base[i] + (g.step[i] < 0 ? 2 * g.step[i] : 0);
    p.source = job.source;
    p.source.grid = winograd_grid(g, 4, base[1], base[2]);
    p.depth = job.terms;
    const idx blocks = (p.depth + kDirectDepth - 1) / kDirectDepth;
    p.block = (p.depth + blocks - 1) / blocks;
    p.terms = (job.terms + lanes - 1) / lanes * lanes;
    p.vectors = (job.rows + lanes - 1) / lanes;
    p.panels = (p.vectors + kBroadVectors - 1) / kBroadVectors;
    p.width = p.vectors * lanes;
    const idx all = job.images * p.source.grid.positions();
    const idx wanted =
        clamp_index((all + kWinogradTasks - 1) / kWinogradTasks, kTileRows, kWinogradTiles);
    // V takes as much of L2 as a box of the columns does elsewhere: four elements a tile, of 16.
    if (!plan_boxes(p.source.grid, job.images, 4 * p.terms, wanted, kTileRows, p.boxes))
        return false;
    p.tasks = clamp_index(p.boxes.boxes, 1, kWinogradTasks);
    return true;
}

// U of the channels [first, last) of a panel of a group.
template <class T>
void pack_winograd(const ConvWinograd<T>& p, idx group, idx panel, idx first, idx last) {
    constexpr idx lanes = kLanes<T>;
    const ConvDirect<T>& job = p.direct;
    const ConvWeights<T>& w = job.weights;
    const idx vector = p.panel_vector(panel);
    const idx vectors = p.panel_vector(panel + 1) - vector;
    const idx step = vectors * lanes;
    const idx product = p.depth * step;
    // Where the places in the source go down the taps go up from the last.
    idx tap_step[3];
    const T* from = w.data + group * w.group + vector * lanes * w.row + first * w.term;
    for (int i = 1; i < 3; ++i) {
        const bool down = job.source.grid.step[i] < 0;
        tap_step[i] = down ? -w.step[i] : w.step[i];
        if (down) from += 2 * w.step[i];
    }
    T* to = p.packed + (group * p.width + vector * lanes) * kWinogradProducts * p.depth;
    for (idx c = first; c < last; ++c, from += w.term) {
        for (idx v = 0; v < vectors; ++v) {
            const idx left = job.rows - (vector + v) * lanes;
            const idx rows = left < lanes ? left : lanes;
            Tile<T, 3> taps;
            for (int h = 0; h < 3; ++h) {
                for (int t = 0; t < 3; ++t) {
                    const T* tap = from + v * lanes * w.row + h * tap_step[1] + t * tap_step[2];
                    T lane[lanes] = {};
                    for (idx j = 0; j < rows; ++j) lane[j] = tap[j * w.row];
                    taps[h][t] = load(lane);
                }
            }
            Tile<T, 4> u;
            winograd_taps<T>(taps, u);
            for (int i = 0; i < kWinogradProducts; ++i)
                store<T>(to + i * product + c * step + v * lanes, u[i / 4][i % 4]);
        }
    }
}

// The outputs of a box within one image: lines and columns, and where they begin.
template <class T>
struct WinogradOutputs {
    idx lines, columns;
    T* y;

    WinogradOutputs(const ConvWinograd<T>& p, const ConvBox& box, idx image, idx channel) {
        const ConvDirect<T>& job = p.direct;
        const auto within = [&](int i) {
            const idx left = job.source.grid.out[i] - 2 * box.first[i];
            return 2 * box.count[i] < left ? 2 * box.count[i] : left;
        };
        lines = within(1);
        columns = within(2);
        y = job.y + (box.image + image) * job.y_image + channel * job.y_channel +
            2 * (box.first[1] * job.y_stride[1] + box.first[2]);
    }
};

// M of the panels [panel0, panel1); rows of M are `width` long. Meanwhile what is wanted next comes
// nearer: the source of the next box, and the outputs that M becomes.
template <class T>
void winograd_products(const ConvWinograd<T>& p, const ConvBox& box, idx group, idx panel0,
                       idx panel1, const T* v, idx v_plane, T* m, idx m_plane, idx width,
                       BoxAhead<T>& next, idx lines) {
    constexpr idx lanes = kLanes<T>;
    const idx vector0 = p.panel_vector(panel0);
    WinogradProduct<T> product;
    product.a_row = p.terms;
    product.a_step = 1;
    product.c_row = width;
    const idx left = p.direct.rows - vector0 * lanes;
    const idx rows = width < left ? width : left;
    for (int i = 0; i < kWinogradProducts; ++i) {
        next.fetch(lines);
        for (idx image = 0; image < box.images; ++image) {
            const WinogradOutputs<T> out(p, box, image, group * p.direct.rows + vector0 * lanes);
            for (idx line = 0; line < out.lines; ++line)
                fetch_outputs(out.y + line * p.direct.y_stride[1], p.direct.y_channel,
                              i * rows / kWinogradProducts, (i + 1) * rows / kWinogradProducts,
                              out.columns);
        }
        for (idx k = 0; k < p.depth; k += p.block) {
            product.depth = p.depth - k < p.block ? p.depth - k : p.block;
            product.add = k > 0;
            for (idx q = panel0; q < panel1; ++q) {
                const idx vector = p.panel_vector(q);
                const int vectors = static_cast<int>(p.panel_vector(q + 1) - vector);
                product.b_step = vectors * lanes;
                product.b = p.packed +
                            (group * p.width + vector * lanes) * kWinogradProducts * p.depth +
                            (i * p.depth + k) * product.b_step;
                product.a = v + i * v_plane + k;
                product.c = m + i * m_plane + (vector - vector0) * lanes;
                winograd_product<T, false>(product, box.outputs(), vectors);
            }
        }
    }
}

// The outputs of a box from M, channels [row, row + rows) of a group. Returns lanes of NaN where
// one of them is not finite, else of zero.
template <class T>
Vec<T> winograd_store(const ConvWinograd<T>& p, const ConvBox& box, idx group, idx row, idx rows,
                      const T* m, idx m_plane, idx width, T* strip) {
    constexpr idx lanes = kLanes<T>;
    const ConvDirect<T>& job = p.direct;
    const idx columns = 2 * box.count[2];
    const Vec<T> bias =
        winograd_bias(job.bias == nullptr ? nullptr : job.bias + group * job.rows + row, rows);
    Vec<T> check{};
    for (idx image = 0; image < box.images; ++image) {
        for (idx h = 0; h < box.count[1]; ++h) {
            T* to = strip + 2 * h * columns * lanes;
            for (idx w = 0; w < box.count[2]; ++w, m += width, to += 2 * lanes) {
                Tile<T, 4> sums;
#pragma GCC unroll 4
                for (int i = 0; i < 4; ++i)
#pragma GCC unroll 4
                    for (int j = 0; j < 4; ++j) sums[i][j] = load(m + (4 * i + j) * m_plane);
                Tile<T, 2> y;
                winograd_outputs<T>(sums, y);
#pragma GCC unroll 4
                for (int i = 0; i < 4; ++i) {
                    const Vec<T> value = y[i / 2][i % 2] + bias;
                    store<T>(to + (i / 2 * columns + i % 2) * lanes, value);
                    check = fma(value, Vec<T>{}, check);
                }
            }
        }
        const WinogradOutputs<T> out(p, box, image, group * job.rows + row);
        if (columns == job.y_stride[1]) {  // whole lines
            store_direct<T>(strip, lanes, out.lines * columns, rows, nullptr, out.y, job.y_channel,
                            idx{1});
            continue;
        }
        for (idx h = 0; h < out.lines; ++h)
            store_direct<T>(strip + h * columns * lanes, lanes, out.columns, rows, nullptr,
                            out.y + h * job.y_stride[1], job.y_channel, idx{1});
    }
    return check;
}

// Boxes [box0, box1). False: no memory. Clears `finite` where an output is not.
template <class T>
bool run_winograd_task(const ConvWinograd<T>& p, idx group, idx box0, idx box1, bool& finite) {
    constexpr idx lanes = kLanes<T>;
    const ConvDirect<T>& job = p.direct;
    ColumnSource<T> source = p.source;
    source.x += group * job.terms * source.channel;
    const idx most = p.boxes.outputs();
    const idx slice = p.vectors < kWinogradSlice ? p.vectors : kWinogradSlice;
    const idx m_most = winograd_plane<T>(most, slice * lanes);
    const idx v_most = winograd_plane<T>(most, p.terms);
    T* v = static_cast<T*>(pool_scratch(
        static_cast<std::size_t>(kWinogradProducts * (v_most + m_most)) * sizeof(T), 0));
    const idx turned = winograd_strip_size<T>(p.boxes);
    const idx outputs = lanes * 4 * (most + lanes);
    T* strip = static_cast<T*>(
        pool_scratch(static_cast<std::size_t>(turned > outputs ? turned : outputs) * sizeof(T), 1));
    if (v == nullptr || strip == nullptr) return false;
    T* m = v + kWinogradProducts * v_most;
    Vec<T> check{};
    for (idx i = box0; i < box1; ++i) {
        const ConvBox box = conv_box(source.grid, p.boxes, job.images, i);
        const idx tiles = box.outputs();
        const idx v_plane = winograd_plane<T>(tiles, p.terms);
        transform_source(source, p.boxes, box, job.terms, p.terms, v_plane, strip, v);
        BoxAhead<T> next;
        if (i + 1 < box1)
            next = BoxAhead<T>(source, p.boxes, conv_box(source.grid, p.boxes, job.images, i + 1),
                               job.terms);
        const idx lines = next.lines() * kWinogradSlice / (kWinogradProducts * p.vectors) + 1;
        for (idx q = 0; q < p.panels;) {
            idx until = q + 1;
            while (until < p.panels &&
                   p.panel_vector(until + 1) - p.panel_vector(q) <= kWinogradSlice)
                ++until;
            const idx vector = p.panel_vector(q);
            const idx vectors = p.panel_vector(until) - vector;
            const idx width = vectors * lanes;
            const idx m_plane = winograd_plane<T>(tiles, width);
            winograd_products(p, box, group, q, until, v, v_plane, m, m_plane, width, next, lines);
            for (idx o = vector * lanes; o < (vector + vectors) * lanes; o += lanes)
                check +=
                    winograd_store(p, box, group, o, job.rows - o < lanes ? job.rows - o : lanes,
                                   m + o - vector * lanes, m_plane, width, strip);
            q = until;
        }
    }
    if (!(reduce_add(check) == T(0))) __atomic_store_n(&finite, false, __ATOMIC_RELAXED);
    return true;
}

template <class T>
bool run_planned_direct(ConvDirect<T>& job) {
    return plan_direct(job) && conv_direct(&job, 1);
}

// Images with an output that is not finite, by the definition, which is run(job); neighbours
// together. False: no memory.
template <class T, class F>
bool conv_not_finite(const ConvDirect<T>& all, const F& run) {
    const idx size = all.groups * all.rows * all.y_channel;
    const auto finite = [&](idx image) {
        const T* y = all.y + image * all.y_image;
        for (idx i = 0; i < size; ++i)
            if (!(y[i] * T(0) == T(0))) return false;
        return true;
    };
    for (idx image = 0; image < all.images;) {
        idx end = image;
        while (end < all.images && !finite(end)) ++end;
        if (end > image) {
            ConvDirect<T> job = all;
            job.images = end - image;
            job.source.x += image * job.source.image;
            job.y += image * job.y_image;
            if (!run(job)) return false;
        }
        image = end + 1;
    }
    return true;
}

// The boxes of tiles of all groups, in `tasks` for each: run(group, first box, last, finite) clears
// `finite` where an output is not, and those are computed anew. False: no memory.
template <class T, class F>
bool run_winograd_tasks(const ConvDirect<T>& job, const ConvGrid& tiles, const ConvBoxes& boxes,
                        idx tasks, idx depth, const F& run) {
    bool ok = true;
    bool finite = true;
    const double work = static_cast<double>(job.images * tiles.positions()) *
                        static_cast<double>(job.groups * job.rows * depth);
    const idx all = job.groups * tasks;
    parallel_for(all, piece_of_tasks(work, all), [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) {
            const idx task = i % tasks;
            if (!run(i / tasks, task * boxes.boxes / tasks, (task + 1) * boxes.boxes / tasks,
                     finite))
                __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
        }
    });
    return ok && (finite || conv_not_finite(job, run_planned_direct<T>));
}

// After plan_winograd. False: there was no memory, and Y is undefined.
template <class T>
bool conv_winograd(ConvWinograd<T>& p) {
    const ConvDirect<T>& job = p.direct;
    p.packed = static_cast<T*>(pool_scratch(
        static_cast<std::size_t>(job.groups * p.width * kWinogradProducts * p.depth) * sizeof(T),
        3));
    if (p.packed == nullptr) return false;
    const idx parts = (p.depth + kWinogradPiece - 1) / kWinogradPiece;
    parallel_for(job.groups * p.panels * parts, 1, [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) {
            const idx part = i % parts;
            pack_winograd(p, i / parts / p.panels, i / parts % p.panels, part * p.depth / parts,
                          (part + 1) * p.depth / parts);
        }
    });
    return run_winograd_tasks(job, p.source.grid, p.boxes, p.tasks, kWinogradProducts * p.depth,
                              [&](idx group, idx box0, idx box1, bool& finite) {
                                  return run_winograd_task(p, group, box0, box1, finite);
                              });
}

}  // namespace fastnn::FASTNN_ISA
