// SPDX-License-Identifier: BSD-3-Clause
// Binary cross-entropy of probabilities and of logits (ops/losses.h says how losses are run). w is
// weight, p is pos_weight, t = target; a weight that is absent is 1:
//
//   binary_cross_entropy              -w (t max(log x, -100) + (1 - t) max(log(1 - x), -100))
//   binary_cross_entropy_with_logits   w (p t s(-x) + (1 - t) s(x)),  s(x) = log(1 + exp(x))
//
// x outside of [0, 1] is refused by the first, in a pass of its own, before anything is written.
// The second has no difference of large numbers: s(-x) and s(x) are positive.
#include "ops/losses.h"
#include "simd/math.h"
#include "simd/math_near.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kMathPiece = 8192;

template <class T, class Span>
FASTNN_SIMD_INLINE Vec<T> weighted(const T* weight, idx i, Span span, Vec<T> v) {
    return weight == nullptr ? v : v * load_span(weight + i, span);
}

template <class T>
struct BinaryCrossEntropy {
    const T* x;
    const T* target;
    const T* weight;
    static constexpr idx kPiece = kMathPiece;
    static constexpr int kWays = 2;

    // max with the number on the right: NaN of log would become -100, but x is in [0, 1].
    static FASTNN_SIMD_INLINE Vec<T> bounded(Vec<T> v) { return max(v, broadcast(T(-100))); }

    template <class Span>
    FASTNN_SIMD_INLINE Vec<T> value(idx i, Span span) const {
        const Vec<T> v = load_span(x + i, span);
        const Vec<T> t = load_span(target + i, span);
        const Vec<T> miss = (t - broadcast(T(1))) * bounded(log1p(-v));
        return weighted(weight, i, span, miss - t * bounded(log(v)));
    }
    template <class Span>
    FASTNN_SIMD_INLINE Slopes<T> slopes(idx i, Span span) const {
        const Vec<T> v = load_span(x + i, span);
        const Vec<T> t = load_span(target + i, span);
        // As bounded as the logarithms are: the slope at x = 0 is finite.
        const Vec<T> spread = max((broadcast(T(1)) - v) * v, broadcast(T(1e-12)));
        return {weighted(weight, i, span, (v - t) / spread),
                weighted(weight, i, span, bounded(log1p(-v)) - bounded(log(v)))};
    }
};

template <class T>
struct LogitCrossEntropy {
    const T* x;
    const T* target;
    const T* weight;
    const T* pos_weight;
    static constexpr idx kPiece = kMathPiece;
    static constexpr int kWays = 2;

    template <class Span>
    FASTNN_SIMD_INLINE Vec<T> value(idx i, Span span) const {
        const Vec<T> zero = broadcast(T(0));
        const Vec<T> v = load_span(x + i, span);
        const Vec<T> t = load_span(target + i, span);
        const Vec<T> rest = log1p(exp(-abs(v)));
        const Vec<T> hit = weighted(pos_weight, i, span, t) * (rest + max(-v, zero));
        return weighted(weight, i, span, hit + (broadcast(T(1)) - t) * (rest + max(v, zero)));
    }
    template <class Span>
    FASTNN_SIMD_INLINE Slopes<T> slopes(idx i, Span span) const {
        const Vec<T> zero = broadcast(T(0));
        const Vec<T> one = broadcast(T(1));
        const Vec<T> v = load_span(x + i, span);
        const Vec<T> t = load_span(target + i, span);
        const Vec<T> small = exp(-abs(v));
        const Vec<T> big = one / (one + small);
        const Vec<T> high = select(v >= zero, big, small * big);  // sigmoid(x)
        const Vec<T> low = select(v >= zero, small * big, big);   // sigmoid(-x)
        const Vec<T> by_x = (one - t) * high - weighted(pos_weight, i, span, t) * low;
        Vec<T> by_target = -v;
        if (pos_weight != nullptr) {
            const Vec<T> rest = log1p(small);
            by_target =
                load_span(pos_weight + i, span) * (rest + max(-v, zero)) - (rest + max(v, zero));
        }
        return {weighted(weight, i, span, by_x), weighted(weight, i, span, by_target)};
    }
};

}  // namespace

template <class T>
Status binary_cross_entropy_forward(In<T> x, In<T> target, In<T> weight, Out<T> loss, bool reduce,
                                    double divisor) {
    const idx pieces = (x.size + kMathPiece - 1) / kMathPiece;
    T* bad = static_cast<T*>(pool_scratch(static_cast<std::size_t>(pieces) * sizeof(T), kLossSlot));
    if (bad == nullptr) return Status::kNoMemory;
    parallel_for(x.size, kMathPiece, [&](idx begin, idx end) {
        const T* from = x.data + begin;
        MaskOf<T> outside = {};
        for_spans<T>(end - begin, [from, &outside](idx i, auto span) {
            const Vec<T> v = load_span(from + i, span);
            outside |= ~((v >= broadcast(T(0))) & (v <= broadcast(T(1))));
        });
        const Vec<T> flags = select(outside != MaskOf<T>{}, broadcast(T(1)), broadcast(T(0)));
        bad[begin / kMathPiece] = reduce_max(flags);
    });
    for (idx k = 0; k < pieces; ++k) {
        if (bad[k] != T(0)) return Status::kBadValue;
    }
    const BinaryCrossEntropy<T> of{x.data, target.data, weight.data};
    return losses_forward<T>(of, x.size, loss, reduce, divisor);
}

template <class T>
Status binary_cross_entropy_backward(In<T> x, In<T> target, In<T> weight, In<T> grad_loss,
                                     Out<T> grad_x, Out<T> grad_target, bool reduce,
                                     double divisor) {
    const BinaryCrossEntropy<T> of{x.data, target.data, weight.data};
    return losses_backward<T>(of, x.size, grad_loss, grad_x, grad_target, reduce, divisor);
}

template <class T>
Status binary_cross_entropy_with_logits_forward(In<T> x, In<T> target, In<T> weight,
                                                In<T> pos_weight, Out<T> loss, bool reduce,
                                                double divisor) {
    const LogitCrossEntropy<T> of{x.data, target.data, weight.data, pos_weight.data};
    return losses_forward<T>(of, x.size, loss, reduce, divisor);
}

template <class T>
Status binary_cross_entropy_with_logits_backward(In<T> x, In<T> target, In<T> weight,
                                                 In<T> pos_weight, In<T> grad_loss, Out<T> grad_x,
                                                 Out<T> grad_target, bool reduce, double divisor) {
    const LogitCrossEntropy<T> of{x.data, target.data, weight.data, pos_weight.data};
    return losses_backward<T>(of, x.size, grad_loss, grad_x, grad_target, reduce, divisor);
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(binary_cross_entropy_forward, "x(...) target(...) weight?(...) loss(*) reduce divisor",
          kPlain, binary_cross_entropy_forward<float>, binary_cross_entropy_forward<double>)
FASTNN_OP(binary_cross_entropy_backward,
          "x(...) target(...) weight?(...) grad_loss(*) grad_x?(...) grad_target?(...) reduce "
          "divisor",
          kPlain, binary_cross_entropy_backward<float>, binary_cross_entropy_backward<double>)
FASTNN_OP(binary_cross_entropy_with_logits_forward,
          "x(...) target(...) weight?(...) pos_weight?(...) loss(*) reduce divisor", kPlain,
          binary_cross_entropy_with_logits_forward<float>,
          binary_cross_entropy_with_logits_forward<double>)
FASTNN_OP(binary_cross_entropy_with_logits_backward,
          "x(...) target(...) weight?(...) pos_weight?(...) grad_loss(*) grad_x?(...) "
          "grad_target?(...) reduce divisor",
          kPlain, binary_cross_entropy_with_logits_backward<float>,
          binary_cross_entropy_with_logits_backward<double>)
