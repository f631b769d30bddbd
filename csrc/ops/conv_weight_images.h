// SPDX-License-Identifier: BSD-3-Clause
// The gradient of a convolution's weights where few output channels would leave most lanes of their
// vectors idle: a lane for each image, as in simd/conv_images.h.
//
//   grad_weight[o, c, t] (+)= sum_boxes sum_lanes sum_p grad_y[o, p, lane] x[c, p + t, lane]
//
// A tile is some output channels by some (channel, tap); it goes over the positions of a box. Of
// lanes without an image grad_y is zero.
//
// Bits: within a box and lane the positions in order, then the lanes, then the boxes, whose number
// depends on the shape alone.
//
// Scratch: slots 0 (grad_y, tables), 1 (box) and, of the caller, 3 (sums of boxes).
#pragma once

#include "ops/conv_shape.h"
#include "runtime/op.h"
#include "simd/conv_image_tile.h"

namespace fastnn::FASTNN_ISA {

inline constexpr idx kImageWeights = 4096;       // elements of the gradient at most
inline constexpr idx kImageSums = idx{1} << 20;  // elements of the boxes' sums
inline constexpr idx kImageGrad = idx{1} << 17;  // elements of a box's grad_y

template <class T>
struct ImageWeight {
    const ConvShape* s;
    ColumnSource<T> source;
    const T* grad_y;
    ConvBoxes boxes;
    ImageRows rows;
    T* sums;  // (boxes, groups, outputs of a group, channels of a group, taps)
};

template <class T>
bool plan_weight_images(const ConvShape& s, const T* x, const T* grad_y, ImageWeight<T>& p) {
    constexpr idx lanes = kLanes<T>;
    const idx whole = (s.group_outputs + lanes - 1) / lanes * lanes;
    const idx depth = s.group_channels * s.volume();
    const idx all = s.outputs * depth;
    if (s.group_outputs < kLeastImageRows - 1 || s.group_outputs * 3 > whole * 2 ||
        depth < kLeastWide || all > kImageWeights)
        return false;
    p.s = &s;
    p.source = {x, s.channels * s.in_size(), s.in_size(), s.grid()};
    p.grad_y = grad_y;
    p.rows = image_rows(s.group_outputs);
    const double work = static_cast<double>(s.images * s.out_size()) * static_cast<double>(all);
    if (!plan_image_boxes<T>(p.source.grid, s.images, s.group_channels, work, p.boxes))
        return false;
    return p.boxes.boxes * all <= kImageSums &&
           p.rows.tiles * p.rows.rows * p.boxes.size[1] * s.out[2] * lanes <= kImageGrad;
}

// grad_y of a box: (tiles, positions, rows, lanes).
template <class T>
void fill_image_grad(const ImageWeight<T>& p, const ConvBox& box, idx group, idx image, idx images,
                     T* to) {
    constexpr idx lanes = kLanes<T>;
    const ConvShape& s = *p.s;
    const idx positions = box.count[1] * s.out[2];
    const idx step = p.rows.rows * lanes;
    for (idx o = 0; o < p.rows.tiles * p.rows.rows; ++o) {
        T* out = to + (o / p.rows.rows * positions * p.rows.rows + o % p.rows.rows) * lanes;
        if (o >= s.group_outputs) {
            for (idx j = 0; j < positions; ++j) store<T>(out + j * step, Vec<T>{});
            continue;
        }
        const T* from = p.grad_y +
                        (image * s.outputs + group * s.group_outputs + o) * s.out_size() +
                        box.first[1] * s.out[2];
        transpose_images(from, s.outputs * s.out_size(), images, positions, out, step, positions,
                         idx{0});
    }
}

// False: no memory.
template <class T>
bool run_weight_images(const ImageWeight<T>& p, idx group, idx number) {
    constexpr idx lanes = kLanes<T>;
    const ConvShape& s = *p.s;
    const ConvGrid& g = p.source.grid;
    const ConvBoxes& b = p.boxes;
    const ConvBox box = conv_box(g, b, (s.images + lanes - 1) / lanes, number);
    const idx image = box.image * lanes;
    const idx images = s.images - image < lanes ? s.images - image : lanes;
    const idx depth = s.group_channels * s.volume();
    const idx step = p.rows.rows * lanes;
    const idx grads = p.rows.tiles * b.size[1] * g.out[2] * step;
    T* grad = static_cast<T*>(
        pool_scratch(static_cast<std::size_t>(grads) * sizeof(T) +
                         static_cast<std::size_t>(g.out[2]) * sizeof(ImageStep) +
                         static_cast<std::size_t>(depth + kTileRows) * sizeof(Offset),
                     0));
    T* data = static_cast<T*>(pool_scratch(
        static_cast<std::size_t>(s.group_channels * b.channel() * lanes) * sizeof(T), 1));
    if (grad == nullptr || data == nullptr) return false;
    ImageStep* steps = static_cast<ImageStep*>(static_cast<void*>(grad + grads));
    Offset* places = static_cast<Offset*>(static_cast<void*>(steps + g.out[2]));
    ColumnSource<T> source = p.source;
    source.x += group * s.group_channels * source.channel;
    fill_image_box(source, b, b.first[1] + box.first[1] * g.stride[1], image, images,
                   s.group_channels, false, data);
    fill_image_grad(p, box, group, image, images, grad);
    fill_steps(g, b, 0, depth, places);
    for (idx k = 0; k < depth; ++k) places[k] *= static_cast<Offset>(lanes);
    for (idx k = depth; k < depth + kTileRows; ++k) places[k] = places[0];
    for (idx w = 0; w < g.out[2]; ++w)
        steps[w] = {static_cast<Offset>(w * g.stride[2] * lanes), static_cast<Offset>(w * step)};

    constexpr idx kMost = kTileRows * kTileVectors;
    T sums[kMost * lanes];
    const int wide = wide_vectors(static_cast<int>(p.rows.rows));
    const ImageKernel<T> kernel = find_image_kernel<T, true>(p.rows.rows);
    ImageTile<T> tile;
    tile.x = data;
    tile.runs[0] = {steps, steps + g.out[2], 0, box.count[1]};
    tile.n_runs = 1;
    tile.x_outer = g.stride[1] * b.extent[2] * lanes;
    tile.a_outer = g.out[2] * step;
    tile.c = sums;
    tile.c_row = wide * lanes;
    tile.columns = wide;
    tile.add = false;
    for (idx q = 0; q < p.rows.tiles; ++q) {
        const idx row0 = q * p.rows.rows;
        const idx left = s.group_outputs - row0;
        tile.a = grad + q * box.count[1] * tile.a_outer;
        for (idx k = 0; k < depth; k += wide) {
            tile.places = places + k;
            kernel(tile);
            T* to = p.sums + ((number * s.groups + group) * s.group_outputs + row0) * depth + k;
            for (idx i = 0; i < p.rows.rows && i < left; ++i)
                for (idx v = 0; v < wide && k + v < depth; ++v)
                    to[i * depth + v] = reduce_add(load(sums + (i * wide + v) * lanes));
        }
    }
    return true;
}

// After plan_weight_images. False: no memory.
template <class T>
bool weight_images(ImageWeight<T>& p, T* grad_weight, bool accumulate) {
    const ConvShape& s = *p.s;
    const idx all = s.outputs * s.group_channels * s.volume();
    p.sums =
        static_cast<T*>(pool_scratch(static_cast<std::size_t>(p.boxes.boxes * all) * sizeof(T), 3));
    if (p.sums == nullptr) return false;
    const idx tasks = s.groups * p.boxes.boxes;
    const double work = static_cast<double>(s.images * s.out_size()) * static_cast<double>(all);
    bool ok = true;
    parallel_for(tasks, piece_of_tasks(work, tasks), [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i)
            if (!run_weight_images(p, i % s.groups, i / s.groups))
                __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
    });
    for (idx i = 0; ok && i < all; ++i) {
        T sum = p.sums[i];
        for (idx box = 1; box < p.boxes.boxes; ++box) sum += p.sums[box * all + i];
        grad_weight[i] = accumulate ? grad_weight[i] + sum : sum;
    }
    return ok;
}

}  // namespace fastnn::FASTNN_ISA
