// SPDX-License-Identifier: BSD-3-Clause
// GLU and PReLU with their backward passes; contiguous, every output `=`.
//
//   glu    x (outer, 2, n) holds a and b: y = a s(b), s the logistic function
//          grad_a = grad_y s(b),  grad_b = grad_y a s(b) (1 - s(b))
//   prelu  x (outer, c, inner): y = x > 0 ? x : weight[c] x
//          grad_x = x > 0 ? grad_y : weight[c] grad_y;  terms = x > 0 ? 0 : x grad_y, whose sums
//          over outer and inner are the gradient of weight
//
// Sources: Dauphin, Fan, Auli and Grangier 2017 (GLU); He, Zhang, Ren and Sun 2015 (PReLU).
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/math.h"
#include "simd/strided.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kMathPiece = 8192;
constexpr idx kCheapPiece = 65536;

// part(row, begin, n) for stretches of the rows (count, length).
template <class F>
inline void for_stretches(idx count, idx length, idx piece, const F& part) {
    if (length == 0) return;
    const idx cuts = (length + piece - 1) / piece;
    const idx step = (length + cuts - 1) / cuts;
    parallel_for(count * cuts, greater(1, piece / step), [&](idx first, idx last) {
        for (idx u = first; u < last; ++u) {
            const idx begin = u % cuts * step;
            if (begin < length) part(u / cuts, begin, lesser(step, length - begin));
        }
    });
}

}  // namespace

template <class T>
void glu_forward(In<T> x, Out<T> y) {
    const idx n = y.shape[1];
    for_stretches(y.shape[0], n, kMathPiece, [&](idx row, idx begin, idx count) {
        const T* a = x.data + 2 * row * n + begin;
        map2<T>(a, a + n, y.data + row * n + begin, count,
                [](Vec<T> v, Vec<T> gate) { return v * sigmoid(gate); });
    });
}

template <class T>
void glu_backward(In<T> x, In<T> grad_y, Out<T> grad_x) {
    const idx n = grad_y.shape[1];
    for_stretches(grad_y.shape[0], n, kMathPiece, [&](idx row, idx begin, idx count) {
        const T* a = x.data + 2 * row * n + begin;
        const T* g = grad_y.data + row * n + begin;
        T* out = grad_x.data + 2 * row * n + begin;
        map3<T>(a, a + n, g, out + n, count, [](Vec<T> v, Vec<T> gate, Vec<T> grad) {
            const Vec<T> s = sigmoid(gate);
            return grad * v * s * (broadcast(T(1)) - s);
        });
        map2<T>(a + n, g, out, count,
                [](Vec<T> gate, Vec<T> grad) { return grad * sigmoid(gate); });
    });
}

template <class T>
void prelu_forward(In<T> x, In<T> weight, Out<T> y) {
    const idx c = x.shape[1];
    const idx n = x.shape[2];
    for_stretches(x.shape[0] * c, n, kCheapPiece, [&](idx row, idx begin, idx count) {
        const Vec<T> w = broadcast(weight.data[row % c]);
        map1<T>(x.data + row * n + begin, y.data + row * n + begin, count,
                [w](Vec<T> v) { return select(v > Vec<T>{}, v, v * w); });
    });
}

template <class T>
void prelu_backward(In<T> x, In<T> weight, In<T> grad_y, Out<T> grad_x, Out<T> terms) {
    const idx c = x.shape[1];
    const idx n = x.shape[2];
    for_stretches(x.shape[0] * c, n, kCheapPiece, [&](idx row, idx begin, idx count) {
        const Vec<T> w = broadcast(weight.data[row % c]);
        const idx at = row * n + begin;
        map2<T>(x.data + at, grad_y.data + at, grad_x.data + at, count,
                [w](Vec<T> v, Vec<T> g) { return select(v > Vec<T>{}, g, g * w); });
        map2<T>(x.data + at, grad_y.data + at, terms.data + at, count,
                [](Vec<T> v, Vec<T> g) { return select(v > Vec<T>{}, Vec<T>{}, v * g); });
    });
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(glu_forward, "x(outer,2,n) y(outer,n)", kPlain, glu_forward<float>, glu_forward<double>)
FASTNN_OP(glu_backward, "x(outer,2,n) grad_y(outer,n) grad_x(outer,2,n)", kPlain,
          glu_backward<float>, glu_backward<double>)
FASTNN_OP(prelu_forward, "x(outer,c,inner) weight(c) y(outer,c,inner)", kPlain,
          prelu_forward<float>, prelu_forward<double>)
FASTNN_OP(prelu_backward,
          "x(outer,c,inner) weight(c) grad_y(outer,c,inner) grad_x(outer,c,inner) "
          "terms(outer,c,inner)",
          kPlain, prelu_backward<float>, prelu_backward<double>)
