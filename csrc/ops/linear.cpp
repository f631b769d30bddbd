// SPDX-License-Identifier: BSD-3-Clause
// y = f(x weight^T + bias) with f the identity, ReLU, tanh or the sigmoid; x (n, k), weight (o, k),
// bias (o), y (n, o), all contiguous, y `=`. Bias and activation are applied to a tile of y while
// it is in the first-level cache, by the same vector code as the activation kernels: the bits are
// those of the separate operations.
#include "runtime/op.h"
#include "simd/gemm.h"
#include "simd/math.h"

namespace fastnn::FASTNN_ISA {

enum class Activation : idx { kNone, kRelu, kTanh, kSigmoid, kCount };

template <class T, Activation kActivation>
struct LinearEpilogue {
    const T* bias;  // or null

    FASTNN_SIMD_INLINE Vec<T> operator()(Vec<T> v, idx, idx col, int lanes) const {
        if (bias != nullptr)
            v += lanes == kLanes<T> ? load(bias + col) : load_partial(bias + col, lanes);
        if constexpr (kActivation == Activation::kRelu)
            return select(v < broadcast(T(0)), broadcast(T(0)), v);
        if constexpr (kActivation == Activation::kTanh) return tanh(v);
        if constexpr (kActivation == Activation::kSigmoid) return sigmoid(v);
        return v;
    }
};

template <class T, Activation kActivation>
Status linear_with(In<T> x, In<T> weight, In<T> bias, Out<T> y) {
    const idx k = x.shape[1];
    const LinearEpilogue<T, kActivation> epilogue{bias.data};
    const bool done = gemm<T>(y.shape[0], y.shape[1], k, x.data, k, 1, weight.data, 1, k, y.data,
                              y.shape[1], false, epilogue);
    return done ? Status::kOk : Status::kNoMemory;
}

template <class T>
Status linear_forward(In<T> x, In<T> weight, In<T> bias, Out<T> y, idx activation) {
    switch (static_cast<Activation>(activation)) {
        case Activation::kNone:
            return linear_with<T, Activation::kNone>(x, weight, bias, y);
        case Activation::kRelu:
            return linear_with<T, Activation::kRelu>(x, weight, bias, y);
        case Activation::kTanh:
            return linear_with<T, Activation::kTanh>(x, weight, bias, y);
        case Activation::kSigmoid:
            return linear_with<T, Activation::kSigmoid>(x, weight, bias, y);
        default:
            return Status::kBadValue;
    }
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(linear_forward, "x(n,k) weight(o,k) bias?(o) y(n,o) activation", kPlain,
          linear_forward<float>, linear_forward<double>)
