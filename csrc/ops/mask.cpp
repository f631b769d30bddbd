// SPDX-License-Identifier: BSD-3-Clause
// Rows where a mask is true. mask (n) is cut into blocks of `block` elements, the last one shorter;
// starts (blocks + 1) holds how many elements are true before each block, and in all. All arrays
// are contiguous:
//
//   true_starts   starts of a mask (`=`)
//   true_places   out (m) = the places of the true elements, in order
//   take_true     y[o, k, :] = x[o, place k, :]                         x (o, n, i), y (o, m, i)
//   put_true      x[o, place k, :] = y[o, k, :], the other rows stay
//
// Nothing but the mask itself and the starts, 8 bytes for each block, is read or written besides
// the rows: there is no list of places. Blocks are the units of the parallel loop; every element
// has one place to go to, so bits do not depend on threads. Starts that are not those of the mask
// (a caller's mistake, or another thread that writes to the mask meanwhile) are refused where they
// would lead out of an array; what they leave open is filled with zeros, by take_true and
// true_places.
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/strided.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPiece = 65536;   // elements per piece of a parallel loop
constexpr idx kCallBytes = 32;  // rows from here on are copied by memcpy

struct Mask {
    const unsigned char* data;
    idx n, block, blocks;
    const idx* starts;

    idx first(idx b) const { return b * block; }
    idx last(idx b) const { return lesser(n, (b + 1) * block); }
};

// False unless there is a start for every block, and one more.
inline bool read_mask(In<bool> mask, idx starts, idx block, Mask& m) {
    if (block < 1) return false;
    block = lesser(block, greater(mask.size, 1));
    m = {stored(mask.data), mask.size, block, (mask.size + block - 1) / block, nullptr};
    return starts == m.blocks + 1;
}

// False unless starts go from 0 to m and every block has as many elements as it would need.
inline bool read_starts(In<bool> mask, In<std::int64_t> starts, idx block, idx count, Mask& m) {
    if (!read_mask(mask, starts.size, block, m)) return false;
    m.starts = starts.data;
    if (starts.data[0] != 0 || starts.data[m.blocks] != count) return false;
    for (idx b = 0; b < m.blocks; ++b) {
        const idx from = starts.data[b];
        const idx to = starts.data[b + 1];
        if (from < 0 || to < from || to - from > m.block || to > count) return false;
    }
    return true;
}

// How many units of `size` elements make a piece.
inline idx units_per_piece(idx size) { return greater(1, kPiece / greater(1, size)); }

template <class S>
void take_block(const unsigned char* mask, const S* x, idx n, S* y, idx m) {
    idx k = 0;
    // Always written, and written over where the element is false: there is no branch to miss.
    for (idx j = 0; j < n && k < m; ++j) {
        y[k] = x[j];
        k += mask[j] != 0 ? 1 : 0;
    }
    for (; k < m; ++k) y[k] = S(0);
}

template <class S>
void take_block_rows(const unsigned char* mask, const S* x, idx n, S* y, idx m, idx inner) {
    const std::size_t bytes = static_cast<std::size_t>(inner) * sizeof(S);
    const bool call = static_cast<idx>(bytes) >= kCallBytes;
    idx k = 0;
    for (idx j = 0; j < n && k < m; ++j) {
        if (mask[j] == 0) continue;
        const S* a = x + j * inner;
        S* b = y + k++ * inner;
        if (call) {
            __builtin_memcpy(b, a, bytes);
        } else {
            for (idx i = 0; i < inner; ++i) b[i] = a[i];
        }
    }
    for (idx i = k * inner; i < m * inner; ++i) y[i] = S(0);
}

template <class S>
void put_block(const unsigned char* mask, const S* y, idx m, S* x, idx n, idx inner) {
    const std::size_t bytes = static_cast<std::size_t>(inner) * sizeof(S);
    const bool call = static_cast<idx>(bytes) >= kCallBytes;
    idx k = 0;
    for (idx j = 0; j < n && k < m; ++j) {
        if (mask[j] == 0) continue;
        const S* a = y + k++ * inner;
        S* b = x + j * inner;
        if (call) {
            __builtin_memcpy(b, a, bytes);
        } else {
            for (idx i = 0; i < inner; ++i) b[i] = a[i];
        }
    }
}

}  // namespace

inline Status true_starts(In<bool> mask, Out<std::int64_t> starts, idx block) {
    Mask m{};
    if (!read_mask(mask, starts.size, block, m)) return Status::kBadValue;
    starts.data[0] = 0;
    parallel_for(m.blocks, units_per_piece(m.block), [&](idx begin, idx end) {
        for (idx b = begin; b < end; ++b) {
            idx found = 0;
            for (idx j = m.first(b); j < m.last(b); ++j) found += m.data[j] != 0 ? 1 : 0;
            starts.data[b + 1] = found;
        }
    });
    for (idx b = 0; b < m.blocks; ++b) starts.data[b + 1] += starts.data[b];
    return Status::kOk;
}

inline Status true_places(In<bool> mask, In<std::int64_t> starts, Out<std::int64_t> out,
                          idx block) {
    Mask m{};
    if (!read_starts(mask, starts, block, out.size, m)) return Status::kBadValue;
    parallel_for(m.blocks, units_per_piece(m.block), [&](idx begin, idx end) {
        for (idx b = begin; b < end; ++b) {
            idx k = m.starts[b];
            const idx stop = m.starts[b + 1];
            for (idx j = m.first(b); j < m.last(b) && k < stop; ++j) {
                out.data[k] = j;
                k += m.data[j] != 0 ? 1 : 0;
            }
            for (; k < stop; ++k) out.data[k] = 0;
        }
    });
    return Status::kOk;
}

template <class T>
Status take_true(In<T> x, In<bool> mask, In<std::int64_t> starts, Out<T> y, idx block) {
    using S = Stored<T>;
    const idx count = y.shape[1];
    const idx inner = x.shape[2];
    Mask m{};
    if (!read_starts(mask, starts, block, count, m)) return Status::kBadValue;
    if (y.size == 0) return Status::kOk;
    const S* from = stored(x.data);
    S* to = stored(y.data);
    parallel_for(x.shape[0] * m.blocks, units_per_piece(m.block * inner), [&](idx begin, idx end) {
        for (idx u = begin; u < end; ++u) {
            const idx b = u % m.blocks;
            const S* a = from + (u / m.blocks * m.n + m.first(b)) * inner;
            S* c = to + (u / m.blocks * count + m.starts[b]) * inner;
            const idx rows = m.last(b) - m.first(b);
            const idx kept = m.starts[b + 1] - m.starts[b];
            if (inner == 1) {
                take_block(m.data + m.first(b), a, rows, c, kept);
            } else {
                take_block_rows(m.data + m.first(b), a, rows, c, kept, inner);
            }
        }
    });
    return Status::kOk;
}

template <class T>
Status put_true(In<T> y, In<bool> mask, In<std::int64_t> starts, InOut<T> x, idx block) {
    using S = Stored<T>;
    const idx count = y.shape[1];
    const idx inner = x.shape[2];
    Mask m{};
    if (!read_starts(mask, starts, block, count, m)) return Status::kBadValue;
    if (y.size == 0) return Status::kOk;
    const S* from = stored(y.data);
    S* to = stored(x.data);
    parallel_for(x.shape[0] * m.blocks, units_per_piece(m.block * inner), [&](idx begin, idx end) {
        for (idx u = begin; u < end; ++u) {
            const idx b = u % m.blocks;
            put_block(m.data + m.first(b), from + (u / m.blocks * count + m.starts[b]) * inner,
                      m.starts[b + 1] - m.starts[b], to + (u / m.blocks * m.n + m.first(b)) * inner,
                      m.last(b) - m.first(b), inner);
        }
    });
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(true_starts, "mask(n) starts(s) block", kPlain, true_starts)
FASTNN_OP(true_places, "mask(n) starts(s) out(m) block", kPlain, true_places)
FASTNN_OP(take_true, "x(o,n,i) mask(n) starts(s) y(o,m,i) block", kPlain, take_true<float>,
          take_true<double>, take_true<std::int64_t>, take_true<std::int32_t>,
          take_true<std::uint8_t>, take_true<bool>)
FASTNN_OP(put_true, "y(o,m,i) mask(n) starts(s) x(o,n,i) block", kPlain, put_true<float>,
          put_true<double>, put_true<std::int64_t>, put_true<std::int32_t>, put_true<std::uint8_t>,
          put_true<bool>)
