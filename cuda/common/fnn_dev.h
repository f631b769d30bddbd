// SPDX-License-Identifier: BSD-3-Clause
// The only header that a kernel file includes. A kernel file is compiled twice: by nvcc for the
// GPU, and by an ordinary C++ compiler against a SIMT emulation (cuemu.h), which runs the same
// source under the sanitizers on a machine without a GPU.
//
// Rules for kernel code
//  1. Helpers are FNN_DEV; nothing of std:: in device code beyond type traits (nvcc refuses it).
//  2. Shared memory only by FNN_SHARED and FNN_DYN_SHARED; it is never initialised.
//  3. Kernels start only through launch() and launch_cooperative(), never by <<<>>>.
//  4. The block size is a multiple of 32 and a compile-time constant, used in __launch_bounds__ and
//  at the launch.
//  5. No return before the last barrier: conditions guard loads and stores, not barriers or warp
//  collectives.
//  6. At most one barrier in a source line: the emulation tells barriers apart by line.
//  7. Flags between blocks only by add_release, load_acquire and spin_pause, and only in
//  cooperative launches.
//  8. PTX only here, each piece with its C++ twin in the emulation.
//  9. Float literals end in f, or are written T(1): a bare 0.1 makes float code compute in double.
#pragma once

#include "runtime/registry.h"

#if defined(__CUDACC__)
#include "common/fnn_dev_nvcc.h"
#else
#include "cuemu.h"
#endif

#define FNN_DEV __device__ __forceinline__

namespace fastnn::cuda {

inline constexpr unsigned kWarpSize = 32;
inline constexpr unsigned kFullMask = 0xffffffffu;

// The functions of <cmath> under one name for both types: the accurate versions, not the fast
// approximations.
namespace math {
FNN_DEV float exp(float x) { return ::expf(x); }
FNN_DEV double exp(double x) { return ::exp(x); }
FNN_DEV float tanh(float x) { return ::tanhf(x); }
FNN_DEV double tanh(double x) { return ::tanh(x); }
FNN_DEV float fabs(float x) { return ::fabsf(x); }
FNN_DEV double fabs(double x) { return ::fabs(x); }
}  // namespace math

// 16 bytes, the widest load and store of one thread.
template <class T>
struct alignas(16) Vector16 {
    static constexpr int kLanes = 16 / static_cast<int>(sizeof(T));
    T lane[kLanes];
};

template <class T>
FNN_DEV Vector16<T> load_vector(const T* p) {
    return *reinterpret_cast<const Vector16<T>*>(p);
}
template <class T>
FNN_DEV void store_vector(T* p, const Vector16<T>& v) {
    *reinterpret_cast<Vector16<T>*>(p) = v;
}

// Host: may a kernel use 16-byte accesses at all these addresses?
template <class... T>
bool vector_aligned(const T*... p) {
    return ((reinterpret_cast<std::uintptr_t>(p) % 16 == 0) && ...);
}

// Host: the grid of a grid-stride loop over `items`. The cap is several times what the largest chip
// keeps resident, so that blocks which finish late are a small part of the whole.
inline unsigned grid_for(idx items, unsigned threads) {
    constexpr idx kMaxBlocks = 8192;
    const idx blocks = (items + threads - 1) / threads;
    return static_cast<unsigned>(blocks < kMaxBlocks ? blocks : kMaxBlocks);
}

// A barrier for all blocks of a cooperative launch. `arrived` is one counter in global memory that
// is 0 at the launch and only grows: block i of phase p is through once p * blocks have arrived, so
// nothing is ever reset. `phase` starts at 0 in every thread. Good for 2^32 / blocks phases.
FNN_DEV void grid_sync(unsigned* arrived, unsigned& phase) {
    const unsigned blocks = gridDim.x * gridDim.y * gridDim.z;
    ++phase;
    __syncthreads();  // this block's writes are complete before its arrival is announced
    if (threadIdx.x == 0 && threadIdx.y == 0 && threadIdx.z == 0) {
        add_release(arrived, 1u);
        while (load_acquire(arrived) < phase * blocks) spin_pause();
    }
    __syncthreads();
}

}  // namespace fastnn::cuda
