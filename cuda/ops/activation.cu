// SPDX-License-Identifier: BSD-3-Clause
// ReLU, tanh and the logistic sigmoid, forward and backward, on contiguous arrays of any size.
//
//   relu     y = x < 0 ? 0 : x        grad_x = y <= 0 ? 0 : grad_y
//   tanh     y = tanh(x)              grad_x = grad_y * (1 - y^2)
//   sigmoid  y = 1 / (1 + exp(-x))    grad_x = grad_y * y * (1 - y)
//
// The backward pass needs only the output. A NaN passes through in both directions. All outputs are
// '='; in place is allowed (y = x, grad_x = grad_y or y), which is why no pointer here is
// __restrict__.
//
// One grid-stride kernel per direction. The work is bound by memory: where all addresses are
// 16-byte aligned a thread moves 16 bytes per access, and the fewer than 16 / sizeof(T) elements
// that remain go one by one.
#include "common/fnn_dev.h"

namespace fastnn::cuda {
namespace {

// ---- maths ----

struct Relu {
    // NaN and -0 come through, because neither is below 0.
    template <class T>
    static FNN_DEV T forward(T x) {
        return x < T(0) ? T(0) : x;
    }
    template <class T>
    static FNN_DEV T backward(T y, T grad_y) {
        return y <= T(0) ? T(0) : grad_y;
    }
};

struct Tanh {
    template <class T>
    static FNN_DEV T forward(T x) {
        return math::tanh(x);
    }
    template <class T>
    static FNN_DEV T backward(T y, T grad_y) {
        return grad_y * (T(1) - y * y);
    }
};

struct Sigmoid {
    // exp(-|x|) cannot overflow, and both forms keep their relative accuracy where the result is
    // tiny or near 1.
    template <class T>
    static FNN_DEV T forward(T x) {
        const T e = math::exp(-math::fabs(x));
        return (x >= T(0) ? T(1) : e) / (T(1) + e);
    }
    template <class T>
    static FNN_DEV T backward(T y, T grad_y) {
        return grad_y * (y * (T(1) - y));
    }
};

// ---- kernels ----

constexpr unsigned kThreads = 256;

template <class Op, class T>
__global__ void __launch_bounds__(kThreads) forward_kernel(const T* x, T* y, idx n, bool vector) {
    constexpr int kLanes = Vector16<T>::kLanes;
    const idx first = static_cast<idx>(blockIdx.x) * kThreads + threadIdx.x;
    const idx step = static_cast<idx>(gridDim.x) * kThreads;
    const idx vectors = vector ? n / kLanes : 0;
    for (idx v = first; v < vectors; v += step) {
        Vector16<T> value = load_vector(x + v * kLanes);
        FNN_UNROLL
        for (int i = 0; i < kLanes; ++i) value.lane[i] = Op::forward(value.lane[i]);
        store_vector(y + v * kLanes, value);
    }
    for (idx i = vectors * kLanes + first; i < n; i += step) y[i] = Op::forward(x[i]);
}

template <class Op, class T>
__global__ void __launch_bounds__(kThreads)
    backward_kernel(const T* y, const T* grad_y, T* grad_x, idx n, bool vector) {
    constexpr int kLanes = Vector16<T>::kLanes;
    const idx first = static_cast<idx>(blockIdx.x) * kThreads + threadIdx.x;
    const idx step = static_cast<idx>(gridDim.x) * kThreads;
    const idx vectors = vector ? n / kLanes : 0;
    for (idx v = first; v < vectors; v += step) {
        const Vector16<T> out = load_vector(y + v * kLanes);
        Vector16<T> grad = load_vector(grad_y + v * kLanes);
        FNN_UNROLL
        for (int i = 0; i < kLanes; ++i) grad.lane[i] = Op::backward(out.lane[i], grad.lane[i]);
        store_vector(grad_x + v * kLanes, grad);
    }
    for (idx i = vectors * kLanes + first; i < n; i += step) {
        grad_x[i] = Op::backward(y[i], grad_y[i]);
    }
}

// ---- launchers ----

template <class T>
unsigned grid_of(idx n, bool vector) {
    constexpr idx kLanes = Vector16<T>::kLanes;
    return grid_for(vector ? (n + kLanes - 1) / kLanes : n, kThreads);
}

template <class Op, class T>
void forward(In<T> x, Out<T> y, cudaStream_t stream) {
    if (x.size == 0) return;  // a grid of no blocks is an error
    const bool vector = vector_aligned(x.data, y.data);
    launch(forward_kernel<Op, T>, grid_of<T>(x.size, vector), kThreads, 0, stream, x.data, y.data,
           x.size, vector);
}

template <class Op, class T>
void backward(In<T> y, In<T> grad_y, Out<T> grad_x, cudaStream_t stream) {
    if (y.size == 0) return;
    const bool vector = vector_aligned(y.data, grad_y.data, grad_x.data);
    launch(backward_kernel<Op, T>, grid_of<T>(y.size, vector), kThreads, 0, stream, y.data,
           grad_y.data, grad_x.data, y.size, vector);
}

template <class T>
void relu_forward(In<T> x, Out<T> y, cudaStream_t stream) {
    forward<Relu, T>(x, y, stream);
}
template <class T>
void relu_backward(In<T> y, In<T> grad_y, Out<T> grad_x, cudaStream_t stream) {
    backward<Relu, T>(y, grad_y, grad_x, stream);
}
template <class T>
void tanh_forward(In<T> x, Out<T> y, cudaStream_t stream) {
    forward<Tanh, T>(x, y, stream);
}
template <class T>
void tanh_backward(In<T> y, In<T> grad_y, Out<T> grad_x, cudaStream_t stream) {
    backward<Tanh, T>(y, grad_y, grad_x, stream);
}
template <class T>
void sigmoid_forward(In<T> x, Out<T> y, cudaStream_t stream) {
    forward<Sigmoid, T>(x, y, stream);
}
template <class T>
void sigmoid_backward(In<T> y, In<T> grad_y, Out<T> grad_x, cudaStream_t stream) {
    backward<Sigmoid, T>(y, grad_y, grad_x, stream);
}

FASTNN_CUDA_OP(relu_forward, "x(...) y(...)", float, double)
FASTNN_CUDA_OP(relu_backward, "y(...) grad_y(...) grad_x(...)", float, double)
FASTNN_CUDA_OP(tanh_forward, "x(...) y(...)", float, double)
FASTNN_CUDA_OP(tanh_backward, "y(...) grad_y(...) grad_x(...)", float, double)
FASTNN_CUDA_OP(sigmoid_forward, "x(...) y(...)", float, double)
FASTNN_CUDA_OP(sigmoid_backward, "y(...) grad_y(...) grad_x(...)", float, double)

}  // namespace
}  // namespace fastnn::cuda
