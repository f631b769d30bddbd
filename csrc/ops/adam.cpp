// SPDX-License-Identifier: BSD-3-Clause
// Adam and AdamW over a list of parameters, in place: all lists but grads are read and written,
// every array contiguous. Memory-bound: one pass over all arrays, cut into pieces across the whole
// list.
//
//   t = t + 1;  if decoupled: p = (1 - lr * weight_decay) * p
//   g = (maximize ? -grad : grad) + (decoupled ? 0 : weight_decay * p)
//   m = m + (1 - beta1) * (g - m)
//   v = beta2 * v + (1 - beta2) * g * g
//   u = amsgrad ? max(u, v) : v
//   p = p - lr / (1 - beta1^t) * m / (sqrt(u) / sqrt(1 - beta2^t) + eps)
//
// lr and the step counts t are read when the kernel runs. What depends on them alone is computed in
// double, once per stretch of an array; the division by sqrt(1 - beta2^t) is a multiplication, so
// each element costs one division and one square root. Multiplications and additions are rounded
// one by one, in the order of the formula.
// Source: Kingma & Ba 2015; Loshchilov & Hutter 2019 (decoupled); Reddi, Kale, Kumar 2018
// (amsgrad).
#include <cmath>

#include "ops/parameter_list.h"

namespace fastnn::FASTNN_ISA {

template <class T>
struct AdamFactors {
    Vec<T> sign, keep, decay, new_m, old_v, new_v, eps;
};

// The factors that depend on the step count.
template <class T>
struct AdamRates {
    Vec<T> step, root_scale;
};

// What weight decay acts on: nothing, the gradient (Adam), or the parameter (AdamW).
enum class AdamDecay { kNone, kGradient, kParameter };

template <class T, bool kAmsgrad, AdamDecay kDecay>
void adam_range(T* p, const T* grad, T* m, T* v, T* u, idx begin, idx end, const AdamFactors<T>& f,
                const AdamRates<T>& rates) {
    for_lanes<T>(begin, end, [=](auto lanes, idx i) {
        Vec<T> x = lanes.load(p + i);
        Vec<T> g = f.sign * lanes.load(grad + i);
        if constexpr (kDecay == AdamDecay::kParameter) x = f.keep * x;
        if constexpr (kDecay == AdamDecay::kGradient) g = g + f.decay * x;
        const Vec<T> old_m = lanes.load(m + i);
        const Vec<T> mean = old_m + f.new_m * (g - old_m);
        lanes.store(m + i, mean);
        Vec<T> square = f.old_v * lanes.load(v + i) + f.new_v * g * g;
        lanes.store(v + i, square);
        if constexpr (kAmsgrad) {
            square = max_nan(lanes.load(u + i), square);
            lanes.store(u + i, square);
        }
        const Vec<T> root = sqrt(square) * rates.root_scale + f.eps;
        lanes.store(p + i, x - rates.step * mean / root);
    });
}

template <class T>
using AdamRange = void (*)(T*, const T*, T*, T*, T*, idx, idx, const AdamFactors<T>&,
                           const AdamRates<T>&);

template <class T, bool kAmsgrad>
AdamRange<T> adam_range_for(bool decay, bool decoupled) {
    if (!decay) return &adam_range<T, kAmsgrad, AdamDecay::kNone>;
    return decoupled ? &adam_range<T, kAmsgrad, AdamDecay::kParameter>
                     : &adam_range<T, kAmsgrad, AdamDecay::kGradient>;
}

template <class T>
Status adam_step(InOutList<T> params, InList<T> grads, InOutList<T> exp_avgs,
                 InOutList<T> exp_avg_sqs, InOutList<T> max_exp_avg_sqs, InOutList<float> steps,
                 In<double> lr, double beta1, double beta2, double eps, double weight_decay,
                 bool decoupled, bool maximize, bool amsgrad) {
    if (amsgrad && max_exp_avg_sqs.count != params.count) return Status::kBadValue;
    const double rate = lr.data[0];
    for (idx i = 0; i < steps.count; ++i) *steps.data(i) += 1.0f;
    const AdamFactors<T> factors{broadcast(maximize ? T(-1) : T(1)),
                                 broadcast(static_cast<T>(1.0 - rate * weight_decay)),
                                 broadcast(static_cast<T>(weight_decay)),
                                 broadcast(static_cast<T>(1.0 - beta1)),
                                 broadcast(static_cast<T>(beta2)),
                                 broadcast(static_cast<T>(1.0 - beta2)),
                                 broadcast(static_cast<T>(eps))};
    const bool decay = weight_decay != 0.0;  // 0 * p would make an infinite p NaN
    const AdamRange<T> range = amsgrad ? adam_range_for<T, true>(decay, decoupled)
                                       : adam_range_for<T, false>(decay, decoupled);
    for_parameters(params, [&](idx item, idx begin, idx end) {
        const double t = static_cast<double>(*steps.data(item));
        const AdamRates<T> rates{
            broadcast(static_cast<T>(rate / (1.0 - std::pow(beta1, t)))),
            broadcast(static_cast<T>(1.0 / __builtin_sqrt(1.0 - std::pow(beta2, t))))};
        range(params.data(item), grads.data(item), exp_avgs.data(item), exp_avg_sqs.data(item),
              amsgrad ? max_exp_avg_sqs.data(item) : nullptr, begin, end, factors, rates);
    });
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(adam_step,
          "params[n] grads[n] exp_avgs[n] exp_avg_sqs[n] max_exp_avg_sqs?[n] steps[1] lr(1) beta1 "
          "beta2 eps "
          "weight_decay decoupled maximize amsgrad",
          kPlain, adam_step<float>, adam_step<double>)
