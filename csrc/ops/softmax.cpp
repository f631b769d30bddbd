// SPDX-License-Identifier: BSD-3-Clause
// Softmax and log-softmax of the rows of x (n, c), contiguous, in == out allowed; every output `=`.
//
//   m = max x,  s = sum exp(x - m)
//   softmax:      y = exp(x - m) / s;    grad_x = y (grad_y - sum y grad_y)
//   log_softmax:  y = (x - m) - log s;   grad_x = grad_y - exp(y) sum grad_y
//
// Three passes over a row, which stays in cache: maximum, exponentials with their sum, scaling. A
// row that fits into one vector stays in a register. Sums as in blocked_sum.h. NaN or +inf anywhere
// and -inf everywhere make the row NaN, as in NumPy and torch.
#include "ops/blocked_sum.h"
#include "ops/softmax_exp.h"
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/math.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kMathPiece = 8192;    // elements per piece of a parallel loop, where exp is taken
constexpr idx kCheapPiece = 65536;  // and where it is not
constexpr int kWays = 4;

inline idx rows_per_piece(idx elements, idx c) { return c < elements ? elements / c : 1; }

// row(i) for every row; none if the rows are empty.
template <class F>
inline void for_each_row(idx n, idx c, idx elements, const F& row) {
    if (c == 0) return;
    parallel_for(n, rows_per_piece(elements, c), [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) row(i * c);
    });
}

}  // namespace

template <class T>
void softmax_forward(In<T> x, Out<T> y) {
    const idx c = x.shape[1];
    for_each_row(x.shape[0], c, kMathPiece, [&](idx at) {
        const T* from = x.data + at;
        T* to = y.data + at;
        if (c <= kLanes<T>) {
            const int lanes = static_cast<int>(c);
            const Vec<T> v = load_partial(from, lanes, kLeast<T>);
            const Vec<T> e = exp_masked(v - broadcast(reduce_max(v)));
            store_partial(to, e / broadcast(reduce_add(e)), lanes);
            return;
        }
        const Vec<T> top = broadcast(largest_number(from, c));
        const T sum = blocked_sum<T, kWays>(c, [&](idx j, auto span) {
            const Vec<T> e = exp_masked(load_span(from + j, span, kLeast<T>) - top);
            store_span(to + j, e, span);
            return e;
        });
        const Vec<T> divisor = broadcast(sum);
        map1<T>(to, to, c, [divisor](Vec<T> e) { return e / divisor; });
    });
}

template <class T>
void softmax_backward(In<T> y, In<T> grad_y, Out<T> grad_x) {
    const idx c = y.shape[1];
    for_each_row(y.shape[0], c, kCheapPiece, [&](idx at) {
        const T* p = y.data + at;
        const T* g = grad_y.data + at;
        const Vec<T> inner = broadcast(blocked_sum<T, kWays>(
            c, [&](idx j, auto span) { return load_span(p + j, span) * load_span(g + j, span); }));
        map2<T>(p, g, grad_x.data + at, c,
                [inner](Vec<T> v, Vec<T> grad) { return v * (grad - inner); });
    });
}

template <class T>
void log_softmax_forward(In<T> x, Out<T> y) {
    const idx c = x.shape[1];
    for_each_row(x.shape[0], c, kMathPiece, [&](idx at) {
        const T* from = x.data + at;
        const Vec<T> top = broadcast(largest_number(from, c));
        const T sum = blocked_sum<T, kWays>(c, [&](idx j, auto span) {
            return exp_masked(load_span(from + j, span, kLeast<T>) - top);
        });
        const Vec<T> log_sum = log(broadcast(sum));
        map1<T>(from, y.data + at, c, [top, log_sum](Vec<T> v) { return (v - top) - log_sum; });
    });
}

template <class T>
void log_softmax_backward(In<T> y, In<T> grad_y, Out<T> grad_x) {
    const idx c = y.shape[1];
    for_each_row(y.shape[0], c, kMathPiece, [&](idx at) {
        const T* g = grad_y.data + at;
        const Vec<T> total = broadcast(
            blocked_sum<T, kWays>(c, [&](idx j, auto span) { return load_span(g + j, span); }));
        map2<T>(y.data + at, g, grad_x.data + at, c,
                [total](Vec<T> v, Vec<T> grad) { return grad - exp_masked(v) * total; });
    });
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(softmax_forward, "x(n,c) y(n,c)", kInPlace, softmax_forward<float>,
          softmax_forward<double>)
FASTNN_OP(softmax_backward, "y(n,c) grad_y(n,c) grad_x(n,c)", kInPlace, softmax_backward<float>,
          softmax_backward<double>)
FASTNN_OP(log_softmax_forward, "x(n,c) y(n,c)", kInPlace, log_softmax_forward<float>,
          log_softmax_forward<double>)
FASTNN_OP(log_softmax_backward, "y(n,c) grad_y(n,c) grad_x(n,c)", kInPlace,
          log_softmax_backward<float>, log_softmax_backward<double>)
