// SPDX-License-Identifier: BSD-3-Clause
// exp for rows that are padded with -inf or masked.
#pragma once

#include "simd/math.h"

namespace fastnn::FASTNN_ISA {

// The same as exp(v), without passing through the denormal numbers on the way to a result of 0:
// they cost some 100 cycles a vector. Masks are -inf or large negative numbers such as -1e9.
template <class V>
FASTNN_SIMD_INLINE V exp_masked(V v) {
    using T = std::remove_cv_t<std::remove_reference_t<decltype(v[0])>>;
    const V zero = broadcast(T(0));
    const auto masked = v <= broadcast(ExpConstants<T>::kLow);
    return select(masked, zero, exp(select(masked, zero, v)));
}

}  // namespace fastnn::FASTNN_ISA
