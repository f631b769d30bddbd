// SPDX-License-Identifier: BSD-3-Clause
// The column matrix of a convolution in memory, and its transpose. x (n, c, d, h, w) and columns
// (n, c, kd, kh, kw, od, oh, ow) are contiguous, outputs `=`.
//
//   im2col   columns[n, c, t, p] = x[n, c, p stride - padding + t dilation], zero outside
//   col2im   x[n, c, i] = the sum of the columns that im2col makes from it, tap by tap in order
//
// A piece is a number of channels of one image: no two pieces write the same element. Bound by
// memory: a row of an image is copied (or added) as a run of vectors.
#include "ops/conv_shape.h"
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/conv_columns.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPiece = 65536;  // elements of the columns

bool read_columns(const idx* x, const idx* columns, Ints stride, Ints padding, Ints dilation,
                  ConvShape& s) {
    s.images = x[0];
    s.channels = x[1];
    for (int i = 0; i < 3; ++i) {
        s.in[i] = x[2 + i];
        s.kernel[i] = columns[2 + i];
        s.out[i] = columns[5 + i];
        if (s.in[i] > kLargestSize || s.kernel[i] > kLargestSize || s.out[i] > kLargestSize)
            return false;
    }
    return read_steps(stride, padding, dilation, s);
}

// body(place of a row of columns, place of the row of x or -1, w of its first) for a plane.
template <class F>
void for_rows(const ConvShape& s, const F& body) {
    idx column = 0;
    for (idx tap_d = 0; tap_d < s.kernel[0]; ++tap_d) {
        for (idx tap_h = 0; tap_h < s.kernel[1]; ++tap_h) {
            for (idx tap_w = 0; tap_w < s.kernel[2]; ++tap_w) {
                const idx w = tap_w * s.dilation[2] - s.padding[2];
                for (idx od = 0; od < s.out[0]; ++od) {
                    const idx d = od * s.stride[0] - s.padding[0] + tap_d * s.dilation[0];
                    for (idx oh = 0; oh < s.out[1]; ++oh, column += s.out[2]) {
                        const idx h = oh * s.stride[1] - s.padding[1] + tap_h * s.dilation[1];
                        const bool inside = d >= 0 && d < s.in[0] && h >= 0 && h < s.in[1];
                        body(column, inside ? (d * s.in[1] + h) * s.in[2] : idx{-1}, w);
                    }
                }
            }
        }
    }
}

template <class T, int kStride>
void copy_row(const ConvShape& s, const T* row, idx w, T* to) {
    constexpr idx lanes = kLanes<T>;
    for (idx i = 0; i < s.out[2]; i += lanes) {
        const idx left = s.out[2] - i;
        const idx first = w + i * s.stride[2];
        const ColumnPiece<T, kStride> piece(first, s.in[2], s.stride[2],
                                            static_cast<int>(left < lanes ? left : lanes));
        if (row == nullptr) {
            piece.zero(1, to + i, 0);
        } else {
            piece.copy(row + first, 1, 0, to + i, 0);
        }
    }
}

template <class T>
void add_row(const ConvShape& s, const T* from, idx w, T* row) {
    constexpr idx lanes = kLanes<T>;
    const idx stride = s.stride[2];
    // The columns [first, last) are inside.
    const idx first = w < 0 ? (-w + stride - 1) / stride : 0;
    const idx reach = w < s.in[2] ? (s.in[2] - w + stride - 1) / stride : 0;
    const idx last = reach < s.out[2] ? reach : s.out[2];
    if (stride != 1) {
        for (idx i = first; i < last; ++i) row[w + i * stride] += from[i];
        return;
    }
    idx i = first;
    for (; i + lanes <= last; i += lanes) store<T>(row + w + i, load(row + w + i) + load(from + i));
    if (i < last) {
        const int rest = static_cast<int>(last - i);
        store_partial(row + w + i, load_partial(row + w + i, rest) + load_partial(from + i, rest),
                      rest);
    }
}

}  // namespace

template <class T>
Status im2col(In<T> x, Out<T> columns, Ints stride, Ints padding, Ints dilation) {
    ConvShape s{};
    if (!read_columns(x.shape, columns.shape, stride, padding, dilation, s))
        return Status::kBadValue;
    if (columns.size == 0) return Status::kOk;
    const idx plane = s.volume() * s.out_size();
    const bool empty = x.size == 0;
    const idx piece = kPiece / plane;
    parallel_for(s.images * s.channels, piece < 1 ? 1 : piece, [&](idx begin, idx end) {
        for (idx c = begin; c < end; ++c) {
            const T* from = x.data + (empty ? 0 : c * s.in_size());
            T* to = columns.data + c * plane;
            for_rows(s, [&](idx column, idx row, idx w) {
                const T* line = row < 0 || empty ? nullptr : from + row;
                if (s.stride[2] == 1) {
                    copy_row<T, 1>(s, line, w, to + column);
                } else if (s.stride[2] == 2) {
                    copy_row<T, 2>(s, line, w, to + column);
                } else {
                    copy_row<T, 0>(s, line, w, to + column);
                }
            });
        }
    });
    return Status::kOk;
}

template <class T>
Status col2im(In<T> columns, Out<T> x, Ints stride, Ints padding, Ints dilation) {
    ConvShape s{};
    if (!read_columns(x.shape, columns.shape, stride, padding, dilation, s))
        return Status::kBadValue;
    if (x.size == 0) return Status::kOk;
    const idx in_size = s.in_size();
    const idx plane = columns.size == 0 ? 0 : s.volume() * s.out_size();
    const idx piece = kPiece / (plane > in_size ? plane : in_size);
    parallel_for(s.images * s.channels, piece < 1 ? 1 : piece, [&](idx begin, idx end) {
        for (idx c = begin; c < end; ++c) {
            T* to = x.data + c * in_size;
            for (idx i = 0; i < in_size; ++i) to[i] = T(0);
            if (plane == 0) continue;
            const T* from = columns.data + c * plane;
            for_rows(s, [&](idx column, idx row, idx w) {
                if (row >= 0) add_row(s, from + column, w, to + row);
            });
        }
    });
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(im2col, "x(n,c,d,h,w) columns(n,c,kd,kh,kw,od,oh,ow) stride padding dilation", kPlain,
          im2col<float>, im2col<double>)
FASTNN_OP(col2im, "columns(n,c,kd,kh,kw,od,oh,ow) x(n,c,d,h,w) stride padding dilation", kPlain,
          col2im<float>, col2im<double>)
