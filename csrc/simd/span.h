// SPDX-License-Identifier: BSD-3-Clause
// Spans: the whole of a vector or its first lanes, as a type, so that one loop body serves both.
#pragma once

#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

// How much of a vector takes part: all lanes, or the first n.
struct Whole {};
struct Part {
    int n;
};

template <class T>
FASTNN_SIMD_INLINE Vec<T> load_span(const T* p, Whole, T = 0) {
    return load(p);
}
template <class T>
FASTNN_SIMD_INLINE Vec<T> load_span(const T* p, Part part, T fill = 0) {
    return load_partial(p, part.n, fill);
}
template <class T>
FASTNN_SIMD_INLINE void store_span(T* p, Vec<T> v, Whole) {
    store<T>(p, v);
}
template <class T>
FASTNN_SIMD_INLINE void store_span(T* p, Vec<T> v, Part part) {
    store_partial(p, v, part.n);
}

// v in the lanes of the span, 0 in the others.
template <class V>
FASTNN_SIMD_INLINE V only(V v, Whole) {
    return v;
}
template <class V>
FASTNN_SIMD_INLINE V only(V v, Part part) {
    using T = std::remove_cv_t<std::remove_reference_t<decltype(v[0])>>;
    T lanes[kLanes<T>] = {};
    store_partial(lanes, v, part.n);
    return load_partial(lanes, part.n);
}

}  // namespace fastnn::FASTNN_ISA
