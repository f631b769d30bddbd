// SPDX-License-Identifier: BSD-3-Clause
// fill: y = value everywhere; y has any strides. Memory-bound.
#include "runtime/op.h"
#include "simd/strided.h"

namespace fastnn::FASTNN_ISA {

constexpr idx kPiece = 65536;

template <class T>
void fill(In<T> value, StridedOut<T> y) {
    const idx* const strides[] = {y.strides};
    const Plan<1> plan = make_plan(y.ndim, y.shape, strides, kPiece);
    const Stored<T> element = *stored(value.data);
    Stored<T>* o = stored(y.data);
    const idx step = plan.col_strides[0];
    for_rows(plan, kPiece, [&](const idx* at, idx n) {
        Stored<T>* row = o + at[0];
        if (step == 1) {
            for (idx i = 0; i < n; ++i) row[i] = element;
        } else {
            for (idx i = 0; i < n; ++i) row[i * step] = element;
        }
    });
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(fill, "value(1) y(...)", kPlain, fill<float>, fill<double>, fill<std::int64_t>,
          fill<std::int32_t>, fill<std::uint8_t>, fill<bool>)
