// SPDX-License-Identifier: BSD-3-Clause
// What the softmax family takes of a row: its largest element, and exp where it is padded with -inf
// or masked.
#pragma once

#include "runtime/types.h"
#include "simd/math.h"

namespace fastnn::FASTNN_ISA {

// exp(v) for v <= kHigh, without passing through the denormal numbers on the way to a result of 0:
// they cost some 100 cycles a vector. Masks are -inf or large negative numbers such as -1e9. Where
// ln 2 is taken from a float in one fused step, the result is off by 2^-29 per unit of v / ln 2
// more than exp's: nothing beside the largest of a row, 2^-21 of itself at the lower end.
template <class V>
FASTNN_SIMD_INLINE V exp_masked(V v) {
    using T = std::remove_cv_t<std::remove_reference_t<decltype(v[0])>>;
    using C = ExpConstants<T>;
    const V zero = broadcast(T(0));
    const auto masked = v <= broadcast(C::kLow);
#if FASTNN_SIMD_AVX512
    // Below kLow anything may come out, and the comparison's mask clears it.
    const V round = broadcast(C::kRoundWide);
    const V n = fma(v, broadcast(C::kLog2e), round) - round;
    V r;
    if constexpr (sizeof(T) == 4) {
        r = fma(n, broadcast(-0x1.62e43p-1f), v);
    } else {
        r = fma(n, broadcast(-C::kLn2Lo), fma(n, broadcast(-C::kLn2Hi), v));
    }
    return select(masked, zero, scale_by_power(exp_poly(r), n));
#else
    return select(masked, zero, exp(select(masked, zero, v)));
#endif
}

// The largest of n elements, -inf of none, NaN left out: it comes back with the exponentials.
template <class T>
__attribute__((flatten)) inline T largest_number(const T* x, idx n) {
    constexpr int lanes = kLanes<T>;
    constexpr int kWays = 4;
    constexpr T least = -static_cast<T>(__builtin_inf());
    Vec<T> best[kWays];
    for (int k = 0; k < kWays; ++k) best[k] = broadcast(least);
    idx i = 0;
    // The element stands first: max gives the second if one is NaN.
    for (; i + kWays * lanes <= n; i += kWays * lanes) {
        for (int k = 0; k < kWays; ++k) best[k] = max(load(x + i + k * lanes), best[k]);
    }
    Vec<T> top = max(max(best[0], best[1]), max(best[2], best[3]));
    for (; i + lanes <= n; i += lanes) top = max(load(x + i), top);
    if (i < n) top = max(load_partial(x + i, static_cast<int>(n - i), least), top);
    return reduce_max(top);
}

}  // namespace fastnn::FASTNN_ISA
