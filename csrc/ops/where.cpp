// SPDX-License-Identifier: BSD-3-Clause
// where: out = condition ? x : y, elementwise over arrays of one shape and any strides; out is `=`
// and may be x or y. Memory-bound: one pass. The condition holds where its byte is not 0.
#include "runtime/op.h"
#include "simd/strided.h"

namespace fastnn::FASTNN_ISA {

constexpr idx kPiece = 65536;

// One row with a contiguous condition and output; x and y are contiguous or one value. Both values
// are taken before the choice, so that it is a select and not a jump.
template <bool kManyX, bool kManyY, class S>
inline void choose(const unsigned char* condition, const S* x, const S* y, S* out, idx n) {
    const S one_x = *x;
    const S one_y = *y;
    FASTNN_INDEPENDENT
    for (idx i = 0; i < n; ++i) {
        const S u = kManyX ? x[i] : one_x;
        const S v = kManyY ? y[i] : one_y;
        out[i] = condition[i] != 0 ? u : v;
    }
}

template <class T>
void where_forward(StridedIn<bool> condition, StridedIn<T> x, StridedIn<T> y, StridedOut<T> out) {
    using S = Stored<T>;
    const idx* const strides[] = {out.strides, condition.strides, x.strides, y.strides};
    const Plan<4> plan = make_plan(out.ndim, out.shape, strides, kPiece);
    const idx* step = plan.col_strides;
    const bool contiguous = step[0] == 1 && step[1] == 1;
    for_rows(plan, kPiece, [&](const idx* at, idx n) {
        S* o = stored(out.data) + at[0];
        const unsigned char* c = stored(condition.data) + at[1];
        const S* a = stored(x.data) + at[2];
        const S* b = stored(y.data) + at[3];
        if (contiguous && step[2] == 1 && step[3] == 1) {
            choose<true, true>(c, a, b, o, n);
        } else if (contiguous && step[2] == 1 && step[3] == 0) {
            choose<true, false>(c, a, b, o, n);
        } else if (contiguous && step[2] == 0 && step[3] == 1) {
            choose<false, true>(c, a, b, o, n);
        } else if (contiguous && step[2] == 0 && step[3] == 0) {
            choose<false, false>(c, a, b, o, n);
        } else {
            for (idx i = 0; i < n; ++i)
                o[i * step[0]] = c[i * step[1]] != 0 ? a[i * step[2]] : b[i * step[3]];
        }
    });
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(where_forward, "condition(...) x(...) y(...) out(...)", kInPlace | kAllocating,
          where_forward<float>, where_forward<double>, where_forward<std::int64_t>,
          where_forward<std::int32_t>, where_forward<std::uint8_t>, where_forward<bool>)
