// SPDX-License-Identifier: BSD-3-Clause
// Test kernels that break the rules: one entry per fault that the emulation reports. They are never
// run on a device.
#include "common/fnn_dev.h"

namespace fastnn::cuda {
namespace {

constexpr unsigned kThreads = 64;

__global__ void exit_before_barrier(float* y) {
    if (threadIdx.x == 3) return;
    __syncthreads();
    y[threadIdx.x] = 0.0f;
}

__global__ void barrier_in_a_branch(float* y) {
    if (threadIdx.x < 32) __syncthreads();
    y[threadIdx.x] = 0.0f;
}

__global__ void divergent_barriers(float* y) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    y[threadIdx.x] = 0.0f;
}

__global__ void mask_without_caller(float* y) {
    y[threadIdx.x] = __shfl_sync(0xfffffffeu, 1.0f, 1);
}

__global__ void full_mask_in_half_a_warp(float* y) {
    if (threadIdx.x % kWarpSize < 16) y[threadIdx.x] = __shfl_sync(kFullMask, 1.0f, 0);
}

__global__ void masks_that_differ(float* y) {
    const unsigned mask = threadIdx.x % kWarpSize == 5 ? 0x0000ffffu : kFullMask;
    y[threadIdx.x] = __shfl_sync(mask, 1.0f, 0);
}

__global__ void operations_that_differ(float* y) {
    if (threadIdx.x % 2 == 0) {
        y[threadIdx.x] = __shfl_sync(kFullMask, 1.0f, 0);
    } else {
        y[threadIdx.x] = __shfl_xor_sync(kFullMask, 1.0f, 1);
    }
}

__global__ void source_outside_the_mask(float* y) {
    if (threadIdx.x % kWarpSize < 16) y[threadIdx.x] = __shfl_sync(0x0000ffffu, 1.0f, 20);
}

__global__ void barrier_against_shuffle(float* y) {
    if (threadIdx.x % kWarpSize < 16) {
        __syncthreads();
    } else {
        y[threadIdx.x] = __shfl_sync(kFullMask, 1.0f, 0);
    }
}

__global__ void nothing(float*) {}

template <class T>
void fault(Out<T> y, idx which, cudaStream_t stream) {
    using Kernel = void (*)(float*);
    const Kernel kernels[] = {
        exit_before_barrier,    barrier_in_a_branch,      divergent_barriers,
        mask_without_caller,    full_mask_in_half_a_warp, masks_that_differ,
        operations_that_differ, source_outside_the_mask,  barrier_against_shuffle,
    };
    launch(kernels[which], 1, kThreads, 0, stream, y.data);
}

template <class T>
void launch_empty(Out<T> y, idx blocks, idx rows, idx threads, idx shared_bytes, bool cooperative,
                  cudaStream_t stream) {
    const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(rows));
    const std::size_t bytes = static_cast<std::size_t>(shared_bytes);
    if (cooperative) {
        launch_cooperative(nothing, grid, static_cast<unsigned>(threads), bytes, stream, y.data);
    } else {
        launch(nothing, grid, static_cast<unsigned>(threads), bytes, stream, y.data);
    }
}

FASTNN_CUDA_OP(fault, "y(*) which", float)
FASTNN_CUDA_OP(launch_empty, "y(*) blocks rows threads shared_bytes cooperative", float)

}  // namespace
}  // namespace fastnn::cuda
