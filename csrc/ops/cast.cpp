// SPDX-License-Identifier: BSD-3-Clause
// cast: y = x in another element type, any strides on both sides. Memory-bound, except where x86_v2
// and x86_v3 have no vector instruction (int64 from and to floating point).
//
//   to floating point            rounded to nearest
//   to bool                      x != 0, so NaN is true
//   from bool                    0 or 1
//   integer to integer           modulo 2^bits
//   floating point to integer    towards zero into int64, then modulo 2^bits
//
// What int64 does not hold (NaN, infinities, magnitudes from 2^63 on) becomes the least int64, as
// the x86 instruction has it; C++ leaves that undefined, so elements are tested before they are
// converted.
#include "runtime/op.h"
#include "simd/strided.h"

namespace fastnn::FASTNN_ISA {

constexpr idx kPiece = 65536;
// Elements that are tested together for the fast conversion to narrow integers: few enough to stay
// in the cache.
constexpr idx kBlock = 1024;

template <class To, class From>
inline Stored<To> convert(Stored<From> v) {
    if constexpr (std::is_same_v<To, bool> || std::is_same_v<From, bool>) {
        return static_cast<Stored<To>>(v != 0);
    } else if constexpr (std::is_floating_point_v<From> && !std::is_floating_point_v<To>) {
        constexpr From kLimit = static_cast<From>(9223372036854775808.0);
        const bool holds = static_cast<int>(v >= -kLimit) & static_cast<int>(v < kLimit);
        return static_cast<To>(static_cast<std::int64_t>(holds ? v : -kLimit));
    } else {
        return static_cast<To>(v);
    }
}

template <class To, class From>
inline void cast_row(Stored<To>* o, idx so, const Stored<From>* a, idx sa, idx n) {
    map_row(o, so, a, sa, n, [](Stored<From> v) { return convert<To, From>(v); });
}

// Floating point to int32 or uint8, contiguous. All levels convert vectors to int32: blocks whose
// elements all fit int32 take that way, and there it gives what the way over int64 gives.
template <class To, class From>
inline void narrow_row(To* o, const From* a, idx n) {
    for (idx i = 0; i < n; i += kBlock) {
        const idx m = lesser(kBlock, n - i);
        int outside = 0;
        for (idx k = 0; k < m; ++k) {
            const From v = a[i + k];
            outside |= static_cast<int>(!(v > From(-2147483648.0))) |
                       static_cast<int>(!(v < From(2147483648.0)));
        }
        if (outside == 0) {
            FASTNN_INDEPENDENT
            for (idx k = 0; k < m; ++k)
                o[i + k] = static_cast<To>(static_cast<std::int32_t>(a[i + k]));
        } else {
            cast_row<To, From>(o + i, 1, a + i, 1, m);
        }
    }
}

template <class From, class To>
void cast(StridedIn<From> x, StridedOut<To> y) {
    constexpr bool kNarrows = std::is_floating_point_v<From> && std::is_integral_v<To> &&
                              !std::is_same_v<To, bool> && sizeof(To) <= sizeof(std::int32_t);
    const idx* const strides[] = {y.strides, x.strides};
    const Plan<2> plan = make_plan(y.ndim, y.shape, strides, kPiece);
    const idx to_step = plan.col_strides[0];
    const idx from_step = plan.col_strides[1];
    for_rows(plan, kPiece, [&](const idx* at, idx n) {
        Stored<To>* o = stored(y.data) + at[0];
        const Stored<From>* a = stored(x.data) + at[1];
        if constexpr (kNarrows) {
            if (to_step == 1 && from_step == 1) {
                narrow_row(o, a, n);
                return;
            }
        }
        cast_row<To, From>(o, to_step, a, from_step, n);
    });
}

}  // namespace fastnn::FASTNN_ISA

#define FASTNN_CAST_FROM(T)                                                        \
    cast<T, float>, cast<T, double>, cast<T, std::int64_t>, cast<T, std::int32_t>, \
        cast<T, std::uint8_t>, cast<T, bool>

FASTNN_OP(cast, "x(...) y(...)", kPlain, FASTNN_CAST_FROM(float), FASTNN_CAST_FROM(double),
          FASTNN_CAST_FROM(std::int64_t), FASTNN_CAST_FROM(std::int32_t),
          FASTNN_CAST_FROM(std::uint8_t), FASTNN_CAST_FROM(bool))
