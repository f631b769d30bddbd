// SPDX-License-Identifier: BSD-3-Clause
// Boxes and tiles of convolutions that have a lane for each image (simd/conv_images.h,
// ops/conv_weight_images.h). A box is some rows of outputs of as many images as a vector has lanes.
// Its part of the source is transposed into
//
//   box   (channels, extent[1], extent[2], images), zero outside the source
//
// so that any output and any (channel, tap) has its vector, whatever the stride and the width.
#pragma once

#include "runtime/parallel.h"
#include "runtime/pool.h"
#include "simd/conv_box.h"
#include "simd/conv_direct.h"
#include "simd/conv_wide.h"
#include "simd/gemm_transpose.h"

namespace fastnn::FASTNN_ISA {

inline constexpr int kImageRows = 8;       // channels of a tile
inline constexpr int kLeastImageRows = 6;  // the tiles' sizes, in steps of two
inline constexpr idx kImageTaps = 64;
inline constexpr idx kImageWidth = 1024;

// Shorter vectors are not worth it, and images of doubles are not small.
template <class T>
inline constexpr bool kImageLanes = sizeof(T) == 4 && kLanes<T> >= 8;

// What a tile adds up at each step: vectors from x on, and at `a` either a number for each of the R
// channels, or a vector.
struct ImageStep {
    Offset x, a;
};

// Steps that are gone through `passes` times, the first time from pass `first` on.
struct ImageRun {
    const ImageStep* begin;
    const ImageStep* end;
    idx first, passes;
};

template <class T>
struct ImageTile {
    const T* x;
    const Offset* places;  // of the V vectors
    const T* a;
    ImageRun runs[3];
    int n_runs;
    idx x_outer, a_outer;  // from one pass through a run's steps to the next
    T* c;
    idx c_row;
    int columns;  // that are written
    bool add;
};

template <class T>
using ImageKernel = void (*)(const ImageTile<T>&);

template <class T, int R, int V, bool kVectors>
__attribute__((noinline)) void image_kernel(const ImageTile<T>& t) {
    constexpr int lanes = kLanes<T>;
    const T* __restrict__ column[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) column[v] = t.x + t.places[v];
    Vec<T> sum[R][V];
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sum[i][v] = Vec<T>{};

    for (int part = 0; part < t.n_runs; ++part) {
        const ImageRun& run = t.runs[part];
        idx x_at = run.first * t.x_outer;
        const T* a = t.a + run.first * t.a_outer;
        for (idx pass = run.passes; pass > 0; --pass, x_at += t.x_outer, a += t.a_outer) {
            for (const ImageStep* step = run.begin; step != run.end; ++step) {
                const idx at = x_at + step->x;
                const T* left = a + step->a;
                Vec<T> w[R];
#pragma GCC unroll 8
                for (int i = 0; i < R; ++i)
                    w[i] = kVectors ? load(left + i * lanes) : broadcast(left[i]);
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v) {
                    Vec<T> x = load(column[v] + at);
                    keep_in_register(x);
#pragma GCC unroll 8
                    for (int i = 0; i < R; ++i) sum[i][v] = fma(w[i], x, sum[i][v]);
                }
            }
        }
    }

    T* __restrict__ c = t.c;
    const bool add = t.add;
    const int columns = t.columns;
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i, c += t.c_row)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v)
            if (v < columns)
                store<T>(c + v * lanes, add ? load(c + v * lanes) + sum[i][v] : sum[i][v]);
}

// Of kLeastImageRows to kImageRows rows, an even number.
template <class T, bool kVectors, int R = kImageRows>
ImageKernel<T> find_image_kernel(idx rows) {
    if constexpr (R > kLeastImageRows) {
        if (rows <= R - 2) return find_image_kernel<T, kVectors, R - 2>(rows);
    }
    return image_kernel<T, R, wide_vectors(R), kVectors>;
}

// As image_kernel<T, R, V, false> of half as many vectors, which are still enough sums in flight;
// or null.
template <class T>
ImageKernel<T> find_half_kernel(idx rows) {
    if constexpr (wide_vectors(kLeastImageRows) == 4) {
        if (rows == kLeastImageRows) return image_kernel<T, kLeastImageRows, 2, false>;
    }
    return nullptr;
}

// Channels in tiles of an even number of rows, the last perhaps of more than there are.
struct ImageRows {
    idx tiles, rows;
};
inline ImageRows image_rows(idx channels) {
    const idx tiles = (channels + kImageRows - 1) / kImageRows;
    const idx rows = ((channels + tiles - 1) / tiles + 1) / 2 * 2;
    return {tiles, rows < kLeastImageRows ? kLeastImageRows : rows};
}

// Cuts a convolution into boxes; their `images` are vectors of images. False where that is not the
// way to compute it.
template <class T>
bool plan_image_boxes(const ConvGrid& g, idx images, idx terms, double work, ConvBoxes& b) {
    constexpr idx lanes = kLanes<T>;
    if (g.out[0] != 1 || g.in[0] != 1 || g.taps[0] != 1 || g.base[0] != 0) return false;
    if (g.taps[1] > kImageTaps || g.taps[2] > kImageTaps || g.taps[1] * g.taps[2] > kImageTaps ||
        g.taps[1] * g.taps[2] < 2 || g.out[2] > kImageWidth)
        return false;
    const idx vectors = (images + lanes - 1) / lanes;
    if (images * 4 < vectors * lanes * 3) return false;
    double parts = work / static_cast<double>(kTaskWork) / static_cast<double>(vectors);
    const double wanted = static_cast<double>((kDirectTasks + vectors - 1) / vectors);
    if (parts > wanted) parts = wanted;
    b = ConvBoxes{};
    b.images = b.size[0] = b.parts[0] = b.parts[2] = 1;
    b.size[2] = g.out[2];
    b.parts[1] = clamp_index(static_cast<idx>(parts), 1, g.out[1]);
    b.size[1] = (g.out[1] + b.parts[1] - 1) / b.parts[1];
    if (!set_box_extent(g, 1, b)) return false;
    // What neighbouring boxes share is transposed twice.
    while (b.extent[1] > 2 * b.size[1] * g.stride[1] && b.size[1] < g.out[1]) {
        ++b.size[1];
        if (!set_box_extent(g, 1, b)) return false;
    }
    if (!box_fits(g, terms * lanes, b)) return false;
    b.parts[1] = (g.out[1] + b.size[1] - 1) / b.size[1];
    b.boxes = vectors * b.parts[1];
    return true;
}

// Elements [0, count) of `images` images: element i of image j to to[i * step + j], and `gap`
// further for each of the rows of `width` elements before its own.
template <class T>
__attribute__((noinline)) void transpose_images(const T* row, idx image, idx images, idx count,
                                                T* to, idx step, idx width, idx gap) {
    constexpr idx lanes = kLanes<T>;
    idx left = width;
    for (idx i = 0; i < count; i += lanes) {
        const idx n = count - i < lanes ? count - i : lanes;
        Vec<T> r[lanes];
        const T* from = row + i;
        if (n == lanes) {
#pragma GCC unroll 16
            for (idx j = 0; j < lanes; ++j) r[j] = j < images ? load(from + j * image) : Vec<T>{};
        } else {
#pragma GCC unroll 16
            for (idx j = 0; j < lanes; ++j)
                r[j] = j < images ? load_partial(from + j * image, static_cast<int>(n)) : Vec<T>{};
        }
        transpose(r);
        for (idx j = 0; j < n; ++j, to += step) {
            store<T>(to, r[j]);
            if (--left > 0) continue;
            left = width;
            to += gap;
        }
    }
}

template <class T>
void zero_vectors(T* to, idx count) {
    for (idx i = 0; i < count; ++i) store<T>(to + i * kLanes<T>, Vec<T>{});
}

// The box of the images [image, image + images), `channels` channels from source.x on. Lanes
// without an image hold zeros. Rows outside of the source are zero, or with skip_rows are
// left alone because no step reads them.
template <class T>
void fill_image_box(const ColumnSource<T>& s, const ConvBoxes& b, idx first_row, idx image,
                    idx images, idx channels, bool skip_rows, T* to) {
    constexpr idx lanes = kLanes<T>;
    const ConvGrid& g = s.grid;
    const idx w0 = b.first[2] < 0 ? 0 : b.first[2];
    const idx w1 = b.first[2] + b.extent[2] < g.in[2] ? b.first[2] + b.extent[2] : g.in[2];
    const idx end = first_row + b.extent[1];
    const idx h0 = first_row > 0 ? first_row : 0;
    const idx h1 = w0 >= w1 || h0 >= g.in[1] ? h0 : end < g.in[1] ? end : g.in[1];
    const idx row = b.extent[2] * lanes;
    const idx width = w1 - w0;
    for (idx c = 0; c < channels; ++c, to += b.extent[1] * row) {
        const T* from = s.x + image * s.image + c * s.channel + h0 * g.in[2] + w0;
        for (idx h = first_row; h < end; ++h) {
            T* const at = to + (h - first_row) * row;
            if (h < h0 || h >= h1) {
                if (!skip_rows || w0 >= w1) zero_vectors(at, b.extent[2]);
                continue;
            }
            zero_vectors(at, w0 - b.first[2]);
            zero_vectors(at + (w1 - b.first[2]) * lanes, b.first[2] + b.extent[2] - w1);
        }
        // Whole rows follow each other.
        const idx rows = width == g.in[2] ? h1 - h0 : 1;
        T* at = to + (h0 - first_row) * row + (w0 - b.first[2]) * lanes;
        for (idx h = h0; h < h1; h += rows, from += g.in[2], at += row)
            transpose_images(from, s.image, images, rows * width, at, lanes, width,
                             row - width * lanes);
    }
}

}  // namespace fastnn::FASTNN_ISA
