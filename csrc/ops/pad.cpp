// SPDX-License-Identifier: BSD-3-Clause
// Padding of any number of dimensions. low[d] elements stand in front of dimension d of x, and
// behind it as many as the size of y says; both may be negative in constant mode, which cuts.
//
//   mode 0 constant    outside of x: value
//   mode 1 reflect     x mirrored at its first and last element, which are not repeated
//   mode 2 replicate   the nearest element
//   mode 3 circular    x repeated
//
//   pad_forward    y = x padded (`=`)
//   pad_backward   grad_x = 0, then every element of grad_y added where it came from (modes 1 to 3)
//
// Rows of y are copied: their inside as bytes, their ends element by element. Leading dimensions
// that are not padded are one dimension; its elements are the units of the parallel loop of
// backward, so additions come in the order of y on any number of threads.
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/strided.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPiece = 65536;  // elements per piece of a parallel loop
constexpr idx kMostPadding = idx{1} << 40;
enum : idx { kConstant, kReflect, kReplicate, kCircular, kModes };

struct Padding {
    idx mode;
    idx blocks;  // what the leading dimensions without padding hold
    int ndim;    // of a block, at least 1
    idx in[kMaxDims], out[kMaxDims], low[kMaxDims];

    idx rows() const {
        idx n = 1;
        for (int d = 0; d < ndim - 1; ++d) n *= out[d];
        return n;
    }
    // Where element i of y in dimension d comes from; -1 for nowhere.
    idx source(int d, idx i) const {
        const idx n = in[d];
        const idx j = i - low[d];
        if (j >= 0 && j < n) return j;
        switch (mode) {
            case kReflect:
                return j < 0 ? -j : 2 * (n - 1) - j;
            case kReplicate:
                return j < 0 ? 0 : n - 1;
            case kCircular:
                return j < 0 ? j + n : j - n;
            default:
                return -1;
        }
    }
    // The offset in the block of x of the row that row r of y comes from, or -1.
    idx source_row(idx r) const {
        idx offset = 0;
        idx step = in[ndim - 1];
        for (int d = ndim - 2; d >= 0; --d) {
            const idx j = source(d, r % out[d]);
            r /= out[d];
            if (j < 0) return -1;
            offset += j * step;
            step *= in[d];
        }
        return offset;
    }
};

bool read_padding(int ndim, const idx* x, const idx* y, Ints low, idx mode, Padding& p) {
    if (low.count != ndim || mode < 0 || mode >= kModes) return false;
    p.mode = mode;
    p.blocks = 1;
    int first = 0;
    while (first < ndim - 1 && low.values[first] == 0 && x[first] == y[first])
        p.blocks *= x[first++];
    p.ndim = ndim - first;
    for (int d = 0; d < p.ndim; ++d) {
        const idx n = p.in[d] = x[first + d];
        p.out[d] = y[first + d];
        const idx front = p.low[d] = low.values[first + d];
        if (front > kMostPadding || front < -kMostPadding) return false;
        const idx behind = p.out[d] - n - front;
        if (mode == kConstant) continue;
        // Reflection does not repeat the edge, so it has one element less to offer.
        const idx most = mode == kReflect ? n - 1 : mode == kCircular ? n : kMostPadding;
        if (front < 0 || behind < 0 || front > most || behind > most) return false;
        if (n == 0 && p.out[d] != 0) return false;
    }
    return true;
}

}  // namespace

template <class T>
Status pad_forward(In<T> x, In<T> value, Out<T> y, Ints low, idx mode) {
    using S = Stored<T>;
    Padding p{};
    if (y.ndim != x.ndim) return Status::kBadValue;
    const idx one = 1;
    const idx none = 0;
    // A number has one element, as a row of one has.
    const bool scalar = x.ndim == 0;
    const Ints start = scalar && low.count == 0 ? Ints{&none, 1} : low;
    if (!read_padding(scalar ? 1 : x.ndim, scalar ? &one : x.shape, scalar ? &one : y.shape, start,
                      mode, p))
        return Status::kBadValue;
    if (y.size == 0) return Status::kOk;
    const int last = p.ndim - 1;
    const idx n = p.out[last];
    const idx rows = p.rows();
    const idx in_size = x.size / p.blocks;
    // Elements [begin, end) of a row of y lie in x.
    const idx begin = lesser(greater(p.low[last], 0), n);
    const idx end = greater(lesser(p.low[last] + p.in[last], n), begin);
    const S fill = *stored(value.data);
    parallel_for(p.blocks * rows, greater(1, kPiece / n), [&](idx first, idx stop) {
        for (idx u = first; u < stop; ++u) {
            S* to = stored(y.data) + u * n;
            const idx row = p.source_row(u % rows);
            if (row < 0) {
                for (idx i = 0; i < n; ++i) to[i] = fill;
                continue;
            }
            const S* from = stored(x.data) + (u / rows * in_size + row);
            const auto edge = [&](idx a, idx b) {
                for (idx i = a; i < b; ++i) {
                    const idx j = p.source(last, i);
                    to[i] = j < 0 ? fill : from[j];
                }
            };
            edge(0, begin);
            if (end > begin)
                __builtin_memcpy(to + begin, from + (begin - p.low[last]),
                                 static_cast<std::size_t>(end - begin) * sizeof(S));
            edge(end, n);
        }
    });
    return Status::kOk;
}

template <class T>
Status pad_backward(In<T> grad_y, Out<T> grad_x, Ints low, idx mode) {
    Padding p{};
    if (grad_y.ndim != grad_x.ndim || grad_x.ndim == 0 || mode == kConstant ||
        !read_padding(grad_x.ndim, grad_x.shape, grad_y.shape, low, mode, p))
        return Status::kBadValue;
    if (grad_x.size == 0) return Status::kOk;
    const int last = p.ndim - 1;
    const idx n = p.out[last];
    const idx rows = p.rows();
    const idx in_size = grad_x.size / p.blocks;
    const idx out_size = rows * n;
    const idx begin = p.low[last];
    const idx end = begin + p.in[last];
    parallel_for(p.blocks, greater(1, kPiece / out_size), [&](idx first, idx stop) {
        for (idx b = first; b < stop; ++b) {
            T* block = grad_x.data + b * in_size;
            for (idx i = 0; i < in_size; ++i) block[i] = T(0);
            for (idx r = 0; r < rows; ++r) {
                const T* from = grad_y.data + b * out_size + r * n;
                T* to = block + p.source_row(r);
                for (idx i = 0; i < begin; ++i) to[p.source(last, i)] += from[i];
                T* middle = to - begin;
                FASTNN_INDEPENDENT
                for (idx i = begin; i < end; ++i) middle[i] += from[i];
                for (idx i = end; i < n; ++i) to[p.source(last, i)] += from[i];
            }
        }
    });
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(pad_forward, "x(*) value(1) y(*) low mode", kPlain, pad_forward<float>,
          pad_forward<double>, pad_forward<std::int64_t>, pad_forward<std::int32_t>,
          pad_forward<std::uint8_t>, pad_forward<bool>)
FASTNN_OP(pad_backward, "grad_y(*) grad_x(*) low mode", kPlain, pad_backward<float>,
          pad_backward<double>)
