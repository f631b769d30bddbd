// SPDX-License-Identifier: BSD-3-Clause
// Special functions, in == out allowed, outputs `=`: of one number erfc, erfinv, lgamma, digamma,
// sinc and logit, forward and backward, contiguous; of two hypot, logaddexp, logaddexp2 and xlogy,
// for arrays of one shape and any strides (0 where one was broadcast).
//
//   hypot       sqrt(x^2 + y^2), both scaled by a power of two where a square would leave the
//   range;
//               inf if one of both is infinite, whatever the other is
//   logaddexp   m + log(1 + e^-d), m the larger, d the distance;  logaddexp2: m + log2(1 + 2^-d)
//   xlogy       x log(y), 0 where x is 0 and y is a number
//
// Bound by arithmetic: vector code of simd/math_special.h, except for lgamma, which calls the C
// library for one lane at a time. Floats are computed in double, by blocks, which gives them all
// their digits. These functions are long and none of them is what a network spends its time with,
// so that each stands in the module once: there is one loop, which calls them through a pointer.
// An element's bits depend on its operands alone.
#include "ops/binary_plan.h"
#include "simd/math.h"
#include "simd/math_near.h"
#include "simd/math_special.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kSpecialPiece = 2048;
constexpr idx kBlock = 128;

// What a function is given beside its operands.
struct Limits {
    double low, high;
};
// Of two numbers, or a saved value and a gradient; of one number the second is ignored.
using Function = VecD (*)(VecD, VecD, const Limits&);
struct Call {
    Function function;
    Limits limits;
};

__attribute__((noinline)) void map_doubles(const Call& call, const double* a, const double* b,
                                           double* o, idx n) {
    map2<double>(a, b, o, n, [&call](VecD v, VecD w) { return call.function(v, w, call.limits); });
}

// As many floats as a vector has doubles.
typedef float HalfVec __attribute__((vector_size(kVecBytes / 2)));

template <class T>
__attribute__((noinline)) void widen(const T* from, idx step, idx n, double* to) {
    idx i = 0;
    if constexpr (sizeof(T) == 4) {
        for (; step == 1 && i + kLanes<double> <= n; i += kLanes<double>) {
            HalfVec v;
            __builtin_memcpy(&v, from + i, sizeof v);
            store<double>(to + i, __builtin_convertvector(v, VecD));
        }
    }
    for (; i < n; ++i) to[i] = static_cast<double>(from[i * step]);
}
template <class T>
__attribute__((noinline)) void narrow(const double* from, idx n, T* to, idx step) {
    idx i = 0;
    if constexpr (sizeof(T) == 4) {
        for (; step == 1 && i + kLanes<double> <= n; i += kLanes<double>) {
            const HalfVec v = __builtin_convertvector(load(from + i), HalfVec);
            __builtin_memcpy(to + i, &v, sizeof v);
        }
    }
    for (; i < n; ++i) to[i * step] = static_cast<T>(from[i]);
}

template <class T>
__attribute__((noinline)) void map_special(const Call& call, const T* a, idx sa, const T* b, idx sb,
                                           T* o, idx so, idx n) {
    if constexpr (std::is_same_v<T, double>) {
        if (sa == 1 && sb == 1 && so == 1) {
            map_doubles(call, a, b, o, n);
            return;
        }
    }
    const bool same = a == b && sa == sb;
    double left[kBlock];
    double right[kBlock];
    for (idx i = 0; i < n; i += kBlock) {
        const idx count = lesser(kBlock, n - i);
        widen(a + i * sa, sa, count, left);
        if (!same) widen(b + i * sb, sb, count, right);
        map_doubles(call, left, same ? left : right, left, count);
        narrow(left, count, o + i * so, so);
    }
}

template <class T>
__attribute__((noinline)) void each_pair(const Call& call, const StridedIn<T>& x,
                                         const StridedIn<T>& y, const StridedOut<T>& out) {
    const idx* const strides[] = {out.strides, x.strides, y.strides};
    const Plan<3> plan = make_plan(out.ndim, out.shape, strides, kSpecialPiece);
    const idx* step = plan.col_strides;
    for_rows(plan, kSpecialPiece, [&](const idx* at, idx n) {
        map_special<T>(call, x.data + at[1], step[1], y.data + at[2], step[2], out.data + at[0],
                       step[0], n);
    });
}

// Of contiguous arrays: one row.
template <class T>
__attribute__((noinline)) void each_special(const Call& call, const T* a, const T* b, T* o, idx n) {
    const idx step = 1;
    each_pair<T>(call, {a, n, 1, &n, &step}, {b, n, 1, &n, &step}, {o, n, 1, &n, &step});
}

template <Function kFunction, class T>
void values0(In<T> x, Out<T> y) {
    each_special<T>({kFunction, {}}, x.data, x.data, y.data, x.size);
}
template <Function kFunction, class T>
void gradients0(In<T> v, In<T> grad_y, Out<T> grad_x) {
    each_special<T>({kFunction, {}}, v.data, grad_y.data, grad_x.data, v.size);
}
// Rounded to the type of the array, with which they are compared.
template <class T>
Limits limits_of(double low) {
    const T least = static_cast<T>(low);
    return {static_cast<double>(least), static_cast<double>(T(1) - least)};
}
template <Function kFunction, class T>
void values1(In<T> x, Out<T> y, double low) {
    each_special<T>({kFunction, limits_of<T>(low)}, x.data, x.data, y.data, x.size);
}
template <Function kFunction, class T>
void gradients1(In<T> v, In<T> grad_y, Out<T> grad_x, double low) {
    each_special<T>({kFunction, limits_of<T>(low)}, v.data, grad_y.data, grad_x.data, v.size);
}
template <Function kFunction, class T>
void pairs(StridedIn<T> x, StridedIn<T> y, StridedOut<T> out) {
    each_pair<T>({kFunction, {}}, x, y, out);
}

// ---- of one number: value and slope ----

VecD erfc_value(VecD x, VecD, const Limits&) { return erfc(x); }
VecD erfc_slope(VecD x, VecD g, const Limits&) {
    return -g * broadcast(1.12837916709551257389615890312) * shared_exp(-x * x);
}

VecD erfinv_value(VecD x, VecD, const Limits&) { return erfinv(x); }
VecD erfinv_slope(VecD y, VecD g, const Limits&) {
    return g * broadcast(0.88622692545275801364908374167) * shared_exp(y * y);
}

// The sign of gamma goes into a variable of its own: lgamma has one for all threads.
VecD lgamma_value(VecD x, VecD, const Limits&) {
    int sign;
    for (int i = 0; i < kLanes<double>; ++i) x[i] = __builtin_lgamma_r(x[i], &sign);
    return x;
}
VecD digamma_value(VecD x, VecD, const Limits&) { return digamma(x); }
VecD lgamma_slope(VecD x, VecD g, const Limits& none) { return g * digamma_value(x, g, none); }
VecD digamma_slope(VecD x, VecD g, const Limits&) { return g * trigamma(x); }

VecD sinc_value(VecD x, VecD, const Limits&) { return sinc(x); }
VecD sinc_gradient(VecD x, VecD g, const Limits&) { return g * sinc_slope(x); }

// Held between low and high unless low is negative; beyond them the gradient is 0, or NaN.
VecD logit_value(VecD x, VecD, const Limits& at) {
    const VecD low = broadcast(at.low);
    const VecD high = broadcast(at.high);
    const VecD held = select(x < low, low, select(x > high, high, x));
    return logit(select(low >= VecD{}, held, x));
}
VecD logit_slope(VecD x, VecD g, const Limits& at) {
    const bool free = at.low < 0;
    const VecD one = broadcast(1.0);
    const VecD low = broadcast(free ? 0.0 : at.low);
    const VecD high = broadcast(free ? 1.0 : at.high);
    const VecD outside = broadcast(free ? __builtin_nan("") : 0.0);
    const VecD slope =
        select((x == VecD{}) | (x == one), broadcast(__builtin_inf()), one / (x * (one - x)));
    return select((x < low) | (x > high), outside, g * slope);
}

// ---- of two numbers ----

VecD hypot(VecD x, VecD y, const Limits&) {
    const VecD one = broadcast(1.0);
    const VecD inf = broadcast(__builtin_inf());
    const VecD a = abs(x);
    const VecD b = abs(y);
    const VecD larger = max(a, b);
    const auto small = larger < broadcast(0x1p-400);
    const auto large = larger > broadcast(0x1p+500);
    const VecD up = broadcast(0x1p+600);
    const VecD down = broadcast(0x1p-600);
    const VecD scale = select(small, up, select(large, down, one));
    const VecD back = select(small, down, select(large, up, one));
    const VecD u = a * scale;
    const VecD v = b * scale;
    return select((a == inf) | (b == inf), inf, sqrt(fma(u, u, v * v)) * back);
}

// -|x - y|, 0 for equal infinities.
FASTNN_SIMD_INLINE VecD minus_distance(VecD x, VecD y) {
    return select(x == y, VecD{}, -abs(x - y));
}

VecD logaddexp(VecD x, VecD y, const Limits&) {
    return add_log1p(max(x, y), shared_exp(minus_distance(x, y)));
}
VecD logaddexp2(VecD x, VecD y, const Limits&) {
    const VecD rest = add_log1p(VecD{}, exp2(minus_distance(x, y)));
    return fma(rest, broadcast(1.44269504088896340735992468100), max(x, y));
}
VecD xlogy(VecD x, VecD y, const Limits&) {
    return select((x == VecD{}) & (y == y), VecD{}, x * shared_log(y));
}

}  // namespace

}  // namespace fastnn::FASTNN_ISA

#define FASTNN_SPECIAL(NAME, COUNT, VALUE, SLOPE, SAVED, OPTIONS)                            \
    FASTNN_OP(NAME##_forward, "x(...) y(...)" OPTIONS,                                       \
              (COUNT) == 0 ? kInPlace | kAllocating : kInPlace, values##COUNT<VALUE, float>, \
              values##COUNT<VALUE, double>)                                                  \
    FASTNN_OP(NAME##_backward, SAVED "(...) grad_y(...) grad_x(...)" OPTIONS, kInPlace,      \
              gradients##COUNT<SLOPE, float>, gradients##COUNT<SLOPE, double>)
#define FASTNN_PAIR(NAME)                                                                 \
    FASTNN_OP(NAME, "x(...) y(...) out(...)", kInPlace | kAllocating, pairs<NAME, float>, \
              pairs<NAME, double>)
FASTNN_SPECIAL(erfc, 0, erfc_value, erfc_slope, "x", "")
FASTNN_SPECIAL(erfinv, 0, erfinv_value, erfinv_slope, "y", "")
FASTNN_SPECIAL(lgamma, 0, lgamma_value, lgamma_slope, "x", "")
FASTNN_SPECIAL(digamma, 0, digamma_value, digamma_slope, "x", "")
FASTNN_SPECIAL(sinc, 0, sinc_value, sinc_gradient, "x", "")
FASTNN_SPECIAL(logit, 1, logit_value, logit_slope, "x", " low")
FASTNN_PAIR(hypot)
FASTNN_PAIR(logaddexp)
FASTNN_PAIR(logaddexp2)
FASTNN_PAIR(xlogy)
