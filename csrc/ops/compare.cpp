// SPDX-License-Identifier: BSD-3-Clause
// eq, ne, lt, le, gt, ge of two arrays of one shape, element type and any strides; out is bool and
// `=`. Memory-bound: one pass. A comparison with NaN is false, except ne, which is true (IEEE 754).
// A bool is true if its byte is not 0.
#include "runtime/op.h"
#include "simd/strided.h"

namespace fastnn::FASTNN_ISA {

constexpr idx kPiece = 65536;

template <class T, class F>
inline void compare(const StridedIn<T>& x, const StridedIn<T>& y, const StridedOut<bool>& out,
                    const F& f) {
    const idx* const strides[] = {out.strides, x.strides, y.strides};
    const Plan<3> plan = make_plan(out.ndim, out.shape, strides, kPiece);
    const Stored<T>* a = stored(x.data);
    const Stored<T>* b = stored(y.data);
    unsigned char* o = stored(out.data);
    const idx* step = plan.col_strides;
    const auto byte = [&f](Stored<T> left, Stored<T> right) {
        if constexpr (std::is_same_v<T, bool>) {
            return static_cast<unsigned char>(f(left != 0, right != 0));
        } else {
            return static_cast<unsigned char>(f(left, right));
        }
    };
    for_rows(plan, kPiece, [&](const idx* at, idx n) {
        map_row(o + at[0], step[0], a + at[1], step[1], b + at[2], step[2], n, byte);
    });
}

template <class T>
void eq(StridedIn<T> x, StridedIn<T> y, StridedOut<bool> out) {
    compare(x, y, out, [](T a, T b) { return a == b; });
}
template <class T>
void ne(StridedIn<T> x, StridedIn<T> y, StridedOut<bool> out) {
    compare(x, y, out, [](T a, T b) { return a != b; });
}
template <class T>
void lt(StridedIn<T> x, StridedIn<T> y, StridedOut<bool> out) {
    compare(x, y, out, [](T a, T b) { return a < b; });
}
template <class T>
void le(StridedIn<T> x, StridedIn<T> y, StridedOut<bool> out) {
    compare(x, y, out, [](T a, T b) { return a <= b; });
}
template <class T>
void gt(StridedIn<T> x, StridedIn<T> y, StridedOut<bool> out) {
    compare(x, y, out, [](T a, T b) { return a > b; });
}
template <class T>
void ge(StridedIn<T> x, StridedIn<T> y, StridedOut<bool> out) {
    compare(x, y, out, [](T a, T b) { return a >= b; });
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(eq, "x(...) y(...) out(...)", kAllocating, eq<float>, eq<double>, eq<std::int64_t>,
          eq<std::int32_t>, eq<std::uint8_t>, eq<bool>)
FASTNN_OP(ne, "x(...) y(...) out(...)", kAllocating, ne<float>, ne<double>, ne<std::int64_t>,
          ne<std::int32_t>, ne<std::uint8_t>, ne<bool>)
FASTNN_OP(lt, "x(...) y(...) out(...)", kAllocating, lt<float>, lt<double>, lt<std::int64_t>,
          lt<std::int32_t>, lt<std::uint8_t>, lt<bool>)
FASTNN_OP(le, "x(...) y(...) out(...)", kAllocating, le<float>, le<double>, le<std::int64_t>,
          le<std::int32_t>, le<std::uint8_t>, le<bool>)
FASTNN_OP(gt, "x(...) y(...) out(...)", kAllocating, gt<float>, gt<double>, gt<std::int64_t>,
          gt<std::int32_t>, gt<std::uint8_t>, gt<bool>)
FASTNN_OP(ge, "x(...) y(...) out(...)", kAllocating, ge<float>, ge<double>, ge<std::int64_t>,
          ge<std::int32_t>, ge<std::uint8_t>, ge<bool>)
