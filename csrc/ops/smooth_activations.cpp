// SPDX-License-Identifier: BSD-3-Clause
// Smooth activations, by rows of ops/elementwise.h, with the vector functions of simd/math.h; bound
// by arithmetic. From the saved input x; F is the normal distribution function, f its density, s
// the logistic function:
//
//   gelu        x F(x)                                   dy/dx = F(x) + x f(x)
//   gelu_tanh   x (1 + tanh(u)) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3)
//   silu        x s(x)                                   dy/dx = s(x) (1 + x (1 - s(x)))
//   mish        x tanh(log(1 + e^x))
//   softplus    log(1 + e^(b x)) / b, x where b x > t    dy/dx = s(b x)
//   logsigmoid  log s(x) = min(x, 0) - log(1 + e^-|x|)   dy/dx = s(-x)
//   softsign    x / (1 + |x|)                            dy/dx = 1 / (1 + |x|)^2
//   tanhshrink  x - tanh(x)                              dy/dx = tanh(x)^2
//
// Sources: Hendrycks and Gimpel 2016 (GELU); Elfwing, Uchibe and Doya 2018 (SiLU); Misra 2019.
#include "ops/elementwise.h"
#include "simd/math.h"
#include "simd/math_near.h"
#include "simd/math_normal.h"

namespace fastnn::FASTNN_ISA {

namespace {

template <class T>
struct Gelu {
    Vec<T> value(Vec<T> x) const { return x * normal_cdf(x); }
    Vec<T> gradient(Vec<T> x, Vec<T> g) const { return g * gelu_slope(x); }
};

// (1 + tanh(u)) / 2 = s(2 u), which is half the work and keeps its digits where it is small.
template <class T>
struct GeluTanh {
    static constexpr T kScale = T(1.59576912160573071175978423974);  // 2 sqrt(2 / pi)
    static constexpr T kCubic = T(0.044715);
    Vec<T> gate(Vec<T> x) const {
        return sigmoid(broadcast(kScale) * (x + broadcast(kCubic) * x * x * x));
    }
    Vec<T> value(Vec<T> x) const { return x * gate(x); }
    Vec<T> gradient(Vec<T> x, Vec<T> g) const {
        const Vec<T> one = broadcast(T(1));
        const Vec<T> s = gate(x);
        const Vec<T> slope = broadcast(kScale) * (one + broadcast(T(3) * kCubic) * x * x);
        return g * (s + x * (s * (one - s)) * slope);
    }
};

template <class T>
struct Silu {
    Vec<T> value(Vec<T> x) const { return x * sigmoid(x); }
    Vec<T> gradient(Vec<T> x, Vec<T> g) const {
        const Vec<T> one = broadcast(T(1));
        const Vec<T> s = sigmoid(x);
        return g * (s * (one + x * (one - s)));
    }
};

// With e = e^x: tanh(log(1 + e)) = ((1 + e)^2 - 1) / ((1 + e)^2 + 1) = n / (n + 2), n = e (e + 2).
// From x = 20 on it is 1, and e^40 has room in a float; its change, some 1e-17 there and not 0, is
// multiplied by 20, not by an x that may be 1e30.
template <class T>
struct Mish {
    struct Parts {
        Vec<T> e, n;
    };
    Parts parts(Vec<T> x) const {
        const Vec<T> e = exp(min(broadcast(T(20)), x));
        return {e, e * (e + broadcast(T(2)))};
    }
    Vec<T> value(Vec<T> x) const {
        const Parts p = parts(x);
        return x * (p.n / (p.n + broadcast(T(2))));
    }
    Vec<T> gradient(Vec<T> x, Vec<T> g) const {
        const Parts p = parts(x);
        const Vec<T> below = p.n + broadcast(T(2));
        const Vec<T> change = broadcast(T(4)) * p.e * (p.e + broadcast(T(1))) / (below * below);
        return g * (p.n / below + min(broadcast(T(20)), x) * change);
    }
};

template <class T>
struct Softplus {
    T beta, threshold, inverse;
    Softplus(T b, T t) : beta(b), threshold(t), inverse(T(1) / b) {}
    Vec<T> value(Vec<T> x) const {
        const Vec<T> z = x * broadcast(beta);
        return select(z > broadcast(threshold), x, log1p_exp(z) * broadcast(inverse));
    }
    Vec<T> gradient(Vec<T> x, Vec<T> g) const {
        const Vec<T> z = x * broadcast(beta);
        return select(z > broadcast(threshold), g, g * sigmoid(z));
    }
};

template <class T>
struct LogSigmoid {
    Vec<T> value(Vec<T> x) const { return min(Vec<T>{}, x) - log1p_exp(-abs(x)); }
    Vec<T> gradient(Vec<T> x, Vec<T> g) const { return g * sigmoid(-x); }
};

template <class T>
struct Softsign {
    Vec<T> value(Vec<T> x) const { return x / (broadcast(T(1)) + abs(x)); }
    Vec<T> gradient(Vec<T> x, Vec<T> g) const {
        const Vec<T> d = broadcast(T(1)) + abs(x);
        return g / (d * d);
    }
};

template <class T>
struct Tanhshrink {
    Vec<T> value(Vec<T> x) const { return x - tanh(x); }
    Vec<T> gradient(Vec<T> x, Vec<T> g) const {
        const Vec<T> t = tanh(x);
        return g * (t * t);
    }
};

}  // namespace

}  // namespace fastnn::FASTNN_ISA

FASTNN_ROW(gelu, Gelu, 0, "x", "")
FASTNN_ROW(gelu_tanh, GeluTanh, 0, "x", "")
FASTNN_ROW(silu, Silu, 0, "x", "")
FASTNN_ROW(mish, Mish, 0, "x", "")
FASTNN_ROW(softplus, Softplus, 2, "x", " beta threshold")
FASTNN_ROW(logsigmoid, LogSigmoid, 0, "x", "")
FASTNN_ROW(softsign, Softsign, 0, "x", "")
FASTNN_ROW(tanhshrink, Tanhshrink, 0, "x", "")
