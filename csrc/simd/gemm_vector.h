// SPDX-License-Identifier: BSD-3-Clause
// Products of a matrix and a vector, with the bits that the tile kernel gives: one vector of sums
// per group of results, a multiply-add for every step of k in order, a total over the blocks of k.
// Bound by the memory that the matrix comes from, so it is read once, along its contiguous
// direction.
//
//   y[j] (+)= sum_p x[p] M[p, j]    matrix_columns: sums in a buffer in L1, kStreams rows of M go
//                                   over it at a time
//   y[i] (+)= sum_p M[i, p] x[p]    matrix_rows: blocks of M transposed in registers, a lane for
//                                   each row; matrix_short_rows: rows of a few numbers one by one,
//                                   as transposing would move mostly lanes of nothing
#pragma once

#include "runtime/parallel.h"
#include "runtime/types.h"
#include "simd/gemm_transpose.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

// The results: a row of C (row vector times matrix) or a column of it.
template <class T, class Epilogue>
struct VectorResult {
    T* c;
    idx step;  // from one result to the next
    bool column;
    bool accumulate;
    const Epilogue& epilogue;

    FASTNN_SIMD_INLINE Vec<T> start(idx j, int lanes) const {
        if (!accumulate) return Vec<T>{};
        if (step == 1) return lanes == kLanes<T> ? load(c + j) : load_partial(c + j, lanes);
        T value[kLanes<T>] = {};
        for (int i = 0; i < lanes; ++i) value[i] = c[(j + i) * step];
        return load(value);
    }

    // Adds and finishes a single result.
    FASTNN_SIMD_INLINE void put(idx j, T sum) const {
        T& to = c[j * step];
        const Vec<T> v = broadcast(accumulate ? to + sum : sum);
        to = Vec<T>(column ? epilogue(v, j, idx{0}, 1) : epilogue(v, idx{0}, j, 1))[0];
    }

    FASTNN_SIMD_INLINE void finish(idx j, Vec<T> v, int lanes) const {
        if (!column) {
            v = epilogue(v, idx{0}, j, lanes);
            if (lanes == kLanes<T>)
                store<T>(c + j, v);
            else
                store_partial(c + j, v, lanes);
            return;
        }
        T value[kLanes<T>];
        store<T>(value, v);
        for (int i = 0; i < lanes; ++i)
            c[(j + i) * step] = Vec<T>(epilogue(broadcast(value[i]), j + i, idx{0}, 1))[0];
    }
};

// a b + c as in each lane of fma().
FASTNN_SIMD_INLINE float fma_lane(float a, float b, float c) {
    if constexpr (kFused) return __builtin_fmaf(a, b, c);
    return a * b + c;
}
FASTNN_SIMD_INLINE double fma_lane(double a, double b, double c) {
    if constexpr (kFused) return __builtin_fma(a, b, c);
    return a * b + c;
}

inline constexpr int kStreams = 8;
inline constexpr idx kMostColumns = 512;  // of a piece: two buffers of them stay in L1

// Adds `count` rows of M, times their elements of x, to the sums; the first rows of a block find
// them zero.
template <class T>
FASTNN_SIMD_INLINE void add_rows(const T* x, idx x_step, const T* m, idx m_step, idx cols,
                                 int count, bool first, T* sums) {
    constexpr int lanes = kLanes<T>;
    Vec<T> factor[kStreams];
#pragma GCC unroll 8
    for (int i = 0; i < kStreams; ++i)
        if (i < count) factor[i] = broadcast(x[i * x_step]);
    idx j = 0;
    for (; j + lanes <= cols; j += lanes) {
        Vec<T> s = first ? Vec<T>{} : load(sums + j);
#pragma GCC unroll 8
        for (int i = 0; i < kStreams; ++i)
            if (i < count) s = fma(factor[i], load(m + i * m_step + j), s);
        store<T>(sums + j, s);
    }
    if (j < cols) {
        const int rest = static_cast<int>(cols - j);
        Vec<T> s = first ? Vec<T>{} : load(sums + j);
#pragma GCC unroll 8
        for (int i = 0; i < kStreams; ++i)
            if (i < count) s = fma(factor[i], load_partial(m + i * m_step + j, rest), s);
        store<T>(sums + j, s);
    }
}

template <class T, class Epilogue>
void matrix_columns(idx begin, idx end, idx k, idx depth, const T* x, idx x_step, const T* m,
                    idx m_step, const VectorResult<T, Epilogue>& y) {
    constexpr int lanes = kLanes<T>;
    alignas(64) T sums[kMostColumns];
    alignas(64) T totals[kMostColumns];
    const idx cols = end - begin;
    for (idx block = 0; block < k; block += depth) {
        const idx stop = k - block < depth ? k : block + depth;
        idx p = block;
        for (; p + kStreams <= stop; p += kStreams)
            add_rows(x + p * x_step, x_step, m + p * m_step + begin, m_step, cols, kStreams,
                     p == block, sums);
        for (; p < stop; ++p)
            add_rows(x + p * x_step, x_step, m + p * m_step + begin, m_step, cols, 1, p == block,
                     sums);
        for (idx j = 0; j < cols; j += lanes) {
            const int valid = static_cast<int>(cols - j < lanes ? cols - j : lanes);
            Vec<T> total = load(sums + j);
            if (block > 0)
                total = load(totals + j) + total;
            else if (y.accumulate)
                total = y.start(begin + j, valid) + total;
            if (stop == k)
                y.finish(begin + j, total, valid);
            else
                store<T>(totals + j, total);
        }
    }
}

// One group of rows; `count` of them exist.
template <class T, class Epilogue>
FASTNN_SIMD_INLINE void matrix_row_group(idx i, int count, idx k, idx depth, const T* m, idx m_step,
                                         const T* x, idx x_step,
                                         const VectorResult<T, Epilogue>& y) {
    constexpr int lanes = kLanes<T>;
    Vec<T> total = y.start(i, count);
    for (idx block = 0; block < k; block += depth) {
        const idx stop = k - block < depth ? k : block + depth;
        Vec<T> sum = Vec<T>{};
        Vec<T> r[lanes];
        idx p = block;
        for (; p + lanes <= stop; p += lanes) {
#pragma GCC unroll 16
            for (int j = 0; j < lanes; ++j) r[j] = j < count ? load(m + j * m_step + p) : Vec<T>{};
            transpose(r);
#pragma GCC unroll 16
            for (int j = 0; j < lanes; ++j) sum = fma(broadcast(x[(p + j) * x_step]), r[j], sum);
        }
        if (p < stop) {
            const int rest = static_cast<int>(stop - p);
#pragma GCC unroll 16
            for (int j = 0; j < lanes; ++j)
                r[j] = j < count ? load_partial(m + j * m_step + p, rest) : Vec<T>{};
            transpose(r);
#pragma GCC unroll 16
            for (int j = 0; j < lanes; ++j)
                if (j < rest) sum = fma(broadcast(x[(p + j) * x_step]), r[j], sum);
        }
        total = block == 0 && !y.accumulate ? sum : total + sum;
    }
    y.finish(i, total, count);
}

template <class T, class Epilogue>
void matrix_rows(idx begin, idx end, idx k, idx depth, const T* m, idx m_step, const T* x,
                 idx x_step, const VectorResult<T, Epilogue>& y) {
    constexpr int lanes = kLanes<T>;
    idx i = begin;
    for (; i + lanes <= end; i += lanes)
        matrix_row_group(i, lanes, k, depth, m + i * m_step, m_step, x, x_step, y);
    if (i < end) {
        const int count = static_cast<int>(end - i);
        matrix_row_group(i, count, k, depth, m + i * m_step, m_step, x, x_step, y);
    }
}

// Rows of kSteps numbers, which is all of k: a scalar multiply-add is one lane of the vectors'.
template <class T, int kSteps, class Epilogue>
void matrix_short_rows(idx begin, idx end, const T* m, idx m_step, const T* x, idx x_step,
                       const VectorResult<T, Epilogue>& y) {
    T factor[kSteps];
    for (int p = 0; p < kSteps; ++p) factor[p] = x[p * x_step];
    for (idx i = begin; i < end; ++i) {
        const T* row = m + i * m_step;
        T sum = 0;
#pragma GCC unroll 8
        for (int p = 0; p < kSteps; ++p) sum = fma_lane(factor[p], row[p], sum);
        y.put(i, sum);
    }
}

// False where the rows are too long for it.
template <class T, class Epilogue>
bool short_rows(idx begin, idx end, idx k, const T* m, idx m_step, const T* x, idx x_step,
                const VectorResult<T, Epilogue>& y) {
    switch (k) {
        case 1:
            return matrix_short_rows<T, 1>(begin, end, m, m_step, x, x_step, y), true;
        case 2:
            return matrix_short_rows<T, 2>(begin, end, m, m_step, x, x_step, y), true;
        case 3:
            return matrix_short_rows<T, 3>(begin, end, m, m_step, x, x_step, y), true;
        case 4:
            return matrix_short_rows<T, 4>(begin, end, m, m_step, x, x_step, y), true;
        default:
            return false;
    }
}

// n results of k steps each, piece by piece of columns or rows of M. m_step is the stride between
// the contiguous runs of M: rows of k steps if `by_rows`, else a row of n for each step.
template <class T, class Epilogue>
void multiply_vector(idx n, idx k, idx depth, const T* m, idx m_step, bool by_rows, const T* x,
                     idx x_step, idx vector_work, const VectorResult<T, Epilogue>& y) {
    constexpr idx lanes = kLanes<T>;
    // Some eight pieces or more, of whole vectors, none of less than vector_work multiply-adds.
    idx piece = (n / 8 + lanes - 1) / lanes * lanes;
    const idx least = (vector_work / k + lanes) / lanes * lanes;
    if (piece < least) piece = least;
    if (!by_rows && piece > kMostColumns) piece = kMostColumns;
    parallel_for(n, piece, [&](idx begin, idx end) {
        if (by_rows && short_rows(begin, end, k, m, m_step, x, x_step, y)) return;
        if (by_rows)
            matrix_rows(begin, end, k, depth, m, m_step, x, x_step, y);
        else
            matrix_columns(begin, end, k, depth, x, x_step, m, m_step, y);
    });
}

}  // namespace fastnn::FASTNN_ISA
