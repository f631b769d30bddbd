// SPDX-License-Identifier: BSD-3-Clause
// y[c] (+)= sum over n and p of x[n, c, p], x contiguous: the gradient of a channel's bias. Each
// row of p is summed by blocks (ops/blocked_sum.h), the rows of a channel pairwise in order: the
// order depends on the shape alone. Error: some log2(n) roundings more than that of a row.
//
// Scratch: slot 3 of the caller, a sum for each row.
#pragma once

#include "ops/blocked_sum.h"
#include "runtime/parallel.h"
#include "runtime/pool.h"

namespace fastnn::FASTNN_ISA {

// False: no memory.
template <class T>
bool sum_channels(const T* x, idx images, idx channels, idx length, T* y, bool accumulate) {
    constexpr idx kPiece = 65536;  // elements of x to a piece
    const idx rows = images * channels;
    T* sums = static_cast<T*>(pool_scratch(static_cast<std::size_t>(rows) * sizeof(T), 3));
    if (sums == nullptr) return false;
    const idx piece = length > 0 ? kPiece / length : kPiece;
    parallel_for(rows, piece < 1 ? 1 : piece, [&](idx begin, idx end) {
        for (idx r = begin; r < end; ++r) {
            const T* row = x + r * length;
            sums[r] = blocked_sum<T, 4>(length,
                                        [&](idx i, auto span) { return load_span(row + i, span); });
        }
    });
    for (idx c = 0; c < channels; ++c) {
        PairwiseSum<T> sum;
        for (idx n = 0; n < images; ++n) sum.add(sums[n * channels + c]);
        y[c] = accumulate ? y[c] + sum.total() : sum.total();
    }
    return true;
}

}  // namespace fastnn::FASTNN_ISA
