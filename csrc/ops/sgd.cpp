// SPDX-License-Identifier: BSD-3-Clause
// Stochastic gradient descent over a list of parameters, in place: params and momentum_buffers are
// read and written, every array contiguous. Memory-bound: one pass over all arrays, cut into pieces
// across the whole list.
//
//   g = (maximize ? -grad : grad) + weight_decay * p
//   v = first ? g : momentum * v + (1 - dampening) * g          v = g without momentum_buffers
//   p = p - lr * (nesterov ? g + momentum * v : v)
//
// lr is read when the kernel runs. Multiplications and additions are rounded one by one, in the
// order of the formula. Source: Sutskever, Martens, Dahl, Hinton 2013.
#include "ops/parameter_list.h"

namespace fastnn::FASTNN_ISA {

template <class T>
struct SgdFactors {
    Vec<T> sign, rate, momentum, undamped, decay;
};

// How a buffer is used: there is none, it is written for the first time, or it is updated.
enum class SgdBuffer { kNone, kFirst, kUpdate };

template <class T, SgdBuffer kBuffer, bool kNesterov, bool kDecay>
void sgd_range(T* p, const T* grad, T* buffer, idx begin, idx end, const SgdFactors<T>& f) {
    for_lanes<T>(begin, end, [=](auto lanes, idx i) {
        const Vec<T> old = lanes.load(p + i);
        Vec<T> g = f.sign * lanes.load(grad + i);
        if constexpr (kDecay) g = g + f.decay * old;
        if constexpr (kBuffer != SgdBuffer::kNone) {
            Vec<T> v = g;
            if constexpr (kBuffer == SgdBuffer::kUpdate)
                v = f.momentum * lanes.load(buffer + i) + f.undamped * g;
            lanes.store(buffer + i, v);
            g = kNesterov ? g + f.momentum * v : v;
        }
        lanes.store(p + i, old - f.rate * g);
    });
}

template <class T>
using SgdRange = void (*)(T*, const T*, T*, idx, idx, const SgdFactors<T>&);

template <class T, SgdBuffer kBuffer>
SgdRange<T> sgd_range_for(bool nesterov, bool decay) {
    if (nesterov)
        return decay ? &sgd_range<T, kBuffer, true, true> : &sgd_range<T, kBuffer, true, false>;
    return decay ? &sgd_range<T, kBuffer, false, true> : &sgd_range<T, kBuffer, false, false>;
}

template <class T>
void sgd_step(InOutList<T> params, InList<T> grads, InOutList<T> momentum_buffers, In<double> lr,
              double momentum, double dampening, double weight_decay, bool nesterov, bool maximize,
              bool first) {
    const SgdFactors<T> factors{
        broadcast(maximize ? T(-1) : T(1)), broadcast(static_cast<T>(lr.data[0])),
        broadcast(static_cast<T>(momentum)), broadcast(static_cast<T>(1.0 - dampening)),
        broadcast(static_cast<T>(weight_decay))};
    const bool any = momentum_buffers.count != 0;
    const bool decay = weight_decay != 0.0;  // 0 * p would make an infinite p NaN
    const SgdRange<T> range = !any    ? sgd_range_for<T, SgdBuffer::kNone>(false, decay)
                              : first ? sgd_range_for<T, SgdBuffer::kFirst>(nesterov, decay)
                                      : sgd_range_for<T, SgdBuffer::kUpdate>(nesterov, decay);
    for_parameters(params, [&](idx item, idx begin, idx end) {
        range(params.data(item), grads.data(item), any ? momentum_buffers.data(item) : nullptr,
              begin, end, factors);
    });
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(sgd_step,
          "params[n] grads[n] momentum_buffers?[n] lr(1) momentum dampening weight_decay nesterov "
          "maximize first",
          kPlain, sgd_step<float>, sgd_step<double>)
