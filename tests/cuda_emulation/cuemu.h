// SPDX-License-Identifier: BSD-3-Clause
// A SIMT emulation: what a kernel file sees instead of the CUDA toolkit when an ordinary C++
// compiler compiles it. It needs no toolkit header, so the same code runs where there is no
// toolkit.
//
// A block's threads are fibers on one OS thread (cuemu_fiber.h). Blocks run one after another; in a
// cooperative launch all are resident. A fiber runs until it waits at a barrier or in a warp
// collective, or spins; the run order decides which one is next, so that a kernel can be run in
// several orders. Shared memory and outputs are filled with 0xff bytes, which is NaN, so that what
// was never written shows in the results.
//
// Stricter than the hardware, because kernels of this project are written that way: a block is a
// multiple of 32 threads, no thread leaves before the last barrier, all threads of a barrier stand
// at the same source line, and all lanes of a collective name the same mask, line and operation. A
// violation ends the launch with std::runtime_error.
//
// Not emulated: the passing of time, streams (a launch is synchronous), caches, and the memory
// model beyond what ThreadSanitizer sees of it.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "runtime/registry.h"

// ---- keywords ----

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

#define FNN_UNROLL

// Each place (and each instantiation of a template) has a lambda type of its own, so it has a
// variable of its own in every resident block. `static` would not do: blocks would share it, and
// AddressSanitizer puts no red zone round the local statics of templates.
#define FNN_SHARED(name, ...)            \
    using name##_shared_t = __VA_ARGS__; \
    name##_shared_t& name = ::cuemu::shared<name##_shared_t>([] {})

#define FNN_DYN_SHARED(type, name) type* const name = static_cast<type*>(::cuemu::dynamic_shared())

// ---- types and built-in variables ----

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

// Set at every switch to a fiber. Kernels only read them.
extern dim3 threadIdx;
extern dim3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;

namespace cuemu {

struct Place {
    const char* file;
    int line;
};

enum class Reduction { kNone, kCount, kAnd, kOr };

int barrier(Place place, Reduction reduction, int value);
void spin(Place place);
void* shared_variable(const void* key, std::size_t bytes);
void* dynamic_shared();

// Ends the launch; the message names the place, block and thread. Does not return.
[[noreturn]] void fail(Place place, const char* format, ...) __attribute__((format(printf, 2, 3)));

template <class T, class Key>
T& shared(Key) {
    static const char key = 0;
    static_assert(alignof(T) <= 16);
    return *static_cast<T*>(shared_variable(&key, sizeof(T)));
}

struct Launch {
    dim3 grid;
    dim3 block;
    std::size_t shared_bytes;
    bool cooperative;
    void (*body)(const void* context);  // runs the kernel as the current thread
    const void* context;
};

// Runs all threads to their end. Calls from several OS threads take turns.
void run(const Launch& launch);

}  // namespace cuemu

// ---- block barriers ----

#define CUEMU_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(CUEMU_HERE) { cuemu::barrier({file, line}, cuemu::Reduction::kNone, 0); }
inline int __syncthreads_count(int value, CUEMU_HERE) {
    return cuemu::barrier({file, line}, cuemu::Reduction::kCount, value);
}
inline int __syncthreads_and(int value, CUEMU_HERE) {
    return cuemu::barrier({file, line}, cuemu::Reduction::kAnd, value);
}
inline int __syncthreads_or(int value, CUEMU_HERE) {
    return cuemu::barrier({file, line}, cuemu::Reduction::kOr, value);
}

// ---- launches and flags between blocks: the twins of fnn_dev_nvcc.h ----

namespace fastnn::cuda {

inline void add_release(unsigned* p, unsigned value) {
    __atomic_fetch_add(p, value, __ATOMIC_RELEASE);
}
inline unsigned load_acquire(const unsigned* p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
inline void spin_pause(CUEMU_HERE) { cuemu::spin({file, line}); }

template <class... P, class... A>
void launch_as(bool cooperative, void (*kernel)(P...), dim3 grid, dim3 block,
               std::size_t shared_bytes, A&&... arguments) {
    const auto body = [&] { kernel(static_cast<P>(arguments)...); };
    using Body = decltype(body);
    cuemu::run({grid, block, shared_bytes, cooperative,
                [](const void* context) { (*static_cast<const Body*>(context))(); }, &body});
}

template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t,
            A&&... arguments) {
    launch_as(false, kernel, grid, block, shared_bytes, arguments...);
}

template <class... P, class... A>
void launch_cooperative(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
                        cudaStream_t, A&&... arguments) {
    launch_as(true, kernel, grid, block, shared_bytes, arguments...);
}

}  // namespace fastnn::cuda

#include "cuemu_atomic.h"
#include "cuemu_warp.h"

#undef CUEMU_HERE
