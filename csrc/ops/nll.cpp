// SPDX-License-Identifier: BSD-3-Clause
// Negative log-likelihood of class numbers: x (n, c, m) holds logarithms of probabilities, target
// (n, m) classes, weight (c) a factor for each (1 where absent); contiguous, every output `=`.
//
//   forward:   loss_ij = -weight[t_ij] x[i, t_ij, j]: all of them, their sum, or their sum over
//              total, the weight of the targets that are not ignored
//   backward:  grad_x[i, t_ij, j] = -weight[t_ij] g_ij, 0 elsewhere
//
// A gather and a scatter, bound by the latency of memory; backward writes all of grad_x, in
// stretches along m. The losses of a piece are added pairwise, then those of the pieces: pieces
// depend on the shape alone. Targets are checked before anything is written, and looked at again
// where they are used, because another thread may have written to them.
#include "ops/class_labels.h"
#include "runtime/parallel.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kForwardPiece = 16384;   // targets per piece of a parallel loop
constexpr idx kBackwardPiece = 65536;  // elements of grad_x
constexpr int kSlot = 3;               // of the pool's scratch: the pieces' sums

}  // namespace

template <class T>
Status nll_loss_forward(In<T> x, In<std::int64_t> target, In<T> weight, Out<T> loss, Out<T> total,
                        idx reduction, idx ignore_index) {
    const idx c = x.shape[1];
    const idx m = x.shape[2];
    const idx n = target.size;
    if (reduction < kNone || reduction > kSum) return Status::kBadValue;
    if (loss.size != (reduction == kNone ? n : 1)) return Status::kBadValue;
    T all = 0;
    if (!weigh_targets(target.data, n, c, weight.data, ignore_index, all)) return Status::kBadIndex;
    const idx pieces = (n + kForwardPiece - 1) / kForwardPiece;
    T* sums = nullptr;
    if (reduction != kNone && pieces > 0) {
        sums = static_cast<T*>(pool_scratch(static_cast<std::size_t>(pieces) * sizeof(T), kSlot));
        if (sums == nullptr) return Status::kNoMemory;
    }
    parallel_for(n, kForwardPiece, [&](idx begin, idx end) {
        PairwiseSum<T> sum;
        for (idx i = begin; i < end; ++i) {
            const idx t = target.data[i];
            T value = 0;
            if (is_class(t, c, ignore_index)) {
                value = -x.data[(i / m * c + t) * m + i % m];
                if (weight.data != nullptr) value *= weight.data[t];
            }
            if (sums == nullptr) {
                loss.data[i] = value;
            } else {
                sum.add(value);
            }
        }
        if (sums != nullptr) sums[begin / kForwardPiece] = sum.total();
    });
    total.data[0] = all;
    if (reduction == kNone) return Status::kOk;
    PairwiseSum<T> sum;
    for (idx k = 0; k < pieces; ++k) sum.add(sums[k]);
    loss.data[0] = reduction == kMean ? sum.total() / all : sum.total();
    return Status::kOk;
}

template <class T>
Status nll_loss_backward(In<std::int64_t> target, In<T> weight, In<T> total, In<T> grad_loss,
                         Out<T> grad_x, idx reduction, idx ignore_index) {
    const idx c = grad_x.shape[1];
    const idx m = grad_x.shape[2];
    const idx n = target.size;
    if (reduction < kNone || reduction > kSum) return Status::kBadValue;
    if (grad_loss.size != (reduction == kNone ? n : 1)) return Status::kBadValue;
    T all = 0;
    if (!weigh_targets(target.data, n, c, weight.data, ignore_index, all)) return Status::kBadIndex;
    const idx piece = c < kBackwardPiece ? kBackwardPiece / (c > 0 ? c : 1) : 1;
    parallel_for(n, piece, [&](idx begin, idx end) {
        for (idx from = begin; from < end;) {
            const idx row = from / m;
            const idx column = from % m;
            const idx count = m - column < end - from ? m - column : end - from;
            T* out = grad_x.data + row * c * m + column;
            for (idx j = 0; j < c; ++j) {
                for (idx k = 0; k < count; ++k) out[j * m + k] = 0;
            }
            for (idx k = 0; k < count; ++k) {
                const idx t = target.data[from + k];
                if (!is_class(t, c, ignore_index)) continue;
                T g = grad_loss.data[reduction == kNone ? from + k : 0];
                if (reduction == kMean) g /= total.data[0];
                out[t * m + k] = weight.data == nullptr ? -g : -weight.data[t] * g;
            }
            from += count;
        }
    });
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(nll_loss_forward,
          "x(n,c,m) target(n,m) weight?(c) loss(*) total(1) reduction ignore_index", kPlain,
          nll_loss_forward<float>, nll_loss_forward<double>)
FASTNN_OP(nll_loss_backward,
          "target(n,m) weight?(c) total(1) grad_loss(*) grad_x(n,c,m) reduction ignore_index",
          kPlain, nll_loss_backward<float>, nll_loss_backward<double>)
