// SPDX-License-Identifier: BSD-3-Clause
// A convolution's source, cut into boxes with their padding. The columns of a box of outputs are
// then a matrix given by two tables: element (channel and tap k, output j) stands at
// steps[k] + places[j] of the box. Nothing is copied more than once, but for the borders that
// neighbouring boxes share.
//
//   box   (images, channels, extent[0], extent[1], extent[2]), zero outside the source
//
// A box holds some columns of an output row, or whole rows, or whole planes, or whole images: as
// much as is wanted of it and fits into kBoxElements, which is a part of L2.
//
// Source: the offset tables of Dukhan 2019, "The indirect convolution algorithm", which has
// pointers in their place.
#pragma once

#include "runtime/types.h"
#include "simd/conv_columns.h"
#include "simd/conv_tile.h"
#include "simd/lane_range.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

inline constexpr idx kBoxElements = idx{1} << 17;

struct ConvBoxes {
    idx images;     // to a box
    idx size[3];    // outputs to a box, in each direction
    idx parts[3];   // boxes
    idx first[3];   // of the source, for output 0
    idx extent[3];  // of the source that a box reads
    idx boxes;

    idx channel() const { return extent[0] * extent[1] * extent[2]; }
    idx outputs() const { return images * size[0] * size[1] * size[2]; }
};

struct ConvBox {
    idx image, images;
    idx first[3], count[3];  // outputs

    idx per_image() const { return count[0] * count[1] * count[2]; }
    idx outputs() const { return images * per_image(); }
};

// Sets extent[i] for size[i]; false where it is more than a box has.
inline bool set_box_extent(const ConvGrid& g, int i, ConvBoxes& b) {
    const idx reach = (g.taps[i] - 1) * g.step[i];
    b.first[i] = g.base[i] + (reach < 0 ? reach : 0);
    b.extent[i] = (b.size[i] - 1) * g.stride[i] + (reach < 0 ? -reach : reach) + 1;
    return b.extent[i] <= kBoxElements;
}

inline bool box_fits(const ConvGrid& g, idx channels, ConvBoxes& b) {
    idx left = kBoxElements / channels / b.images;
    for (int i = 0; i < 3; ++i) {
        if (!set_box_extent(g, i, b)) return false;
        left /= b.extent[i];
    }
    return left > 0;
}

// Cuts the outputs into boxes of about `wanted`. False where not even a part of a row fits.
inline bool plan_boxes(const ConvGrid& g, idx images, idx channels, idx wanted, idx least_columns,
                       ConvBoxes& b) {
    b = ConvBoxes{};
    b.images = b.size[0] = b.size[1] = b.size[2] = 1;
    const auto shrink = [&](idx& size, idx least) {
        while (!box_fits(g, channels, b)) {
            if (size <= least) return false;
            size = size / 2 > least ? size / 2 : least;
        }
        return true;
    };
    const auto grow = [&](idx& size, idx most) {
        const idx room = wanted / b.outputs();
        size = room < 1 ? 1 : room < most ? room : most;
        shrink(size, 1);
        const idx parts = (most + size - 1) / size;
        size = (most + parts - 1) / parts;
        return parts;
    };
    // So that it does not depend on what is wanted whether there are boxes at all.
    const idx least = least_columns < g.out[2] ? least_columns : g.out[2];
    b.size[2] = wanted < least ? least : wanted < g.out[2] ? wanted : g.out[2];
    if (!shrink(b.size[2], least)) return false;
    b.parts[2] = (g.out[2] + b.size[2] - 1) / b.size[2];
    b.size[2] = (g.out[2] + b.parts[2] - 1) / b.parts[2];
    b.parts[1] = b.parts[2] == 1 ? grow(b.size[1], g.out[1]) : g.out[1];
    b.parts[0] = b.parts[1] == 1 && b.parts[2] == 1 ? grow(b.size[0], g.out[0]) : g.out[0];
    const bool whole = b.parts[0] == 1 && b.parts[1] == 1 && b.parts[2] == 1;
    const idx image_parts = whole ? grow(b.images, images) : images;
    b.boxes = image_parts * b.parts[0] * b.parts[1] * b.parts[2];
    return box_fits(g, channels, b);
}

// Makes the boxes `b`, cut for the grid `g`, hold what the grid `other` reads too.
inline void widen_boxes(const ConvGrid& g, const ConvGrid& other, ConvBoxes& b) {
    for (int i = 0; i < 3; ++i) {
        const idx reach = (other.taps[i] - 1) * other.step[i];
        const idx low = other.base[i] + (reach < 0 ? reach : 0);
        const idx high = other.base[i] + (reach < 0 ? 0 : reach) + (b.size[i] - 1) * g.stride[i];
        const idx last = b.first[i] + b.extent[i] - 1;
        if (low < b.first[i]) b.first[i] = low;
        b.extent[i] = (high > last ? high : last) - b.first[i] + 1;
    }
}

inline ConvBox conv_box(const ConvGrid& g, const ConvBoxes& b, idx images, idx i) {
    ConvBox box{};
    for (int at = 2; at >= 0; --at) {
        box.first[at] = i % b.parts[at] * b.size[at];
        const idx left = g.out[at] - box.first[at];
        box.count[at] = b.size[at] < left ? b.size[at] : left < 0 ? 0 : left;
        i /= b.parts[at];
    }
    box.image = i * b.images;
    box.images = b.images < images - box.image ? b.images : images - box.image;
    return box;
}

// Outputs of a box that follow each other in an image.
struct BoxRun {
    idx image, place[3], count;
};

// The run of output j of a box: within a row, or on over whole rows and planes if these follow each
// other too (`dense`).
inline BoxRun box_run(const ConvGrid& g, const ConvBox& box, bool dense, idx j) {
    idx run = box.count[2];
    if (dense && run == g.out[2]) {
        run *= box.count[1];
        if (box.count[1] == g.out[1]) run *= box.count[0];
    }
    const idx place = j % box.per_image();
    return {
        box.image + j / box.per_image(),
        {box.first[0] + place / (box.count[1] * box.count[2]),
         box.first[1] + place / box.count[2] % box.count[1], box.first[2] + place % box.count[2]},
        run - place % run};
}

// The rows of a box: `extent` elements from element `first` of a row of the source on, zero outside
// it. Up to a vector after a row may be overwritten.
template <class T>
class BoxRow {
  public:
    BoxRow(idx first, idx size, idx extent) : inside_(-first), end_(size - first), extent_(extent) {
        const idx begin = first < 0 ? (lanes - 1 - first) / lanes * lanes : 0;
        begin_ = begin < extent ? begin : extent;
        whole_ = end_ > begin_ ? begin_ + (end_ - begin_) / lanes * lanes : begin_;
        if (whole_ > extent) whole_ = extent;
        head_ = lane_range<T>(inside_, end_);
        tail_ = lane_range<T>(inside_ - whole_, end_ - whole_);
    }

    // `from` is element `first`, which need not exist.
    void copy(const T* from, T* to) const {
        idx i = 0;
        if (begin_ > 0) store<T>(to, load_lanes(from, head_));
        for (i = begin_ > 0 ? lanes : 0; i < begin_; i += lanes)
            store<T>(to + i, load_lanes(from + i, lane_range<T>(inside_ - i, end_ - i)));
        for (; i < whole_; i += lanes) store<T>(to + i, load(from + i));
        if (i >= extent_) return;
        store<T>(to + i, load_lanes(from + i, tail_));
        for (i += lanes; i < extent_; i += lanes) store<T>(to + i, Vec<T>{});
    }

    void zero(T* to) const {
        for (idx i = 0; i < extent_; i += lanes) store<T>(to + i, Vec<T>{});
    }

  private:
    static constexpr idx lanes = kLanes<T>;
    idx inside_, end_;  // of the source, counted from the row's first element
    idx extent_;
    idx begin_, whole_;  // vectors from begin_ to whole_ lie inside
    LaneRange<T> head_, tail_;
};

// Copies `channels` channels of the source from x on; `to` has room for a vector more.
template <class T>
void fill_box(const ColumnSource<T>& s, const ConvBoxes& b, const ConvBox& box, idx channels,
              T* to) {
    const ConvGrid& g = s.grid;
    idx first[3];
    for (int i = 0; i < 3; ++i) first[i] = b.first[i] + box.first[i] * g.stride[i];
    const BoxRow<T> row(first[2], g.in[2], b.extent[2]);
    const auto inside = [&](int i, idx at) { return at >= 0 && at < g.in[i]; };
    for (idx image = 0; image < box.images; ++image) {
        for (idx c = 0; c < channels; ++c) {
            const T* from = s.x + (box.image + image) * s.image + c * s.channel + first[2];
            for (idx d = first[0]; d < first[0] + b.extent[0]; ++d) {
                for (idx h = first[1]; h < first[1] + b.extent[1]; ++h, to += b.extent[2]) {
                    if (inside(0, d) && inside(1, h)) {
                        row.copy(from + (d * g.in[1] + h) * g.in[2], to);
                    } else {
                        row.zero(to);
                    }
                }
            }
        }
    }
}

// Fetches the source of a box into L2 little by little, while something else is computed.
template <class T>
class BoxAhead {
  public:
    BoxAhead() = default;

    BoxAhead(const ColumnSource<T>& s, const ConvBoxes& b, const ConvBox& box, idx channels)
        : channels_(channels), channel_step_(s.channel), image_step_(s.image) {
        const ConvGrid& g = s.grid;
        idx from[3], to[3];
        for (int i = 0; i < 3; ++i) {
            const idx first = b.first[i] + box.first[i] * g.stride[i];
            from[i] = first < 0 ? 0 : first;
            to[i] = first + b.extent[i] < g.in[i] ? first + b.extent[i] : g.in[i];
            if (from[i] >= to[i]) return;
        }
        image_ = s.x + box.image * s.image + (from[0] * g.in[1] + from[1]) * g.in[2];
        size_ = ((to[0] - 1 - from[0]) * g.in[1] + to[1] - from[1]) * g.in[2];
        at_ = image_;
        lines_ = box.images * channels * ((size_ + kLine - 1) / kLine);
    }

    idx lines() const { return lines_; }

    void fetch(idx lines) {
        for (; lines > 0 && lines_ > 0; --lines, --lines_) {
            __builtin_prefetch(at_ + done_, 0, 2);
            done_ += kLine;
            if (done_ < size_) continue;
            done_ = 0;
            at_ += channel_step_;
            if (++channel_ < channels_) continue;
            channel_ = 0;
            image_ += image_step_;
            at_ = image_;
        }
    }

  private:
    static constexpr idx kLine = 64 / static_cast<idx>(sizeof(T));
    const T* image_ = nullptr;
    const T* at_ = nullptr;
    idx channels_ = 0, channel_step_ = 0, image_step_ = 0;
    idx size_ = 0, lines_ = 0, done_ = 0, channel_ = 0;
};

// Where a box's outputs begin to read.
inline void fill_places(const ConvGrid& g, const ConvBoxes& b, const ConvBox& box, idx channels,
                        Offset* places) {
    for (idx image = 0; image < box.images; ++image) {
        for (idx d = 0; d < box.count[0]; ++d) {
            for (idx h = 0; h < box.count[1]; ++h) {
                const idx row = image * channels * b.channel() +
                                (d * g.stride[0] * b.extent[1] + h * g.stride[1]) * b.extent[2];
                for (idx w = 0; w < box.count[2]; ++w)
                    *places++ = static_cast<Offset>(row + w * g.stride[2]);
            }
        }
    }
}

// Rows [k0, k1) of the columns, relative to the places.
inline void fill_steps(const ConvGrid& g, const ConvBoxes& b, idx k0, idx k1, Offset* steps) {
    const idx volume = g.volume();
    idx tap[3] = {k0 % volume / (g.taps[1] * g.taps[2]), k0 / g.taps[2] % g.taps[1],
                  k0 % g.taps[2]};
    idx c = k0 / volume;
    for (idx k = k0; k < k1; ++k) {
        idx at = c;
        for (int i = 0; i < 3; ++i)
            at = at * b.extent[i] + g.base[i] - b.first[i] + tap[i] * g.step[i];
        *steps++ = static_cast<Offset>(at);
        int i = 2;
        while (i >= 0 && ++tap[i] == g.taps[i]) tap[i--] = 0;
        if (i < 0) ++c;
    }
}

}  // namespace fastnn::FASTNN_ISA
