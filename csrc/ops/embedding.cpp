// SPDX-License-Identifier: BSD-3-Clause
// The gradient of an embedding table: grad_weight[index[k], :] += grad_y[k, :] in the order of k,
// but for k with index[k] == padding (negative for none). `=` (zeros first) or, with `accumulate`,
// `+=`. The indices are checked before anything is written.
//
// The rows of the table are cut into shares, and every share looks through the whole index: each
// row's additions come in order whatever the number of threads, without atomics. With `accumulate`
// only rows that are named are touched, which of a large vocabulary are few.
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/strided.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPiece = 32768;  // elements worked on from which a share of its own pays
constexpr idx kMaxShares = 64;
constexpr idx kLookElements = 4;  // a look at one index costs about as much as adding these

}  // namespace

template <class T>
Status embedding_backward(In<T> grad_y, In<std::int64_t> index, InOut<T> grad_weight, idx padding,
                          bool accumulate) {
    const idx m = index.size;
    const idx n = grad_weight.shape[0];
    const idx inner = grad_weight.shape[1];
    idx bad = 0;
    for (idx k = 0; k < m; ++k) bad += index.data[k] < 0 || index.data[k] >= n ? 1 : 0;
    if (bad != 0) return Status::kBadIndex;
    if (grad_weight.size == 0) return Status::kOk;
    const idx work = (accumulate ? 0 : n * inner) + m * (inner + kLookElements);
    // So many shares look at every index that looking costs no more than adding.
    const idx most = lesser(kMaxShares, greater(1, inner / kLookElements));
    idx shares = greater(1, lesser(lesser(most, work / kPiece), n));
    const idx rows = (n + shares - 1) / shares;
    shares = (n + rows - 1) / rows;
    parallel_for(shares, 1, [&](idx begin, idx end) {
        for (idx u = begin; u < end; ++u) {
            const idx first = u * rows;
            const idx last = lesser(first + rows, n);
            if (!accumulate) {
                T* zero = grad_weight.data + first * inner;
                for (idx i = 0; i < (last - first) * inner; ++i) zero[i] = T(0);
            }
            for (idx k = 0; k < m; ++k) {
                const idx j = index.data[k];
                if (j < first || j >= last || j == padding) continue;
                const T* from = grad_y.data + k * inner;
                T* to = grad_weight.data + j * inner;
                FASTNN_INDEPENDENT
                for (idx i = 0; i < inner; ++i) to[i] += from[i];
            }
        }
    });
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(embedding_backward, "grad_y(m,i) index(m) grad_weight(n,i) padding accumulate", kPlain,
          embedding_backward<float>, embedding_backward<double>)
