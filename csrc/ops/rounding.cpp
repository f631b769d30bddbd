// SPDX-License-Identifier: BSD-3-Clause
// abs, sign and square, of numbers of every native type, and floor, ceil, round (ties to even) and
// trunc. Any shape, contiguous, in == out allowed; y is `=`. Bound by memory: one pass, vectorised
// by the compiler or by one instruction. Integers wrap modulo 2^bits; NaN stays NaN, but its sign
// and that of both zeros is 0.
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/strided.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kCheapPiece = 65536;

template <class T, class F>
inline void each(const In<T>& x, const Out<T>& y, const F& f) {
    parallel_for(x.size, kCheapPiece, [&](idx begin, idx end) {
        map_row(y.data + begin, 1, x.data + begin, 1, end - begin, f);
    });
}

template <class T, class F>
inline void each_vector(const In<T>& x, const Out<T>& y, const F& f) {
    parallel_for(x.size, kCheapPiece, [&](idx begin, idx end) {
        map1<T>(x.data + begin, y.data + begin, end - begin, f);
    });
}

// The type in which integers are computed without overflow: unsigned, at least as wide as int.
template <class T>
using Wrapping =
    std::conditional_t<(sizeof(T) < sizeof(unsigned)), unsigned, std::make_unsigned_t<T>>;

}  // namespace

template <class T>
void abs_forward(In<T> x, Out<T> y) {
    if constexpr (std::is_floating_point_v<T>) {
        each_vector(x, y, [](Vec<T> v) { return abs(v); });
    } else {
        each(x, y, [](T v) {
            using U = Wrapping<T>;
            return static_cast<T>(v < 0 ? U{0} - static_cast<U>(v) : static_cast<U>(v));
        });
    }
}

template <class T>
void sign_forward(In<T> x, Out<T> y) {
    if constexpr (std::is_floating_point_v<T>) {
        each_vector(x, y, [](Vec<T> v) {
            const Vec<T> one = broadcast(T(1));
            const Vec<T> positive = select(v > Vec<T>{}, one, Vec<T>{});
            return select(v < Vec<T>{}, -one, positive);
        });
    } else {
        each(x, y, [](T v) { return static_cast<T>((v > 0) - (v < 0)); });
    }
}

template <class T>
void square_forward(In<T> x, Out<T> y) {
    if constexpr (std::is_floating_point_v<T>) {
        each(x, y, [](T v) { return v * v; });
    } else {
        each(x, y, [](T v) {
            using U = Wrapping<T>;
            return static_cast<T>(static_cast<U>(v) * static_cast<U>(v));
        });
    }
}

template <class T>
void floor_forward(In<T> x, Out<T> y) {
    each_vector(x, y, [](Vec<T> v) { return floor(v); });
}
template <class T>
void ceil_forward(In<T> x, Out<T> y) {
    each_vector(x, y, [](Vec<T> v) { return ceil(v); });
}
template <class T>
void round_forward(In<T> x, Out<T> y) {
    each_vector(x, y, [](Vec<T> v) { return round_even(v); });
}
template <class T>
void trunc_forward(In<T> x, Out<T> y) {
    each_vector(x, y, [](Vec<T> v) { return copysign(floor(abs(v)), v); });
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(abs_forward, "x(...) y(...)", kInPlace | kAllocating, abs_forward<float>,
          abs_forward<double>, abs_forward<std::int64_t>, abs_forward<std::int32_t>,
          abs_forward<std::uint8_t>)
FASTNN_OP(sign_forward, "x(...) y(...)", kInPlace | kAllocating, sign_forward<float>,
          sign_forward<double>, sign_forward<std::int64_t>, sign_forward<std::int32_t>,
          sign_forward<std::uint8_t>)
FASTNN_OP(square_forward, "x(...) y(...)", kInPlace | kAllocating, square_forward<float>,
          square_forward<double>, square_forward<std::int64_t>, square_forward<std::int32_t>,
          square_forward<std::uint8_t>)
FASTNN_OP(floor_forward, "x(...) y(...)", kInPlace | kAllocating, floor_forward<float>,
          floor_forward<double>)
FASTNN_OP(ceil_forward, "x(...) y(...)", kInPlace | kAllocating, ceil_forward<float>,
          ceil_forward<double>)
FASTNN_OP(round_forward, "x(...) y(...)", kInPlace | kAllocating, round_forward<float>,
          round_forward<double>)
FASTNN_OP(trunc_forward, "x(...) y(...)", kInPlace | kAllocating, trunc_forward<float>,
          trunc_forward<double>)
