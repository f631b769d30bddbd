// SPDX-License-Identifier: BSD-3-Clause
// exp, log and neg. Any shape, contiguous, in == out allowed; y is `=`. One pass: exp and log bound
// by arithmetic (their error bounds stand in simd/math_exp.h and simd/math_log.h), neg by memory.
// Negated integers wrap modulo 2^bits.
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/math.h"
#include "simd/strided.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

constexpr idx kCheapPiece = 65536;
constexpr idx kMathPiece = 8192;

template <class T>
void exp_forward(In<T> x, Out<T> y) {
    parallel_for(x.size, kMathPiece, [&](idx begin, idx end) {
        map1<T>(x.data + begin, y.data + begin, end - begin, [](Vec<T> v) { return exp(v); });
    });
}

template <class T>
void log_forward(In<T> x, Out<T> y) {
    parallel_for(x.size, kMathPiece, [&](idx begin, idx end) {
        map1<T>(x.data + begin, y.data + begin, end - begin, [](Vec<T> v) { return log(v); });
    });
}

template <class T>
void neg_forward(In<T> x, Out<T> y) {
    parallel_for(x.size, kCheapPiece, [&](idx begin, idx end) {
        map_row(y.data + begin, 1, x.data + begin, 1, end - begin, [](T v) {
            if constexpr (std::is_floating_point_v<T>) {
                return -v;
            } else {
                return static_cast<T>(0 - static_cast<std::make_unsigned_t<T>>(v));
            }
        });
    });
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(exp_forward, "x(...) y(...)", kInPlace | kAllocating, exp_forward<float>,
          exp_forward<double>)
FASTNN_OP(log_forward, "x(...) y(...)", kInPlace | kAllocating, log_forward<float>,
          log_forward<double>)
FASTNN_OP(neg_forward, "x(...) y(...)", kInPlace | kAllocating, neg_forward<float>,
          neg_forward<double>, neg_forward<std::int64_t>, neg_forward<std::int32_t>,
          neg_forward<std::uint8_t>)
