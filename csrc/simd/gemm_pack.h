// SPDX-License-Identifier: BSD-3-Clause
// Copies of parts of A and B in the order in which the tile kernel reads them. Only elements of the
// matrices are read.
//
//   A tile   (rows x depth)   element (i, p) at out[p * rows + i]
//   B panel  (depth x cols)   element (p, j) at out[p * vectors * kLanes + j], zero in the last
//   vector's unused lanes
//
// A matrix has any strides. With unit stride along the copy's rows they are copied as vectors, with
// unit stride across them transposed in registers, else element by element.
#pragma once

#include "runtime/types.h"
#include "simd/gemm_tile.h"
#include "simd/gemm_transpose.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

// Rows of a tile of A are copied kBlock at a time; what is copied beyond the last is overwritten by
// the next step, or falls into kPackSlack elements after the tile.
template <class T>
inline constexpr int kBlock = kLanes<T> < 8 ? kLanes<T> : 8;
template <class T>
inline constexpr idx kPackSlack = kBlock<T>;

template <class T>
FASTNN_SIMD_INLINE Block<T, kBlock<T>> load_block(const T* p) {
    Block<T, kBlock<T>> v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}
template <class T>
FASTNN_SIMD_INLINE void store_block(T* p, Block<T, kBlock<T>> v) {
    __builtin_memcpy(p, &v, sizeof v);
}

// `readable` rows of the matrix stand at a, `rows` of them are the tile.
template <class T>
void pack_a_tile(const T* a, idx a_row, idx a_step, idx rows, idx readable, idx depth, T* out) {
    constexpr int block = kBlock<T>;
    if (a_row == 1 && (rows + block - 1) / block * block <= readable) {
        if (rows == block) {
            for (idx p = 0; p < depth; ++p)
                store_block(out + p * block, load_block(a + p * a_step));
            return;
        }
        for (idx p = 0; p < depth; ++p)
            for (idx i = 0; i < rows; i += block)
                store_block(out + p * rows + i, load_block(a + p * a_step + i));
        return;
    }
    for (idx p = 0; p < depth; ++p)
        for (idx i = 0; i < rows; ++i) out[p * rows + i] = a[i * a_row + p * a_step];
}

// One vector's columns, contiguous in memory, of which `count` exist.
template <class T>
FASTNN_SIMD_INLINE void pack_b_transposed(const T* b, idx b_column, idx depth, int count, idx step,
                                          T* out) {
    constexpr int lanes = kLanes<T>;
    idx p = 0;
    for (; p + lanes <= depth; p += lanes) {
        Vec<T> r[lanes];
#pragma GCC unroll 16
        for (int j = 0; j < lanes; ++j) r[j] = j < count ? load(b + j * b_column + p) : Vec<T>{};
        transpose(r);
#pragma GCC unroll 16
        for (int j = 0; j < lanes; ++j) store<T>(out + (p + j) * step, r[j]);
    }
    if (p == depth) return;
    const int rest = static_cast<int>(depth - p);
    Vec<T> r[lanes];
#pragma GCC unroll 16
    for (int j = 0; j < lanes; ++j)
        r[j] = j < count ? load_partial(b + j * b_column + p, rest) : Vec<T>{};
    transpose(r);
#pragma GCC unroll 16
    for (int j = 0; j < lanes; ++j)
        if (j < rest) store<T>(out + (p + j) * step, r[j]);
}

template <class T>
void pack_b_panel(const T* b, idx b_step, idx b_column, idx depth, int vectors, idx cols, T* out) {
    constexpr int lanes = kLanes<T>;
    const idx step = idx{vectors} * lanes;
    const int last = static_cast<int>(cols - (vectors - 1) * lanes);
    if (b_column == 1) {
        for (idx p = 0; p < depth; ++p) {
            const T* from = b + p * b_step;
            T* to = out + p * step;
            for (int v = 0; v < vectors - 1; ++v) store<T>(to + v * lanes, load(from + v * lanes));
            const T* tail = from + (vectors - 1) * lanes;
            store<T>(to + (vectors - 1) * lanes,
                     last == lanes ? load(tail) : load_partial(tail, last));
        }
        return;
    }
    for (int v = 0; v < vectors; ++v) {
        const T* from = b + v * lanes * b_column;
        T* to = out + v * lanes;
        const int count = v == vectors - 1 ? last : lanes;
        if (b_step == 1 && count == lanes) {
            pack_b_transposed(from, b_column, depth, lanes, step, to);
        } else if (b_step == 1) {
            pack_b_transposed(from, b_column, depth, count, step, to);
        } else {
            for (idx p = 0; p < depth; ++p)
                for (int j = 0; j < lanes; ++j)
                    to[p * step + j] = j < count ? from[p * b_step + j * b_column] : T(0);
        }
    }
}

}  // namespace fastnn::FASTNN_ISA
