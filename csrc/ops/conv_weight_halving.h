// SPDX-License-Identifier: BSD-3-Clause
// The gradient of the weights of a convolution with a stride of 2 and few
// channels by Winograd's F(4, 4) down the columns (simd/conv_halving.h): with e
// four rows of grad_y,
//
//   dg = G' [ sum over images and tiles of (A' e) o (B d) ]
//
// for both parities of the rows. Its transform stands in memory as the sums of
// ops/conv_weight.cpp do, (channel, tap) by output channel, which turns them.
//
// Bits: the tiles are cut into splits of boxes, whose number depends on the
// shape alone. Sums of a box, of a split's boxes and of the splits are taken in
// order. Where one of them is not finite there is no result.
//
// Scratch: slots 0 (B d), 1 (box), 2 (grad_y) and, of the caller, 3 (sums).
#pragma once

#include "ops/conv_shape.h"
#include "simd/conv_halving.h"
#include "simd/gemm_pack.h"

namespace fastnn::FASTNN_ISA {

inline constexpr idx kHalvingSplits = 8;
inline constexpr idx kHalvingBlock = 32;             // positions that are added up at once
inline constexpr idx kHalvingLeastSplit = 8;         // boxes
inline constexpr idx kHalvingMemory = idx{1} << 22;  // elements of the sums of the splits

template <class T>
struct HalvingWeight {
    const ConvShape* s;
    const T* grad_y;
    ConvHalving<T> conv;  // of the same shape
    idx width, splits;
    T* products;  // (splits, groups, product, depth, width)
    T* sums;      // (groups, channels of a group times taps, width)

    idx product() const { return conv.depth * width; }
};

template <class T>
bool plan_halving_weight(const ConvShape& s, const T* x, const T* grad_y, HalvingWeight<T>& p) {
    ConvDirect<T> job{};
    job.images = s.images;
    job.groups = s.groups;
    job.rows = s.group_outputs;
    job.terms = s.group_channels;
    job.source = {x, s.channels * s.in_size(), s.in_size(), s.grid()};
    job.y_stride[0] = s.out[1] * s.out[2];
    job.y_stride[1] = s.out[2];
    job.y_stride[2] = 1;
    if (!plan_halving(job, p.conv)) return false;
    p.s = &s;
    p.grad_y = grad_y;
    p.width = p.conv.width;
    const idx fit = kHalvingMemory / (s.groups * kHalvingProducts * p.product());
    p.splits = clamp_index(p.conv.boxes.boxes / kHalvingLeastSplit, 1,
                           fit < kHalvingSplits ? fit : kHalvingSplits);
    return fit > 0;
}

// A' e of the panel of `vectors` vectors of output channels from `output` on:
// product i's rows, a vector after another, at to + i * plane.
template <class T>
void halving_grad(const HalvingWeight<T>& p, const ConvBox& box, idx output, int vectors,
                  idx outputs, T* turned, T* to, idx plane) {
    constexpr idx lanes = kLanes<T>;
    const ConvShape& s = *p.s;
    const idx columns = box.count[2];
    const idx step = vectors * lanes;
    for (idx image = 0; image < box.images; ++image) {
        const T* from = p.grad_y + ((box.image + image) * s.outputs + output) * s.out_size();
        for (idx h = 0; h < box.count[1]; ++h) {
            for (idx i = 0; i < kHalvingOutputs; ++i) {
                const idx row = (box.first[1] + h) * kHalvingOutputs + i;
                T* strip = turned + i * columns * step;
                if (row < s.out[1]) {
                    pack_b_panel(from + row * s.out[2] + box.first[2], idx{1}, s.out_size(),
                                 columns, vectors, outputs, strip);
                } else {
                    for (idx j = 0; j < columns * step; j += lanes) store<T>(strip + j, Vec<T>{});
                }
            }
            for (idx j = 0; j < columns * step; j += lanes, to += lanes) {
                Vec<T> e[kHalvingOutputs], w[kHalvingProducts];
#pragma GCC unroll 8
                for (int i = 0; i < kHalvingOutputs; ++i)
                    e[i] = load(turned + i * columns * step + j);
                halving_map<true>(kHalvingSums, e, w);
#pragma GCC unroll 8
                for (int i = 0; i < kHalvingProducts; ++i) store<T>(to + i * plane, w[i]);
            }
        }
    }
}

// Boxes of one split. False: no memory.
template <class T>
bool run_halving_split(const HalvingWeight<T>& p, idx split, idx group) {
    constexpr idx lanes = kLanes<T>;
    const ConvHalving<T>& conv = p.conv;
    const ConvShape& s = *p.s;
    const idx most = conv.boxes.outputs();
    const HalvingBox<T> data(conv, group);
    const idx turned = kHalvingOutputs * conv.boxes.size[2] * kTileVectors * lanes;
    const idx grad = kHalvingProducts * (most + 1) * kTileVectors * lanes;
    T* scratch =
        static_cast<T*>(pool_scratch(static_cast<std::size_t>(turned + grad) * sizeof(T), 2));
    if (!data.ok() || scratch == nullptr) return false;
    T* sums = p.products + (split * s.groups + group) * kHalvingProducts * p.product();
    const idx tiles = (conv.depth + kTileRows - 1) / kTileRows;
    ConvTile<T> tile;
    tile.c_row = p.width;
    const idx begin = split * conv.boxes.boxes / p.splits;
    const idx end = (split + 1) * conv.boxes.boxes / p.splits;
    for (idx at = begin; at < end; ++at) {
        const ConvBox box = conv_box(conv.source.grid, conv.boxes, s.images, at);
        const idx positions = data.fill(box);
        const idx blocks = (positions + kHalvingBlock - 1) / kHalvingBlock;
        for (idx q = 0; q < conv.panels; ++q) {
            const idx vector = conv.panel_vector(q);
            const int vectors = static_cast<int>(conv.panel_vector(q + 1) - vector);
            const idx left = s.group_outputs - vector * lanes;
            tile.b_step = vectors * lanes;
            const idx plane = (positions + 1) * tile.b_step;
            halving_grad(p, box, group * s.group_outputs + vector * lanes, vectors,
                         left < tile.b_step ? left : tile.b_step, scratch, scratch + turned, plane);
            for (int i = 0; i < kHalvingProducts; ++i) {
                tile.a = data.v + i * conv.plane();
                for (idx block = 0; block < blocks; ++block) {
                    const idx first = block * positions / blocks;
                    tile.depth = (block + 1) * positions / blocks - first;
                    tile.steps = data.places + first;
                    tile.b = scratch + turned + i * plane + first * tile.b_step;
                    tile.add = at > begin || block > 0;
                    for (idx t = 0; t < tiles; ++t) {
                        const idx row = t * conv.depth / tiles;
                        const idx rows = (t + 1) * conv.depth / tiles - row;
                        tile.rows = conv.steps + row;
                        tile.c = sums + i * p.product() + row * p.width + vector * lanes;
                        find_conv_tile<T>(static_cast<int>(rows), vectors)(tile);
                    }
                }
            }
        }
    }
    return true;
}

// Sums of (channel, tap) by output channel, from those of the splits. Whether
// all are finite.
template <class T>
bool halving_weight_sums(const HalvingWeight<T>& p) {
    constexpr idx lanes = kLanes<T>;
    const ConvShape& s = *p.s;
    const idx split_step = s.groups * kHalvingProducts * p.product();
    const idx taps = s.kernel[2];
    bool finite = true;
    parallel_for(s.groups * p.conv.depth, 8, [&](idx begin, idx end) {
        Vec<T> check{};
        for (idx i = begin; i < end; ++i) {
            const idx group = i / p.conv.depth;
            const idx k = i % p.conv.depth;
            const idx parity = k / taps % 2;
            const T* from = p.products + group * kHalvingProducts * p.product() + k * p.width;
            T* to = p.sums + ((group * s.group_channels + k / taps / 2) * s.volume() +
                              parity * taps + k % taps) *
                                 p.width;
            for (idx o = 0; o < p.width; o += lanes) {
                Vec<T> sums[kHalvingProducts], grad[kHalvingOutputs];
                for (int j = 0; j < kHalvingProducts; ++j) {
                    const T* at = from + j * p.product() + o;
                    sums[j] = load(at);
                    for (idx split = 1; split < p.splits; ++split)
                        sums[j] += load(at + split * split_step);
                    check = fma(sums[j], Vec<T>{}, check);
                }
                halving_map<true>(kHalvingTaps, sums, grad);
                for (idx h = 0; 2 * h + parity < s.kernel[1]; ++h) {
                    check = fma(grad[h], Vec<T>{}, check);
                    store<T>(to + 2 * h * taps * p.width + o, grad[h]);
                }
            }
        }
        if (!(reduce_add(check) == T(0))) __atomic_store_n(&finite, false, __ATOMIC_RELAXED);
    });
    return finite;
}

// Sets p.sums. False: no memory. Clears `finite` where the sums are not all
// finite.
template <class T>
bool winograd_weight(HalvingWeight<T>& p, bool& finite) {
    const ConvShape& s = *p.s;
    const idx products = p.splits * s.groups * kHalvingProducts * p.product();
    const idx sums = s.channels * s.volume() * p.width;
    p.products =
        static_cast<T*>(pool_scratch(static_cast<std::size_t>(products + sums) * sizeof(T) +
                                         static_cast<std::size_t>(p.conv.depth) * sizeof(Offset),
                                     3));
    if (p.products == nullptr) return false;
    p.sums = p.products + products;
    p.conv.steps = static_cast<Offset*>(static_cast<void*>(p.sums + sums));
    fill_halving_steps(p.conv);
    const double work = static_cast<double>(s.images * p.conv.source.grid.positions()) *
                        static_cast<double>(kHalvingProducts * p.conv.depth * s.outputs);
    const idx tasks = p.splits * s.groups;
    bool ok = true;
    parallel_for(tasks, piece_of_tasks(work, tasks), [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i)
            if (!run_halving_split(p, i / s.groups, i % s.groups))
                __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
    });
    if (ok) finite = halving_weight_sums(p);
    return ok;
}

}  // namespace fastnn::FASTNN_ISA
