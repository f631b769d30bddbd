// SPDX-License-Identifier: BSD-3-Clause
// add, sub, mul, div of two arrays of one shape and any strides (0 where one was broadcast); out is
// `=` and may be x or y. Memory-bound: one pass, vectorised by the compiler, because each of these
// operations has one correct result for every element whatever the loop around it.
//
//   floating point   IEEE 754, rounded to nearest
//   integers         modulo 2^bits, computed unsigned, so that nothing is undefined
//   bool             add is "or", mul is "and"
// There is no sub of bool and no div of integers (as in torch).
#include "runtime/op.h"
#include "simd/ahead.h"
#include "simd/strided.h"

namespace fastnn::FASTNN_ISA {

constexpr idx kPiece = 65536;

// The type in which integers are computed: unsigned, and at least as wide as int, to which C++
// would widen it.
template <class T, bool = std::is_floating_point_v<T>>
struct Arithmetic {
    using type = T;
};
template <class T>
struct Arithmetic<T, false> {
    using type =
        std::conditional_t<(sizeof(T) < sizeof(unsigned)), unsigned, std::make_unsigned_t<T>>;
};

template <class T, class F>
inline void binary(const StridedIn<T>& x, const StridedIn<T>& y, const StridedOut<T>& out,
                   const F& f) {
    const idx* const strides[] = {out.strides, x.strides, y.strides};
    const Plan<3> plan = make_plan(out.ndim, out.shape, strides, kPiece);
    const Stored<T>* a = stored(x.data);
    const Stored<T>* b = stored(y.data);
    Stored<T>* o = stored(out.data);
    const idx* step = plan.col_strides;
    // Short rows would fetch their neighbours' lines again and again.
    const bool far =
        plan.size * static_cast<idx>(sizeof(T)) >= kFarBytes && plan.tile_cols >= kFarBlock<T>;
    if (!far || step[0] != 1) {
        for_rows(plan, kPiece, [&](const idx* at, idx n) {
            map_row(o + at[0], step[0], a + at[1], step[1], b + at[2], step[2], n, f);
        });
        return;
    }
    for_rows(plan, kPiece, [&](const idx* at, idx n) {
        for (idx i = 0; i < n; i += kFarBlock<T>) {
            Stored<T>* to = o + at[0] + i;
            const Stored<T>* left = a + at[1] + i * step[1];
            const Stored<T>* right = b + at[2] + i * step[2];
            fetch_block_ahead(to);
            if (step[1] == 1) fetch_block_ahead(left);
            if (step[2] == 1) fetch_block_ahead(right);
            map_row(to, 1, left, step[1], right, step[2], lesser(kFarBlock<T>, n - i), f);
        }
    });
}

template <class T>
void add(StridedIn<T> x, StridedIn<T> y, StridedOut<T> out) {
    if constexpr (std::is_same_v<T, bool>) {
        binary(x, y, out, [](unsigned char a, unsigned char b) {
            return static_cast<unsigned char>((a | b) != 0);
        });
    } else {
        using A = typename Arithmetic<T>::type;
        binary(x, y, out,
               [](T a, T b) { return static_cast<T>(static_cast<A>(a) + static_cast<A>(b)); });
    }
}

template <class T>
void sub(StridedIn<T> x, StridedIn<T> y, StridedOut<T> out) {
    using A = typename Arithmetic<T>::type;
    binary(x, y, out,
           [](T a, T b) { return static_cast<T>(static_cast<A>(a) - static_cast<A>(b)); });
}

template <class T>
void mul(StridedIn<T> x, StridedIn<T> y, StridedOut<T> out) {
    if constexpr (std::is_same_v<T, bool>) {
        binary(x, y, out, [](unsigned char a, unsigned char b) {
            return static_cast<unsigned char>(static_cast<int>(a != 0) & static_cast<int>(b != 0));
        });
    } else {
        using A = typename Arithmetic<T>::type;
        binary(x, y, out,
               [](T a, T b) { return static_cast<T>(static_cast<A>(a) * static_cast<A>(b)); });
    }
}

template <class T>
void div(StridedIn<T> x, StridedIn<T> y, StridedOut<T> out) {
    binary(x, y, out, [](T a, T b) { return a / b; });
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(add, "x(...) y(...) out(...)", kInPlace | kAllocating, add<float>, add<double>,
          add<std::int64_t>, add<std::int32_t>, add<std::uint8_t>, add<bool>)
FASTNN_OP(sub, "x(...) y(...) out(...)", kInPlace | kAllocating, sub<float>, sub<double>,
          sub<std::int64_t>, sub<std::int32_t>, sub<std::uint8_t>)
FASTNN_OP(mul, "x(...) y(...) out(...)", kInPlace | kAllocating, mul<float>, mul<double>,
          mul<std::int64_t>, mul<std::int32_t>, mul<std::uint8_t>, mul<bool>)
FASTNN_OP(div, "x(...) y(...) out(...)", kInPlace | kAllocating, div<float>, div<double>)
