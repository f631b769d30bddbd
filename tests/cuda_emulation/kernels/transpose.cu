// SPDX-License-Identifier: BSD-3-Clause
// Test kernels for shared memory.
//   transpose_static, transpose_dynamic  x (rows, columns) -> y (columns, rows), '='
//   unwritten_shared                     y = what shared memory holds before anything is written
#include "common/fnn_dev.h"

namespace fastnn::cuda {
namespace {

constexpr unsigned kTile = 32;
constexpr unsigned kRows = 8;  // a thread moves kTile / kRows elements
constexpr unsigned kThreads = kTile * kRows;
constexpr unsigned kPitch = kTile + 1;  // odd, so that a column lies in 32 different banks

template <class T>
FNN_DEV void transpose_tile(const T* x, T* y, T* tile, idx rows, idx columns) {
    const idx row = static_cast<idx>(blockIdx.y) * kTile;
    const idx column = static_cast<idx>(blockIdx.x) * kTile;
    for (unsigned i = threadIdx.y; i < kTile; i += kRows) {
        if (row + i < rows && column + threadIdx.x < columns) {
            tile[i * kPitch + threadIdx.x] = x[(row + i) * columns + column + threadIdx.x];
        }
    }
    __syncthreads();
    for (unsigned i = threadIdx.y; i < kTile; i += kRows) {
        if (column + i < columns && row + threadIdx.x < rows) {
            y[(column + i) * rows + row + threadIdx.x] = tile[threadIdx.x * kPitch + i];
        }
    }
}

template <class T>
__global__ void __launch_bounds__(kThreads) static_kernel(const T* x, T* y, idx rows, idx columns) {
    FNN_SHARED(tile, T[kTile * kPitch]);
    transpose_tile(x, y, tile, rows, columns);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    dynamic_kernel(const T* x, T* y, idx rows, idx columns) {
    FNN_DYN_SHARED(T, tile);
    transpose_tile(x, y, tile, rows, columns);
}

dim3 grid_of(idx rows, idx columns) {
    return dim3(static_cast<unsigned>((columns + kTile - 1) / kTile),
                static_cast<unsigned>((rows + kTile - 1) / kTile));
}

template <class T>
void transpose_static(In<T> x, Out<T> y, idx rows, cudaStream_t stream) {
    const idx columns = x.size / rows;
    launch(static_kernel<T>, grid_of(rows, columns), dim3(kTile, kRows), 0, stream, x.data, y.data,
           rows, columns);
}

// `missing` bytes too few, to show that the checks see it.
template <class T>
void transpose_dynamic(In<T> x, Out<T> y, idx rows, idx missing, cudaStream_t stream) {
    const idx columns = x.size / rows;
    const std::size_t bytes = kTile * kPitch * sizeof(T) - static_cast<std::size_t>(missing);
    launch(dynamic_kernel<T>, grid_of(rows, columns), dim3(kTile, kRows), bytes, stream, x.data,
           y.data, rows, columns);
}

__global__ void __launch_bounds__(kWarpSize) unwritten_kernel(float* y) {
    FNN_SHARED(values, float[kWarpSize]);
    y[threadIdx.x] = values[threadIdx.x];
}

template <class T>
void unwritten_shared(Out<T> y, cudaStream_t stream) {
    launch(unwritten_kernel, 1, kWarpSize, 0, stream, y.data);
}

FASTNN_CUDA_OP(transpose_static, "x(*) y(*) rows", float, double)
FASTNN_CUDA_OP(transpose_dynamic, "x(*) y(*) rows missing", float, double)
FASTNN_CUDA_OP(unwritten_shared, "y(*)", float)

}  // namespace
}  // namespace fastnn::cuda
