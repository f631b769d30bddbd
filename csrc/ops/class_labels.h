// SPDX-License-Identifier: BSD-3-Clause
// Class numbers as targets, for the losses that take them with a weight for each class.
#pragma once

#include "ops/blocked_sum.h"
#include "runtime/op.h"

namespace fastnn::FASTNN_ISA {

enum : idx { kNone, kMean, kSum };

// Whether a target counts and is a class.
inline bool is_class(idx target, idx c, idx ignore_index) {
    return target != ignore_index && target >= 0 && target < c;
}

// The weight of all targets that count, by which a mean is divided: their number where no weights
// are given. False if a target is no class.
template <class T>
inline bool weigh_targets(const idx* target, idx n, idx c, const T* weight, idx ignore_index,
                          T& total) {
    PairwiseSum<T> sum;
    idx count = 0;
    for (idx i = 0; i < n; ++i) {
        const idx t = target[i];
        if (t == ignore_index) continue;
        if (t < 0 || t >= c) return false;
        if (weight != nullptr) sum.add(weight[t]);
        ++count;
    }
    total = weight != nullptr ? sum.total() : static_cast<T>(count);
    return true;
}

}  // namespace fastnn::FASTNN_ISA
