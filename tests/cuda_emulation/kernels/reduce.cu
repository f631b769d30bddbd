// SPDX-License-Identifier: BSD-3-Clause
// Test kernel: mean and variance of each row, one block per row, by two calls of one block
// reduction. It needs both of the reduction's barriers, and the tests remove either.
//   row_moments  x (rows, columns) -> mean (rows), variance (rows), all '='
#include "common/fnn_dev.h"

namespace fastnn::cuda {
namespace {

constexpr unsigned kThreads = 128;
constexpr unsigned kWarps = kThreads / kWarpSize;

template <class T>
FNN_DEV T warp_sum(T value) {
    FNN_UNROLL
    for (int distance = 16; distance > 0; distance /= 2) {
        value += __shfl_xor_sync(kFullMask, value, distance);
    }
    return value;
}

template <class T>
FNN_DEV T block_sum(T value) {
    FNN_SHARED(part, T[kWarps]);
    value = warp_sum(value);
    if (threadIdx.x % kWarpSize == 0) part[threadIdx.x / kWarpSize] = value;
    __syncthreads();  // every part is written
    T total = T(0);
    for (unsigned w = 0; w < kWarps; ++w) total += part[w];
    __syncthreads();  // every part is read: the next call may overwrite it
    return total;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    row_moments_kernel(const T* x, T* mean, T* variance, idx columns) {
    const T* row = x + static_cast<idx>(blockIdx.x) * columns;
    T sum = T(0);
    for (idx i = threadIdx.x; i < columns; i += kThreads) sum += row[i];
    const T center = block_sum(sum) / static_cast<T>(columns);
    T squares = T(0);
    for (idx i = threadIdx.x; i < columns; i += kThreads) {
        squares += (row[i] - center) * (row[i] - center);
    }
    const T spread = block_sum(squares) / static_cast<T>(columns);
    if (threadIdx.x == 0) {
        mean[blockIdx.x] = center;
        variance[blockIdx.x] = spread;
    }
}

template <class T>
void row_moments(In<T> x, Out<T> mean, Out<T> variance, cudaStream_t stream) {
    launch(row_moments_kernel<T>, static_cast<unsigned>(mean.size), kThreads, 0, stream, x.data,
           mean.data, variance.data, x.size / mean.size);
}

FASTNN_CUDA_OP(row_moments, "x(*) mean(*) variance(*)", float, double)

}  // namespace
}  // namespace fastnn::cuda
