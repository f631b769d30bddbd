// SPDX-License-Identifier: BSD-3-Clause
// Convolution of layers with few channels and small images: a lane for each image. Neither the
// channels nor the short rows of such layers fill vectors, but a batch of images does, and then no
// position needs lanes beyond the end of a row, and a tap that lies in the padding of all of a
// tile's outputs is left out, not multiplied by zero.
//
// Blocking: a task is a box (simd/conv_image_tile.h). A tile is all output channels by some
// neighbouring outputs of a row, each a vector of images; sums are transposed when they are
// written.
//
// Bits of an element: as in simd/conv_direct.h, so that they do not depend on the number of images;
// that a multiply-add with zero is left out changes none. Where a weight is infinite or NaN, which
// zeros in the padding make NaN of, nothing is left out.
//
// Scratch: slots 0 (sums), 1 (box) and, of the caller, 3 (weights).
#pragma once

#include "simd/conv_direct.h"
#include "simd/conv_image_tile.h"

namespace fastnn::FASTNN_ISA {

inline constexpr idx kLeastImageDepth = 96;  // below, transposing Y costs more than it saves

// The taps, as bits, that reach the source from any of the outputs [first, first + count).
inline std::uint64_t reaching_taps(const ConvGrid& g, int i, idx first, idx count) {
    std::uint64_t taps = 0;
    const idx low = first * g.stride[i] + g.base[i];
    const idx high = low + (count - 1) * g.stride[i];
    for (idx t = 0; t < g.taps[i]; ++t) {
        const idx reach = t * g.step[i];
        if (high + reach >= 0 && low + reach < g.in[i]) taps |= std::uint64_t{1} << t;
    }
    return taps;
}

// Whether to compute a convolution here: where otherwise simd/conv_wide.h would, with rows shorter
// than a few vectors.
template <class T>
bool plan_images(ConvDirect<T>& p) {
    const ConvGrid& g = p.source.grid;
    p.depth = p.terms * g.volume();
    // With a stride along the rows fewer images go by simd/gemm_conv.h, which cuts k otherwise.
    if (g.stride[2] != 1 && p.depth > kDirectDepth) return false;
    if (p.rows < kLeastImageRows - 1 || p.rows > kImageRows || p.depth < kLeastImageDepth ||
        p.terms > kBoxElements || g.out[2] > 4 * kLanes<T> || p.y_stride[2] != 1 ||
        p.y_stride[1] != g.out[2])
        return false;
    const double work = static_cast<double>(p.images * g.positions()) *
                        static_cast<double>(p.groups * p.rows) * static_cast<double>(p.depth);
    if (!plan_image_boxes<T>(g, p.images, p.terms, work, p.boxes)) return false;
    const idx blocks = (p.depth + kDirectDepth - 1) / kDirectDepth;
    p.block = (p.depth + blocks - 1) / blocks;
    const ImageRows rows = image_rows(p.rows);
    p.width = rows.tiles * rows.rows;
    return true;
}

// W as (groups, tiles, terms, taps, rows). Whether all of it are numbers.
template <class T>
bool pack_image_weights(const ConvDirect<T>& p) {
    const ConvGrid& g = p.source.grid;
    const ImageRows tile = image_rows(p.rows);
    T* to = p.packed;
    T zero = 0;
    for (idx i = 0; i < p.groups * tile.tiles; ++i) {
        const idx row0 = i % tile.tiles * tile.rows;
        const T* from = p.weights.data + i / tile.tiles * p.weights.group;
        for (idx c = 0; c < p.terms; ++c, from += p.weights.term)
            for (idx h = 0; h < g.taps[1]; ++h)
                for (idx w = 0; w < g.taps[2]; ++w)
                    for (idx r = row0; r < row0 + tile.rows; ++r, ++to) {
                        *to = r < p.rows ? from[h * p.weights.step[1] + w * p.weights.step[2] +
                                                r * p.weights.row]
                                         : T(0);
                        zero += *to * T(0);
                    }
    }
    return zero == T(0);
}

// Sums (rows, positions, lanes) to Y.
template <class T>
void place_images(const ConvDirect<T>& p, idx group, idx row0, idx rows, idx image, idx images,
                  idx first, idx positions, const T* sums) {
    constexpr idx lanes = kLanes<T>;
    for (idx r = row0; r < row0 + rows; ++r) {
        const idx channel = group * p.rows + r;
        const Vec<T> bias = broadcast(p.bias == nullptr ? T(0) : p.bias[channel]);
        T* y = p.y + image * p.y_image + channel * p.y_channel + first;
        for (idx j = 0; j < positions; j += lanes) {
            const idx n = positions - j < lanes ? positions - j : lanes;
            Vec<T> v[lanes];
#pragma GCC unroll 16
            for (idx i = 0; i < lanes; ++i) v[i] = load(sums + (j + (i < n ? i : 0)) * lanes);
            transpose(v);
            T* to = y + j;
            for (idx i = 0; i < images; ++i, to += p.y_image) {
                const Vec<T> out = p.bias == nullptr ? v[i] : v[i] + bias;
                if (n == lanes) {
                    store<T>(to, out);
                } else {
                    store_partial(to, out, static_cast<int>(n));
                }
            }
        }
        sums += positions * lanes;
    }
}

// Says what the steps [k0, k1) of (channel, tap) are, `steps` being those of one channel in order.
template <class T>
void set_image_runs(ImageTile<T>& tile, const ImageStep* steps, idx count, idx rows, idx volume,
                    idx k0, idx k1) {
    // The first step of tap t or a later one.
    const auto from_tap = [&](idx t) {
        const ImageStep* step = steps;
        while (step != steps + count && step->a < t * rows) ++step;
        return step;
    };
    const ImageStep* const end = steps + count;
    const idx c0 = k0 / volume;
    const idx c1 = k1 / volume;
    const ImageStep* const first = from_tap(k0 % volume);
    const ImageStep* const last = from_tap(k1 % volume);
    if (c0 == c1) {
        tile.runs[0] = {first, last, c0, 1};
        tile.n_runs = 1;
        return;
    }
    tile.runs[0] = {first, end, c0, 1};
    tile.runs[1] = {steps, end, c0 + 1, c1 - c0 - 1};
    tile.runs[2] = {steps, last, c1, 1};
    tile.n_runs = 3;
}

// One box; with `skip` without the taps that lie in the padding. False: no memory.
template <class T>
bool run_image_task(const ConvDirect<T>& p, bool skip, idx group, idx number) {
    constexpr idx lanes = kLanes<T>;
    const ConvGrid& g = p.source.grid;
    const ConvBoxes& b = p.boxes;
    const ImageRows rows = image_rows(p.rows);
    const ConvBox box = conv_box(g, b, (p.images + lanes - 1) / lanes, number);
    const idx image = box.image * lanes;
    const idx images = p.images - image < lanes ? p.images - image : lanes;
    const idx positions = box.count[1] * g.out[2];
    T* sums = static_cast<T*>(pool_scratch(
        static_cast<std::size_t>(rows.rows * b.size[1] * g.out[2] * lanes) * sizeof(T), 0));
    T* data = static_cast<T*>(
        pool_scratch(static_cast<std::size_t>(p.terms * b.channel() * lanes) * sizeof(T), 1));
    if (sums == nullptr || data == nullptr) return false;
    ColumnSource<T> source = p.source;
    source.x += group * p.terms * source.channel;
    fill_image_box(source, b, b.first[1] + box.first[1] * g.stride[1], image, images, p.terms, skip,
                   data);

    const int wide = wide_vectors(static_cast<int>(rows.rows));
    const ImageKernel<T> kernel = find_image_kernel<T, false>(rows.rows);
    const ImageKernel<T> half_kernel = find_half_kernel<T>(rows.rows);
    // Products of some outputs of a row, one beside the other: those in the padding among them.
    const auto products = [&](idx first, idx count) {
        return __builtin_popcountll(reaching_taps(g, 2, first, count)) * count;
    };
    ImageStep steps[kImageTaps];
    Offset places[kTileRows];
    ImageTile<T> tile;
    tile.x = data;
    tile.places = places;
    tile.x_outer = b.channel() * lanes;
    tile.a_outer = g.volume() * rows.rows;
    tile.c_row = positions * lanes;
    for (idx q = 0; q < rows.tiles; ++q) {
        tile.a = p.packed + (group * rows.tiles + q) * p.terms * tile.a_outer;
        for (idx w = 0; w < g.out[2]; w += tile.columns) {
            const idx left = g.out[2] - w;
            tile.columns = static_cast<int>(left < wide ? left : wide);
            const idx half = wide / 2;
            const bool halves =
                half_kernel != nullptr &&
                (left <= half ||
                 (skip && products(w, half) + products(w + half, half) < products(w, wide)));
            if (halves && left > half) tile.columns = static_cast<int>(half);
            const std::uint64_t taps =
                skip ? reaching_taps(g, 2, w, tile.columns) : ~std::uint64_t{0};
            std::uint64_t before = 0;
            idx count = 0;
            for (idx h = 0; h < box.count[1]; ++h) {
                for (int v = 0; v < wide; ++v)
                    places[v] =
                        static_cast<Offset>((h * g.stride[1] * b.extent[2] +
                                             (w + (v < tile.columns ? v : 0)) * g.stride[2]) *
                                            lanes);
                const std::uint64_t lines =
                    skip ? reaching_taps(g, 1, box.first[1] + h, 1) : ~std::uint64_t{0};
                if (h == 0 || lines != before) {
                    before = lines;
                    count = 0;
                    for (idx th = 0; th < g.taps[1]; ++th) {
                        if ((lines >> th & 1) == 0) continue;
                        const idx line = (g.base[1] - b.first[1] + th * g.step[1]) * b.extent[2] +
                                         g.base[2] - b.first[2];
                        for (idx tw = 0; tw < g.taps[2]; ++tw) {
                            if ((taps >> tw & 1) == 0) continue;
                            const idx t = th * g.taps[2] + tw;
                            steps[count++] = {static_cast<Offset>((line + tw * g.step[2]) * lanes),
                                              static_cast<Offset>(t * rows.rows)};
                        }
                    }
                }
                tile.c = sums + (h * g.out[2] + w) * lanes;
                for (idx k = 0; k < p.depth; k += p.block) {
                    const idx k1 = p.depth - k < p.block ? p.depth : k + p.block;
                    set_image_runs(tile, steps, count, rows.rows, g.volume(), k, k1);
                    tile.add = k > 0;
                    (halves ? half_kernel : kernel)(tile);
                }
            }
        }
        const idx row0 = q * rows.rows;
        place_images(p, group, row0, p.rows - row0 < rows.rows ? p.rows - row0 : rows.rows, image,
                     images, box.first[1] * g.out[2], positions, sums);
    }
    return true;
}

// After plan_images. False: there was no memory, and Y is undefined.
template <class T>
bool conv_images(ConvDirect<T>& p) {
    p.packed = static_cast<T*>(
        pool_scratch(static_cast<std::size_t>(p.groups * p.width * p.depth) * sizeof(T), 3));
    if (p.packed == nullptr) return false;
    const bool skip = pack_image_weights(p);
    bool ok = true;
    run_direct_tasks(&p, 1, p.groups * p.boxes.boxes, [&](idx i) {
        if (!run_image_task(p, skip, i % p.groups, i / p.groups))
            __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
    });
    return ok;
}

}  // namespace fastnn::FASTNN_ISA
