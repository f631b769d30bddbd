// SPDX-License-Identifier: BSD-3-Clause
// parallel_for for kernel files: pool_run with a lambda. Everything here lives in the level's own
// namespace, because template instances of two ISA levels must never be merged by the linker.
#pragma once

#include "runtime/pool.h"

#ifndef FASTNN_ISA
#error "compile kernel files with -DFASTNN_ISA=<level>"
#endif

namespace fastnn::FASTNN_ISA {

template <class F>
struct RangeCall {
    static void run(void* context, idx begin, idx end) {
        (*static_cast<const F*>(context))(begin, end);
    }
};

// body(begin, end) over [0, n) in pieces of `piece` elements; in this thread alone when there is
// one piece.
template <class F>
inline void parallel_for(idx n, idx piece, const F& body) {
    if (n <= 0) return;
    if (n <= piece) {
        body(idx{0}, n);
        return;
    }
    pool_run(n, piece, &RangeCall<F>::run, const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace fastnn::FASTNN_ISA
