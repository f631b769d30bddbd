// SPDX-License-Identifier: BSD-3-Clause
// Activations made of pieces, by rows of ops/elementwise.h; all but elu are bound by memory. NaN
// stays NaN, as comparisons with it are false. From the saved input x:
//
//   leaky_relu  x > 0 ? x : a x                          elu   x > 0 ? s x : s a (e^(r x) - 1)
//   hardtanh    min(max(x, low), high)                   threshold    x > t ? x : v
//   hardsigmoid min(max(x + 3, 0), 6) / 6                hardswish    x hardsigmoid(x)
//   hardshrink  |x| > l ? x : 0                          softshrink   sign(x) max(|x| - l, 0)
//   step        x > 0 ? 1 : 0, of gradient 0
//
// elu serves ELU (s = r = 1), SELU (fixed a and s) and CELU (r = 1 / a). Where a piece is constant
// the gradient is 0 whatever comes in.
#include "ops/elementwise.h"
#include "simd/math.h"
#include "simd/math_near.h"

namespace fastnn::FASTNN_ISA {

namespace {

template <class T>
struct LeakyRelu {
    T slope;
    Vec<T> value(Vec<T> x) const { return select(x > Vec<T>{}, x, x * broadcast(slope)); }
    Vec<T> gradient(Vec<T> x, Vec<T> g) const {
        return select(x > Vec<T>{}, g, g * broadcast(slope));
    }
};

template <class T>
struct Elu {
    T alpha, scale, rate;
    Vec<T> value(Vec<T> x) const {
        const Vec<T> low = broadcast(alpha * scale) * expm1(x * broadcast(rate));
        return select(x > Vec<T>{}, x * broadcast(scale), low);
    }
    Vec<T> gradient(Vec<T> x, Vec<T> g) const {
        const Vec<T> low = broadcast(alpha * scale * rate) * exp(x * broadcast(rate));
        return g * select(x > Vec<T>{}, broadcast(scale), low);
    }
};

template <class T>
struct Hardtanh {
    T low, high;
    Vec<T> value(Vec<T> x) const {
        const Vec<T> y = select(x < broadcast(low), broadcast(low), x);
        return select(y > broadcast(high), broadcast(high), y);
    }
    Vec<T> gradient(Vec<T> x, Vec<T> g) const {
        return select((x <= broadcast(low)) | (x >= broadcast(high)), Vec<T>{}, g);
    }
};

template <class T>
struct Threshold {
    T threshold, otherwise;
    Vec<T> value(Vec<T> x) const {
        return select(x <= broadcast(threshold), broadcast(otherwise), x);
    }
    Vec<T> gradient(Vec<T> x, Vec<T> g) const {
        return select(x <= broadcast(threshold), Vec<T>{}, g);
    }
};

// min(max(x + 3, 0), 6)
template <class T>
FASTNN_SIMD_INLINE Vec<T> six_steps(Vec<T> x) {
    const Vec<T> up = x + broadcast(T(3));
    const Vec<T> y = select(up < Vec<T>{}, Vec<T>{}, up);
    return select(y > broadcast(T(6)), broadcast(T(6)), y);
}

template <class T>
struct Hardsigmoid {
    Vec<T> value(Vec<T> x) const { return six_steps<T>(x) / broadcast(T(6)); }
    Vec<T> gradient(Vec<T> x, Vec<T> g) const {
        const auto flat = (x <= broadcast(T(-3))) | (x >= broadcast(T(3)));
        return select(flat, Vec<T>{}, g / broadcast(T(6)));
    }
};

template <class T>
struct Hardswish {
    Vec<T> value(Vec<T> x) const { return x * six_steps<T>(x) / broadcast(T(6)); }
    Vec<T> gradient(Vec<T> x, Vec<T> g) const {
        const Vec<T> between = g * (x / broadcast(T(3)) + broadcast(T(0.5)));
        const Vec<T> y = select(x >= broadcast(T(3)), g, between);
        return select(x <= broadcast(T(-3)), Vec<T>{}, y);
    }
};

template <class T>
struct Hardshrink {
    T lambd;
    Vec<T> value(Vec<T> x) const { return select(abs(x) <= broadcast(lambd), Vec<T>{}, x); }
    Vec<T> gradient(Vec<T> x, Vec<T> g) const {
        return select(abs(x) <= broadcast(lambd), Vec<T>{}, g);
    }
};

template <class T>
struct Softshrink {
    T lambd;
    Vec<T> value(Vec<T> x) const {
        const Vec<T> l = broadcast(lambd);
        const Vec<T> y = select(x > Vec<T>{}, x - l, x + l);
        return select(abs(x) <= l, Vec<T>{}, y);
    }
    Vec<T> gradient(Vec<T> x, Vec<T> g) const {
        return select(abs(x) <= broadcast(lambd), Vec<T>{}, g);
    }
};

template <class T>
struct Step {
    Vec<T> value(Vec<T> x) const { return select(x > Vec<T>{}, broadcast(T(1)), Vec<T>{}); }
    Vec<T> gradient(Vec<T>, Vec<T>) const { return Vec<T>{}; }
};

}  // namespace

}  // namespace fastnn::FASTNN_ISA

FASTNN_ROW(leaky_relu, LeakyRelu, 1, "x", " negative_slope")
FASTNN_ROW(elu, Elu, 3, "x", " alpha scale rate")
FASTNN_ROW(hardtanh, Hardtanh, 2, "x", " min_val max_val")
FASTNN_ROW(threshold, Threshold, 2, "x", " threshold value")
FASTNN_ROW(hardsigmoid, Hardsigmoid, 0, "x", "")
FASTNN_ROW(hardswish, Hardswish, 0, "x", "")
FASTNN_ROW(hardshrink, Hardshrink, 1, "x", " lambd")
FASTNN_ROW(softshrink, Softshrink, 1, "x", " lambd")
FASTNN_ROW(step, Step, 0, "x", "")
