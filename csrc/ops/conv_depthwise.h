// SPDX-License-Identifier: BSD-3-Clause
// Convolutions with few output channels to a group, depthwise ones above all: too little work per
// element of the columns for matrix multiplication. A task is a strip of rows of one output channel
// of one image. The rows of each source channel that it reads are copied into scratch memory with
// their padding, and, where the stride is s, sorted by their remainder: then every tap of every
// output reads neighbours, without a test.
//
//   strip    (taps_d, rows, s, pitch): element e of a row, padding included, at [e % s][e / s]
//   y        for each source channel a multiply-add for each tap in order, from zero; the channels'
//            sums and then the bias added in order
//
// 3 x 3 or 5 x 5 taps, stride and dilation 1: ops/conv_depthwise_rows.h, where the first channel's
// sum begins with the bias. The gradient of the weights: ops/conv_depthwise_weight.h.
//
// Steps between taps are positive here; the gradient of the input turns its taps around.
//
// Scratch: slots 0 (strip, or sums of planes) and 1 (sums of several channels).
#pragma once

#include "ops/conv_depthwise_rows.h"
#include "ops/conv_shape.h"
#include "runtime/parallel.h"
#include "runtime/pool.h"
#include "simd/conv_columns.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

inline constexpr idx kMostTaps = 128;
inline constexpr idx kMostRows = 3;                  // output channels to a group
inline constexpr idx kLeastTaps = 4;                 // unless there is one source channel
inline constexpr idx kStripElements = idx{1} << 14;  // that a strip should have, in L1 and L2
inline constexpr idx kLargestStrip = idx{1} << 18;   // that one row's strip may have
inline constexpr idx kDepthwiseWork = idx{1} << 16;  // multiply-adds of a piece

template <class T>
struct Depthwise {
    idx images, groups;
    idx rows;   // of one group: channels of y
    idx terms;  // source channels of one group
    ConvGrid grid;
    const T* source;
    const T* weight;  // of the first tap of all
    idx weight_group, weight_row, weight_term;
    idx weight_step[3];
    const T* bias;
    T* y;
    idx y_channel;
    idx y_stride[3];
};

template <class T>
struct Strip {
    idx rows_per_strip, strips;  // of one d
    idx rows;                    // of the source, for one tap_d
    idx pitch, row;              // of one remainder, of all
    idx size;

    explicit Strip(const ConvGrid& g) {
        constexpr idx lanes = kLanes<T>;
        const idx width = (g.out[2] - 1) * g.stride[2] + magnitude(g.step[2]) * (g.taps[2] - 1) + 1;
        // A whole vector may be read from the last output on.
        pitch = ((width + g.stride[2] - 1) / g.stride[2] + 2 * lanes - 1) / lanes * lanes;
        row = g.stride[2] * pitch;
        const idx halo = magnitude(g.step[1]) * (g.taps[1] - 1) + 1;
        const idx fit = kStripElements / (row * g.taps[0]);
        rows_per_strip = fit <= halo ? 1 : (fit - halo) / g.stride[1] + 1;
        if (rows_per_strip > g.out[1]) rows_per_strip = g.out[1];
        strips = (g.out[1] + rows_per_strip - 1) / rows_per_strip;
        rows = (rows_per_strip - 1) * g.stride[1] + halo;
        size = rows * row * g.taps[0];
    }

    static idx magnitude(idx v) { return v < 0 ? -v : v; }
};

// Whether `rows` output channels that read `terms` source channels each are computed here.
template <class T>
bool depthwise_fits(const ConvGrid& g, idx rows, idx terms) {
    if (rows > kMostRows) return false;
    for (int i = 0; i < 3; ++i) {
        // So that what Strip computes cannot overflow.
        if (g.taps[i] > kMostTaps || Strip<T>::magnitude(g.step[i]) > kLargestStrip ||
            g.stride[i] > kLargestStrip || g.out[i] > kLargestStrip)
            return false;
    }
    const idx volume = g.volume();
    if (volume > kMostTaps || (terms > 1 && volume < kLeastTaps)) return false;
    return Strip<T>(g).row <= kLargestStrip && Strip<T>(g).size <= kLargestStrip;
}

inline idx clamp_row(idx row, idx rows) { return row < 0 ? 0 : row > rows ? rows : row; }

// Copies what the rows [h0, h0 + strip.rows_per_strip) of y read, for one d.
template <class T, int kStride>
void fill_strip_rows(const ConvGrid& g, const Strip<T>& strip, const T* plane, idx d, idx h0,
                     T* out) {
    constexpr idx lanes = kLanes<T>;
    const idx apart = g.stride[2];
    const idx first_h = h0 * g.stride[1] + g.base[1];
    for (idx tap = 0; tap < g.taps[0]; ++tap) {
        const idx from_d = d * g.stride[0] + g.base[0] + tap * g.step[0];
        // Rows [above, below) of the strip are inside the source.
        const bool inside = from_d >= 0 && from_d < g.in[0];
        const idx above = clamp_row(-first_h, strip.rows);
        const idx below = inside ? clamp_row(g.in[1] - first_h, strip.rows) : above;
        T* to = out + tap * strip.rows * strip.row;
        for (idx e = 0; e < apart; ++e) {
            for (idx i = 0; i < strip.pitch; i += lanes) {
                const idx w = g.base[2] + e + i * apart;
                const ColumnPiece<T, kStride> piece(w, g.in[2], apart, static_cast<int>(lanes));
                T* column = to + e * strip.pitch + i;
                const T* from = plane + (from_d * g.in[1] + first_h) * g.in[2] + w;
                piece.zero(above, column, strip.row);
                piece.copy(from + above * g.in[2], below - above, g.in[2],
                           column + above * strip.row, strip.row);
                piece.zero(strip.rows - below, column + below * strip.row, strip.row);
            }
        }
    }
}

template <class T>
void fill_strip(const ConvGrid& g, const Strip<T>& strip, const T* plane, idx d, idx h0, T* out) {
    if (g.stride[2] == 1) {
        fill_strip_rows<T, 1>(g, strip, plane, d, h0, out);
    } else if (g.stride[2] == 2) {
        fill_strip_rows<T, 2>(g, strip, plane, d, h0, out);
    } else {
        fill_strip_rows<T, 0>(g, strip, plane, d, h0, out);
    }
}

// Where the taps' elements stand in a strip, from the first row and column of an output on.
template <class T>
int find_taps(const ConvGrid& g, const Strip<T>& strip, idx* offsets) {
    int n = 0;
    for (idx d = 0; d < g.taps[0]; ++d) {
        for (idx h = 0; h < g.taps[1]; ++h) {
            for (idx w = 0; w < g.taps[2]; ++w) {
                const idx e = w * g.step[2];
                offsets[n++] = (d * strip.rows + h * g.step[1]) * strip.row +
                               e % g.stride[2] * strip.pitch + e / g.stride[2];
            }
        }
    }
    return n;
}

// R rows of V vectors of outputs, of which `last` lanes of the last exist.
template <class T>
struct TapSums {
    const idx* offsets;
    const T* weights;
    int taps;
    idx row_step;  // in the strip
    const T* bias;
    bool add;  // y += the sums
    idx y_row, y_step;

    template <int R, int V>
    __attribute__((noinline)) void run(const T* from, int last, T* y) const {
        constexpr int lanes = kLanes<T>;
        Vec<T> sum[R][V] = {};
        const idx row = row_step;
        for (int t = 0; t < taps; ++t) {
            const Vec<T> weight = broadcast(weights[t]);
            const T* p = from + offsets[t];
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v)
                    sum[r][v] = fma(weight, load(p + r * row + v * lanes), sum[r][v]);
        }
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v)
                finish(sum[r][v], v == V - 1 ? last : lanes, y + r * y_row + v * lanes * y_step);
    }

    FASTNN_SIMD_INLINE void finish(Vec<T> sum, int count, T* y) const {
        constexpr int lanes = kLanes<T>;
        if (y_step == 1) {
            if (add) sum = load_partial(y, count) + sum;
            if (bias != nullptr) sum += broadcast(*bias);
            if (count == lanes) return store<T>(y, sum);
            return store_partial(y, sum, count);
        }
        T value[lanes];
        store<T>(value, sum);
        spread(value, count, y);
    }
    // Not inlined: `finish` stands in the code once for each vector of each shape of a block.
    __attribute__((noinline)) void spread(const T* value, int count, T* y) const {
        for (int i = 0; i < count; ++i) {
            const T one = add ? y[i * y_step] + value[i] : value[i];
            y[i * y_step] = bias != nullptr ? one + *bias : one;
        }
    }

    // Six or eight vectors at a time, of several rows: a sum waits for its last multiply-add.
    template <int R, int V>
    void rows(const T* from, idx count, int last, T* y) const {
        idx h = 0;
        for (; h + R <= count; h += R) run<R, V>(from + h * row_step, last, y + h * y_row);
        if constexpr (R > 1) {
            rows<R / 2, V>(from + h * row_step, count - h, last, y + h * y_row);
        }
    }

    void strip(const T* from, idx count, idx width, T* y) const {
        constexpr int lanes = kLanes<T>;
        for (idx w = 0; w < width;) {
            const idx left = width - w;
            const int last = static_cast<int>((left - 1) % lanes) + 1;
            T* to = y + w * y_step;
            if (left > 3 * lanes) {
                rows<2, 4>(from + w, count, left >= 4 * lanes ? lanes : last, to);
                w += 4 * lanes;
            } else if (left > 2 * lanes) {
                rows<2, 3>(from + w, count, last, to);
                w += 3 * lanes;
            } else if (left > lanes) {
                rows<4, 2>(from + w, count, last, to);
                w += 2 * lanes;
            } else {
                rows<8, 1>(from + w, count, last, to);
                w += lanes;
            }
        }
    }
};

inline constexpr idx kWalkSums = idx{1} << 20;  // elements in scratch memory

// Those of a part of a plane.
inline idx walk_sums(const ConvGrid& g) { return (g.out[1] / walk_parts(g) + 1) * g.out[2]; }

// Scratch: slot 0, two arrays of sums that take turns. False: no memory.
template <class T>
bool depthwise_walk(const Depthwise<T>& p) {
    const ConvGrid& g = p.grid;
    const idx channels = p.groups * p.rows;
    const idx parts = walk_parts(g);
    const idx taps = g.taps[2];
    const idx piece = kWalkWork * parts / (g.out[1] * g.out[2] * taps * taps * p.terms);
    const idx most = walk_sums(g);
    bool ok = true;
    parallel_for(p.images * channels * parts, piece < 1 ? 1 : piece, [&](idx begin, idx end) {
        const T zeros[kWalkZeros<T>] = {};
        T* sums = nullptr;
        if (p.terms > 1) {
            sums = static_cast<T*>(pool_scratch(static_cast<std::size_t>(2 * most) * sizeof(T), 0));
            if (sums == nullptr) return __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
        }
        for (idx u = begin; u < end; ++u) {
            const idx plane = u / parts;
            const idx channel = plane % channels;
            const idx first = u % parts * g.out[1] / parts;
            const idx rows = (u % parts + 1) * g.out[1] / parts - first;
            const auto walk = taps == 3 ? walk_plane<T, 3> : walk_plane<T, 5>;
            T* const y = p.y + plane * p.y_channel + first * p.y_stride[1];
            for (idx term = 0; term < p.terms; ++term) {
                const T* weight = p.weight + channel / p.rows * p.weight_group +
                                  channel % p.rows * p.weight_row + term * p.weight_term;
                T weights[kMostWalked * kMostWalked];
                for (idx i = 0; i < taps; ++i)
                    for (idx k = 0; k < taps; ++k)
                        weights[i * taps + k] = weight[i * p.weight_step[1] + k * p.weight_step[2]];
                const T* prior = term == 0 ? nullptr : sums + (term - 1) % 2 * most;
                const bool last = term == p.terms - 1;
                walk(g, p.source + (plane / p.rows * p.terms + term) * g.in[1] * g.in[2], zeros,
                     weights, p.bias != nullptr && term == 0 ? p.bias[channel] : T(0), first, rows,
                     prior, last ? y : sums + term % 2 * most, last ? p.y_stride[1] : g.out[2]);
            }
        }
    });
    return ok;
}

// False: no memory.
template <class T>
bool depthwise_forward(const Depthwise<T>& p) {
    const ConvGrid& g = p.grid;
    if constexpr (kWalks) {
        const bool few = p.terms == 1 || 2 * walk_sums(g) <= kWalkSums;
        if (p.y_stride[2] == 1 && walk_fits(g) && few) return depthwise_walk(p);
    }
    const Strip<T> strip(g);
    const idx source_channel = g.in[0] * g.in[1] * g.in[2];
    const idx volume = g.volume();
    const idx strips = g.out[0] * strip.strips;
    const idx channels = p.groups * p.rows;
    const idx work = p.terms * strip.rows_per_strip * g.out[2] * volume;
    const idx piece = kDepthwiseWork / work;
    idx offsets[kMostTaps];
    TapSums<T> sums{};
    sums.offsets = offsets;
    sums.taps = find_taps(g, strip, offsets);
    sums.row_step = g.stride[1] * strip.row;
    // Sums of several channels are gathered where they are neighbours.
    const bool gather = p.terms > 1 && p.y_stride[2] != 1;
    sums.y_row = gather ? g.out[2] : p.y_stride[1];
    sums.y_step = gather ? 1 : p.y_stride[2];
    bool ok = true;
    parallel_for(p.images * channels * strips, piece < 1 ? 1 : piece, [&](idx begin, idx end) {
        T* rows =
            static_cast<T*>(pool_scratch(static_cast<std::size_t>(strip.size) * sizeof(T), 0));
        T* gathered = nullptr;
        if (gather)
            gathered = static_cast<T*>(pool_scratch(
                static_cast<std::size_t>(strip.rows_per_strip * g.out[2]) * sizeof(T), 1));
        if (rows == nullptr || (gather && gathered == nullptr)) {
            __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
            return;
        }
        for (idx u = begin; u < end; ++u) {
            const idx image = u / strips / channels;
            const idx channel = u / strips % channels;
            const idx group = channel / p.rows;
            const idx d = u % strips / strip.strips;
            const idx h0 = u % strip.strips * strip.rows_per_strip;
            const idx left = g.out[1] - h0;
            const idx count = left < strip.rows_per_strip ? left : strip.rows_per_strip;
            T* y = p.y + (image * channels + channel) * p.y_channel + d * p.y_stride[0] +
                   h0 * p.y_stride[1];
            TapSums<T> mine = sums;
            T weights[kMostTaps];
            mine.weights = weights;
            for (idx term = 0; term < p.terms; ++term) {
                const T* weight = p.weight + group * p.weight_group +
                                  channel % p.rows * p.weight_row + term * p.weight_term;
                T* to = weights;
                for (idx i = 0; i < g.taps[0]; ++i)
                    for (idx j = 0; j < g.taps[1]; ++j)
                        for (idx k = 0; k < g.taps[2]; ++k)
                            *to++ = weight[i * p.weight_step[0] + j * p.weight_step[1] +
                                           k * p.weight_step[2]];
                const idx from = (image * p.groups + group) * p.terms + term;
                fill_strip(g, strip, p.source + from * source_channel, d, h0, rows);
                mine.add = term > 0;
                mine.bias = p.bias != nullptr && term == p.terms - 1 ? p.bias + channel : nullptr;
                mine.strip(rows, count, g.out[2], gathered != nullptr ? gathered : y);
            }
            if (gathered == nullptr) continue;
            for (idx h = 0; h < count; ++h)
                for (idx w = 0; w < g.out[2]; ++w)
                    y[h * p.y_stride[1] + w * p.y_stride[2]] = gathered[h * g.out[2] + w];
        }
    });
    return ok;
}

}  // namespace fastnn::FASTNN_ISA
