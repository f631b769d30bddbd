// SPDX-License-Identifier: BSD-3-Clause
// Test kernels for warp collectives and barrier reductions. One block; thread t writes column t of
// `out`, one row per operation.
//   warp_shuffles  x (threads) -> out (6, threads)
//   warp_votes     x (threads) -> out (7, threads)
//   warp_exchange  x (threads) -> out (threads): through shared memory, ordered by __syncwarp alone
#include "common/fnn_dev.h"

namespace fastnn::cuda {
namespace {

constexpr unsigned kThreads = 64;

template <class T>
__global__ void __launch_bounds__(kThreads) shuffles_kernel(const T* x, T* out) {
    const unsigned t = threadIdx.x;
    const int lane = static_cast<int>(t % kWarpSize);
    const T value = x[t];
    out[t] = __shfl_sync(kFullMask, value, 31 - lane);
    out[kThreads + t] = __shfl_sync(kFullMask, value, 5, 8);
    out[2 * kThreads + t] = __shfl_up_sync(kFullMask, value, 3);
    out[3 * kThreads + t] = __shfl_down_sync(kFullMask, value, 3, 16);
    out[4 * kThreads + t] = __shfl_xor_sync(kFullMask, value, 9);
    // The two halves of a warp shuffle by themselves in different branches.
    T half;
    if (lane < 16) {
        half = __shfl_xor_sync(0x0000ffffu, value, 1);
    } else {
        half = __shfl_xor_sync(0xffff0000u, value, 2);
    }
    out[5 * kThreads + t] = half;
}

template <class T>
__global__ void __launch_bounds__(kThreads) votes_kernel(const T* x, T* out) {
    const unsigned t = threadIdx.x;
    const bool positive = x[t] > 0;
    out[t] = static_cast<T>(__ballot_sync(kFullMask, positive));
    out[kThreads + t] = __any_sync(kFullMask, positive);
    out[2 * kThreads + t] = __all_sync(kFullMask, positive);
    out[3 * kThreads + t] = __syncthreads_count(positive);
    out[4 * kThreads + t] = __syncthreads_or(positive);
    out[5 * kThreads + t] = __syncthreads_and(positive);
    out[6 * kThreads + t] = __all_sync(kFullMask, true);
}

template <class T>
__global__ void __launch_bounds__(kThreads) exchange_kernel(const T* x, T* out) {
    FNN_SHARED(values, T[kThreads]);
    const unsigned t = threadIdx.x;
    values[t] = x[t];
    __syncwarp();  // the warp's values are written
    out[t] = values[t ^ 31u];
}

template <class T>
void warp_shuffles(In<T> x, Out<T> out, cudaStream_t stream) {
    launch(shuffles_kernel<T>, 1, kThreads, 0, stream, x.data, out.data);
}
template <class T>
void warp_votes(In<T> x, Out<T> out, cudaStream_t stream) {
    launch(votes_kernel<T>, 1, kThreads, 0, stream, x.data, out.data);
}
template <class T>
void warp_exchange(In<T> x, Out<T> out, cudaStream_t stream) {
    launch(exchange_kernel<T>, 1, kThreads, 0, stream, x.data, out.data);
}

FASTNN_CUDA_OP(warp_shuffles, "x(*) out(*)", float, double, std::int32_t)
FASTNN_CUDA_OP(warp_votes, "x(*) out(*)", std::int32_t)
FASTNN_CUDA_OP(warp_exchange, "x(*) out(*)", float)

}  // namespace
}  // namespace fastnn::cuda
