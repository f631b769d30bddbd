// SPDX-License-Identifier: BSD-3-Clause
// log(sum exp(x)) of the rows of x (n, c), contiguous; outputs `=`.
//
//   forward:   y = m + log(sum exp(x - m)), m = max x, so that nothing overflows; where m is
//              infinite 0 takes its place: +inf if an element is, -inf of a row of -inf or of none
//   backward:  grad_x = exp(x - y) grad_y
//
// Two passes over a row forward, one backward. Sums as in ops/blocked_sum.h.
#include "ops/blocked_sum.h"
#include "ops/softmax_exp.h"
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/math.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kMathPiece = 8192;  // elements per piece of a parallel loop

inline idx rows_per_piece(idx c) { return c < kMathPiece ? kMathPiece / (c > 0 ? c : 1) : 1; }

}  // namespace

template <class T>
void logsumexp_forward(In<T> x, Out<T> y) {
    const idx c = x.shape[1];
    parallel_for(x.shape[0], rows_per_piece(c), [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) {
            const T* row = x.data + i * c;
            const T largest = largest_number(row, c);
            const T top = __builtin_isinf(largest) ? T(0) : largest;
            const Vec<T> shift = broadcast(top);
            const T sum = blocked_sum<T, 4>(c, [row, shift](idx j, auto span) {
                return exp_masked(load_span(row + j, span, kLeast<T>) - shift);
            });
            y.data[i] = top + log(broadcast(sum))[0];
        }
    });
}

template <class T>
void logsumexp_backward(In<T> x, In<T> y, In<T> grad_y, Out<T> grad_x) {
    const idx c = x.shape[1];
    if (c == 0) return;
    parallel_for(x.shape[0], rows_per_piece(c), [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) {
            const Vec<T> shift = broadcast(y.data[i]);
            const Vec<T> g = broadcast(grad_y.data[i]);
            map1<T>(x.data + i * c, grad_x.data + i * c, c,
                    [shift, g](Vec<T> v) { return exp_masked(v - shift) * g; });
        }
    });
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(logsumexp_forward, "x(n,c) y(n)", kPlain, logsumexp_forward<float>,
          logsumexp_forward<double>)
FASTNN_OP(logsumexp_backward, "x(n,c) y(n) grad_y(n) grad_x(n,c)", kPlain,
          logsumexp_backward<float>, logsumexp_backward<double>)
