// SPDX-License-Identifier: BSD-3-Clause
// The gradient of the weights of a convolution with 3 x 3 taps and stride 1 by Winograd's
// F(3 x 3, 2 x 2) (simd/winograd.h):
//
//   S_i = V_i^T W_i for 16 i      V_i (tiles, channels of x), W_i (tiles, channels of grad_y)
//
// Its transform stands in memory as the sums of ops/conv_weight.cpp do, (channel, tap) by output
// channel, which turns them.
//
// Bits: the tiles are cut into splits of boxes, whose number depends on the shape alone. Sums of
// a box, of a split's boxes and of the splits are taken in order. Where one of them is not finite
// there is no result.
//
// Scratch: slots 0 (V, W), 1 (what is turned) and, of the caller, 3 (S of the splits, sums).
#pragma once

#include "ops/conv_shape.h"
#include "runtime/parallel.h"
#include "simd/conv_direct.h"
#include "simd/winograd_source.h"

namespace fastnn::FASTNN_ISA {

inline constexpr idx kWinogradSplits = 16;
inline constexpr idx kWinogradLeastSplit = 128;     // tiles
inline constexpr idx kWinogradSums = idx{1} << 22;  // elements in scratch memory
inline constexpr idx kWinogradGradTiles = 64;       // of a box
inline constexpr idx kWinogradGradLeast = 16;       // tiles of an image
inline constexpr idx kWinogradGradOverhead = 100;   // of winograd_pays; measured

template <class T>
struct WinogradWeight {
    const ConvShape* s;
    ColumnSource<T> x, grad_y;
    ConvBoxes boxes, grad_boxes;
    idx terms, width;  // channels and output channels of a group, up to whole vectors
    idx splits;
    T* products;  // (splits, groups, product, terms, width)
    T* sums;      // (groups, channels of a group times taps, width)

    idx product() const { return terms * width; }
};

template <class T>
bool plan_winograd_weight(const ConvShape& s, const T* x, const T* grad_y, WinogradWeight<T>& p) {
    constexpr idx lanes = kLanes<T>;
    const ConvGrid g = s.grid();
    if (!winograd_pays<T>(g, s.group_outputs, s.group_channels, kWinogradGradOverhead))
        return false;
    p.s = &s;
    p.x = {x, s.channels * s.in_size(), s.in_size(), winograd_grid(g, 4, g.base[1], g.base[2])};
    p.grad_y = {grad_y, s.outputs * s.out_size(), s.out_size(), winograd_grid(g, 2, 0, 0)};
    for (int i = 0; i < 3; ++i) p.grad_y.grid.in[i] = s.out[i];
    if (p.x.grid.positions() < kWinogradGradLeast) return false;
    p.terms = (s.group_channels + lanes - 1) / lanes * lanes;
    p.width = (s.group_outputs + lanes - 1) / lanes * lanes;
    const idx all = s.images * p.x.grid.positions();
    const double work = static_cast<double>(all) * static_cast<double>(kWinogradProducts) *
                        static_cast<double>(s.group_channels) * static_cast<double>(s.outputs);
    p.splits = work < static_cast<double>(kThreadWork)
                   ? 1
                   : clamp_index(static_cast<idx>(work / static_cast<double>(kTaskWork)), 1,
                                 kWinogradSplits);
    p.splits =
        clamp_index(p.splits, 1, kWinogradSums / (s.groups * kWinogradProducts * p.product()));
    p.splits = clamp_index(p.splits, 1, all / kWinogradLeastSplit + 1);
    const idx wanted = clamp_index((all + p.splits - 1) / p.splits, kTileRows, kWinogradGradTiles);
    if (!plan_boxes(p.x.grid, s.images, 2 * (p.terms + p.width), wanted, kTileRows, p.boxes))
        return false;
    p.grad_boxes = p.boxes;
    for (int i = 0; i < 3; ++i) set_box_extent(p.grad_y.grid, i, p.grad_boxes);
    p.splits = clamp_index(p.splits, 1, p.boxes.boxes);
    return true;
}

// Boxes of one split. False: no memory.
template <class T>
bool run_winograd_split(const WinogradWeight<T>& p, idx split, idx group) {
    constexpr idx lanes = kLanes<T>;
    const ConvShape& s = *p.s;
    ColumnSource<T> x = p.x, grad_y = p.grad_y;
    x.x += group * s.group_channels * x.channel;
    grad_y.x += group * s.group_outputs * grad_y.channel;
    const idx most = p.boxes.outputs();
    const idx v_most = winograd_plane<T>(most, p.terms);
    const idx w_most = winograd_plane<T>(most, p.width);
    T* v = static_cast<T*>(pool_scratch(
        static_cast<std::size_t>(kWinogradProducts * (v_most + w_most)) * sizeof(T), 0));
    T* turned = static_cast<T*>(
        pool_scratch(static_cast<std::size_t>(winograd_strip_size<T>(p.boxes)) * sizeof(T), 1));
    if (v == nullptr || turned == nullptr) return false;
    T* w = v + kWinogradProducts * v_most;
    T* sums = p.products + (split * s.groups + group) * kWinogradProducts * p.product();
    const idx vectors = p.width / lanes;
    const idx panels = (vectors + kBroadVectors - 1) / kBroadVectors;
    WinogradProduct<T> t;
    t.a_row = 1;
    t.a_step = p.terms;
    t.b_step = t.c_row = p.width;
    t.add = false;
    const idx end = (split + 1) * p.boxes.boxes / p.splits;
    for (idx at = split * p.boxes.boxes / p.splits; at < end; ++at) {
        const ConvBox box = conv_box(x.grid, p.boxes, s.images, at);
        t.depth = box.outputs();
        const idx v_plane = winograd_plane<T>(t.depth, p.terms);
        const idx w_plane = winograd_plane<T>(t.depth, p.width);
        transform_source(x, p.boxes, box, s.group_channels, p.terms, v_plane, turned, v);
        transform_grad(grad_y, p.grad_boxes, box, s.group_outputs, p.width, w_plane, turned, w);
        BoxAhead<T> next_x, next_grad;
        if (at + 1 < end) {
            const ConvBox following = conv_box(x.grid, p.boxes, s.images, at + 1);
            next_x = BoxAhead<T>(x, p.boxes, following, s.group_channels);
            next_grad = BoxAhead<T>(grad_y, p.grad_boxes, following, s.group_outputs);
        }
        const idx lines = next_x.lines() / kWinogradProducts + 1;
        const idx grad_lines = next_grad.lines() / kWinogradProducts + 1;
        for (int i = 0; i < kWinogradProducts; ++i) {
            next_x.fetch(lines);
            next_grad.fetch(grad_lines);
            t.a = v + i * v_plane;
            for (idx q = 0; q < panels; ++q) {
                const idx vector = q * vectors / panels;
                const idx next = (q + 1) * vectors / panels;
                t.b = w + i * w_plane + vector * lanes;
                t.c = sums + i * p.product() + vector * lanes;
                winograd_product<T, true>(t, s.group_channels, static_cast<int>(next - vector));
            }
        }
        t.add = true;
    }
    return true;
}

// Sums of (channel, tap) by output channel, from those of the splits. Whether all are finite.
template <class T>
bool winograd_weight_sums(const WinogradWeight<T>& p) {
    constexpr idx lanes = kLanes<T>;
    const ConvShape& s = *p.s;
    const idx split_step = s.groups * kWinogradProducts * p.product();
    bool finite = true;
    parallel_for(s.channels, 8, [&](idx begin, idx end) {
        Vec<T> check{};
        for (idx i = begin; i < end; ++i) {
            const idx group = i / s.group_channels;
            const idx c = i % s.group_channels;
            const T* from = p.products + group * kWinogradProducts * p.product() + c * p.width;
            T* to = p.sums + i * 9 * p.width;
            for (idx o = 0; o < p.width; o += lanes) {
                Tile<T, 4> sums;
                for (int j = 0; j < kWinogradProducts; ++j) {
                    const T* at = from + j * p.product() + o;
                    Vec<T> sum = load(at);
                    for (idx split = 1; split < p.splits; ++split)
                        sum += load(at + split * split_step);
                    sums[j / 4][j % 4] = sum;
                    check = fma(sum, Vec<T>{}, check);
                }
                Tile<T, 3> taps;
                winograd_grad_taps<T>(sums, taps);
                for (int t = 0; t < 9; ++t) {
                    check = fma(taps[t / 3][t % 3], Vec<T>{}, check);
                    store<T>(to + t * p.width + o, taps[t / 3][t % 3]);
                }
            }
        }
        if (!(reduce_add(check) == T(0))) __atomic_store_n(&finite, false, __ATOMIC_RELAXED);
    });
    return finite;
}

// Sets p.sums. False: no memory. Clears `finite` where the sums are not all finite.
template <class T>
bool winograd_weight(WinogradWeight<T>& p, bool& finite) {
    const ConvShape& s = *p.s;
    const idx products = p.splits * s.groups * kWinogradProducts * p.product();
    p.products = static_cast<T*>(
        pool_scratch(static_cast<std::size_t>(products + s.channels * 9 * p.width) * sizeof(T), 3));
    if (p.products == nullptr) return false;
    p.sums = p.products + products;
    const double work = static_cast<double>(s.images * p.x.grid.positions()) *
                        static_cast<double>(kWinogradProducts * s.group_channels * s.outputs);
    const idx tasks = p.splits * s.groups;
    bool ok = true;
    parallel_for(tasks, piece_of_tasks(work, tasks), [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i)
            if (!run_winograd_split(p, i / s.groups, i % s.groups))
                __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
    });
    if (ok) finite = winograd_weight_sums(p);
    return ok;
}

}  // namespace fastnn::FASTNN_ISA
