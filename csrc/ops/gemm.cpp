// SPDX-License-Identifier: BSD-3-Clause
// c (+)= a b. a (m, k) and b (k, n) with any strides, which is how the four transpose forms are
// said; c (m, n) contiguous, `=` or, with accumulate, `+=`. Blocking, threads and bits:
// simd/gemm.h.
#include "simd/gemm.h"
#include "runtime/op.h"

namespace fastnn::FASTNN_ISA {

template <class T>
Status gemm(StridedIn<T> a, StridedIn<T> b, InOut<T> c, bool accumulate) {
    const bool done =
        gemm<T>(c.shape[0], c.shape[1], a.shape[1], a.data, a.strides[0], a.strides[1], b.data,
                b.strides[0], b.strides[1], c.data, c.shape[1], accumulate, NoEpilogue{});
    return done ? Status::kOk : Status::kNoMemory;
}

#if defined(FASTNN_SHARED_KERNELS)  // for all objects of the level
template TileKernel<float> find_tile_kernel<float, false>(int, int);
template TileKernel<float> find_tile_kernel<float, true>(int, int);
template TileKernel<double> find_tile_kernel<double, false>(int, int);
template TileKernel<double> find_tile_kernel<double, true>(int, int);
#endif

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(gemm, "a(m,k) b(k,n) c(m,n) accumulate", kPlain, gemm<float>, gemm<double>)
