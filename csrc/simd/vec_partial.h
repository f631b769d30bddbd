// SPDX-License-Identifier: BSD-3-Clause
// broadcast, load_partial and store_partial for levels with 16-byte vectors and no masked memory
// access: lane by lane, at most four. Included by the level headers of simd/vec.h alone.
#pragma once

namespace fastnn::FASTNN_ISA {

template <>
FASTNN_SIMD_INLINE VecF broadcast<float>(float s) {
    return VecF{s, s, s, s};
}
template <>
FASTNN_SIMD_INLINE VecD broadcast<double>(double s) {
    return VecD{s, s};
}

template <class T>
FASTNN_SIMD_INLINE Vec<T> load_partial(const T* p, int n, T fill) {
    Vec<T> v = broadcast(fill);
    for (int i = 0; i < kLanes<T>; ++i) {
        if (i < n) {
            v[i] = p[i];
        }
    }
    return v;
}

template <class T>
FASTNN_SIMD_INLINE void store_partial(T* p, Vec<T> v, int n) {
    for (int i = 0; i < kLanes<T>; ++i) {
        if (i < n) {
            p[i] = v[i];
        }
    }
}

}  // namespace fastnn::FASTNN_ISA
