// SPDX-License-Identifier: BSD-3-Clause
// c_i (+)= a_i b_i for a batch of products. a (batch, m, k) and b (batch, k, n) with any strides (0
// along the batch where one matrix serves all), c (batch, m, n) contiguous, `=` or, with
// accumulate, `+=`. Every product is simd/gemm.h's, with its bits.
//
// Threads: products that are too small to be shared are themselves the pieces of the parallel loop,
// several to a piece; larger ones are shared one after the other. Which of both depends on the
// shape alone.
#include "runtime/op.h"
#include "simd/gemm.h"

namespace fastnn::FASTNN_ISA {

template <class T>
Status bmm(StridedIn<T> a, StridedIn<T> b, InOut<T> c, bool accumulate) {
    const idx batch = c.shape[0];
    const idx m = c.shape[1];
    const idx n = c.shape[2];
    const idx k = a.shape[2];
    bool ok = true;
    const auto multiply = [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) {
            const bool done =
                gemm<T>(m, n, k, a.data + i * a.strides[0], a.strides[1], a.strides[2],
                        b.data + i * b.strides[0], b.strides[1], b.strides[2], c.data + i * m * n,
                        n, accumulate, NoEpilogue{});
            if (!done) __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
        }
    };
    if (c.size == 0) return Status::kOk;
    const double work = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    // Many products keep the threads as busy as the parts of each would, without waiting for each
    // other.
    const bool alone = work < static_cast<double>(kThreadWork) || batch >= 4 * kMostTasks;
    if (alone) {
        const double piece = static_cast<double>(kTaskWork) / (work < 1 ? 1 : work);
        parallel_for(batch, piece < 1 ? 1 : static_cast<idx>(piece), multiply);
    } else {
        multiply(0, batch);
    }
    return ok ? Status::kOk : Status::kNoMemory;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(bmm, "a(batch,m,k) b(batch,k,n) c(batch,m,n) accumulate", kPlain, bmm<float>, bmm<double>)
