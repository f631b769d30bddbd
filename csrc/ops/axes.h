// SPDX-License-Identifier: BSD-3-Clause
// Dimensions of any strides for the reductions: merging those that are one run in memory, and
// walking over what is left.
#pragma once

#include "runtime/types.h"

#ifndef FASTNN_ISA
#error "compile kernel files with -DFASTNN_ISA=<level>"
#endif

namespace fastnn::FASTNN_ISA {

struct Axis {
    idx size;
    idx stride;  // in x
    idx out;     // stride in y; 0 of a reduced dimension
};

// A place in a nest of axes, in row-major order.
class Walk {
  public:
    Walk(const Axis* axes, int n, idx flat) : axes_(axes), n_(n) {
        for (int d = n - 1; d >= 0; --d) {
            place_[d] = flat % axes[d].size;
            flat /= axes[d].size;
            offset += place_[d] * axes[d].stride;
            out += place_[d] * axes[d].out;
        }
    }
    void next() {
        for (int d = n_ - 1; d >= 0; --d) {
            offset += axes_[d].stride;
            out += axes_[d].out;
            if (++place_[d] < axes_[d].size) return;
            offset -= place_[d] * axes_[d].stride;
            out -= place_[d] * axes_[d].out;
            place_[d] = 0;
        }
    }
    idx offset = 0;
    idx out = 0;

  private:
    const Axis* axes_;
    int n_;
    idx place_[kMaxDims];
};

// Drops dimensions of one element and merges neighbours that are one run in x and in y; returns how
// many are left.
inline int merged(Axis* axes, int n) {
    int kept = 0;
    for (int d = 0; d < n; ++d) {
        if (axes[d].size == 1) continue;
        Axis* last = axes + kept - 1;
        if (kept > 0 && last->stride == axes[d].stride * axes[d].size &&
            last->out == axes[d].out * axes[d].size) {
            *last = {last->size * axes[d].size, axes[d].stride, axes[d].out};
        } else {
            axes[kept++] = axes[d];
        }
    }
    return kept;
}

}  // namespace fastnn::FASTNN_ISA
