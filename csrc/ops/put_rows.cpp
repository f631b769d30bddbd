// SPDX-License-Identifier: BSD-3-Clause
// Rows written to places, and the numbers of places; x (o, n, i) is changed where an index points:
//
//   put_rows       x[o, index[k], :] = y[o, k, :] in the order of k: the last one stays
//   linear_index   out[k] = ((i_0 s_1 + i_1) s_2 + i_2) ...: the place of the element with the
//                  numbers i_d = index[d, k] in an array of sizes s_d
//
// An index lies in [-n, n), where -1 is the last; put_rows checks all of them before it writes. It
// cuts the rows of x into shares, and every share looks through the whole index, so that writes to
// one row come in order whatever the number of threads.
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/strided.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPiece = 65536;  // elements per piece of a parallel loop
constexpr idx kMaxShares = 16;
constexpr idx kLookElements = 4;  // a look at one index costs about as much as writing these

}  // namespace

template <class T>
Status put_rows(In<T> y, In<std::int64_t> index, InOut<T> x) {
    using S = Stored<T>;
    const idx n = x.shape[1];
    const idx m = index.size;
    const idx inner = x.shape[2];
    idx bad = 0;
    for (idx k = 0; k < m; ++k) bad += index.data[k] < -n || index.data[k] >= n ? 1 : 0;
    if (bad != 0) return Status::kBadIndex;
    if (y.size == 0) return Status::kOk;
    const S* from = stored(y.data);
    S* to = stored(x.data);
    const idx work = m * inner;  // of one of the outer blocks
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
            for (idx k = 0; k < m; ++k) {
                const idx j = index.data[k] < 0 ? index.data[k] + n : index.data[k];
                if (j < first || j >= last) continue;
                const S* a = from + (o * m + k) * inner;
                S* b = to + (o * n + j) * inner;
                FASTNN_INDEPENDENT
                for (idx i = 0; i < inner; ++i) b[i] = a[i];
            }
        }
    });
    return Status::kOk;
}

inline Status linear_index(In<std::int64_t> index, Out<std::int64_t> out, Ints sizes) {
    const idx dims = index.shape[0];
    const idx m = out.size;
    if (sizes.count != dims) return Status::kBadValue;
    idx total = 1;
    for (idx d = 0; d < dims; ++d) {
        if (sizes.values[d] < 0 || __builtin_mul_overflow(total, sizes.values[d], &total))
            return Status::kBadValue;
    }
    bool bad = false;
    parallel_for(m, kPiece / 4, [&](idx begin, idx end) {
        for (idx k = begin; k < end; ++k) {
            idx place = 0;
            for (idx d = 0; d < dims; ++d) {
                const idx n = sizes.values[d];
                const idx i = index.data[d * m + k];
                if (i < -n || i >= n) {
                    __atomic_store_n(&bad, true, __ATOMIC_RELAXED);
                    place = 0;
                    break;
                }
                place = place * n + (i < 0 ? i + n : i);
            }
            out.data[k] = place;
        }
    });
    return bad ? Status::kBadIndex : Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(put_rows, "y(o,m,i) index(m) x(o,n,i)", kPlain, put_rows<float>, put_rows<double>,
          put_rows<std::int64_t>, put_rows<std::int32_t>, put_rows<std::uint8_t>, put_rows<bool>)
FASTNN_OP(linear_index, "index(d,m) out(m) sizes", kPlain, linear_index)
