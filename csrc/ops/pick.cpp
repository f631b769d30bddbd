// SPDX-License-Identifier: BSD-3-Clause
// The element that an index names along the middle dimension of x (outer, n, inner), for the values
// of max and min along a dimension: y[o, i] = x[o, index[o, i], i]; backward puts grad_y there and
// 0 elsewhere. Contiguous, outputs `=`. An index outside of [0, n) is kBadIndex, found before
// anything is written.
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/strided.h"

namespace fastnn::FASTNN_ISA {

namespace {

inline bool all_within(const In<std::int64_t>& index, idx n) {
    idx bad = 0;
    for (idx i = 0; i < index.size; ++i) bad += index.data[i] < 0 || index.data[i] >= n ? 1 : 0;
    return bad == 0;
}

// Looked at again where it is used, because another thread may have written to it.
inline idx within(idx index, idx n) { return index < 0 || index >= n ? 0 : index; }

}  // namespace

template <class T>
Status pick_forward(In<T> x, In<std::int64_t> index, Out<T> y) {
    const idx n = x.shape[1];
    const idx inner = x.shape[2];
    if (!all_within(index, n)) return Status::kBadIndex;
    const Stored<T>* from = stored(x.data);
    Stored<T>* to = stored(y.data);
    parallel_for(y.size, 8192, [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) {
            to[i] = from[(i / inner * n + within(index.data[i], n)) * inner + i % inner];
        }
    });
    return Status::kOk;
}

template <class T>
Status pick_backward(In<std::int64_t> index, In<T> grad_y, Out<T> grad_x) {
    const idx n = grad_x.shape[1];
    const idx inner = grad_x.shape[2];
    if (!all_within(index, n)) return Status::kBadIndex;
    if (grad_x.size == 0) return Status::kOk;
    const idx piece = greater(1, 65536 / (n * inner));
    parallel_for(grad_x.shape[0], piece, [&](idx begin, idx end) {
        for (idx i = begin * n * inner; i < end * n * inner; ++i) grad_x.data[i] = 0;
        for (idx i = begin * inner; i < end * inner; ++i) {
            const idx place = (i / inner * n + within(index.data[i], n)) * inner + i % inner;
            grad_x.data[place] = grad_y.data[i];
        }
    });
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(pick_forward, "x(outer,n,inner) index(outer,inner) y(outer,inner)", kPlain,
          pick_forward<float>, pick_forward<double>, pick_forward<std::int64_t>,
          pick_forward<std::int32_t>, pick_forward<std::uint8_t>, pick_forward<bool>)
FASTNN_OP(pick_backward, "index(outer,inner) grad_y(outer,inner) grad_x(outer,n,inner)", kPlain,
          pick_backward<float>, pick_backward<double>)
