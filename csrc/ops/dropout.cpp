// SPDX-License-Identifier: BSD-3-Clause
// Dropout. Element i is kept where its random word is at least p 2^32; kept ones are scaled by 1 /
// (1 - p). y, mask and grad_x are `=`; the generator's cell is moved on. in == out allowed. Bound
// by the random numbers: one block of Philox for four elements. Source: Srivastava, Hinton,
// Krizhevsky, Sutskever and Salakhutdinov, JMLR 2014.
#include <cstddef>

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

template <class T>
Status dropout_backward(In<T> grad_y, In<bool> mask, Out<T> grad_x, double p) {
    if (!(p >= 0.0 && p <= 1.0)) return Status::kBadValue;
    const T scale = kept_scale<T>(p);
    const unsigned char* kept = reinterpret_cast<const unsigned char*>(mask.data);
    parallel_for(grad_y.size, kScalePiece, [&](idx begin, idx end) {
        for (idx j = begin; j < end; ++j)
            grad_x.data[j] = kept[j] != 0 ? grad_y.data[j] * scale : T(0);
    });
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(dropout_forward, "x(...) y(...) mask(...) state(2) p", kInPlace, dropout_forward<float>,
          dropout_forward<double>)
FASTNN_OP(dropout_backward, "grad_y(...) mask(...) grad_x(...) p", kInPlace,
          dropout_backward<float>, dropout_backward<double>)
