// SPDX-License-Identifier: BSD-3-Clause
// Test kernels for atomics, and for flags between the blocks of a cooperative launch.
//   histogram     bin (n) -> count (bins) '+=', weight (bins) '+=' n-th weights: value (n) summed
//   per bin extremes      value (n) -> out (4): minimum, maximum, one of the values by exchange,
//   sum of squares by
//                 compare-and-swap; `out` holds the starting values
//   smooth        x (n), '+=': `steps` times x[i] = (x[i-1] + x[i+1]) / 2 inside, a grid barrier
//   after each step
#include "common/fnn_dev.h"

namespace fastnn::cuda {
namespace {

constexpr unsigned kThreads = 64;
constexpr unsigned kBlocks = 4;

template <class T>
__global__ void __launch_bounds__(kThreads)
    histogram_kernel(const std::int32_t* bin, const T* value, std::int32_t* count, T* weight,
                     idx n) {
    const idx step = static_cast<idx>(gridDim.x) * kThreads;
    for (idx i = static_cast<idx>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += step) {
        atomicAdd(&count[bin[i]], 1);
        atomicAdd(&weight[bin[i]], value[i]);
    }
}

template <class T>
void histogram(In<std::int32_t> bin, In<T> value, InOut<std::int32_t> count, InOut<T> weight,
               cudaStream_t stream) {
    launch(histogram_kernel<T>, kBlocks, kThreads, 0, stream, bin.data, value.data, count.data,
           weight.data, bin.size);
}

__global__ void __launch_bounds__(kThreads)
    extremes_kernel(const std::int32_t* value, std::int32_t* out, idx n) {
    const idx step = static_cast<idx>(gridDim.x) * kThreads;
    for (idx i = static_cast<idx>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += step) {
        atomicMin(&out[0], value[i]);
        atomicMax(&out[1], value[i]);
        atomicExch(&out[2], value[i]);
        int seen = atomicAdd(&out[3], 0);
        int expected;
        do {
            expected = seen;
            seen = atomicCAS(&out[3], expected, expected + value[i] * value[i]);
        } while (seen != expected);
    }
}

template <class T>
void extremes(In<T> value, InOut<T> out, cudaStream_t stream) {
    launch(extremes_kernel, kBlocks, kThreads, 0, stream, value.data, out.data, value.size);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    smooth_kernel(T* x, T* scratch, unsigned* arrived, idx n, idx steps) {
    const idx stride = static_cast<idx>(gridDim.x) * kThreads;
    const idx first = static_cast<idx>(blockIdx.x) * kThreads + threadIdx.x;
    unsigned phase = 0;
    for (idx step = 0; step < steps; ++step) {
        const T* from = step % 2 == 0 ? x : scratch;
        T* to = step % 2 == 0 ? scratch : x;
        for (idx i = first; i < n; i += stride) {
            const bool inside = i > 0 && i < n - 1;
            to[i] = inside ? (from[i - 1] + from[i + 1]) / T(2) : from[i];
        }
        grid_sync(arrived, phase);  // the step is complete in all blocks
    }
}

// `arrived` is one zero; the result is in x after an even number of steps. `cooperative` is false
// only to show that an ordinary launch cannot do this.
template <class T>
void smooth(InOut<T> x, Out<T> scratch, InOut<std::int32_t> arrived, idx steps, bool cooperative,
            cudaStream_t stream) {
    unsigned* counter = reinterpret_cast<unsigned*>(arrived.data);
    if (cooperative) {
        launch_cooperative(smooth_kernel<T>, kBlocks, kThreads, 0, stream, x.data, scratch.data,
                           counter, x.size, steps);
    } else {
        launch(smooth_kernel<T>, kBlocks, kThreads, 0, stream, x.data, scratch.data, counter,
               x.size, steps);
    }
}

FASTNN_CUDA_OP(histogram, "bin(*) value(*) count(*) weight(*)", float, double)
FASTNN_CUDA_OP(extremes, "value(*) out(*)", std::int32_t)
FASTNN_CUDA_OP(smooth, "x(*) scratch(*) arrived(*) steps cooperative", float, double)

}  // namespace
}  // namespace fastnn::cuda
