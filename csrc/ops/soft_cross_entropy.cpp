// SPDX-License-Identifier: BSD-3-Clause
// Cross-entropy of the rows of x (n, c) against distributions q over the classes, with a weight w_j
// for each class (1 where absent); contiguous, every output `=`. s is label smoothing.
//
//   smooth_...  q_ij = (1 - s) [j = t_i] + s / c     class numbers t (n)
//   soft_...    q_ij = (1 - s) p_ij + s / c          probabilities p (n, c)
//
//   forward:   loss_i = sum_j q_ij w_j (logsumexp_i - x_ij): all of them, their sum, or their sum
//              over total: w[t] of all targets that are not ignored, or n of probabilities
//   backward:  grad_x_ij = (exp(x_ij - logsumexp_i) sum_k q_ik w_k - q_ij w_j) g_i, 0 if ignored;
//              grad_p_ij = (1 - s) w_j (logsumexp_i - x_ij) g_i
//
// Three passes over a row forward (maximum, exponentials, loss) and two backward, all but the first
// of them in cache; nothing of the size of x is stored. Every term of a loss has the sign of its
// weight. Sums of rows: pairwise in pieces that depend on the shape alone. Targets are checked
// before anything is written.
//
// Source: Szegedy et al., "Rethinking the Inception architecture", 2016 (label smoothing).
#include "ops/class_labels.h"
#include "ops/softmax_exp.h"
#include "runtime/parallel.h"
#include "simd/math.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kRowsPiece = 8192;  // elements per piece of a parallel loop
constexpr int kSlot = 3;          // of the pool's scratch: the pieces' sums

inline idx rows_per_piece(idx c) { return c < kRowsPiece ? kRowsPiece / (c > 0 ? c : 1) : 1; }

template <class T>
struct Smoothing {
    T kept;    // 1 - s
    T spread;  // s / c
    Smoothing(double s, idx c)
        : kept(static_cast<T>(1.0 - s)), spread(c > 0 ? static_cast<T>(s / double(c)) : T(0)) {}
};

template <class T>
struct RowStart {
    T top;
    T log_sum;  // logsumexp = top + log_sum
};

template <class T>
inline RowStart<T> start_row(const T* row, idx c) {
    const T top = c > 0 ? row_max(row, c) : T(0);
    const Vec<T> shift = broadcast(top);
    const T sum = blocked_sum<T, 4>(c, [row, shift](idx j, auto span) {
        return exp_masked(load_span(row + j, span, kLeast<T>) - shift);
    });
    return {top, log(broadcast(sum))[0]};
}

template <class T, class Span>
FASTNN_SIMD_INLINE Vec<T> times_weight(Vec<T> v, const T* weight, idx j, Span span) {
    return weight == nullptr ? v : v * load_span(weight + j, span);
}

template <class T>
inline T weight_sum(const T* weight, idx c) {
    if (weight == nullptr) return static_cast<T>(c);
    return blocked_sum<T, 4>(c, [weight](idx j, auto span) { return load_span(weight + j, span); });
}

// loss_of(i, row) for every row, reduced as asked for.
template <class T, class F>
inline Status reduce_rows(idx n, idx c, T* loss, idx reduction, T total, const F& loss_of) {
    const idx piece = rows_per_piece(c);
    const idx pieces = (n + piece - 1) / piece;
    T* sums = nullptr;
    if (reduction != kNone && pieces > 0) {
        sums = static_cast<T*>(pool_scratch(static_cast<std::size_t>(pieces) * sizeof(T), kSlot));
        if (sums == nullptr) return Status::kNoMemory;
    }
    parallel_for(n, piece, [&](idx begin, idx end) {
        PairwiseSum<T> sum;
        for (idx i = begin; i < end; ++i) {
            const T value = loss_of(i);
            if (sums == nullptr) {
                loss[i] = value;
            } else {
                sum.add(value);
            }
        }
        if (sums != nullptr) sums[begin / piece] = sum.total();
    });
    if (reduction == kNone) return Status::kOk;
    PairwiseSum<T> sum;
    for (idx k = 0; k < pieces; ++k) sum.add(sums[k]);
    *loss = reduction == kMean ? sum.total() / total : sum.total();
    return Status::kOk;
}

inline bool bad_call(idx reduction, idx size, idx n, double smoothing) {
    if (reduction < kNone || reduction > kSum) return true;
    return size != (reduction == kNone ? n : 1) || !(smoothing >= 0.0 && smoothing <= 1.0);
}

}  // namespace

template <class T>
Status smooth_cross_entropy_forward(In<T> x, In<std::int64_t> target, In<T> weight, Out<T> loss,
                                    Out<T> logsumexp, Out<T> total, idx reduction, idx ignore_index,
                                    double smoothing) {
    const idx n = x.shape[0];
    const idx c = x.shape[1];
    if (bad_call(reduction, loss.size, n, smoothing)) return Status::kBadValue;
    T all = 0;
    if (!weigh_targets(target.data, n, c, weight.data, ignore_index, all)) return Status::kBadIndex;
    const Smoothing<T> s(smoothing, c);
    const T weights = weight_sum(weight.data, c);
    const T* w = weight.data;
    total.data[0] = all;
    return reduce_rows(n, c, loss.data, reduction, all, [&](idx i) {
        const T* row = x.data + i * c;
        const RowStart<T> at = start_row(row, c);
        logsumexp.data[i] = at.top + at.log_sum;
        const idx t = target.data[i];
        if (!is_class(t, c, ignore_index)) return T(0);
        const T hit = (at.top - row[t]) + at.log_sum;
        T value = s.kept * (w == nullptr ? hit : w[t] * hit);
        if (s.spread != T(0)) {
            const Vec<T> top = broadcast(at.top);
            const T top_value = at.top;
            const T sum = blocked_sum<T, 4>(c, [row, w, top, top_value](idx j, auto span) {
                return times_weight(top - load_span(row + j, span, top_value), w, j, span);
            });
            value += s.spread * (sum + weights * at.log_sum);
        }
        return value;
    });
}

template <class T>
Status smooth_cross_entropy_backward(In<T> x, In<std::int64_t> target, In<T> weight,
                                     In<T> logsumexp, In<T> total, In<T> grad_loss, Out<T> grad_x,
                                     idx reduction, idx ignore_index, double smoothing) {
    const idx n = x.shape[0];
    const idx c = x.shape[1];
    if (bad_call(reduction, grad_loss.size, n, smoothing)) return Status::kBadValue;
    T all = 0;
    if (!weigh_targets(target.data, n, c, weight.data, ignore_index, all)) return Status::kBadIndex;
    const Smoothing<T> s(smoothing, c);
    const T weights = weight_sum(weight.data, c);
    const T* w = weight.data;
    parallel_for(n, rows_per_piece(c), [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) {
            const T* row = x.data + i * c;
            T* out = grad_x.data + i * c;
            const idx t = target.data[i];
            if (!is_class(t, c, ignore_index)) {
                for (idx j = 0; j < c; ++j) out[j] = 0;
                continue;
            }
            T scale = grad_loss.data[reduction == kNone ? i : 0];
            if (reduction == kMean) scale /= total.data[0];
            const T hit = w == nullptr ? s.kept : s.kept * w[t];
            const T mass = hit + s.spread * weights;
            const Vec<T> g = broadcast(scale);
            const Vec<T> factor = broadcast(mass);
            const Vec<T> spread = broadcast(s.spread);
            const Vec<T> shift = broadcast(logsumexp.data[i]);
            for_spans<T>(c, [=](idx j, auto span) {
                const Vec<T> p = exp_masked(load_span(row + j, span) - shift);
                store_span<T>(out + j, (p * factor - times_weight(spread, w, j, span)) * g, span);
            });
            const T own = w == nullptr ? s.spread : s.spread * w[t];
            out[t] = (exp(broadcast(row[t]) - shift)[0] * mass - (own + hit)) * scale;
        }
    });
    return Status::kOk;
}

template <class T>
Status soft_cross_entropy_forward(In<T> x, In<T> target, In<T> weight, Out<T> loss,
                                  Out<T> logsumexp, idx reduction, double smoothing) {
    const idx n = x.shape[0];
    const idx c = x.shape[1];
    if (bad_call(reduction, loss.size, n, smoothing)) return Status::kBadValue;
    const Smoothing<T> s(smoothing, c);
    const T* w = weight.data;
    return reduce_rows(n, c, loss.data, reduction, static_cast<T>(n), [&](idx i) {
        const T* row = x.data + i * c;
        const T* p = target.data + i * c;
        const RowStart<T> at = start_row(row, c);
        logsumexp.data[i] = at.top + at.log_sum;
        const Vec<T> top = broadcast(at.top);
        const Vec<T> log_sum = broadcast(at.log_sum);
        const Vec<T> kept = broadcast(s.kept);
        const Vec<T> spread = broadcast(s.spread);
        return blocked_sum<T, 2>(c, [=](idx j, auto span) {
            const Vec<T> miss = (top - load_span(row + j, span)) + log_sum;
            const Vec<T> q = kept * load_span(p + j, span) + spread;
            return only(times_weight(q, w, j, span) * miss, span);
        });
    });
}

template <class T>
Status soft_cross_entropy_backward(In<T> x, In<T> target, In<T> weight, In<T> logsumexp,
                                   In<T> grad_loss, Out<T> grad_x, Out<T> grad_target,
                                   idx reduction, double smoothing) {
    const idx n = x.shape[0];
    const idx c = x.shape[1];
    if (bad_call(reduction, grad_loss.size, n, smoothing)) return Status::kBadValue;
    const Smoothing<T> s(smoothing, c);
    const T* w = weight.data;
    parallel_for(n, rows_per_piece(c), [&](idx begin, idx end) {
        const Vec<T> kept = broadcast(s.kept);
        const Vec<T> spread = broadcast(s.spread);
        for (idx i = begin; i < end; ++i) {
            const T* row = x.data + i * c;
            const T* p = target.data + i * c;
            T* by_x = grad_x.data == nullptr ? nullptr : grad_x.data + i * c;
            T* by_p = grad_target.data == nullptr ? nullptr : grad_target.data + i * c;
            T scale = grad_loss.data[reduction == kNone ? i : 0];
            if (reduction == kMean) scale /= static_cast<T>(n);
            const T mass = blocked_sum<T, 4>(c, [=](idx j, auto span) {
                const Vec<T> q = kept * load_span(p + j, span) + spread;
                return only(times_weight(q, w, j, span), span);
            });
            const Vec<T> g = broadcast(scale);
            const Vec<T> factor = broadcast(mass);
            const Vec<T> shift = broadcast(logsumexp.data[i]);
            for_spans<T>(c, [=](idx j, auto span) {
                const Vec<T> v = load_span(row + j, span) - shift;
                if (by_x != nullptr) {
                    const Vec<T> q = kept * load_span(p + j, span) + spread;
                    const Vec<T> slope = exp_masked(v) * factor - times_weight(q, w, j, span);
                    store_span<T>(by_x + j, slope * g, span);
                }
                if (by_p != nullptr) {
                    store_span<T>(by_p + j, times_weight(-v * kept, w, j, span) * g, span);
                }
            });
        }
    });
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(smooth_cross_entropy_forward,
          "x(n,c) target(n) weight?(c) loss(*) logsumexp(n) total(1) reduction ignore_index "
          "smoothing",
          kPlain, smooth_cross_entropy_forward<float>, smooth_cross_entropy_forward<double>)
FASTNN_OP(smooth_cross_entropy_backward,
          "x(n,c) target(n) weight?(c) logsumexp(n) total(1) grad_loss(*) grad_x(n,c) reduction "
          "ignore_index smoothing",
          kPlain, smooth_cross_entropy_backward<float>, smooth_cross_entropy_backward<double>)
FASTNN_OP(soft_cross_entropy_forward,
          "x(n,c) target(n,c) weight?(c) loss(*) logsumexp(n) reduction smoothing", kPlain,
          soft_cross_entropy_forward<float>, soft_cross_entropy_forward<double>)
FASTNN_OP(soft_cross_entropy_backward,
          "x(n,c) target(n,c) weight?(c) logsumexp(n) grad_loss(*) grad_x?(n,c) "
          "grad_target?(n,c) reduction smoothing",
          kPlain, soft_cross_entropy_backward<float>, soft_cross_entropy_backward<double>)
