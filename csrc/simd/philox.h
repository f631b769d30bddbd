// SPDX-License-Identifier: BSD-3-Clause
// Philox4x32-10: random words by number. Block b of a generator (seed, offset) is the cipher of the
// counter offset + b under the key seed; a block is four 32-bit words, and element i takes word i
// mod 4 of block i / 4. Any piece of a long row of numbers can thus be made on its own: the words
// depend on neither threads nor vector length. Source: Salmon, Moraes, Dror and Shaw, "Parallel
// random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once

#include <cstdint>

#include "runtime/types.h"
#include "simd/vec.h"

#ifndef FASTNN_ISA
#error "compile kernel files with -DFASTNN_ISA=<level>"
#endif

namespace fastnn::FASTNN_ISA {

inline constexpr int kPhiloxRounds = 10;

// 64-bit lanes, a block in each: the cipher's product is 32 x 32 -> 64 bits. Several vectors go
// through the rounds side by side, because each round waits for the product of the one before.
using PhiloxLanes = BitsOf<double>;
inline constexpr int kPhiloxVectors = kVecBytes == 64 ? 4 : 2;
inline constexpr idx kPhiloxGroup = 32;  // blocks made together
inline constexpr idx kPhiloxWords = 4 * kPhiloxGroup;

// Words 4 b .. 4 b + 3 for the blocks b of a vector, from two words in each lane of low and high.
FASTNN_SIMD_INLINE void store_blocks(std::uint32_t* words, PhiloxLanes low, PhiloxLanes high) {
#if FASTNN_SIMD_AVX512
    const PhiloxLanes first = __builtin_shufflevector(low, high, 0, 8, 1, 9, 2, 10, 3, 11);
    const PhiloxLanes second = __builtin_shufflevector(low, high, 4, 12, 5, 13, 6, 14, 7, 15);
#elif FASTNN_SIMD_AVX2
    const PhiloxLanes first = __builtin_shufflevector(low, high, 0, 4, 1, 5);
    const PhiloxLanes second = __builtin_shufflevector(low, high, 2, 6, 3, 7);
#else
    const PhiloxLanes first = __builtin_shufflevector(low, high, 0, 2);
    const PhiloxLanes second = __builtin_shufflevector(low, high, 1, 3);
#endif
    __builtin_memcpy(words, &first, sizeof first);
    __builtin_memcpy(words + kVecBytes / 4, &second, sizeof second);
}

// The blocks of kPhiloxVectors vectors from `first` on. The upper halves of the lanes hold what the
// products left there: the next product does not read them.
FASTNN_SIMD_INLINE void philox_vectors(std::uint64_t seed, std::uint64_t first,
                                       std::uint32_t* words) {
    constexpr std::uint64_t kLow = 0xFFFFFFFF;
    constexpr int kBlocks = kLanes<double>;
    const PhiloxLanes m0 = PhiloxLanes{} + 0xD2511F53ULL;
    const PhiloxLanes m1 = PhiloxLanes{} + 0xCD9E8D57ULL;
    PhiloxLanes number{};
    for (int lane = 0; lane < kBlocks; ++lane) number[lane] = static_cast<std::uint64_t>(lane);
    PhiloxLanes c0[kPhiloxVectors];
    PhiloxLanes c1[kPhiloxVectors];
    PhiloxLanes c2[kPhiloxVectors];
    PhiloxLanes c3[kPhiloxVectors];
    for (int v = 0; v < kPhiloxVectors; ++v) {
        c0[v] = number + (first + static_cast<std::uint64_t>(v * kBlocks));
        c1[v] = c0[v] >> 32;
        c2[v] = PhiloxLanes{};
        c3[v] = PhiloxLanes{};
    }
    std::uint64_t k0 = seed & kLow;
    std::uint64_t k1 = seed >> 32;
    for (int round = 0; round < kPhiloxRounds; ++round) {
        for (int v = 0; v < kPhiloxVectors; ++v) {
            const PhiloxLanes p0 = mul_low_halves(c0[v], m0);
            const PhiloxLanes p1 = mul_low_halves(c2[v], m1);
            c0[v] = (p1 >> 32) ^ c1[v] ^ k0;
            c1[v] = p1;
            c2[v] = (p0 >> 32) ^ c3[v] ^ k1;
            c3[v] = p0;
        }
        k0 = (k0 + 0x9E3779B9) & kLow;
        k1 = (k1 + 0xBB67AE85) & kLow;
    }
    for (int v = 0; v < kPhiloxVectors; ++v)
        store_blocks(words + 4 * kBlocks * v, (c0[v] & kLow) | c1[v] << 32,
                     (c2[v] & kLow) | c3[v] << 32);
}

// words[4 * b + w] = word w of block first + b, for the kPhiloxGroup blocks from `first` on.
inline void philox_group(std::uint64_t seed, std::uint64_t first, std::uint32_t* words) {
    constexpr idx kBlocks = kPhiloxVectors * kLanes<double>;
    for (idx b = 0; b < kPhiloxGroup; b += kBlocks)
        philox_vectors(seed, first + static_cast<std::uint64_t>(b), words + 4 * b);
}

// A generator's memory cell as kernels take it, int64 [seed, offset].
struct Philox {
    std::uint64_t seed;
    std::uint64_t offset;
};

inline Philox open_generator(const std::int64_t* cell) {
    return {static_cast<std::uint64_t>(cell[0]), static_cast<std::uint64_t>(cell[1])};
}

// Moves the cell on past n words, of which the last block may be used in part.
inline void advance_generator(std::int64_t* cell, idx n) {
    cell[1] = static_cast<std::int64_t>(static_cast<std::uint64_t>(cell[1]) +
                                        static_cast<std::uint64_t>((n + 3) / 4));
}

// body(words, begin, count) for the words of elements [begin, begin + count), count <=
// kPhiloxWords; begin is a multiple of kPhiloxWords when the range begins at one.
template <class F>
inline void for_words(const Philox& generator, idx begin, idx end, const F& body) {
    std::uint32_t words[kPhiloxWords];
    for (idx i = begin; i < end; i += kPhiloxWords) {
        philox_group(generator.seed, generator.offset + static_cast<std::uint64_t>(i / 4), words);
        body(words, i, end - i < kPhiloxWords ? end - i : kPhiloxWords);
    }
}

}  // namespace fastnn::FASTNN_ISA
