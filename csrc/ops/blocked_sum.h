// SPDX-License-Identifier: BSD-3-Clause
// Sums of long rows for the reduction kernels: vector accumulators over blocks of 1024 elements,
// the blocks' sums added pairwise. The order depends on the number of elements alone. Error: at
// most some 1024 / (kWays kLanes) + log2(n / 1024) + log2(kWays kLanes) roundings deep.
//
// Source: Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., 2002, section 4.2.
#pragma once

#include "runtime/types.h"
#include "simd/span.h"

namespace fastnn::FASTNN_ISA {

constexpr idx kSumBlock = 1024;

template <class T>
inline constexpr T kLeast = -static_cast<T>(__builtin_inf());

// body(i, span) for the elements [0, n), kLanes<T> at a time.
template <class T, class F>
__attribute__((flatten)) inline void for_spans(idx n, const F& body) {
    constexpr int lanes = kLanes<T>;
    idx i = 0;
    for (; i + lanes <= n; i += lanes) body(i, Whole{});
    if (i < n) body(i, Part{static_cast<int>(n - i)});
}

// Adds numbers as a binary tree over their order does, in memory that grows with the logarithm:
// level i holds the sum of 2^i numbers where bit i of the count is set.
template <class S>
class PairwiseSum {
  public:
    void add(S value) {
        std::uint64_t filled = count_++;
        int i = 0;
        for (; (filled & 1) != 0; filled >>= 1) value = levels_[i++] + value;
        levels_[i] = value;
    }
    S total() const {
        S sum = 0;
        int i = 0;
        for (std::uint64_t filled = count_; filled != 0; filled >>= 1, ++i) {
            if ((filled & 1) != 0) sum = levels_[i] + sum;
        }
        return sum;
    }

  private:
    S levels_[64];
    std::uint64_t count_ = 0;
};

// The sum over [begin, end), at most a block, of term(i, span): vectors whose lanes outside the
// span are 0. kWays accumulators hide the latency of the addition.
template <class T, int kWays, class F>
__attribute__((flatten)) inline T block_sum(idx begin, idx end, const F& term) {
    constexpr int lanes = kLanes<T>;
    idx i = begin;
    Vec<T> sum = {};
    if (end - begin >= kWays * lanes) {
        Vec<T> sums[kWays] = {};
        for (; i + kWays * lanes <= end; i += kWays * lanes) {
            for (int k = 0; k < kWays; ++k) sums[k] += term(i + k * lanes, Whole{});
        }
        for (int width = kWays / 2; width > 0; width /= 2) {
            for (int k = 0; k < width; ++k) sums[k] += sums[k + width];
        }
        sum = sums[0];
    }
    for (; i + lanes <= end; i += lanes) sum += term(i, Whole{});
    if (i < end) sum += term(i, Part{static_cast<int>(end - i)});
    return reduce_add(sum);
}

// The same over any number of elements.
template <class T, int kWays, class F>
inline T blocked_sum(idx n, const F& term) {
    if (n <= kSumBlock) return block_sum<T, kWays>(0, n, term);
    PairwiseSum<T> sum;
    for (idx i = 0; i < n; i += kSumBlock) {
        sum.add(block_sum<T, kWays>(i, n - i < kSumBlock ? n : i + kSumBlock, term));
    }
    return sum.total();
}

// The largest of n elements, NaN if any is; -inf of none.
template <class T>
__attribute__((flatten)) inline T row_max(const T* x, idx n) {
    constexpr int lanes = kLanes<T>;
    constexpr int kWays = 4;
    const Vec<T> least = broadcast(kLeast<T>);
    Vec<T> best[kWays] = {least, least, least, least};
    idx i = 0;
    for (; i + kWays * lanes <= n; i += kWays * lanes) {
        for (int k = 0; k < kWays; ++k) best[k] = max_nan(best[k], load(x + i + k * lanes));
    }
    Vec<T> top = max_nan(max_nan(best[0], best[1]), max_nan(best[2], best[3]));
    for (; i + lanes <= n; i += lanes) top = max_nan(top, load(x + i));
    if (i < n) top = max_nan(top, load_partial(x + i, static_cast<int>(n - i), kLeast<T>));
    return reduce_max(top);
}

}  // namespace fastnn::FASTNN_ISA
