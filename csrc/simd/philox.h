// SPDX-License-Identifier: BSD-3-Clause
// Philox4x32-10: random words by number. Block b of a generator (seed, offset) is the cipher of the
// counter offset + b under the key seed; a block is four 32-bit words, and element i takes word i
// mod 4 of block i / 4. Any piece of a long row of numbers can thus be made on its own: the words
// depend on neither threads nor vector length. Source: Salmon, Moraes, Dror and Shaw, "Parallel
// random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once

#include <cstdint>

#include "runtime/types.h"

#ifndef FASTNN_ISA
#error "compile kernel files with -DFASTNN_ISA=<level>"
#endif

namespace fastnn::FASTNN_ISA {

inline constexpr int kPhiloxRounds = 10;
inline constexpr idx kPhiloxGroup = 16;  // blocks made together, one per lane
inline constexpr idx kPhiloxWords = 4 * kPhiloxGroup;

// words[4 * b + w] = word w of block first + b, for the kPhiloxGroup blocks from `first` on. Plain
// loops over lanes, which the compiler turns into vectors: 32 x 32 -> 64 bit products of even and
// odd lanes.
inline void philox_group(std::uint64_t seed, std::uint64_t first, std::uint32_t* words) {
    constexpr std::uint64_t kM0 = 0xD2511F53;
    constexpr std::uint64_t kM1 = 0xCD9E8D57;
    constexpr std::uint64_t kLow = 0xFFFFFFFF;
    std::uint64_t c0[kPhiloxGroup];
    std::uint64_t c1[kPhiloxGroup];
    std::uint64_t c2[kPhiloxGroup];
    std::uint64_t c3[kPhiloxGroup];
    for (idx b = 0; b < kPhiloxGroup; ++b) {
        const std::uint64_t counter = first + static_cast<std::uint64_t>(b);
        c0[b] = counter & kLow;
        c1[b] = counter >> 32;
        c2[b] = 0;
        c3[b] = 0;
    }
    std::uint64_t k0 = seed & kLow;
    std::uint64_t k1 = seed >> 32;
    for (int round = 0; round < kPhiloxRounds; ++round) {
        for (idx b = 0; b < kPhiloxGroup; ++b) {
            const std::uint64_t p0 = kM0 * c0[b];
            const std::uint64_t p1 = kM1 * c2[b];
            c0[b] = (p1 >> 32) ^ c1[b] ^ k0;
            c1[b] = p1 & kLow;
            c2[b] = (p0 >> 32) ^ c3[b] ^ k1;
            c3[b] = p0 & kLow;
        }
        k0 = (k0 + 0x9E3779B9) & kLow;
        k1 = (k1 + 0xBB67AE85) & kLow;
    }
    for (idx b = 0; b < kPhiloxGroup; ++b) {
        words[4 * b] = static_cast<std::uint32_t>(c0[b]);
        words[4 * b + 1] = static_cast<std::uint32_t>(c1[b]);
        words[4 * b + 2] = static_cast<std::uint32_t>(c2[b]);
        words[4 * b + 3] = static_cast<std::uint32_t>(c3[b]);
    }
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
