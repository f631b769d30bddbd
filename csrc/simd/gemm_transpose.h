// SPDX-License-Identifier: BSD-3-Clause
// Transposing N x N blocks in registers, for packing the operands of matrix multiplication that
// stand the other way round. First within the 16-byte parts of the registers, then the parts among
// the registers, each step a shuffle of two registers into one: N log2 N shuffles in all.
//
// Source: the recursive transposition of Eklundh 1972, "A fast computer method for matrix
// transposing".
#pragma once

#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

// N elements of T in one register.
template <class T, int N>
struct BlockOf {
    typedef T type __attribute__((vector_size(N * sizeof(T))));
};
template <class T, int N>
using Block = typename BlockOf<T, N>::type;

template <int... I>
struct LaneList {};
template <int N, int... I>
struct MakeLaneList : MakeLaneList<N - 1, N - 1, I...> {};
template <int... I>
struct MakeLaneList<0, I...> {
    using type = LaneList<I...>;
};

// Where lane j of a two-register shuffle comes from: 0..N-1 are the first register's lanes, N..2N-1
// the second's.
struct LowOfLanes {  // a0 b0 a1 b1 in each four
    static constexpr int from(int j, int n) { return j / 4 * 4 + j % 4 / 2 + j % 2 * n; }
};
struct HighOfLanes {  // a2 b2 a3 b3
    static constexpr int from(int j, int n) { return j / 4 * 4 + 2 + j % 4 / 2 + j % 2 * n; }
};
template <int D>
struct LowOfBlocks {  // blocks of D lanes: the first register's even ones, each followed by the
                      // second's
    static constexpr int from(int j, int n) { return (j & D) == 0 ? j : j - D + n; }
};
template <int D>
struct HighOfBlocks {  // the odd ones
    static constexpr int from(int j, int n) { return (j & D) == 0 ? j + D : j + n; }
};

template <class Rule, class V, int... I>
FASTNN_SIMD_INLINE V shuffle_lanes(V a, V b, LaneList<I...>) {
    return __builtin_shufflevector(a, b, Rule::from(I, static_cast<int>(sizeof...(I)))...);
}
template <class Rule, class V>
FASTNN_SIMD_INLINE V shuffle(V a, V b) {
    return shuffle_lanes<Rule>(
        a, b, typename MakeLaneList<static_cast<int>(sizeof(V) / sizeof(a[0]))>::type{});
}

// Swaps the off-diagonal D x D blocks of every 2D x 2D block, for D, 2D, ... N/2.
template <int D, int N, class V>
FASTNN_SIMD_INLINE void swap_blocks(V (&r)[N]) {
    if constexpr (D < N) {
#pragma GCC unroll 16
        for (int i = 0; i < N; ++i) {
            if ((i & D) != 0) continue;
            const V low = shuffle<LowOfBlocks<D>>(r[i], r[i + D]);
            r[i + D] = shuffle<HighOfBlocks<D>>(r[i], r[i + D]);
            r[i] = low;
        }
        swap_blocks<2 * D>(r);
    }
}

// Lane j of r[i] and lane i of r[j] change places.
template <int N, class V>
FASTNN_SIMD_INLINE void transpose(V (&r)[N]) {
    static_assert(sizeof(V) == N * sizeof(r[0][0]));
    if constexpr (sizeof(r[0][0]) == 4 && N >= 4) {
        // Four rows at a time, by the interleaving shuffles that every instruction set has for
        // 4-byte lanes.
#pragma GCC unroll 4
        for (int i = 0; i < N; i += 4) {
            const V low01 = shuffle<LowOfLanes>(r[i], r[i + 1]);
            const V high01 = shuffle<HighOfLanes>(r[i], r[i + 1]);
            const V low23 = shuffle<LowOfLanes>(r[i + 2], r[i + 3]);
            const V high23 = shuffle<HighOfLanes>(r[i + 2], r[i + 3]);
            r[i] = shuffle<LowOfBlocks<2>>(low01, low23);
            r[i + 1] = shuffle<HighOfBlocks<2>>(low01, low23);
            r[i + 2] = shuffle<LowOfBlocks<2>>(high01, high23);
            r[i + 3] = shuffle<HighOfBlocks<2>>(high01, high23);
        }
        swap_blocks<4>(r);
    } else {
        swap_blocks<1>(r);
    }
}

}  // namespace fastnn::FASTNN_ISA
