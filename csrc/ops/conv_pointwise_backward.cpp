// SPDX-License-Identifier: BSD-3-Clause
// All gradients of a convolution of one tap and stride 1 in one go, for which grad_y is read once:
//
//   grad_x[n, c, p] = sum_o weight[o, c] grad_y[n, o, p]
//   grad_weight[o, c] (+)= sum_{n, p} grad_y[n, o, p] x[n, c, p]
//   grad_bias[o] (+)= sum_{n, p} grad_y[n, o, p]                      may be null
//
// `=`, or with accumulate `+=`. For the shapes of ops/conv_weight_pointwise.h alone: no fewer
// output channels of a group than channels, images of kPointwiseDepth positions or more.
#include "ops/conv_shape.h"
#include "ops/conv_weight_pointwise.h"
#include "runtime/op.h"

namespace fastnn::FASTNN_ISA {

template <class T>
Status conv_backward_pointwise(In<T> x, In<T> grad_y, In<T> weight, Out<T> grad_x,
                               InOut<T> grad_weight, InOut<T> grad_bias, idx groups,
                               bool accumulate, bool accumulate_bias) {
    constexpr idx one[3] = {1, 1, 1};
    constexpr idx zero[3] = {0, 0, 0};
    ConvShape s;
    PointwiseWeight<T> p;
    if (!read_conv(x.shape, weight.shape, grad_y.shape, {one, 3}, {zero, 3}, {one, 3}, groups, s) ||
        x.size == 0 || grad_y.size == 0 || !plan_pointwise_weight(s, x.data, grad_y.data, p))
        return Status::kBadValue;
    p.weight = weight.data;
    p.grad_x = grad_x.data;
    const bool done =
        pointwise_weight(p, grad_weight.data, accumulate, grad_bias.data, accumulate_bias);
    return done ? Status::kOk : Status::kNoMemory;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(conv_backward_pointwise,
          "x(n,c,d,h,w) grad_y(n,o,d,h,w) weight(o,cg,1,1,1) grad_x(n,c,d,h,w) "
          "grad_weight(o,cg,1,1,1) grad_bias?(o) groups accumulate accumulate_bias",
          kPlain, conv_backward_pointwise<float>, conv_backward_pointwise<double>)
