// SPDX-License-Identifier: BSD-3-Clause
// The way of a source to simd/winograd.h's transforms: boxes of tiles (simd/conv_box.h), whose
// channels are turned into lanes a vector at a time. Boxes of whole rows are turned from where the
// source stands, where rows follow each other, so that no vector is half empty at the end of a
// row. Others are copied first.
#pragma once

#include "simd/conv_box.h"
#include "simd/gemm_transpose.h"
#include "simd/winograd.h"

namespace fastnn::FASTNN_ISA {

// Elements of scratch memory for winograd_strip: the planes, then the strip.
template <class T>
idx winograd_strip_size(const ConvBoxes& b) {
    constexpr idx lanes = kLanes<T>;
    return lanes * (2 * b.images * b.channel() + 2 * lanes);
}

// Turns channels of the rows of an image that a box has, from row `row` of the source on: they
// follow each other there, and each whole one begins `left` vectors into its row of the box.
template <class T>
void turn_rows(const ColumnSource<T>& s, const ConvBoxes& b, const T* x, idx row, idx left,
               idx channels, T* to) {
    constexpr idx lanes = kLanes<T>;
    const idx width = s.grid.in[2];
    const idx begin = row < 0 ? 0 : row;
    const idx end = row + b.extent[1] < s.grid.in[1] ? row + b.extent[1] : s.grid.in[1];
    T* const until = to + b.channel() * lanes;
    T* start = to;  // of a row
    const auto begin_row = [&](T* next) {
        for (start = next; to < start; to += lanes) store<T>(to, Vec<T>{});
    };
    if (end > begin) begin_row(to + ((begin - row) * b.extent[2] + left) * lanes);
    const idx all = (end - begin) * width;
    const T* from = x + begin * width;
    for (idx i = 0; i < all; i += lanes) {
        const idx count = all - i < lanes ? all - i : lanes;
        Vec<T> r[lanes];
#pragma GCC unroll 16
        for (idx c = 0; c < lanes; ++c) {
            const T* at = from + c * s.channel + i;
            r[c] = c >= channels    ? Vec<T>{}
                   : count == lanes ? load(at)
                                    : load_partial(at, static_cast<int>(count));
        }
        transpose(r);
        if (count == lanes && to + lanes * lanes <= start + width * lanes) {
#pragma GCC unroll 16
            for (idx j = 0; j < lanes; ++j) store<T>(to + j * lanes, r[j]);
            to += lanes * lanes;
        } else {
            alignas(kVecBytes) T kept[lanes * lanes];
#pragma GCC unroll 16
            for (idx j = 0; j < lanes; ++j) store<T>(kept + j * lanes, r[j]);
            for (idx j = 0; j < count; ++j, to += lanes) {
                if (to == start + width * lanes) begin_row(start + b.extent[2] * lanes);
                store<T>(to, load(kept + j * lanes));
            }
        }
        if (to == start + width * lanes && i + lanes < all) begin_row(start + b.extent[2] * lanes);
    }
    for (; to < until; to += lanes) store<T>(to, Vec<T>{});
}

// `channels` (a vector's at most) of a box from s.x on: element (image, row, column) of the box is
// a vector of the strip, zero in lanes without a channel. Returns the strip.
template <class T>
const T* winograd_strip(const ColumnSource<T>& s, const ConvBoxes& b, const ConvBox& box,
                        idx channels, T* scratch) {
    constexpr idx lanes = kLanes<T>;
    const idx plane = b.channel();
    const idx row = b.first[1] + box.first[1] * s.grid.stride[1];
    const idx column = b.first[2] + box.first[2] * s.grid.stride[2];
    if (column <= 0 && column + b.extent[2] >= s.grid.in[2]) {
        for (idx image = 0; image < box.images; ++image)
            turn_rows(s, b, s.x + (box.image + image) * s.image, row, -column, channels,
                      scratch + image * plane * lanes);
        return scratch;
    }
    T* strip = scratch + lanes * (b.images * plane + lanes);
    fill_box(s, b, box, channels, scratch);
    for (idx image = 0; image < box.images; ++image) {
        const T* from = scratch + image * channels * plane;
        T* to = strip + image * plane * lanes;
        // The last vectors of a plane reach into the next image's place, which is written after.
        for (idx i = 0; i < plane; i += lanes) {
            Vec<T> r[lanes];
#pragma GCC unroll 16
            for (idx c = 0; c < lanes; ++c)
                r[c] = c < channels ? load(from + c * plane + i) : Vec<T>{};
            transpose(r);
#pragma GCC unroll 16
            for (idx j = 0; j < lanes; ++j) store<T>(to + (i + j) * lanes, r[j]);
        }
    }
    return strip;
}

// What map(N x N elements of a tile, 4 x 4) gives of every tile of a box and `terms` channels from
// s.x on: element (tile, channel) of product i stands at to_plane[i * plane + tile * width +
// channel]; lanes without a channel are zero.
template <int N, class T, class F>
void winograd_transform(const ColumnSource<T>& s, const ConvBoxes& b, const ConvBox& box, idx terms,
                        idx width, idx plane, T* scratch, T* to_plane, const F& map) {
    constexpr idx lanes = kLanes<T>;
    const idx row = b.extent[2] * lanes;
    for (idx c = 0; c < terms; c += lanes) {
        ColumnSource<T> part = s;
        part.x += c * s.channel;
        const T* strip =
            winograd_strip(part, b, box, terms - c < lanes ? terms - c : lanes, scratch);
        T* to = to_plane + c;
        for (idx image = 0; image < box.images; ++image) {
            for (idx h = 0; h < box.count[1]; ++h) {
                const T* from = strip + image * b.channel() * lanes + 2 * h * row;
                for (idx w = 0; w < box.count[2]; ++w, from += 2 * lanes, to += width) {
                    Tile<T, N> d;
#pragma GCC unroll 4
                    for (int i = 0; i < N; ++i)
#pragma GCC unroll 4
                        for (int j = 0; j < N; ++j) d[i][j] = load(from + i * row + j * lanes);
                    Tile<T, 4> r;
                    map(d, r);
#pragma GCC unroll 4
                    for (int i = 0; i < 4; ++i)
#pragma GCC unroll 4
                        for (int j = 0; j < 4; ++j) store<T>(to + (4 * i + j) * plane, r[i][j]);
                }
            }
        }
    }
}

// V = B' d B.
template <class T>
void transform_source(const ColumnSource<T>& s, const ConvBoxes& b, const ConvBox& box, idx terms,
                      idx width, idx plane, T* scratch, T* v) {
    winograd_transform<4>(s, b, box, terms, width, plane, scratch, v,
                          [](const Tile<T, 4>& d, Tile<T, 4>& r) { winograd_source<T>(d, r); });
}

// W = H e H'.
template <class T>
void transform_grad(const ColumnSource<T>& s, const ConvBoxes& b, const ConvBox& box, idx terms,
                    idx width, idx plane, T* scratch, T* w) {
    winograd_transform<2>(s, b, box, terms, width, plane, scratch, w,
                          [](const Tile<T, 2>& e, Tile<T, 4>& r) { winograd_grad<T>(e, r); });
}

}  // namespace fastnn::FASTNN_ISA
