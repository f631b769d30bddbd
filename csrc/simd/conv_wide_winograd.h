// SPDX-License-Identifier: BSD-3-Clause
// Convolution with few output channels and three taps of stride 1 down the columns: as
// conv_wide.h, with Winograd's F(4, 3) in this one direction. Four outputs from six elements take 6
// multiplications for each tap along the row, not 12,
//
//   y = A (sum over channels and taps along the row of  (G g) o (B d))
//
// so that there are six of conv_wide.h's products. All three transforms work on vectors along the
// rows, as the sums do: nothing is turned, and d is read where it stands.
//
// The points are 0, p, -p, q, -q and infinity with p = 3/4 and q = 3/2: B and A are exact, and the
// pairs share their even and odd parts. Error: relative to the largest elements of a tile, and
// mostly twice that of the sums of the definition, up to four times where the source is sparse.
//
// Bits of an element depend on its image and the weights alone: a multiply-add for each (channel,
// tap along the row) in order, from zero; then A, then the bias. An image in which an output is not
// finite is computed anew without the transform.
//
// Blocking: a strip is some rows of tiles, which may belong to two images. Its B d is made at once,
// a matrix for each product; these and the sums of all products stand in L2.
//
// Scratch: slots 0 (B d, sums) and, of the caller, 3 (G g, steps).
//
// Source: as conv_halving.h.
#pragma once

#include "simd/conv_wide.h"
#include "simd/conv_winograd.h"
#include "simd/lane_range.h"

namespace fastnn::FASTNN_ISA {

inline constexpr int kTallProducts = 6;
inline constexpr int kTallOutputs = 4;              // rows of a tile
inline constexpr idx kTallElements = idx{1} << 17;  // of B d
inline constexpr idx kTallOverhead = 20;            // multiply-adds that a vector's transform takes
inline constexpr idx kTallPieces = 16;

// Layers of fewer channels have the bits of simd/conv_images.h, which takes them in larger batches.
template <class T>
inline constexpr bool kTall = kWinograd<T> && (kMostWide<T>) > kWideRows;

template <class T>
struct ConvTall {
    ConvDirect<T> direct;  // the same convolution
    idx depth;             // (channel, tap along the row)
    idx rows, panels;      // of output channels: of a panel
    idx tiles;             // rows of tiles of an image
    idx row_vectors, pitch;
    idx together;  // rows of tiles in a strip
    idx first[2];  // row and column of the source that the first output reads
    T* packed;     // (groups, product, panels, depth, of a panel)
    Offset* steps;

    idx all() const { return direct.images * tiles; }
    idx strips() const { return (all() + together - 1) / together; }
    idx plane() const { return direct.terms * together * pitch + kLanes<T>; }
    idx wide() const { return wide_vectors(static_cast<int>(rows)); }
    idx sums_row() const { return wide() * kLanes<T>; }
    idx sums_tile() const { return panels * rows * sums_row(); }
    idx strip_tiles() const { return (together * row_vectors + wide() - 1) / wide(); }
    idx sums_plane() const { return strip_tiles() * sums_tile() + kLanes<T>; }
};

// B d of six rows.
template <class V>
FASTNN_SIMD_INLINE void tall_source(const V (&d)[kTallProducts], V (&v)[kTallProducts]) {
    const V p = V{} + 0.75f, q = V{} + 1.5f;
    const V minus_p = -p, minus_q = -q;
    const V pp = V{} - 0.5625f, qq = V{} - 2.25f;
    const V sum = V{} - 2.8125f, product = V{} + 1.265625f;
    const V even_p = fma(qq, d[2], d[4]), odd_p = fma(qq, d[1], d[3]);
    const V even_q = fma(pp, d[2], d[4]), odd_q = fma(pp, d[1], d[3]);
    v[0] = fma(product, d[0], fma(sum, d[2], d[4]));
    v[1] = fma(p, odd_p, even_p);
    v[2] = fma(minus_p, odd_p, even_p);
    v[3] = fma(q, odd_q, even_q);
    v[4] = fma(minus_q, odd_q, even_q);
    v[5] = fma(product, d[1], fma(sum, d[3], d[5]));
}

// G g.
template <class T>
FASTNN_SIMD_INLINE void tall_taps(const T (&g)[3], T (&u)[kTallProducts]) {
    const T even_p = g[0] + T(0.5625) * g[2], odd_p = T(0.75) * g[1];
    const T even_q = g[0] + T(2.25) * g[2], odd_q = T(1.5) * g[1];
    u[0] = g[0] / T(1.265625);
    u[1] = (even_p + odd_p) / T(-1.8984375);
    u[2] = (even_p - odd_p) / T(-1.8984375);
    u[3] = (even_q + odd_q) / T(7.59375);
    u[4] = (even_q - odd_q) / T(7.59375);
    u[5] = g[2];
}

// A m.
template <class V>
FASTNN_SIMD_INLINE void tall_outputs(const V (&m)[kTallProducts], V (&y)[kTallOutputs]) {
    const V p = V{} + 0.75f, q = V{} + 1.5f;
    const V pp = V{} + 0.5625f, qq = V{} + 2.25f;
    const V ppp = V{} + 0.421875f, qqq = V{} + 3.375f;
    const V even_p = m[1] + m[2], odd_p = m[1] - m[2];
    const V even_q = m[3] + m[4], odd_q = m[3] - m[4];
    y[0] = m[0] + even_p + even_q;
    y[1] = fma(p, odd_p, q * odd_q);
    y[2] = fma(pp, even_p, qq * even_q);
    y[3] = fma(ppp, odd_p, fma(qqq, odd_q, m[5]));
}

// After plan_wide. So much depends on the layer and the size of an image alone.
template <class T>
bool plan_tall(const ConvDirect<T>& job, ConvTall<T>& p) {
    constexpr idx lanes = kLanes<T>;
    const ConvGrid& g = job.source.grid;
    if (job.rows <= kWideRows || g.out[0] != 1 || g.in[0] != 1 || g.taps[0] != 1 ||
        g.base[0] != 0 || g.taps[1] != 3 || g.stride[1] != 1 ||
        (g.step[1] != 1 && g.step[1] != -1) || g.stride[2] != 1 || job.y_stride[2] != 1)
        return false;
    // Not every other row of a channel: where one is not finite, whole channels are looked at.
    if (job.y_channel != g.out[1] * g.out[2]) return false;
    p.direct = job;
    p.depth = job.terms * g.taps[2];
    p.rows = job.vectors;
    p.panels = job.panels;
    p.tiles = (g.out[1] + kTallOutputs - 1) / kTallOutputs;
    p.row_vectors = (g.out[2] + lanes - 1) / lanes;
    const idx reach = (g.taps[2] - 1) * g.step[2];
    p.pitch = (p.row_vectors * lanes + (reach < 0 ? -reach : reach) + lanes - 1) / lanes * lanes;
    p.first[0] = g.base[1] + (g.step[1] < 0 ? 2 * g.step[1] : 0);
    p.first[1] = g.base[2] + (reach < 0 ? reach : 0);
    const idx wide = wide_vectors(static_cast<int>(p.rows));
    const idx fit = kTallElements / (kTallProducts * job.terms) / p.pitch;
    if (p.depth > kDirectDepth || fit < wide) return false;
    p.together = wide;
    const idx width = p.rows * p.panels;
    const WideRows<T> plane = whole_plane<T>(g);
    const idx tile = kTallProducts * p.row_vectors * width * p.depth +
                     kTallOverhead * (p.row_vectors * job.rows + p.pitch / lanes * job.terms);
    return p.tiles * tile < plane.vectors() * width * p.depth * 3;
}

template <class T>
void pack_tall(const ConvTall<T>& p) {
    const ConvDirect<T>& job = p.direct;
    const ConvGrid& g = job.source.grid;
    const ConvWeights<T>& w = job.weights;
    // Where the places in the source go down the taps go up from the last.
    const bool down = g.step[1] < 0;
    const idx tap_step = down ? -w.step[1] : w.step[1];
    const idx panel = p.depth * p.rows;
    for (idx i = 0; i < job.groups * p.panels; ++i) {
        const idx group = i / p.panels;
        const idx row = i % p.panels * p.rows;
        const T* from = w.data + group * w.group + row * w.row + (down ? 2 * w.step[1] : 0);
        T* to = p.packed + (group * kTallProducts * p.panels + i % p.panels) * panel;
        for (idx k = 0; k < p.depth; ++k) {
            const T* tap = from + k / g.taps[2] * w.term + k % g.taps[2] * w.step[2];
            for (idx r = 0; r < p.rows; ++r, ++to, tap += w.row) {
                T taps[3] = {}, u[kTallProducts];
                if (row + r < job.rows)
                    for (int h = 0; h < 3; ++h) taps[h] = tap[h * tap_step];
                tall_taps(taps, u);
                for (int h = 0; h < kTallProducts; ++h) to[h * p.panels * panel] = u[h];
            }
        }
    }
}

// B d of `count` rows of tiles from `begin` on: element (channel, row of tiles, column) of product
// i stands at v[i * plane + (channel * together + row) * pitch + column].
template <class T>
void fill_tall(const ConvTall<T>& p, idx group, idx begin, idx count, T* v) {
    constexpr idx lanes = kLanes<T>;
    const ColumnSource<T>& s = p.direct.source;
    const idx plane = p.plane(), pitch = p.pitch, terms = p.direct.terms, channel = s.channel;
    const idx height = s.grid.in[1], width = s.grid.in[2], first = p.first[1];
    for (idx t = 0; t < count; ++t) {
        const idx image = (begin + t) / p.tiles;
        const idx top = p.first[0] + (begin + t) % p.tiles * kTallOutputs;
        const bool whole = top >= 0 && top + kTallProducts <= height;
        const T* source = s.x + image * s.image + group * terms * channel + top * width + first;
        T* to = v + t * pitch;
        for (idx c = 0; c < terms; ++c, source += channel, to += p.together * pitch) {
            for (idx w = 0; w < pitch; w += lanes) {
                const idx left = first + w;
                const T* from = source + w;
                Vec<T> d[kTallProducts], r[kTallProducts];
                if (whole && left >= 0 && left + lanes <= width) {
#pragma GCC unroll 8
                    for (int i = 0; i < kTallProducts; ++i) d[i] = load(from + i * width);
                } else {
                    const LaneRange<T> inside = lane_range<T>(-left, width - left);
                    if (whole) {
#pragma GCC unroll 8
                        for (int i = 0; i < kTallProducts; ++i)
                            d[i] = load_lanes(from + i * width, inside);
                    } else {
                        for (int i = 0; i < kTallProducts; ++i) {
                            const bool exists = top + i >= 0 && top + i < height;
                            d[i] = exists ? load_lanes(from + i * width, inside) : Vec<T>{};
                        }
                    }
                }
                tall_source(d, r);
#pragma GCC unroll 8
                for (int i = 0; i < kTallProducts; ++i) store<T>(to + w + i * plane, r[i]);
            }
        }
    }
}

// Brings part `part` of `parts` of what is wanted next nearer: the source of the rows of tiles from
// `next` on, and the outputs of those from `begin` on.
template <class T>
void fetch_tall(const ConvTall<T>& p, idx group, idx begin, idx next, idx count, idx part,
                idx parts) {
    constexpr idx line = 64 / static_cast<idx>(sizeof(T));
    const ConvDirect<T>& job = p.direct;
    const ColumnSource<T>& s = job.source;
    const ConvGrid& g = s.grid;
    const auto rows_of = [](idx top, idx all) {
        return all - top < kTallOutputs ? all - top : idx{kTallOutputs};
    };
    for (idx t = 0; t < count; ++t) {
        const idx top = (begin + t) % p.tiles * kTallOutputs;
        fetch_outputs(job.y + (begin + t) / p.tiles * job.y_image + top * job.y_stride[1],
                      job.y_channel, group * job.rows + part * job.rows / parts,
                      group * job.rows + (part + 1) * job.rows / parts,
                      rows_of(top, g.out[1]) * job.y_stride[1]);
        if (next + t >= p.all()) continue;
        const idx row = (next + t) % p.tiles * kTallOutputs;
        const idx size = rows_of(row, g.in[1]) * g.in[2];
        const T* from = s.x + (next + t) / p.tiles * s.image + row * g.in[2];
        for (idx c = part * job.terms / parts; c < (part + 1) * job.terms / parts; ++c)
            for (idx i = 0; i < size; i += line)
                __builtin_prefetch(from + (group * job.terms + c) * s.channel + i, 0, 2);
    }
}

// The sums of all products of a strip's vectors, and Y. Returns lanes of NaN where an output is
// not finite, else of zero.
template <class T>
Vec<T> run_tall(const ConvTall<T>& p, idx group, idx begin, idx count, T* v) {
    constexpr idx lanes = kLanes<T>;
    const ConvDirect<T>& job = p.direct;
    const ConvGrid& g = job.source.grid;
    fill_tall(p, group, begin, count, v);
    T* m = v + kTallProducts * p.plane();
    const idx wide = p.wide();
    const idx all = count * p.row_vectors;
    const idx tiles = (all + wide - 1) / wide;
    const ConvTileKernel<T> kernel = find_wide_kernel<T>(p.rows);
    ConvTile<T> tile;
    tile.depth = p.depth;
    tile.steps = p.steps;
    tile.add = false;
    const auto place = [&](idx vector) {
        return vector / p.row_vectors * p.pitch + vector % p.row_vectors * lanes;
    };
    const idx parts = kTallProducts * tiles * p.panels;
    idx part = 0;
    for (int i = 0; i < kTallProducts; ++i) {
        tile.b = v + i * p.plane();
        for (idx t = 0; t < tiles; ++t) {
            Offset places[kTileRows];
            for (idx j = 0; j < wide; ++j)
                places[j] = static_cast<Offset>(t * wide + j < all ? place(t * wide + j) : 0);
            tile.rows = places;
            tile.a = p.packed + (group * kTallProducts + i) * p.panels * p.depth * p.rows;
            tile.c = m + i * p.sums_plane() + t * p.sums_tile();
            for (idx q = 0; q < p.panels; ++q) {
                fetch_tall(p, group, begin, begin + p.together, count, part++, parts);
                kernel(tile);
                tile.a += p.depth * p.rows;
                tile.c += p.rows * p.sums_row();
            }
        }
    }
    const T* bias = job.bias == nullptr ? nullptr : job.bias + group * job.rows;
    const idx m_row = p.sums_row(), m_plane = p.sums_plane();
    const idx rows = job.rows, y_row = job.y_stride[1], y_channel = job.y_channel;
    Vec<T> check{};
    for (idx j = 0; j < all; ++j) {
        const idx at = begin + j / p.row_vectors;
        const idx column = j % p.row_vectors * lanes;
        const idx row = at % p.tiles * kTallOutputs;
        const int lines =
            static_cast<int>(g.out[1] - row < kTallOutputs ? g.out[1] - row : kTallOutputs);
        const idx left = g.out[2] - column;
        const int n = static_cast<int>(left < lanes ? left : lanes);
        const T* from = m + j / wide * p.sums_tile() + j % wide * lanes;
        T* to =
            job.y + at / p.tiles * job.y_image + group * rows * y_channel + row * y_row + column;
        for (idx r = 0; r < rows; ++r, from += m_row, to += y_channel) {
            Vec<T> sums[kTallProducts], y[kTallOutputs];
#pragma GCC unroll 8
            for (int i = 0; i < kTallProducts; ++i) sums[i] = load(from + i * m_plane);
            tall_outputs(sums, y);
            const Vec<T> extra = broadcast(bias == nullptr ? T(-0.0) : bias[r]);
#pragma GCC unroll 4
            for (int i = 0; i < kTallOutputs; ++i) {
                y[i] += extra;
                check = fma(y[i], Vec<T>{}, check);
            }
            if (n == lanes && lines == kTallOutputs) {
#pragma GCC unroll 4
                for (int i = 0; i < kTallOutputs; ++i) store<T>(to + i * y_row, y[i]);
            } else {
                for (int i = 0; i < lines; ++i) store_partial(to + i * y_row, y[i], n);
            }
        }
    }
    return check;
}

// After plan_tall. False: there was no memory, and Y is undefined. Clears `finite` where an
// output is not.
template <class T>
bool conv_tall(ConvTall<T>& p, bool& finite) {
    const ConvDirect<T>& job = p.direct;
    const ConvGrid& g = job.source.grid;
    const idx weights = (job.groups * kTallProducts * p.panels * p.rows * p.depth + 15) / 16 * 16;
    p.packed = static_cast<T*>(pool_scratch(static_cast<std::size_t>(weights) * sizeof(T) +
                                                static_cast<std::size_t>(p.depth) * sizeof(Offset),
                                            3));
    if (p.packed == nullptr) return false;
    p.steps = static_cast<Offset*>(static_cast<void*>(p.packed + weights));
    for (idx k = 0; k < p.depth; ++k)
        p.steps[k] = static_cast<Offset>(k / g.taps[2] * p.together * p.pitch + g.base[2] -
                                         p.first[1] + k % g.taps[2] * g.step[2]);
    pack_tall(p);
    const idx tasks = p.strips() * job.groups;
    const double work = static_cast<double>(p.all() * kTallProducts * g.out[2]) *
                        static_cast<double>(job.groups * job.rows * p.depth);
    const idx least = piece_of_tasks(work, tasks);
    const idx piece = (tasks + kTallPieces - 1) / kTallPieces;
    bool ok = true;
    parallel_for(tasks, least > piece ? least : piece, [&](idx first, idx end) {
        const idx elements = kTallProducts * (p.plane() + p.sums_plane());
        T* v = static_cast<T*>(pool_scratch(static_cast<std::size_t>(elements) * sizeof(T), 0));
        if (v == nullptr) {
            __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
            return;
        }
        Vec<T> check{};
        for (idx i = first; i < end; ++i) {
            const idx begin = i % p.strips() * p.together;
            const idx left = p.all() - begin;
            check += run_tall(p, i / p.strips(), begin, left < p.together ? left : p.together, v);
        }
        if (!(reduce_add(check) == T(0))) __atomic_store_n(&finite, false, __ATOMIC_RELAXED);
    });
    return ok;
}

// As conv_wide, with the transform where it pays.
template <class T>
bool conv_wide_or_tall(ConvDirect<T>* jobs, int count) {
    if constexpr (kTall<T>) {
        ConvTall<T> tall;
        if (count == 1 && plan_tall(jobs[0], tall)) {
            bool finite = true;
            if (!conv_tall(tall, finite)) return false;
            return finite || conv_not_finite(jobs[0], [](ConvDirect<T>& job) {
                       return plan_wide(job) && conv_wide(&job, 1);
                   });
        }
    }
    return conv_wide(jobs, count);
}

}  // namespace fastnn::FASTNN_ISA
