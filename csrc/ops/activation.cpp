// SPDX-License-Identifier: BSD-3-Clause
// ReLU, tanh and the logistic sigmoid with their backward passes. Any shape, contiguous, in == out
// allowed; every output is `=`. Memory-bound for ReLU; one pass each way, the backward from the
// saved output.
//
//   relu:    y = x < 0 ? 0 : x (NaN and -0 stay)    grad_x = y <= 0 ? 0 : grad_y
//
//   tanh:    grad_x = grad_y * (1 - y^2)            sigmoid: grad_x = grad_y * y * (1 - y)
#include "ops/elementwise.h"
#include "simd/math.h"

namespace fastnn::FASTNN_ISA {

// Elements per piece of a parallel loop: below this, threads cost more than they bring (measured).
// Cheap loops are bound by memory, the others by some 20 vector operations an element.
constexpr idx kCheapPiece = 65536;
constexpr idx kMathPiece = 8192;

template <class T>
void relu_forward(In<T> x, Out<T> y) {
    // NaN and -0 stay, because neither is below 0.
    elementwise(x, y, kCheapPiece,
                [](Vec<T> v) { return select(v < broadcast(T(0)), broadcast(T(0)), v); });
}

template <class T>
void relu_backward(In<T> y, In<T> grad_y, Out<T> grad_x) {
    elementwise(y, grad_y, grad_x, kCheapPiece, [](Vec<T> v, Vec<T> g) {
        return select(v <= broadcast(T(0)), broadcast(T(0)), g);
    });
}

template <class T>
void tanh_forward(In<T> x, Out<T> y) {
    elementwise(x, y, kMathPiece, [](Vec<T> v) { return tanh(v); });
}

template <class T>
void tanh_backward(In<T> y, In<T> grad_y, Out<T> grad_x) {
    elementwise(y, grad_y, grad_x, kCheapPiece,
                [](Vec<T> v, Vec<T> g) { return g * (broadcast(T(1)) - v * v); });
}

template <class T>
void sigmoid_forward(In<T> x, Out<T> y) {
    elementwise(x, y, kMathPiece, [](Vec<T> v) { return sigmoid(v); });
}

template <class T>
void sigmoid_backward(In<T> y, In<T> grad_y, Out<T> grad_x) {
    elementwise(y, grad_y, grad_x, kCheapPiece,
                [](Vec<T> v, Vec<T> g) { return g * v * (broadcast(T(1)) - v); });
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(relu_forward, "x(...) y(...)", kInPlace | kAllocating, relu_forward<float>,
          relu_forward<double>)
FASTNN_OP(relu_backward, "y(...) grad_y(...) grad_x(...)", kInPlace, relu_backward<float>,
          relu_backward<double>)
FASTNN_OP(tanh_forward, "x(...) y(...)", kInPlace | kAllocating, tanh_forward<float>,
          tanh_forward<double>)
FASTNN_OP(tanh_backward, "y(...) grad_y(...) grad_x(...)", kInPlace, tanh_backward<float>,
          tanh_backward<double>)
FASTNN_OP(sigmoid_forward, "x(...) y(...)", kInPlace | kAllocating, sigmoid_forward<float>,
          sigmoid_forward<double>)
FASTNN_OP(sigmoid_backward, "y(...) grad_y(...) grad_x(...)", kInPlace, sigmoid_backward<float>,
          sigmoid_backward<double>)
