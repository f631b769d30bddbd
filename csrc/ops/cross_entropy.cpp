// SPDX-License-Identifier: BSD-3-Clause
// Cross-entropy of the rows of x (n, c) against class numbers, contiguous; every output `=`.
//
//   forward:   logsumexp_i = m_i + log s_i,  loss_i = (m_i - x_i[t_i]) + log s_i
//              loss: all of them, their mean or their sum;  count: the rows that are not ignored
//   backward:  grad_x_i = (exp(x_i - logsumexp_i) - one_hot(t_i)) g_i,  0 in ignored rows
//
// Two passes over a row forward (maximum; sum of exponentials, while the next row is prefetched),
// one backward; the probabilities are never stored. The losses of a piece of rows are added
// pairwise, then those of the pieces: pieces depend on the shape alone. Targets are checked before
// anything is written.
#include "ops/blocked_sum.h"
#include "ops/softmax_exp.h"
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/math.h"
#include "simd/streaming.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kMathPiece = 8192;  // elements per piece of a parallel loop
constexpr int kSlot = 3;          // of the pool's scratch: the pieces' sums
enum : idx { kNone, kMean, kSum };

inline idx rows_per_piece(idx c) { return c < kMathPiece ? kMathPiece / (c > 0 ? c : 1) : 1; }

// 1 in one lane, 0 in the others.
template <class T>
FASTNN_SIMD_INLINE Vec<T> unit_vector(idx lane) {
    T lanes[kLanes<T>] = {};
    lanes[lane] = 1;
    return load(lanes);
}

// The rows that are not ignored, or -1 if a target is no class.
inline idx count_rows(const idx* target, idx n, idx c, idx ignore_index) {
    idx count = 0;
    idx bad = 0;
    for (idx i = 0; i < n; ++i) {
        const bool kept = target[i] != ignore_index;
        const bool valid = target[i] >= 0 && target[i] < c;
        count += kept ? 1 : 0;
        bad += kept && !valid ? 1 : 0;
    }
    return bad == 0 ? count : -1;
}

}  // namespace

template <class T>
Status cross_entropy_forward(In<T> x, In<std::int64_t> target, Out<T> loss, Out<T> logsumexp,
                             Out<T> count, idx reduction, idx ignore_index) {
    const idx n = x.shape[0];
    const idx c = x.shape[1];
    if (reduction < kNone || reduction > kSum) return Status::kBadValue;
    if (loss.size != (reduction == kNone ? n : 1)) return Status::kBadValue;
    const idx kept = count_rows(target.data, n, c, ignore_index);
    if (kept < 0) return Status::kBadIndex;

    const idx piece = rows_per_piece(c);
    const idx pieces = (n + piece - 1) / piece;
    T* sums = nullptr;
    if (reduction != kNone && pieces > 0) {
        sums = static_cast<T*>(pool_scratch(static_cast<std::size_t>(pieces) * sizeof(T), kSlot));
        if (sums == nullptr) return Status::kNoMemory;
    }
    parallel_for(n, piece, [&](idx begin, idx end) {
        PairwiseSum<T> piece_sum;
        for (idx i = begin; i < end; ++i) {
            const T* row = x.data + i * c;
            const T top = c > 0 ? largest_number(row, c) : T(0);
            const Vec<T> shift = broadcast(top);
            const idx ahead = i + 1 < end ? c : 0;
            const T sum = blocked_sum<T, 4>(c, [row, shift, ahead](idx j, auto span) {
                __builtin_prefetch(row + j + ahead);
                return exp_masked(load_span(row + j, span, kLeast<T>) - shift);
            });
            const T log_sum = log(broadcast(sum))[0];
            logsumexp.data[i] = top + log_sum;
            // Checked above; looked at again because another thread may have written to it.
            const idx t = target.data[i];
            T value = 0;
            if (t != ignore_index && t >= 0 && t < c) value = (top - row[t]) + log_sum;
            if (sums == nullptr) {
                loss.data[i] = value;
            } else {
                piece_sum.add(value);
            }
        }
        if (sums != nullptr) sums[begin / piece] = piece_sum.total();
    });
    count.data[0] = static_cast<T>(kept);
    if (reduction == kNone) return Status::kOk;
    PairwiseSum<T> total;
    for (idx k = 0; k < pieces; ++k) total.add(sums[k]);
    loss.data[0] = reduction == kMean ? total.total() / count.data[0] : total.total();
    return Status::kOk;
}

template <class T>
Status cross_entropy_backward(In<T> x, In<std::int64_t> target, In<T> logsumexp, In<T> count,
                              In<T> grad_loss, Out<T> grad_x, idx reduction, idx ignore_index) {
    const idx n = x.shape[0];
    const idx c = x.shape[1];
    if (reduction < kNone || reduction > kSum) return Status::kBadValue;
    if (grad_loss.size != (reduction == kNone ? n : 1)) return Status::kBadValue;
    if (count_rows(target.data, n, c, ignore_index) < 0) return Status::kBadIndex;
    if (c == 0) return Status::kOk;
    const idx piece = rows_per_piece(c);
    parallel_for(n, piece, [&](idx begin, idx end) {
        const Stores<T> stores(x.size);
        for (idx i = begin; i < end; ++i) {
            const T* row = x.data + i * c;
            T* out = grad_x.data + i * c;
            const idx t = target.data[i];
            if (t == ignore_index || t < 0 || t >= c) {
                for (idx j = 0; j < c; ++j) out[j] = 0;
                continue;
            }
            const T grad = grad_loss.data[reduction == kNone ? i : 0];
            const T scale = reduction == kMean ? grad / count.data[0] : grad;
            const Vec<T> g = broadcast(scale);
            const Vec<T> shift = broadcast(logsumexp.data[i]);
            stores.write(out, c, [&](idx j, auto span) {
                Vec<T> p = exp_masked(load_span(row + j, span) - shift);
                // In the vector: going back to a line that went past the caches is dear.
                if (t >= j && t < j + kLanes<T>) p -= unit_vector<T>(t - j);
                return p * g;
            });
        }
    });
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(cross_entropy_forward,
          "x(n,c) target(n) loss(*) logsumexp(n) count(1) reduction ignore_index", kPlain,
          cross_entropy_forward<float>, cross_entropy_forward<double>)
FASTNN_OP(cross_entropy_backward,
          "x(n,c) target(n) logsumexp(n) count(1) grad_loss(*) grad_x(n,c) reduction ignore_index",
          kPlain, cross_entropy_backward<float>, cross_entropy_backward<double>)
