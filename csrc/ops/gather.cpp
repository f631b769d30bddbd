// SPDX-License-Identifier: BSD-3-Clause
// Elements along a dimension by their numbers, one number per element. x (o, n, i); index, y
// (o, m, i):
//
//   gather         y[o, k, i] = x[o, index[o, k, i], i]
//   scatter        x[o, index[o, k, i], i] = y[o, k, i], in the order of k: the last one stays
//   scatter_add    x[o, index[o, k, i], i] += y[o, k, i], in the order of k
//
// x of scatter and scatter_add is changed where an index points. An index lies in [0, n); all are
// checked before anything is written. A number moves an element within its column (o, i) alone, so
// columns are the units of the parallel loop: pieces of up to kTile neighbouring columns are worked
// through row by row, and additions come in order on any number of threads, without atomics.
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/strided.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPiece = 16384;  // elements per piece of a parallel loop
constexpr idx kTile = 256;

bool all_inside(const idx* index, idx size, idx n) {
    bool good = true;
    parallel_for(size, 4 * kPiece, [&](idx begin, idx end) {
        idx bad = 0;
        for (idx k = begin; k < end; ++k) bad += index[k] < 0 || index[k] >= n ? 1 : 0;
        if (bad != 0) __atomic_store_n(&good, false, __ATOMIC_RELAXED);
    });
    return good;
}

// body(at_x, at_index): where an element stands in x and in index.
template <class Body>
void for_elements(const idx* index, idx outer, idx n, idx m, idx inner, const Body& body) {
    const idx width = inner < kTile ? inner : kTile;
    const idx tiles = (inner + width - 1) / width;
    parallel_for(outer * tiles, greater(1, kPiece / (m * width)), [&](idx begin, idx end) {
        for (idx u = begin; u < end; ++u) {
            const idx o = u / tiles;
            const idx first = u % tiles * width;
            const idx last = lesser(first + width, inner);
            for (idx k = 0; k < m; ++k) {
                const idx row = (o * m + k) * inner;
                for (idx i = first; i < last; ++i) {
                    // Checked before; looked at again because another thread may have written to
                    // it.
                    const idx j = index[row + i];
                    if (j >= 0 && j < n) body((o * n + j) * inner + i, row + i);
                }
            }
        }
    });
}

}  // namespace

template <class T>
Status gather(In<T> x, In<std::int64_t> index, Out<T> y) {
    using S = Stored<T>;
    if (!all_inside(index.data, index.size, x.shape[1])) return Status::kBadIndex;
    if (y.size == 0) return Status::kOk;
    const S* from = stored(x.data);
    S* to = stored(y.data);
    const idx n = x.shape[1];
    const idx m = index.shape[1];
    const idx inner = x.shape[2];
    // Nothing is added up, so a single column can be cut as well.
    if (x.shape[0] == 1 && inner == 1) {
        parallel_for(m, kPiece, [&](idx begin, idx end) {
            for (idx k = begin; k < end; ++k) {
                const idx j = index.data[k];
                if (j >= 0 && j < n) to[k] = from[j];
            }
        });
        return Status::kOk;
    }
    for_elements(index.data, x.shape[0], n, m, inner, [&](idx a, idx b) { to[b] = from[a]; });
    return Status::kOk;
}

template <class T>
Status scatter(In<T> y, In<std::int64_t> index, InOut<T> x) {
    using S = Stored<T>;
    if (!all_inside(index.data, index.size, x.shape[1])) return Status::kBadIndex;
    if (y.size == 0) return Status::kOk;
    const S* from = stored(y.data);
    S* to = stored(x.data);
    for_elements(index.data, x.shape[0], x.shape[1], index.shape[1], x.shape[2],
                 [&](idx a, idx b) { to[a] = from[b]; });
    return Status::kOk;
}

template <class T>
Status scatter_add(In<T> y, In<std::int64_t> index, InOut<T> x) {
    // Integers wrap around, as in NumPy.
    using S = std::conditional_t<std::is_same_v<T, std::int64_t>, std::uint64_t, T>;
    if (!all_inside(index.data, index.size, x.shape[1])) return Status::kBadIndex;
    if (y.size == 0) return Status::kOk;
    const S* from = reinterpret_cast<const S*>(y.data);
    S* to = reinterpret_cast<S*>(x.data);
    for_elements(index.data, x.shape[0], x.shape[1], index.shape[1], x.shape[2],
                 [&](idx a, idx b) { to[a] += from[b]; });
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(gather, "x(o,n,i) index(o,m,i) y(o,m,i)", kPlain, gather<float>, gather<double>,
          gather<std::int64_t>, gather<std::int32_t>, gather<std::uint8_t>, gather<bool>)
FASTNN_OP(scatter, "y(o,m,i) index(o,m,i) x(o,n,i)", kPlain, scatter<float>, scatter<double>,
          scatter<std::int64_t>, scatter<std::int32_t>, scatter<std::uint8_t>, scatter<bool>)
FASTNN_OP(scatter_add, "y(o,m,i) index(o,m,i) x(o,n,i)", kPlain, scatter_add<float>,
          scatter_add<double>, scatter_add<std::int64_t>)
