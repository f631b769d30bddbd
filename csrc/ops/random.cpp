// SPDX-License-Identifier: BSD-3-Clause
// Random numbers from a generator's cell, which is moved on by ceil(n / 4). y is `=`, any shape,
// contiguous.
//
//   random_bits   the 32-bit words as int64
//   uniform       low + u (high - low), u = (word >> 8) 2^-24 for float32, word 2^-32 for float64
//   normal        mean + std z by pairs of words: r = sqrt(-2 ln((w0 + 1) 2^-32)), a = 2 pi w1
//   2^-32,
//                 z = r cos a, r sin a (Box and Muller 1958), in double for both types
#include <cmath>

#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/philox.h"

namespace fastnn::FASTNN_ISA {

constexpr idx kRandomPiece = 16384;  // a multiple of kPhiloxWords

void random_bits(Out<std::int64_t> y, InOut<std::int64_t> state) {
    const Philox generator = open_generator(state.data);
    parallel_for(y.size, kRandomPiece, [&](idx begin, idx end) {
        for_words(generator, begin, end, [&](const std::uint32_t* words, idx first, idx count) {
            for (idx j = 0; j < count; ++j) y.data[first + j] = words[j];
        });
    });
    advance_generator(state.data, y.size);
}

inline float unit(std::uint32_t word, float) {
    return static_cast<float>(static_cast<std::int32_t>(word >> 8)) * 0x1p-24f;
}
inline double unit(std::uint32_t word, double) { return static_cast<double>(word) * 0x1p-32; }

inline float before(float x, float towards) { return ::nextafterf(x, towards); }
inline double before(double x, double towards) { return ::nextafter(x, towards); }

template <class T>
void uniform(Out<T> y, InOut<std::int64_t> state, double low, double high) {
    const Philox generator = open_generator(state.data);
    const T shift = static_cast<T>(low);
    const T scale = static_cast<T>(high - low);
    // Rounding may give `high` itself, which does not belong to the range.
    const T top = high > low ? before(static_cast<T>(high), shift) : static_cast<T>(high);
    parallel_for(y.size, kRandomPiece, [&](idx begin, idx end) {
        for_words(generator, begin, end, [&](const std::uint32_t* words, idx first, idx count) {
            for (idx j = 0; j < count; ++j) {
                const T value = shift + unit(words[j], T(0)) * scale;
                y.data[first + j] = value > top ? top : value;
            }
        });
    });
    advance_generator(state.data, y.size);
}

template <class T>
void normal(Out<T> y, InOut<std::int64_t> state, double mean, double std) {
    const Philox generator = open_generator(state.data);
    parallel_for(y.size, kRandomPiece, [&](idx begin, idx end) {
        for_words(generator, begin, end, [&](const std::uint32_t* words, idx first, idx count) {
            for (idx j = 0; j < count; j += 2) {
                // (w + 1) 2^-32 is in (0, 1]: its logarithm is finite. The last group always has
                // its second word.
                const double radius = __builtin_sqrt(-2.0 * ::log((words[j] + 1.0) * 0x1p-32));
                const double angle = words[j + 1] * (0x1p-32 * 2.0 * 3.141592653589793);
                y.data[first + j] = static_cast<T>(mean + std * (radius * ::cos(angle)));
                if (j + 1 < count)
                    y.data[first + j + 1] = static_cast<T>(mean + std * (radius * ::sin(angle)));
            }
        });
    });
    advance_generator(state.data, y.size);
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(random_bits, "y(*) state(2)", kPlain, random_bits)
FASTNN_OP(uniform, "y(*) state(2) low high", kPlain, uniform<float>, uniform<double>)
FASTNN_OP(normal, "y(*) state(2) mean std", kPlain, normal<float>, normal<double>)
