// SPDX-License-Identifier: BSD-3-Clause
// What this machine can do at most, measured on request: the ceilings that a kernel's rate is
// shown against, and, since two cores that are free give twice the rate of one, the way to notice
// when they are not.
#pragma once

#include <cstddef>

namespace fastnn {

// float32 GFLOP/s of multiply-adds in registers, at the level in use, of `threads` threads over
// about `seconds`. Threads of its own: the pool's may be busy. Negative where they cannot start.
double ceiling_fma(int threads, double seconds);

enum class Traffic { kRead, kCopy, kStream };  // kStream: a copy with non-temporal stores

// GB/s (bytes read plus bytes written) over a working set of `bytes` in all: the source, and for
// copies the destination. Passes are repeated for about `seconds`, so the set stays in whatever
// cache holds it. Negative where there is no memory for it.
double ceiling_memory(Traffic traffic, int threads, std::size_t bytes, double seconds);

}  // namespace fastnn
