// SPDX-License-Identifier: BSD-3-Clause
// copy: y = x, any strides on both sides; every bit as it is. Memory-bound. Rows that are
// contiguous on both sides are copied as bytes. A transposed copy (x runs along the rows, y along
// the columns) goes square by square through registers, so that both sides are read and written in
// whole groups of elements.
#include "runtime/op.h"
#include "simd/gemm_transpose.h"
#include "simd/strided.h"

namespace fastnn::FASTNN_ISA {

constexpr idx kPiece = 65536;

// A whole register of elements; bytes go 16 at a time, because wider shuffles of bytes are slow
// before AVX-512 VBMI.
template <class S>
constexpr int kSide = sizeof(S) == 1 ? 16 : kVecBytes / static_cast<int>(sizeof(S));

// y[i * row + j] = x[j * col + i] for i < rows, j < cols.
template <class S>
inline void transpose_tile(const S* x, idx col, S* y, idx row, idx rows, idx cols) {
    constexpr int kN = kSide<S>;
    const idx whole_rows = rows - rows % kN;
    const idx whole_cols = cols - cols % kN;
    for (idx i = 0; i < whole_rows; i += kN) {
        for (idx j = 0; j < whole_cols; j += kN) {
            Block<S, kN> square[kN];  // unrolled, or it would stand in memory
#pragma GCC unroll 16
            for (int k = 0; k < kN; ++k) {
                __builtin_memcpy(&square[k], x + (j + k) * col + i, sizeof(square[k]));
            }
            transpose(square);
#pragma GCC unroll 16
            for (int k = 0; k < kN; ++k) {
                __builtin_memcpy(y + (i + k) * row + j, &square[k], sizeof(square[k]));
            }
        }
        for (idx j = whole_cols; j < cols; ++j) {
            for (idx k = i; k < i + kN; ++k) y[k * row + j] = x[j * col + k];
        }
    }
    for (idx i = whole_rows; i < rows; ++i) {
        for (idx j = 0; j < cols; ++j) y[i * row + j] = x[j * col + i];
    }
}

template <class T>
void copy(StridedIn<T> x, StridedOut<T> y) {
    if (x.data == y.data) return;  // the launch has checked that they are one array then
    using S = Stored<T>;
    const idx* const strides[] = {y.strides, x.strides};
    const Plan<2> plan = make_plan(y.ndim, y.shape, strides, kPiece);
    const S* from = stored(x.data);
    S* to = stored(y.data);
    const idx to_step = plan.col_strides[0];
    const idx from_step = plan.col_strides[1];
    if (to_step == 1 && plan.row_strides[1] == 1 && from_step != 1) {
        for_tiles(plan, kPiece, [&](const idx* at, idx rows, idx cols) {
            transpose_tile(from + at[1], from_step, to + at[0], plan.row_strides[0], rows, cols);
        });
        return;
    }
    for_rows(plan, kPiece, [&](const idx* at, idx n) {
        S* o = to + at[0];
        const S* a = from + at[1];
        if (to_step == 1 && from_step == 1) {
            __builtin_memcpy(o, a, static_cast<std::size_t>(n) * sizeof(S));
        } else {
            map_row(o, to_step, a, from_step, n, [](S v) { return v; });
        }
    });
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(copy, "x(...) y(...)", kInPlace | kAllocating, copy<float>, copy<double>,
          copy<std::int64_t>, copy<std::int32_t>, copy<std::uint8_t>, copy<bool>)
