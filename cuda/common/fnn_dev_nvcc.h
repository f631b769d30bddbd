// SPDX-License-Identifier: BSD-3-Clause
// The half of fnn_dev.h that nvcc sees: shared memory, launches and the pieces of PTX.
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#define FNN_UNROLL _Pragma("unroll")

// FNN_SHARED(tile, float[32][33]); declares `tile` in shared memory.
#define FNN_SHARED(name, ...)            \
    using name##_shared_t = __VA_ARGS__; \
    __shared__ name##_shared_t name

// FNN_DYN_SHARED(float, values); declares `float* values` at the launch's dynamic shared memory,
// 16-byte aligned.
extern __shared__ __align__(16) unsigned char fnn_dynamic_shared[];
#define FNN_DYN_SHARED(type, name) type* const name = reinterpret_cast<type*>(fnn_dynamic_shared)

namespace fastnn::cuda {

// A release-add and an acquire-load at GPU scope, for flags between blocks.
__device__ __forceinline__ void add_release(unsigned* p, unsigned value) {
    asm volatile("red.release.gpu.global.add.u32 [%0], %1;" ::"l"(p), "r"(value) : "memory");
}
__device__ __forceinline__ unsigned load_acquire(const unsigned* p) {
    unsigned value;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(p) : "memory");
    return value;
}
__device__ __forceinline__ void spin_pause() { __nanosleep(64); }

inline void check(cudaError_t status, const char* what) {
    if (status == cudaSuccess) return;
    (void)cudaGetLastError();  // reported here, not once more by the next launch
    throw std::runtime_error(std::string(what) + " failed: " + cudaGetErrorString(status));
}

template <class... P, class... A>
void launch_with(cudaLaunchAttribute* attributes, unsigned attribute_count, void (*kernel)(P...),
                 dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream,
                 A&&... arguments) {
    constexpr std::size_t kSharedWithoutConsent = 48 * 1024;
    if (shared_bytes > kSharedWithoutConsent) {
        check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(shared_bytes)),
              "asking for more shared memory");
    }
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream;
    config.attrs = attributes;
    config.numAttrs = attribute_count;
    check(cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...), "the launch");
}

// Starts a kernel. The arguments are converted to the kernel's own parameter types.
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
            cudaStream_t stream, A&&... arguments) {
    launch_with(nullptr, 0, kernel, grid, block, shared_bytes, stream, arguments...);
}

// As launch, with all blocks resident at once: a grid that does not fit on the device is refused.
template <class... P, class... A>
void launch_cooperative(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
                        cudaStream_t stream, A&&... arguments) {
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeCooperative;
    attribute.val.cooperative = 1;
    launch_with(&attribute, 1, kernel, grid, block, shared_bytes, stream, arguments...);
}

}  // namespace fastnn::cuda
