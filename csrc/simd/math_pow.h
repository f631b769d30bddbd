// SPDX-License-Identifier: BSD-3-Clause
// x^y = exp(y log|x|) with a sign, in double. The product magnifies the error of the logarithm by
// up to 745, so for doubles log|x| is a sum of two numbers, some 64 bits, and only the last steps
// round: error below 3 ulp. Floats are computed as doubles, where the plain logarithm has bits to
// spare.
//
//   log(x) = k ln 2 + 2 s + s^3 (2/3 + 2/5 s^2 + 2/7 s^4 + ...), s = f / (2 + f), x = 2^k (1 + f)
//
// The leading terms are pairs (hi, lo), |s| <= 0.172; from 2/5 on a double will do. Special values
// are those of IEEE 754-2019, 9.2.1: x^0 = 1^y = 1 whatever the other is, (-1)^(+-inf) = 1, NaN for
// finite x < 0 and finite y that is not whole.
//
// Sources: Dekker, "A floating-point technique for extending the available precision", 1971;
// Muller, "Elementary Functions", 3rd ed., 2016, on the power function.
#pragma once

#include "simd/math_exp.h"
#include "simd/math_log.h"

namespace fastnn::FASTNN_ISA {

struct DoublePair {
    VecD hi, lo;
};

// a + b for |a| >= |b|, exact.
FASTNN_SIMD_INLINE DoublePair sum_pair(VecD a, VecD b) {
    const VecD hi = a + b;
    return {hi, b - (hi - a)};
}

// a b, exact unless it over- or underflows.
FASTNN_SIMD_INLINE DoublePair product_pair(VecD a, VecD b) {
    const VecD hi = a * b;
    if constexpr (kFused) {
        return {hi, fma(a, b, -hi)};
    } else {
        // Halves of 26 bits, whose products are exact.
        const BitsOf<double> upper = BitsOf<double>{} + 0xfffffffff8000000u;
        const VecD a1 = from_bits<double>(as_bits(a) & upper);
        const VecD b1 = from_bits<double>(as_bits(b) & upper);
        const VecD a2 = a - a1;
        const VecD b2 = b - b1;
        return {hi, ((a1 * b1 - hi) + a1 * b2 + a2 * b1) + a2 * b2};
    }
}

// log(x) for finite x > 0.
FASTNN_SIMD_INLINE DoublePair log_pair(VecD x) {
    const LogReduced<VecD> red = log_reduce<double>(x);
    const VecD two = broadcast(2.0);
    // s = f / (2 + f) as a pair: the remainder of the division, divided again.
    const DoublePair d = sum_pair(two, red.f);
    const VecD s = red.f / d.hi;
    const DoublePair back = product_pair(s, d.hi);
    const VecD s_lo = (((red.f - back.hi) - back.lo) - s * d.lo) / d.hi;
    // s^3 (2/3 + q)
    const DoublePair square = product_pair(s, s);
    const VecD q = square.hi * poly(square.hi, 2.0 / 5, 2.0 / 7, 2.0 / 9, 2.0 / 11, 2.0 / 13,
                                    2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21, 2.0 / 23);
    const DoublePair factor = sum_pair(broadcast(2.0 / 3), q);
    const VecD factor_lo = factor.lo + broadcast(0x1.5555555555555p-55);  // 2/3 - its double
    const DoublePair cube = product_pair(square.hi, s);
    const VecD cube_lo = cube.lo + s * (square.lo + (s_lo + s_lo) * s) + square.hi * s_lo;
    const DoublePair term = product_pair(cube.hi, factor.hi);
    const VecD term_lo = term.lo + (cube.hi * factor_lo + cube_lo * factor.hi);
    // k ln 2 + 2 s + term, the largest first; k kLn2Hi is exact.
    using C = ExpConstants<double>;
    const DoublePair small = sum_pair(two * s, term.hi);
    const VecD small_lo = small.lo + (term_lo + two * s_lo);
    const VecD high = red.k * broadcast(C::kLn2Hi);
    const DoublePair both = sum_pair(high, small.hi);
    const DoublePair whole = DoublePair{select(red.k == VecD{}, small.hi, both.hi),
                                        select(red.k == VecD{}, VecD{}, both.lo)};
    const VecD lo = whole.lo + (small_lo + red.k * broadcast(C::kLn2Lo));
    return sum_pair(whole.hi, lo);
}

// exp(y log|x|) where both are finite and x is not 0.
FASTNN_SIMD_INLINE VecD pow_magnitude(VecD x, VecD y) {
    const DoublePair l = log_pair(x);
    const DoublePair p = product_pair(y, l.hi);
    const VecD rest = p.lo + y * l.lo;
    // Far out, where the result is 0 or inf, the rest may be inf - inf.
    const VecD e = select(abs(p.hi) < broadcast(800.0), rest, VecD{});
    const VecD power = exp(p.hi);
    // inf where it overflows, not inf + inf * e.
    return select(power < broadcast(__builtin_inf()), fma(power, e, power), power);
}

// Floats that were converted: no pair is needed.
FASTNN_SIMD_INLINE VecD pow_magnitude_of_floats(VecD x, VecD y) { return exp(y * log(x)); }

template <bool kOfFloats>
FASTNN_SIMD_INLINE VecD pow_all(VecD x, VecD y) {
    const VecD one = broadcast(1.0);
    const VecD inf = broadcast(__builtin_inf());
    const VecD a = abs(x);
    VecD size;
    if constexpr (kOfFloats) {
        size = pow_magnitude_of_floats(a, y);
    } else {
        const auto plain = (a > VecD{}) & (a < inf) & (abs(y) < inf);
        size = select(plain, pow_magnitude(select(plain, a, one), select(plain, y, one)),
                      exp(y * log(a)));
    }
    size = select((y == VecD{}) | ((a == one) & (y == y)), one, size);
    const auto whole = floor(y) == y;
    const VecD half = y * broadcast(0.5);
    const auto odd = whole & (floor(half) != half) & (abs(y) < inf);
    const auto negative = copysign(one, x) < VecD{};
    const VecD nan = broadcast(__builtin_nan(""));
    const VecD signed_size = select(negative & odd, -size, size);
    const auto no_root = (x < VecD{}) & (a < inf) & ~whole & (abs(y) < inf);
    return select((x == one) | (y == VecD{}), one, select(no_root, nan, signed_size));
}

}  // namespace fastnn::FASTNN_ISA
