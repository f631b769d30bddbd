// SPDX-License-Identifier: BSD-3-Clause
// The same as ops/moments.h for x (n, c, l) with short rows, l <= kShortRow: as a matrix (n, c l)
// whose columns are the lanes of the vectors. A block of at most 64 columns, whole channels, is one
// piece of work; its statistics are taken by chunks of 32 rows, merged pairwise, and the columns of
// a channel are merged in order.
#pragma once

#include "ops/moments.h"

namespace fastnn::FASTNN_ISA {

inline constexpr idx kShortRow = 16;
inline constexpr idx kBlockColumns = 64;
inline constexpr idx kChunkRows = 32;

// Moments of the columns of kVecs vectors.
template <class T, int kVecs>
struct ColumnMoments {
    Vec<T> mean[kVecs], m2[kVecs];
    T count;
    ColumnMoments() = default;
    ColumnMoments(int) : mean{}, m2{}, count(0) {}
};

template <class T, int kVecs>
inline ColumnMoments<T, kVecs> operator+(const ColumnMoments<T, kVecs>& a,
                                         const ColumnMoments<T, kVecs>& b) {
    if (a.count == 0) return b;
    if (b.count == 0) return a;
    ColumnMoments<T, kVecs> sum;
    sum.count = a.count + b.count;
    const Vec<T> share = broadcast(b.count / sum.count);
    const Vec<T> weight = broadcast(a.count * (b.count / sum.count));
    for (int v = 0; v < kVecs; ++v) {
        const Vec<T> delta = b.mean[v] - a.mean[v];
        sum.mean[v] = fma(delta, share, a.mean[v]);
        sum.m2[v] = fma(delta * delta, weight, a.m2[v] + b.m2[v]);
    }
    return sum;
}

template <class T, int kVecs>
struct ColumnSums {
    Vec<T> a[kVecs], b[kVecs];
    ColumnSums() = default;
    ColumnSums(int) : a{}, b{} {}
};

template <class T, int kVecs>
inline ColumnSums<T, kVecs> operator+(const ColumnSums<T, kVecs>& x,
                                      const ColumnSums<T, kVecs>& y) {
    ColumnSums<T, kVecs> sum;
    for (int v = 0; v < kVecs; ++v) {
        sum.a[v] = x.a[v] + y.a[v];
        sum.b[v] = x.b[v] + y.b[v];
    }
    return sum;
}

template <int kVecs>
struct Tile {
    static constexpr int kCount = kVecs;
};

// body(column, tile, span) for [0, columns): four vectors at a time, then one, then part of one.
template <class T, class F>
__attribute__((flatten)) inline void for_tiles(idx columns, const F& body) {
    constexpr int lanes = kLanes<T>;
    idx j = 0;
    for (; j + 4 * lanes <= columns; j += 4 * lanes) body(j, Tile<4>{}, Whole{});
    for (; j + lanes <= columns; j += lanes) body(j, Tile<1>{}, Whole{});
    if (j < columns) body(j, Tile<1>{}, Part{static_cast<int>(columns - j)});
}

struct ColumnBlock {
    idx n, stride;       // rows, and elements from one to the next
    idx first, columns;  // of the block
};

// f(block, channel, channels) for blocks of whole channels of x (n, c, l), in parallel.
template <class F>
inline void for_column_blocks(idx n, idx c, idx l, const F& f) {
    constexpr idx kPiece = 32768;
    const idx channels = kBlockColumns / l;
    const idx blocks = (c + channels - 1) / channels;
    const idx least = kPiece / (n * channels * l + 1) + 1;
    // Neighbouring blocks to a thread, and the same ones again in the backward pass: their rows
    // share pages, and what a thread has read stays in its own cache.
    const idx share = (blocks + pool_threads() - 1) / pool_threads();
    const idx piece = least > share ? least : share;
    parallel_for(blocks, piece, [&](idx begin, idx end) {
        for (idx b = begin; b < end; ++b) {
            const idx ch = b * channels;
            const idx count = c - ch < channels ? c - ch : channels;
            f(ColumnBlock{n, c * l, ch * l, count * l}, ch, count);
        }
    });
}

// As for numbers: m2 - correction, at least 0; infinities and NaN stay as they are.
template <class V>
FASTNN_SIMD_INLINE V corrected(V m2, V correction) {
    const V zero = {};
    return select(correction < m2, m2 - correction, select(m2 - m2 == zero, zero, m2));
}

// Mean and squared deviations of every column of a block, n > 0. The numbers are taken relative to
// the first of the column, so that a mean far from 0 costs no precision: the mean is base + mean.
template <class T>
__attribute__((flatten)) inline void column_moments(const T* x, const ColumnBlock& at, T* base,
                                                    T* mean, T* m2) {
    for_tiles<T>(at.columns, [&](idx j, auto tile, auto span) {
        constexpr int vecs = decltype(tile)::kCount;
        constexpr int lanes = kLanes<T>;
        // Of a size whose square is a number: infinities and the like are not subtracted.
        constexpr T largest = sizeof(T) == 4 ? T(1e18) : T(1e150);
        Vec<T> origin[vecs];
        for (int v = 0; v < vecs; ++v) {
            const Vec<T> first = load_span(x + at.first + j + v * lanes, span);
            origin[v] = select(abs(first) < broadcast(largest), first, Vec<T>{});
            store_span(base + j + v * lanes, origin[v], span);
        }
        // Of a chunk, read once from rows that lie far apart: where their distance is a power of
        // two they share a few sets of the cache, and would be gone before they are read again.
        alignas(kVecBytes) T near[kChunkRows * vecs * lanes];
        PairwiseSum<ColumnMoments<T, vecs>> total;
        const idx all_rows = at.n, stride = at.stride;
        for (idx begin = 0; begin < all_rows; begin += kChunkRows) {
            const idx rows = all_rows - begin < kChunkRows ? all_rows - begin : kChunkRows;
            const T* p = x + begin * stride + at.first + j;
            ColumnMoments<T, vecs> chunk(0);
            chunk.count = static_cast<T>(rows);
            const Vec<T> share = broadcast(T(1) / chunk.count);
            for (idx i = 0; i < rows; ++i) {
                for (int v = 0; v < vecs; ++v) {
                    const Vec<T> value = load_span(p + i * stride + v * lanes, span) - origin[v];
                    store<T>(near + (i * vecs + v) * lanes, value);
                    chunk.mean[v] += value;
                }
            }
            for (int v = 0; v < vecs; ++v) chunk.mean[v] *= share;
            Vec<T> shift[vecs] = {};
            for (idx i = 0; i < rows; ++i) {
                for (int v = 0; v < vecs; ++v) {
                    const Vec<T> d = load(near + (i * vecs + v) * lanes) - chunk.mean[v];
                    shift[v] += d;
                    chunk.m2[v] = fma(d, d, chunk.m2[v]);
                }
            }
            for (int v = 0; v < vecs; ++v) {
                const Vec<T> correction = shift[v] * share;
                // An infinite mean has no deviations to correct it by.
                const Vec<T> zero = {};
                chunk.mean[v] += select(correction - correction == zero, correction, zero);
                chunk.m2[v] = corrected(chunk.m2[v], shift[v] * correction);
            }
            total.add(chunk);
        }
        const ColumnMoments<T, vecs> all = total.total();
        for (int v = 0; v < vecs; ++v) {
            store_span(mean + j + v * lanes, all.mean[v], span);
            store_span(m2 + j + v * lanes, all.m2[v], span);
        }
    });
}

// a = sum g and b = sum g (x - centre) of every column.
template <class T>
__attribute__((flatten)) inline void column_products(const T* x, const T* g, const T* centre,
                                                     const ColumnBlock& at, T* a, T* b) {
    for_tiles<T>(at.columns, [&](idx j, auto tile, auto span) {
        constexpr int vecs = decltype(tile)::kCount;
        constexpr int lanes = kLanes<T>;
        Vec<T> middle[vecs];
        for (int v = 0; v < vecs; ++v) middle[v] = load_span(centre + j + v * lanes, span);
        PairwiseSum<ColumnSums<T, vecs>> total;
        const idx all_rows = at.n, stride = at.stride;
        const T* p = x + at.first + j;
        const T* q = g + at.first + j;
        for (idx begin = 0; begin < all_rows; begin += kChunkRows) {
            const idx rows = all_rows - begin < kChunkRows ? all_rows - begin : kChunkRows;
            ColumnSums<T, vecs> chunk(0);
            for (idx i = 0; i < rows; ++i, p += stride, q += stride) {
                for (int v = 0; v < vecs; ++v) {
                    const Vec<T> grad = load_span(q + v * lanes, span);
                    chunk.a[v] += grad;
                    chunk.b[v] = fma(grad, load_span(p + v * lanes, span) - middle[v], chunk.b[v]);
                }
            }
            total.add(chunk);
        }
        const ColumnSums<T, vecs> all = total.total();
        for (int v = 0; v < vecs; ++v) {
            store_span(a + j + v * lanes, all.a[v], span);
            store_span(b + j + v * lanes, all.b[v], span);
        }
    });
}

}  // namespace fastnn::FASTNN_ISA
