// SPDX-License-Identifier: BSD-3-Clause
// Running sums and products along the middle dimension of x (outer, n, inner), contiguous, in ==
// out allowed; y is `=`. One pass in the order of j; floats run on in double, so that only the
// stored values are rounded to float, int64 wraps. Threads take rows and tiles of neighbours i; a
// single long row runs in one.
//
//   cumsum:  y_j = x_0 + ... + x_j; with reverse x_j + ... + x_(n-1), its own gradient
//   cumprod: y_j = x_0 ... x_j
//   cumprod_backward: grad_x_j = y_(j-1) r_j, r_j = grad_y_j + x_(j+1) r_(j+1): no division, so
//   zeros are no special case
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/strided.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kTile = 512;

template <class T>
using Running = std::conditional_t<std::is_same_v<T, std::int64_t>, std::uint64_t, double>;

// tile(offset, width) for every tile of neighbours; offset is that of its first element.
template <class F>
inline void for_columns(idx outer, idx n, idx inner, const F& tile) {
    if (n == 0 || inner == 0) return;
    const idx tiles = (inner + kTile - 1) / kTile;
    const idx piece = greater(1, 32768 / (n * lesser(inner, kTile)));
    parallel_for(outer * tiles, piece, [&](idx begin, idx end) {
        for (idx u = begin; u < end; ++u) {
            const idx at = u % tiles * kTile;
            tile(u / tiles * n * inner + at, lesser(kTile, inner - at));
        }
    });
}

template <class T, bool kProduct>
void scan(const In<T>& x, const Out<T>& y, bool reverse) {
    using R = Running<T>;
    const idx n = x.shape[1];
    const idx inner = x.shape[2];
    for_columns(x.shape[0], n, inner, [&](idx offset, idx width) {
        R running[kTile];
        for (idx i = 0; i < width; ++i) running[i] = R(kProduct ? 1 : 0);
        for (idx j = 0; j < n; ++j) {
            const idx row = offset + (reverse ? n - 1 - j : j) * inner;
            for (idx i = 0; i < width; ++i) {
                const R value = static_cast<R>(x.data[row + i]);
                running[i] = kProduct ? running[i] * value : running[i] + value;
                y.data[row + i] = static_cast<T>(running[i]);
            }
        }
    });
}

}  // namespace

template <class T>
void cumsum_forward(In<T> x, Out<T> y, bool reverse) {
    scan<T, false>(x, y, reverse);
}

template <class T>
void cumprod_forward(In<T> x, Out<T> y) {
    scan<T, true>(x, y, false);
}

template <class T>
void cumprod_backward(In<T> x, In<T> y, In<T> grad_y, Out<T> grad_x) {
    const idx n = x.shape[1];
    const idx inner = x.shape[2];
    for_columns(x.shape[0], n, inner, [&](idx offset, idx width) {
        double rest[kTile];
        for (idx i = 0; i < width; ++i) rest[i] = 0;
        for (idx j = n - 1; j >= 0; --j) {
            const idx row = offset + j * inner;
            for (idx i = 0; i < width; ++i) {
                const double next = j + 1 < n ? static_cast<double>(x.data[row + inner + i]) : 0;
                const double before = j > 0 ? static_cast<double>(y.data[row - inner + i]) : 1;
                rest[i] = static_cast<double>(grad_y.data[row + i]) + next * rest[i];
                grad_x.data[row + i] = static_cast<T>(before * rest[i]);
            }
        }
    });
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(cumsum_forward, "x(outer,n,inner) y(outer,n,inner) reverse", kInPlace,
          cumsum_forward<float>, cumsum_forward<double>, cumsum_forward<std::int64_t>)
FASTNN_OP(cumprod_forward, "x(outer,n,inner) y(outer,n,inner)", kInPlace, cumprod_forward<float>,
          cumprod_forward<double>, cumprod_forward<std::int64_t>)
FASTNN_OP(cumprod_backward,
          "x(outer,n,inner) y(outer,n,inner) grad_y(outer,n,inner) grad_x(outer,n,inner)", kPlain,
          cumprod_backward<float>, cumprod_backward<double>)
