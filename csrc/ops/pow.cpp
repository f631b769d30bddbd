// SPDX-License-Identifier: BSD-3-Clause
// out = x^y, element by element, of two arrays of one shape and any strides; out is `=` and may be
// one of them. Floats by the vector code of simd/math_pow.h, through blocks of 128 doubles, so that
// an element's bits depend on its operands alone; bound by arithmetic. Integers by squaring, modulo
// 2^bits; to a negative power 0, except 1 and -1, which are their own inverses.
#include "ops/binary_plan.h"
#include "simd/math_pow.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kMathPiece = 4096;

template <class T>
inline T whole_power(T x, T y) {
    if constexpr (std::is_signed_v<T>) {
        if (y < 0) {
            if (x == 1) return 1;
            return x == T(-1) ? (y % 2 == 0 ? T(1) : T(-1)) : T(0);
        }
    }
    using U = std::conditional_t<(sizeof(T) < sizeof(unsigned)), unsigned, std::make_unsigned_t<T>>;
    U power = 1;
    U base = static_cast<U>(x);
    for (auto left = static_cast<std::make_unsigned_t<T>>(y); left != 0;
         left = static_cast<std::make_unsigned_t<T>>(left >> 1)) {
        if ((left & 1) != 0) power *= base;
        base *= base;
    }
    return static_cast<T>(power);
}

template <class T>
void power_row(T* o, idx so, const T* a, idx sa, const T* b, idx sb, idx n) {
    constexpr idx kBlock = 128;
    double x[kBlock];
    double y[kBlock];
    for (idx begin = 0; begin < n; begin += kBlock) {
        const idx count = lesser(kBlock, n - begin);
        const auto widen = [](T value) { return static_cast<double>(value); };
        map_row(x, idx{1}, a + begin * sa, sa, count, widen);
        map_row(y, idx{1}, b + begin * sb, sb, count, widen);
        map2<double>(x, y, x, count, [](VecD v, VecD w) { return pow_all<sizeof(T) == 4>(v, w); });
        const auto narrow = [](double value) { return static_cast<T>(value); };
        map_row(o + begin * so, so, x, idx{1}, count, narrow);
    }
}

}  // namespace

template <class T>
void pow(StridedIn<T> x, StridedIn<T> y, StridedOut<T> out) {
    if constexpr (std::is_floating_point_v<T>) {
        const idx* const strides[] = {out.strides, x.strides, y.strides};
        const Plan<3> plan = make_plan(out.ndim, out.shape, strides, kMathPiece);
        const idx* step = plan.col_strides;
        for_rows(plan, kMathPiece, [&](const idx* at, idx n) {
            power_row(out.data + at[0], step[0], x.data + at[1], step[1], y.data + at[2], step[2],
                      n);
        });
    } else {
        map_pairs_singly(x, y, out, [](T a, T b) { return whole_power(a, b); }, kMathPiece);
    }
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(pow, "x(...) y(...) out(...)", kInPlace | kAllocating, pow<float>, pow<double>,
          pow<std::int64_t>, pow<std::int32_t>, pow<std::uint8_t>)
