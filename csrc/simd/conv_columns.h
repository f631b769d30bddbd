// SPDX-License-Identifier: BSD-3-Clause
// The column matrix of a convolution ("im2col"), made a part at a time where matrix multiplication
// wants it, so that it never stands in memory as a whole.
//
// Row k = (channel, tap_d, tap_h, tap_w) and column j = (image, d, h, w) of it hold the element of
// the source at d * stride + base + tap * step in each of the three directions, zero outside:
//
//   convolution            base = -padding, step = dilation
//   gradient of its input  stride 1; base and step say which output a tap reaches (ops/conv.cpp)
//
// Parts are cut along the columns into spans, which lie in one row of one image: neighbours in a
// span stand `stride` elements apart in the source. Within a span the taps and the channels pass
// by, the channels innermost: what is inside the image is found once for all of them.
//
// Source: Chellapilla, Puri and Simard 2006, "High performance convolutional neural networks for
// document processing" (columns); Chetlur et al. 2014, "cuDNN" (columns made tile by tile).
#pragma once

#include "runtime/types.h"
#include "simd/lane_range.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

struct ConvGrid {
    idx out[3];  // columns of an image in each direction
    idx in[3];   // the source's
    idx stride[3];
    idx base[3];
    idx step[3];
    idx taps[3];

    idx positions() const { return out[0] * out[1] * out[2]; }
    idx volume() const { return taps[0] * taps[1] * taps[2]; }
};

template <class T>
struct ColumnSource {
    const T* x;
    idx image;    // from one image to the next
    idx channel;  // from one channel to the next; inside, rows follow each other
    ConvGrid grid;
};

struct Span {
    idx lane;  // of the part
    idx count;
    idx image;
    idx place[3];  // of the first column
};

inline constexpr int kMostSpans = 384;

// The spans of the columns [first, first + count); at most count of them. Returns how many.
inline int find_spans(const ConvGrid& g, idx first, idx count, Span* spans) {
    const idx positions = g.positions();
    Span at{0, 0, first / positions, {}};
    const idx place = first % positions;
    at.place[0] = place / (g.out[1] * g.out[2]);
    at.place[1] = place / g.out[2] % g.out[1];
    at.place[2] = place % g.out[2];
    int n = 0;
    while (at.lane < count) {
        const idx row = g.out[2] - at.place[2];
        at.count = count - at.lane < row ? count - at.lane : row;
        spans[n++] = at;
        at.lane += at.count;
        at.place[2] = 0;
        if (++at.place[1] < g.out[1]) continue;
        at.place[1] = 0;
        if (++at.place[0] < g.out[0]) continue;
        at.place[0] = 0;
        ++at.image;
    }
    return n;
}

// Up to a vector of columns, for every channel: `count` sources from `from` on, kStride elements
// apart (0: as many as `stride` says), of which those inside the row [0, width) are read; the first
// of them is element w of the row.
template <class T, int kStride>
struct ColumnPiece {
    static constexpr int lanes = kLanes<T>;
    LaneRange<T> inside, inside_next, all;
    idx w, width, stride;
    int count;
    bool whole;

    ColumnPiece(idx first, idx row, idx apart, int n)
        : w(first), width(row), stride(apart), count(n) {
        // Not beyond the last that is wanted: it may be the last of the array.
        const idx last = first + (n - 1) * apart;
        const idx stop = (last < row ? last + 1 : row) - first;
        inside = lane_range<T>(-first, stop);
        inside_next = lane_range<T>(-first - lanes, stop - lanes);
        all = lane_range<T>(0, n);
        whole = n == lanes && first >= 0 && last < row;
    }

    void copy(const T* from, idx channels, idx channel, T* to, idx to_channel) const {
        if constexpr (kStride == 1) {
            if (whole) {
                for (idx c = 0; c < channels; ++c, from += channel, to += to_channel)
                    store<T>(to, load(from));
                return;
            }
            for (idx c = 0; c < channels; ++c, from += channel, to += to_channel)
                store_lanes(to, load_lanes(from, inside), all);
        } else if constexpr (kStride == 2) {
            for (idx c = 0; c < channels; ++c, from += channel, to += to_channel) {
                const Vec<T> low = load_lanes(from, inside);
                const Vec<T> high = load_lanes(from + lanes, inside_next);
                store_lanes(to, even_lanes(low, high), all);
            }
        } else {
            for (idx c = 0; c < channels; ++c, from += channel, to += to_channel) {
                for (int i = 0; i < count; ++i) {
                    const idx at = w + i * stride;
                    to[i] = at >= 0 && at < width ? from[i * stride] : T(0);
                }
            }
        }
    }

    void zero(idx channels, T* to, idx to_channel) const {
        for (idx c = 0; c < channels; ++c, to += to_channel) store_lanes(to, Vec<T>{}, all);
    }

    static FASTNN_SIMD_INLINE Vec<T> even_lanes(Vec<T> a, Vec<T> b) {
        if constexpr (lanes == 16) {
            return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26,
                                           28, 30);
        } else if constexpr (lanes == 8) {
            return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
        } else if constexpr (lanes == 4) {
            return __builtin_shufflevector(a, b, 0, 2, 4, 6);
        } else {
            return __builtin_shufflevector(a, b, 0, 2);
        }
    }
};

// Channels [first, last) whose row for this tap is among the rows [k0, k1).
struct ChannelRange {
    idx first, last;
};
inline ChannelRange channels_of_tap(idx tap, idx volume, idx k0, idx k1) {
    return {k0 > tap ? (k0 - tap + volume - 1) / volume : 0,
            k1 > tap ? (k1 - tap + volume - 1) / volume : 0};
}

template <class T, int kStride>
void pack_span(const ColumnSource<T>& s, const Span& span, idx k0, idx k1, idx step, T* out) {
    constexpr idx lanes = kLanes<T>;
    const ConvGrid& g = s.grid;
    const idx volume = g.volume();
    const idx apart = g.stride[2];
    const idx d0 = span.place[0] * g.stride[0] + g.base[0];
    const idx h0 = span.place[1] * g.stride[1] + g.base[1];
    const idx w0 = span.place[2] * apart + g.base[2];
    const T* image = s.x + span.image * s.image;
    for (idx tap_w = 0; tap_w < g.taps[2]; ++tap_w) {
        for (idx i = 0; i < span.count; i += lanes) {
            const idx w = w0 + tap_w * g.step[2] + i * apart;
            const idx rest = span.count - i;
            const ColumnPiece<T, kStride> piece(w, g.in[2], apart,
                                                static_cast<int>(rest < lanes ? rest : lanes));
            for (idx tap_d = 0; tap_d < g.taps[0]; ++tap_d) {
                for (idx tap_h = 0; tap_h < g.taps[1]; ++tap_h) {
                    const idx tap = (tap_d * g.taps[1] + tap_h) * g.taps[2] + tap_w;
                    const ChannelRange range = channels_of_tap(tap, volume, k0, k1);
                    const idx channels = range.last - range.first;
                    if (channels <= 0) continue;
                    T* to = out + (range.first * volume + tap - k0) * step + span.lane + i;
                    const idx d = d0 + tap_d * g.step[0];
                    const idx h = h0 + tap_h * g.step[1];
                    if (d < 0 || d >= g.in[0] || h < 0 || h >= g.in[1]) {
                        piece.zero(channels, to, volume * step);
                        continue;
                    }
                    const T* from =
                        image + range.first * s.channel + (d * g.in[1] + h) * g.in[2] + w;
                    piece.copy(from, channels, s.channel, to, volume * step);
                }
            }
        }
    }
}

// Rows [k0, k1) of the columns that the spans cover: row k at out + (k - k0) * step.
template <class T>
void pack_columns(const ColumnSource<T>& s, const Span* spans, int count, idx k0, idx k1, idx step,
                  T* out) {
    for (int i = 0; i < count; ++i) {
        if (s.grid.stride[2] == 1) {
            pack_span<T, 1>(s, spans[i], k0, k1, step, out);
        } else if (s.grid.stride[2] == 2) {
            pack_span<T, 2>(s, spans[i], k0, k1, step, out);
        } else {
            pack_span<T, 0>(s, spans[i], k0, k1, step, out);
        }
    }
}

}  // namespace fastnn::FASTNN_ISA
