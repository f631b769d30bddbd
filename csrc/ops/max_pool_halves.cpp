// SPDX-License-Identifier: BSD-3-Clause
// Maximum pooling that halves an image (ops/pooling_halves.h), for gradients: a byte per output
// says which element of its window won.
//
//   forward    y = max of the window of kernel by kernel; winners = 3 r + c of it, with r and c the
//              row and column in the 3 by 3 elements around (2 j, 2 i)
//   backward   grad_x = the sum, in the order of the outputs, of grad_y over those that name the
//              element; a winner that names none is left out
//
// The first of equal elements wins, and NaN over numbers (the last of several), as in
// ops/max_pool.cpp. Outputs are `=`. Strips of rows are the units of the parallel loop; backward
// planes are.
#include "ops/max_pool_winners.h"
#include "runtime/parallel.h"
#include "runtime/pool.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPiece = 65536;  // comparisons, or elements of grad_x, per piece of a parallel loop

// False: x and y are not those of windows that halve.
template <class T>
bool read_halving(const idx* x, const idx* y, idx kernel, PoolShape& s) {
    s.planes = x[0];
    s.d = {1, 1, 1, 1, 0, 1, false};
    s.h = {x[1], y[1], kernel, 2, kernel - 2, 1, false};
    s.w = {x[2], y[2], kernel, 2, kernel - 2, 1, false};
    return x[1] <= kLargestPoolSize && x[2] <= kLargestPoolSize && halving_kernel<T>(s) != 0;
}

}  // namespace

template <class T>
Status max_pool_halves_forward(In<T> x, Out<T> y, Out<Winner> winners, idx kernel) {
    Maxima<T, Winner> f{{}, x.data, y.data, winners.data, 1};
    if (!read_halving<T>(x.shape, y.shape, kernel, f.s)) return Status::kBadValue;
    if (y.size == 0) return Status::kOk;
    f.block = output_rows<T>(f.s);
    const auto run = choose_halves<T, Winner>(static_cast<int>(kernel));
    const idx piece = kPiece / (kernel * kernel * f.s.w.out) / f.block;
    bool ok = true;
    parallel_for(OutputStrip::count(f.s, f.block), piece < 1 ? 1 : piece, [&](idx begin, idx end) {
        if (!run(f, begin, end)) __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
    });
    return ok ? Status::kOk : Status::kNoMemory;
}

template <class T>
Status max_pool_halves_backward(In<T> grad_y, In<Winner> winners, Out<T> grad_x, idx kernel) {
    PoolShape s{};
    if (!read_halving<T>(grad_x.shape, grad_y.shape, kernel, s)) return Status::kBadValue;
    if (grad_x.size == 0) return Status::kOk;
    const idx in_size = s.in_size();
    const idx out_size = s.out_size();
    bool ok = true;
    const idx piece = kPiece / in_size;
    parallel_for(s.planes, piece < 1 ? 1 : piece, [&](idx begin, idx end) {
        const idx size = GivenPlanes<T>::scratch(s) * static_cast<idx>(sizeof(T));
        T* const memory = static_cast<T*>(pool_scratch(static_cast<std::size_t>(size), 0));
        if (memory == nullptr) {
            __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
            return;
        }
        GivenPlanes<T> given(s, memory);
        for (idx p = begin; p < end; ++p) {
            const T* g = grad_y.data + p * out_size;
            const Winner* won = winners.data + p * out_size;
            const idx in_all = (s.planes - p) * out_size;
            T* const to = grad_x.data + p * in_size;
            const idx room = (end - p) * in_size;
            if (kernel == 2) {
                given.template give<2>(g, won, in_all, to, room);
            } else {
                given.template give<3>(g, won, in_all, to, room);
            }
        }
        given.finish();
    });
    return ok ? Status::kOk : Status::kNoMemory;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(max_pool_halves_forward, "x(p,h,w) y(p,oh,ow) winners(p,oh,ow) kernel", kPlain,
          max_pool_halves_forward<float>, max_pool_halves_forward<double>)
FASTNN_OP(max_pool_halves_backward, "grad_y(p,oh,ow) winners(p,oh,ow) grad_x(p,h,w) kernel", kPlain,
          max_pool_halves_backward<float>, max_pool_halves_backward<double>)
