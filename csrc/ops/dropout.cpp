// SPDX-License-Identifier: BSD-3-Clause
// Dropout. Element i is kept where its random word is at least p 2^32; kept ones are scaled by 1 /
// (1 - p). y, mask and grad_x are `=`; the generator's cell is moved on. in == out allowed. Bound
// by the random numbers: one block of Philox for four elements. Source: Srivastava, Hinton,
// Krizhevsky, Sutskever and Salakhutdinov, JMLR 2014.
#include <cstddef>
#include <type_traits>

#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/philox.h"

namespace fastnn::FASTNN_ISA {

// A multiple of kPhiloxWords, so that every piece begins with a block of its own.
constexpr idx kDropoutPiece = 16384;
constexpr idx kScalePiece = 65536;

template <class T>
inline T kept_scale(double p) {
    return p >= 1.0 ? T(0) : static_cast<T>(1.0 / (1.0 - p));
}

template <class T>
Status dropout_forward(In<T> x, Out<T> y, Out<bool> mask, InOut<std::int64_t> state, double p) {
    if (!(p >= 0.0 && p <= 1.0)) return Status::kBadValue;
    const Philox generator = open_generator(state.data);
    const std::uint64_t threshold = static_cast<std::uint64_t>(p * 4294967296.0);
    const bool any_kept = threshold <= 0xFFFFFFFF;
    const std::uint32_t least = static_cast<std::uint32_t>(any_kept ? threshold : 0xFFFFFFFF);
    const T scale = kept_scale<T>(p);
    parallel_for(x.size, kDropoutPiece, [&](idx begin, idx end) {
        for_words(generator, begin, end, [&](const std::uint32_t* words, idx first, idx count) {
            // By way of a buffer: the compiler vectorises loops whose arrays cannot overlap, and y
            // may be x.
            T tile[kPhiloxWords];
            const T* in = x.data + first;
            bool* kept = mask.data + first;
            for (idx j = 0; j < count; ++j) tile[j] = in[j] * scale;
            for (idx j = 0; j < count; ++j)
                tile[j] = any_kept & (words[j] >= least) ? tile[j] : T(0);
            for (idx j = 0; j < count; ++j) kept[j] = any_kept & (words[j] >= least);
            __builtin_memcpy(y.data + first, tile, static_cast<std::size_t>(count) * sizeof(T));
        });
    });
    advance_generator(state.data, x.size);
    return Status::kOk;
}

constexpr idx kScaleTile = 128;

// grad_x = kept ? grad_y scale : 0 for at most kScaleTile elements. By way of a buffer, as above;
// what is dropped is masked, as a branch on random bits is foretold half the time.
template <class T>
inline void scale_kept(const T* grad_y, const unsigned char* kept, T* grad_x, idx n, T scale) {
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    T scaled[kScaleTile];
    Bits bits[kScaleTile];
    for (idx j = 0; j < n; ++j) scaled[j] = grad_y[j] * scale;
    __builtin_memcpy(bits, scaled, static_cast<std::size_t>(n) * sizeof(T));
    for (idx j = 0; j < n; ++j) bits[j] &= Bits{0} - static_cast<Bits>(kept[j] != 0);
    __builtin_memcpy(grad_x, bits, static_cast<std::size_t>(n) * sizeof(T));
}

template <class T>
Status dropout_backward(In<T> grad_y, In<bool> mask, Out<T> grad_x, double p) {
    if (!(p >= 0.0 && p <= 1.0)) return Status::kBadValue;
    const T scale = kept_scale<T>(p);
    const unsigned char* kept = reinterpret_cast<const unsigned char*>(mask.data);
    parallel_for(grad_y.size, kScalePiece, [&](idx begin, idx end) {
        for (idx i = begin; i < end; i += kScaleTile) {
            const idx left = end - i;
            scale_kept(grad_y.data + i, kept + i, grad_x.data + i,
                       left < kScaleTile ? left : kScaleTile, scale);
        }
    });
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(dropout_forward, "x(...) y(...) mask(...) state(2) p", kInPlace, dropout_forward<float>,
          dropout_forward<double>)
FASTNN_OP(dropout_backward, "grad_y(...) mask(...) grad_x(...) p", kInPlace,
          dropout_backward<float>, dropout_backward<double>)
