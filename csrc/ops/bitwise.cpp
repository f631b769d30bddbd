// SPDX-License-Identifier: BSD-3-Clause
// and, or, xor and not of the bits of integers, and of bools as truth values. Two operands have one
// shape and any strides (0 where one was broadcast), out is `=` and may be one of them; not is
// contiguous. Bound by memory: one pass, vectorised by the compiler. A bool is true if its byte is
// not 0.
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/strided.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPiece = 65536;

// What takes part: a bool as 0 or 1.
template <class T>
inline Stored<T> bits_of(Stored<T> v) {
    if constexpr (std::is_same_v<T, bool>) {
        return static_cast<unsigned char>(v != 0);
    } else {
        return v;
    }
}

template <class T, class F>
inline void combine(const StridedIn<T>& x, const StridedIn<T>& y, const StridedOut<T>& out,
                    const F& f) {
    using S = Stored<T>;
    const idx* const strides[] = {out.strides, x.strides, y.strides};
    const Plan<3> plan = make_plan(out.ndim, out.shape, strides, kPiece);
    const S* a = stored(x.data);
    const S* b = stored(y.data);
    S* o = stored(out.data);
    const idx* step = plan.col_strides;
    for_rows(plan, kPiece, [&](const idx* at, idx n) {
        map_row(o + at[0], step[0], a + at[1], step[1], b + at[2], step[2], n,
                [&f](S left, S right) {
                    return static_cast<S>(f(bits_of<T>(left), bits_of<T>(right)));
                });
    });
}

}  // namespace

template <class T>
void bitwise_and(StridedIn<T> x, StridedIn<T> y, StridedOut<T> out) {
    combine(x, y, out, [](auto a, auto b) { return a & b; });
}
template <class T>
void bitwise_or(StridedIn<T> x, StridedIn<T> y, StridedOut<T> out) {
    combine(x, y, out, [](auto a, auto b) { return a | b; });
}
template <class T>
void bitwise_xor(StridedIn<T> x, StridedIn<T> y, StridedOut<T> out) {
    combine(x, y, out, [](auto a, auto b) { return a ^ b; });
}

template <class T>
void bitwise_not_forward(In<T> x, Out<T> y) {
    using S = Stored<T>;
    const S* from = stored(x.data);
    S* to = stored(y.data);
    parallel_for(x.size, kPiece, [&](idx begin, idx end) {
        map_row(to + begin, 1, from + begin, 1, end - begin, [](S v) {
            return static_cast<S>(std::is_same_v<T, bool> ? static_cast<S>(v == 0)
                                                          : static_cast<S>(~v));
        });
    });
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(bitwise_and, "x(...) y(...) out(...)", kInPlace | kAllocating, bitwise_and<std::int64_t>,
          bitwise_and<std::int32_t>, bitwise_and<std::uint8_t>, bitwise_and<bool>)
FASTNN_OP(bitwise_or, "x(...) y(...) out(...)", kInPlace | kAllocating, bitwise_or<std::int64_t>,
          bitwise_or<std::int32_t>, bitwise_or<std::uint8_t>, bitwise_or<bool>)
FASTNN_OP(bitwise_xor, "x(...) y(...) out(...)", kInPlace | kAllocating, bitwise_xor<std::int64_t>,
          bitwise_xor<std::int32_t>, bitwise_xor<std::uint8_t>, bitwise_xor<bool>)
FASTNN_OP(bitwise_not_forward, "x(...) y(...)", kInPlace | kAllocating,
          bitwise_not_forward<std::int64_t>, bitwise_not_forward<std::int32_t>,
          bitwise_not_forward<std::uint8_t>, bitwise_not_forward<bool>)
