// SPDX-License-Identifier: BSD-3-Clause
// Elementwise kernels of two operands of one shape and any strides (0 where one was broadcast);
// the output may be one of them.
#pragma once

#include "runtime/op.h"
#include "simd/strided.h"

namespace fastnn::FASTNN_ISA {

constexpr idx kBinaryPiece = 65536;

// out = f(x, y), element by element, vectorised by the compiler where f can be.
template <class T, class F>
inline void map_pairs(const StridedIn<T>& x, const StridedIn<T>& y, const StridedOut<T>& out,
                      const F& f) {
    const idx* const strides[] = {out.strides, x.strides, y.strides};
    const Plan<3> plan = make_plan(out.ndim, out.shape, strides, kBinaryPiece);
    const Stored<T>* a = stored(x.data);
    const Stored<T>* b = stored(y.data);
    Stored<T>* o = stored(out.data);
    const idx* step = plan.col_strides;
    for_rows(plan, kBinaryPiece, [&](const idx* at, idx n) {
        map_row(o + at[0], step[0], a + at[1], step[1], b + at[2], step[2], n, f);
    });
}

// The same where f calls the C library or branches: no vectors are asked for.
template <class T, class F>
inline void map_pairs_singly(const StridedIn<T>& x, const StridedIn<T>& y, const StridedOut<T>& out,
                             const F& f, idx piece) {
    const idx* const strides[] = {out.strides, x.strides, y.strides};
    const Plan<3> plan = make_plan(out.ndim, out.shape, strides, piece);
    const idx* step = plan.col_strides;
    for_rows(plan, piece, [&](const idx* at, idx n) {
        T* o = out.data + at[0];
        const T* a = x.data + at[1];
        const T* b = y.data + at[2];
        for (idx i = 0; i < n; ++i) o[i * step[0]] = f(a[i * step[1]], b[i * step[2]]);
    });
}

}  // namespace fastnn::FASTNN_ISA
