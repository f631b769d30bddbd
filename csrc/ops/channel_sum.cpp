// SPDX-License-Identifier: BSD-3-Clause
// y[c] (+)= sum over n and p of x[n, c, p] (ops/channel_sum.h): the gradient of a channel's bias. x
// contiguous, y `=` or with accumulate `+=`.
#include "ops/channel_sum.h"
#include "runtime/op.h"

namespace fastnn::FASTNN_ISA {

template <class T>
Status channel_sum(In<T> x, InOut<T> y, bool accumulate) {
    const idx images = x.size == 0 ? 0 : x.shape[0];
    const idx length = x.size == 0 ? 0 : x.shape[2];
    return sum_channels(x.data, images, y.size, length, y.data, accumulate) ? Status::kOk
                                                                            : Status::kNoMemory;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(channel_sum, "x(n,c,p) y(c) accumulate", kPlain, channel_sum<float>, channel_sum<double>)
