// SPDX-License-Identifier: BSD-3-Clause
// Losses of an element of x against a target t (ops/losses.h says how they are run). d = x - t:
//
//   mse_loss        d^2
//   l1_loss         |d|
//   smooth_l1_loss  |d| < beta ? d^2 / (2 beta) : |d| - beta / 2
//   huber_loss      |d| < delta ? d^2 / 2 : delta (|d| - delta / 2)
//   kl_div          t (log t - x), 0 - t x at t = 0; with log_target exp(t) (t - x)
//
// Memory-bound but for kl_div. Sources: Huber 1964; Girshick, "Fast R-CNN", 2015 (smooth_l1_loss);
// Kullback and Leibler 1951.
#include "ops/losses.h"
#include "simd/math.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kCheapPiece = 65536;
constexpr idx kMathPiece = 8192;

template <class T>
FASTNN_SIMD_INLINE Vec<T> sign(Vec<T> v) {
    const Vec<T> zero = broadcast(T(0));
    // NaN stays NaN.
    return select(v > zero, broadcast(T(1)), select(v < zero, broadcast(T(-1)), v + zero));
}

// The losses of differences: grad_target = -grad_x.
template <class T>
struct Difference {
    const T* x;
    const T* target;
    static constexpr idx kPiece = kCheapPiece;
    static constexpr int kWays = 4;

    template <class Span>
    FASTNN_SIMD_INLINE Vec<T> at(idx i, Span span) const {
        return load_span(x + i, span) - load_span(target + i, span);
    }
};

template <class T>
struct SquaredError : Difference<T> {
    template <class Span>
    FASTNN_SIMD_INLINE Vec<T> value(idx i, Span span) const {
        const Vec<T> d = this->at(i, span);
        return d * d;
    }
    template <class Span>
    FASTNN_SIMD_INLINE Slopes<T> slopes(idx i, Span span) const {
        const Vec<T> d = this->at(i, span);
        return {d + d, -(d + d)};
    }
};

template <class T>
struct AbsoluteError : Difference<T> {
    template <class Span>
    FASTNN_SIMD_INLINE Vec<T> value(idx i, Span span) const {
        return abs(this->at(i, span));
    }
    template <class Span>
    FASTNN_SIMD_INLINE Slopes<T> slopes(idx i, Span span) const {
        const Vec<T> s = sign<T>(this->at(i, span));
        return {s, -s};
    }
};

template <class T>
struct SmoothError : Difference<T> {
    T beta;
    template <class Span>
    FASTNN_SIMD_INLINE Vec<T> value(idx i, Span span) const {
        const Vec<T> half = broadcast(T(0.5));
        const Vec<T> b = broadcast(beta);
        const Vec<T> d = abs(this->at(i, span));
        return select(d < b, half * d * d / b, d - half * b);
    }
    template <class Span>
    FASTNN_SIMD_INLINE Slopes<T> slopes(idx i, Span span) const {
        const Vec<T> b = broadcast(beta);
        const Vec<T> d = this->at(i, span);
        const Vec<T> s = select(abs(d) < b, d / b, sign<T>(d));
        return {s, -s};
    }
};

template <class T>
struct HuberError : Difference<T> {
    T delta;
    template <class Span>
    FASTNN_SIMD_INLINE Vec<T> value(idx i, Span span) const {
        const Vec<T> half = broadcast(T(0.5));
        const Vec<T> b = broadcast(delta);
        const Vec<T> d = abs(this->at(i, span));
        return select(d < b, half * d * d, b * (d - half * b));
    }
    template <class Span>
    FASTNN_SIMD_INLINE Slopes<T> slopes(idx i, Span span) const {
        const Vec<T> b = broadcast(delta);
        const Vec<T> d = this->at(i, span);
        const Vec<T> s = select(abs(d) < b, d, b * sign<T>(d));
        return {s, -s};
    }
};

template <class T>
struct Divergence {
    const T* x;
    const T* target;
    static constexpr idx kPiece = kMathPiece;
    static constexpr int kWays = 2;

    template <class Span>
    FASTNN_SIMD_INLINE Vec<T> value(idx i, Span span) const {
        const Vec<T> zero = broadcast(T(0));
        const Vec<T> t = load_span(target + i, span);
        return select(t == zero, zero, t * log(t)) - t * load_span(x + i, span);
    }
    template <class Span>
    FASTNN_SIMD_INLINE Slopes<T> slopes(idx i, Span span) const {
        const Vec<T> t = load_span(target + i, span);
        return {-t, log(t) + broadcast(T(1)) - load_span(x + i, span)};
    }
};

template <class T>
struct LogDivergence {
    const T* x;
    const T* target;
    static constexpr idx kPiece = kMathPiece;
    static constexpr int kWays = 2;

    template <class Span>
    FASTNN_SIMD_INLINE Vec<T> value(idx i, Span span) const {
        const Vec<T> t = load_span(target + i, span);
        return exp(t) * (t - load_span(x + i, span));
    }
    template <class Span>
    FASTNN_SIMD_INLINE Slopes<T> slopes(idx i, Span span) const {
        const Vec<T> t = load_span(target + i, span);
        const Vec<T> p = exp(t);
        return {-p, p * (t - load_span(x + i, span)) + p};
    }
};

}  // namespace

template <template <class> class Loss, class T>
Status forward0(In<T> x, In<T> target, Out<T> loss, bool reduce, double divisor) {
    return losses_forward<T>(Loss<T>{{x.data, target.data}}, x.size, loss, reduce, divisor);
}
template <template <class> class Loss, class T>
Status forward1(In<T> x, In<T> target, Out<T> loss, bool reduce, double divisor, double option) {
    const Loss<T> of{{x.data, target.data}, static_cast<T>(option)};
    return losses_forward<T>(of, x.size, loss, reduce, divisor);
}
template <template <class> class Loss, class T>
Status backward0(In<T> x, In<T> target, In<T> grad_loss, Out<T> grad_x, Out<T> grad_target,
                 bool reduce, double divisor) {
    const Loss<T> of{{x.data, target.data}};
    return losses_backward<T>(of, x.size, grad_loss, grad_x, grad_target, reduce, divisor);
}
template <template <class> class Loss, class T>
Status backward1(In<T> x, In<T> target, In<T> grad_loss, Out<T> grad_x, Out<T> grad_target,
                 bool reduce, double divisor, double option) {
    const Loss<T> of{{x.data, target.data}, static_cast<T>(option)};
    return losses_backward<T>(of, x.size, grad_loss, grad_x, grad_target, reduce, divisor);
}

template <class T>
Status kl_div_forward(In<T> x, In<T> target, Out<T> loss, bool reduce, double divisor,
                      bool log_target) {
    if (log_target) {
        const LogDivergence<T> of{x.data, target.data};
        return losses_forward<T>(of, x.size, loss, reduce, divisor);
    }
    const Divergence<T> of{x.data, target.data};
    return losses_forward<T>(of, x.size, loss, reduce, divisor);
}

template <class T>
Status kl_div_backward(In<T> x, In<T> target, In<T> grad_loss, Out<T> grad_x, Out<T> grad_target,
                       bool reduce, double divisor, bool log_target) {
    if (log_target) {
        const LogDivergence<T> of{x.data, target.data};
        return losses_backward<T>(of, x.size, grad_loss, grad_x, grad_target, reduce, divisor);
    }
    const Divergence<T> of{x.data, target.data};
    return losses_backward<T>(of, x.size, grad_loss, grad_x, grad_target, reduce, divisor);
}

}  // namespace fastnn::FASTNN_ISA

#define FASTNN_LOSS(NAME, OPTION, FORWARD, BACKWARD, LOSS)                                      \
    FASTNN_OP(NAME##_forward, "x(...) target(...) loss(*) reduce divisor" OPTION, kPlain,       \
              FORWARD<LOSS, float>, FORWARD<LOSS, double>)                                      \
    FASTNN_OP(                                                                                  \
        NAME##_backward,                                                                        \
        "x(...) target(...) grad_loss(*) grad_x?(...) grad_target?(...) reduce divisor" OPTION, \
        kPlain, BACKWARD<LOSS, float>, BACKWARD<LOSS, double>)

FASTNN_LOSS(mse_loss, "", forward0, backward0, SquaredError)
FASTNN_LOSS(l1_loss, "", forward0, backward0, AbsoluteError)
FASTNN_LOSS(smooth_l1_loss, " beta", forward1, backward1, SmoothError)
FASTNN_LOSS(huber_loss, " delta", forward1, backward1, HuberError)

FASTNN_OP(kl_div_forward, "x(...) target(...) loss(*) reduce divisor log_target", kPlain,
          kl_div_forward<float>, kl_div_forward<double>)
FASTNN_OP(
    kl_div_backward,
    "x(...) target(...) grad_loss(*) grad_x?(...) grad_target?(...) reduce divisor log_target",
    kPlain, kl_div_backward<float>, kl_div_backward<double>)
