// SPDX-License-Identifier: BSD-3-Clause
// Writes the sums of a convolution, a row of output channels for each output, to channels of
// outputs: squares of them are transposed in registers.
#pragma once

#include "runtime/types.h"
#include "simd/gemm_transpose.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

// Writes `count` outputs that stand y_step apart, of `rows` channels from y on; their sums stand in
// the rows of `c`.
template <class T>
void store_direct(const T* c, idx c_row, idx count, idx rows, const T* bias, T* y, idx y_channel,
                  idx y_step) {
    constexpr idx lanes = kLanes<T>;
    for (idx o = 0; o < rows; o += lanes) {
        const idx channels = rows - o < lanes ? rows - o : lanes;
        for (idx i = 0; i < count; i += lanes) {
            const idx n = count - i < lanes ? count - i : lanes;
            Vec<T> r[lanes];
            const T* from = c + i * c_row + o;
#pragma GCC unroll 16
            for (idx j = 0; j < lanes; ++j) r[j] = load(from + (j < n ? j : 0) * c_row);
            transpose(r);
            T* to = y + o * y_channel + i * y_step;
            for (idx j = 0; j < channels; ++j, to += y_channel) {
                const Vec<T> v = bias == nullptr ? r[j] : r[j] + broadcast(bias[o + j]);
                if (y_step != 1) {
                    for (idx at = 0; at < n; ++at) to[at * y_step] = v[at];
                } else if (n == lanes) {
                    store<T>(to, v);
                } else {
                    store_partial(to, v, static_cast<int>(n));
                }
            }
        }
    }
}

// The lanes of two vectors in turn: of their first halves, and of their last.
struct FirstPairs {
    static constexpr int from(int j, int n) { return j / 2 + j % 2 * n; }
};
struct LastPairs {
    static constexpr int from(int j, int n) { return n / 2 + j / 2 + j % 2 * n; }
};

// As store_direct of outputs that stand in turn: in the even places of y those whose sums are in
// `even`, in the odd ones those of `odd`, or, where that is null, of no sum.
template <class T>
void store_pairs(const T* even, const T* odd, idx c_row, idx count, idx rows, const T* bias, T* y,
                 idx y_channel) {
    constexpr idx lanes = kLanes<T>;
    for (idx o = 0; o < rows; o += lanes) {
        const idx channels = rows - o < lanes ? rows - o : lanes;
        for (idx i = 0; i < count; i += lanes) {
            const idx n = count - i < lanes ? count - i : lanes;
            Vec<T> r[2][lanes] = {};
            for (int half = 0; half < 2; ++half) {
                const T* from = half == 0 ? even : odd;
                if (from == nullptr) continue;
                from += i * c_row + o;
#pragma GCC unroll 16
                for (idx j = 0; j < lanes; ++j) r[half][j] = load(from + (j < n ? j : 0) * c_row);
                transpose(r[half]);
            }
            T* to = y + o * y_channel + 2 * i;
            for (idx j = 0; j < channels; ++j, to += y_channel) {
                const Vec<T> extra = bias == nullptr ? Vec<T>{} : broadcast(bias[o + j]);
                Vec<T> a = r[0][j], b = r[1][j];
                if (bias != nullptr) {
                    a += extra;
                    b += extra;
                }
                const Vec<T> first = shuffle<FirstPairs>(a, b);
                const Vec<T> last = shuffle<LastPairs>(a, b);
                if (n == lanes) {
                    store<T>(to, first);
                    store<T>(to + lanes, last);
                } else if (2 * n <= lanes) {
                    store_partial(to, first, static_cast<int>(2 * n));
                } else {
                    store<T>(to, first);
                    store_partial(to + lanes, last, static_cast<int>(2 * n - lanes));
                }
            }
        }
    }
}

}  // namespace fastnn::FASTNN_ISA
