// SPDX-License-Identifier: BSD-3-Clause
// y[o, i] = sum over j of (x[o, j, i] - center[o, i])^2, for norms (no center: 0) and variances
// (center: the mean, the second of two passes, so that nothing cancels). x (outer, n, inner),
// contiguous; y is `=`. Rows are summed by blocks (ops/blocked_sum.h), columns in blocks of 256
// rows; chunks and threads: ops/fold.h. 0 for n == 0.
//
// Source: Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983.
#include "ops/blocked_sum.h"
#include "ops/fold.h"
#include "runtime/op.h"

namespace fastnn::FASTNN_ISA {

namespace {

template <class T>
struct SquareSum {
    const T* x;
    const T* center;
    T* y;
    idx n, inner;

    T row(idx o, idx begin, idx end) const {
        const T* from = x + o * n + begin;
        const T middle = center == nullptr ? T(0) : center[o];
        const Vec<T> c = broadcast(middle);
        return blocked_sum<T, 4>(end - begin, [from, c, middle](idx j, auto span) {
            const Vec<T> d = load_span(from + j, span, middle) - c;
            return d * d;
        });
    }
    void tile(idx o, idx at, idx width, idx begin, idx end, T* into) const {
        constexpr idx kBlockRows = 256;
        T middle[kFoldTile];
        T block[kFoldTile];
        for (idx i = 0; i < width; ++i) {
            middle[i] = center == nullptr ? T(0) : center[o * inner + at + i];
        }
        for (idx first = begin; first < end; first += kBlockRows) {
            T* __restrict sum = first == begin ? into : block;
            for (idx i = 0; i < width; ++i) sum[i] = 0;
            for (idx j = first; j < lesser(first + kBlockRows, end); ++j) {
                const T* from = x + (o * n + j) * inner + at;
                FASTNN_INDEPENDENT
                for (idx i = 0; i < width; ++i) {
                    const T d = from[i] - middle[i];
                    sum[i] += d * d;
                }
            }
            if (first == begin) continue;
            for (idx i = 0; i < width; ++i) into[i] += block[i];
        }
    }
    T join(T a, T b) const { return a + b; }
    void finish(idx place, T value) const { y[place] = value; }
};

}  // namespace

template <class T>
Status square_sum(In<T> x, In<T> center, Out<T> y) {
    if (x.shape[1] == 0) {
        for (idx i = 0; i < y.size; ++i) y.data[i] = 0;
        return Status::kOk;
    }
    const SquareSum<T> body{x.data, center.data, y.data, x.shape[1], x.shape[2]};
    return fold_axis<T>(x.shape[0], x.shape[1], x.shape[2], body);
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(square_sum, "x(outer,n,inner) center?(outer,inner) y(outer,inner)", kPlain,
          square_sum<float>, square_sum<double>)
