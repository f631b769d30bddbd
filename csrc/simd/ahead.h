// SPDX-License-Identifier: BSD-3-Clause
// map1 of simd/vec.h for arrays that come from and go beyond the second-level cache:
// each step asks for the lines of inputs and output 2 KiB further on. The hardware prefetchers stop
// at every page and do little for stores, which then wait for their lines one after the other.
// Measured (Sapphire Rapids, 16 MiB arrays, two cores): a fifth of the time of a leaky ReLU or a
// GELU where the arrays come from memory, nothing where the third-level cache holds them, and it
// costs up to a tenth where the second-level cache does. Non-temporal stores save a fifth of a ReLU
// and cost the backward pass, which reads the output next, as much: gradients alone have them
// (map2_far of simd/streaming.h).
//
// It handles whole vectors and returns how many elements that were; map1 does the rest.
#pragma once

#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

inline constexpr std::uintptr_t kAheadBytes = 2048;
inline constexpr std::int64_t kFarBytes = std::int64_t{4} << 20;  // of one array

// A hint, which may lie beyond the array: it never faults.
FASTNN_SIMD_INLINE void fetch_ahead(const void* p) {
    __builtin_prefetch(
        reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(p) + kAheadBytes));
}

// The same for loops that the compiler vectorises, block by block.
inline constexpr std::int64_t kBlockBytes = 1024;
template <class T>
inline constexpr std::int64_t kFarBlock = kBlockBytes / static_cast<std::int64_t>(sizeof(T));

FASTNN_SIMD_INLINE void fetch_block_ahead(const void* p) {
    const char* line = static_cast<const char*>(p);
    for (std::int64_t i = 0; i < kBlockBytes; i += 64) fetch_ahead(line + i);
}

template <class T, class F>
__attribute__((flatten)) inline std::int64_t map1_ahead(const T* x, T* y, std::int64_t n, F f) {
    constexpr int lanes = kLanes<T>;
    std::int64_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        fetch_ahead(x + i);
        fetch_ahead(y + i);
        store<T>(y + i, f(load(x + i)));
    }
    return i;
}

}  // namespace fastnn::FASTNN_ISA
