// SPDX-License-Identifier: BSD-3-Clause
// Rows by number, and its transpose. x (o, n, i), index (m), y (o, m, i), contiguous; outputs `=`.
//
//   take_rows:  y[o, k, :] = x[o, index[k], :]
//   add_rows:   x = 0, then x[o, index[k], :] += y[o, k, :] in the order of k
//
// An index lies in [0, n); with `negative` in [-n, n), where -1 is the last row. All indices are
// checked before anything is written. add_rows gives every piece of the parallel loop its own rows
// of x, and every piece looks through the whole index: each row's additions come in order whatever
// the number of threads, without atomics. Looking costs one comparison per index, so short rows are
// cut into fewer pieces.
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/strided.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPiece = 65536;     // elements per piece of a parallel loop
constexpr idx kCallBytes = 32;    // rows from here on are copied by memcpy
constexpr idx kMaxShares = 16;    // pieces that x's rows are cut into
constexpr idx kLookElements = 4;  // a look at one index costs about as much as adding these

inline bool all_valid(const idx* index, idx m, idx n, bool negative) {
    const idx least = negative ? -n : 0;
    idx bad = 0;
    for (idx k = 0; k < m; ++k) bad += index[k] < least || index[k] >= n ? 1 : 0;
    return bad == 0;
}

// The row that an index stands for; outside of [0, n) only if the index is not valid (any more).
inline idx row_of(idx index, idx n, bool negative) {
    return negative && index < 0 ? index + n : index;
}

}  // namespace

template <class T>
Status take_rows(In<T> x, In<std::int64_t> index, Out<T> y, bool negative) {
    using S = Stored<T>;
    const idx n = x.shape[1];
    const idx m = index.size;
    const idx inner = x.shape[2];
    if (!all_valid(index.data, m, n, negative)) return Status::kBadIndex;
    if (y.size == 0) return Status::kOk;
    const S* from = stored(x.data);
    S* to = stored(y.data);
    const std::size_t bytes = static_cast<std::size_t>(inner) * sizeof(S);
    const bool call = static_cast<idx>(bytes) >= kCallBytes;
    parallel_for(x.shape[0] * m, greater(1, kPiece / inner), [&](idx begin, idx end) {
        idx o = begin / m;
        idx k = begin % m;
        for (idx row = begin; row < end; ++row) {
            // Checked above; looked at again because another thread may have written to it.
            const idx j = row_of(index.data[k], n, negative);
            if (j >= 0 && j < n) {
                const S* a = from + (o * n + j) * inner;
                S* b = to + row * inner;
                if (call) {
                    __builtin_memcpy(b, a, bytes);
                } else {
                    for (idx i = 0; i < inner; ++i) b[i] = a[i];
                }
            }
            if (++k == m) {
                k = 0;
                ++o;
            }
        }
    });
    return Status::kOk;
}

template <class T>
Status add_rows(In<T> y, In<std::int64_t> index, Out<T> x, bool negative) {
    // Integers wrap around, as in NumPy.
    using S = std::conditional_t<std::is_same_v<T, std::int64_t>, std::uint64_t, T>;
    const idx n = x.shape[1];
    const idx m = index.size;
    const idx inner = x.shape[2];
    if (!all_valid(index.data, m, n, negative)) return Status::kBadIndex;
    if (x.size == 0) return Status::kOk;
    const S* from = reinterpret_cast<const S*>(y.data);
    S* to = reinterpret_cast<S*>(x.data);
    const idx work = greater(m, n) * inner;  // of one of the outer blocks
    idx shares = lesser(lesser(kMaxShares, work / kPiece), lesser(n, inner / kLookElements));
    shares = greater(shares, 1);
    const idx rows = (n + shares - 1) / shares;
    shares = (n + rows - 1) / rows;
    const idx piece = greater(1, kPiece / greater(1, work / shares));
    parallel_for(x.shape[0] * shares, piece, [&](idx begin, idx end) {
        for (idx u = begin; u < end; ++u) {
            const idx o = u / shares;
            const idx first = u % shares * rows;
            const idx last = lesser(first + rows, n);
            S* block = to + o * n * inner;
            for (idx i = first * inner; i < last * inner; ++i) block[i] = 0;
            for (idx k = 0; k < m; ++k) {
                const idx j = row_of(index.data[k], n, negative);
                if (j < first || j >= last) continue;
                const S* a = from + (o * m + k) * inner;
                S* b = block + j * inner;
                FASTNN_INDEPENDENT
                for (idx i = 0; i < inner; ++i) b[i] += a[i];
            }
        }
    });
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(take_rows, "x(o,n,i) index(m) y(o,m,i) negative", kPlain, take_rows<float>,
          take_rows<double>, take_rows<std::int64_t>, take_rows<std::int32_t>,
          take_rows<std::uint8_t>, take_rows<bool>)
FASTNN_OP(add_rows, "y(o,m,i) index(m) x(o,n,i) negative", kPlain, add_rows<float>,
          add_rows<double>, add_rows<std::int64_t>)
