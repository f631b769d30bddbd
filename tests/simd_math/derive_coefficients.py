# SPDX-License-Identifier: BSD-3-Clause
"""Derive the polynomial coefficients of csrc/simd/math_*.h. Needs mpmath; takes some minutes.

    python derive_coefficients.py

For each function f and weight w it looks for the coefficients c that minimise the largest value of

    | w(x) (f(x) - sum over k of c[k] x^k) |        on an interval [a, b],

by Remez's exchange algorithm (Cheney, "Introduction to Approximation Theory", 1966), on a fine grid
of Chebyshev points. Coefficients must be rounded to float or double in the end. The errors of the
low ones count most, so they are rounded one after the other, and those that are still free are
fitted again each time; of all stages the one with the smallest error is kept. Prints, for each
polynomial, the base-2 logarithm of the error before and after rounding, and the coefficients from
the constant upwards, as they stand in the headers.
"""

from __future__ import annotations

import bisect
import functools
import sys
from collections.abc import Callable, Sequence

import mpmath as mp

mp.mp.prec = 400

Number = mp.mpf
Function = Callable[[Number], Number]

ONE = mp.mpf(1)
FLOAT, DOUBLE = 24, 53
GRID_PER_COEFFICIENT = 40
CHECK_POINTS = 2000
MOST_EXCHANGES = 80  # reached where the error of what is rounded already dominates
CONVERGED = mp.mpf("1.001")  # largest error on the grid over that on the reference


def chebyshev_points(a: Number, b: Number, count: int) -> list[Number]:
    """Neither end, and for an even count not the middle, where functions may be 0 / 0."""
    middle, radius = (a + b) / 2, (b - a) / 2
    return [middle - radius * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]


def exchange(reference: list[int], errors: Sequence[Number], entering: int) -> list[int]:
    """Put a point into the reference for a neighbour of equal sign: signs go on alternating."""
    sign = mp.sign(errors[entering])
    after = bisect.bisect(reference, entering)
    for neighbour in (after - 1, after):
        if 0 <= neighbour < len(reference) and mp.sign(errors[reference[neighbour]]) == sign:
            return [*reference[:neighbour], entering, *reference[neighbour + 1 :]]
    return [entering, *reference[:-1]] if after == 0 else [*reference[1:], entering]


def remez(
    f: Function, w: Function, lowest: int, highest: int, a: Number, b: Number
) -> list[Number]:
    """Minimax coefficients of x^lowest ... x^highest."""
    count = highest - lowest + 1
    points = chebyshev_points(a, b, GRID_PER_COEFFICIENT * (highest + 1))
    # Divided by x^lowest the problem is one for all powers from 0, whose errors alternate.
    values = [f(x) / x**lowest for x in points]
    weights = [w(x) * abs(x) ** lowest for x in points]
    powers = [[x**k for k in range(count)] for x in points]
    last = len(points) - 1
    reference = [round(last * (1 - mp.cos(mp.pi * i / count)) / 2) for i in range(count + 1)]
    coefficients: list[Number] = []
    for _ in range(MOST_EXCHANGES):
        matrix, right = mp.matrix(count + 1, count + 1), mp.matrix(count + 1, 1)
        for row, i in enumerate(reference):
            for k in range(count):
                matrix[row, k] = powers[i][k]
            matrix[row, count] = (-1) ** row / weights[i]
            right[row] = values[i]
        solution = mp.lu_solve(matrix, right)
        coefficients = [solution[k] for k in range(count)]
        errors = [
            weight * (value - mp.fdot(coefficients, row))
            for weight, value, row in zip(weights, values, powers, strict=True)
        ]
        worst = max(range(len(errors)), key=lambda i: abs(errors[i]))
        if abs(errors[worst]) <= abs(solution[count]) * CONVERGED:
            break
        reference = exchange(reference, errors, worst)
    return coefficients


def rounded(x: Number, precision: int) -> Number:
    with mp.workprec(precision):
        return +x


def fit(
    name: str,
    f: Function,
    w: Function,
    degree: int,
    interval: tuple[Number, Number],
    precision: int,
    given: Sequence[Number] = (),
) -> None:
    """Fit, round and print. `given` are the lowest coefficients, if they are prescribed."""
    a, b = interval
    fixed = list(given)
    stages: list[list[Number]] = []
    minimax: list[Number] = []
    while len(fixed) <= degree:
        known = list(fixed)
        free = remez(
            lambda x, known=known: f(x) - mp.polyval(known[::-1] or [0], x),
            w,
            len(known),
            degree,
            a,
            b,
        )
        minimax = minimax or [*known, *free]
        stages.append([*known, *(rounded(c, precision) for c in free)])
        fixed.append(rounded(free[0], precision))
    points = [a + (b - a) * i / CHECK_POINTS for i in range(CHECK_POINTS + 1)]
    samples = [(x, f(x), w(x)) for x in points]

    def error(coefficients: list[Number]) -> Number:
        return max(
            abs(weight * (value - mp.polyval(coefficients[::-1], x)))
            for x, value, weight in samples
        )

    best = min(stages, key=error)
    before, after = (float(mp.log(error(c), 2)) for c in (minimax, best))
    sys.stdout.write(f"{name}: 2^{before:.2f}, rounded 2^{after:.2f}\n")
    for coefficient in best:
        sys.stdout.write(f"    {float(coefficient).hex()}\n")
    sys.stdout.flush()


def log_remainder(x: Number) -> Number:
    """(log(1 + x) - x + x^2 / 2) / x^3"""
    return ONE / 3 - x / 4 if abs(x) < 1e-15 else (mp.log1p(x) - x + x * x / 2) / x**3


def atanh_remainder(z: Number) -> Number:
    """(2 atanh(s) / s - 2) / z at z = s^2"""
    s = mp.sqrt(z)
    return (mp.log((1 + s) / (1 - s)) / s - 2) / z


def tanh_remainder(z: Number) -> Number:
    """(tanh(x) / x - 1) / z at z = x^2"""
    x = mp.sqrt(z)
    return -ONE / 3 + 2 * z / 15 - 17 * z * z / 315 if z < 1e-12 else (mp.tanh(x) / x - 1) / z


def erf_remainder(z: Number) -> Number:
    """erf(x) / x - 1 at z = x^2"""
    x = mp.sqrt(z)
    return 2 / mp.sqrt(mp.pi) - 1 if z < 1e-20 else mp.erf(x) / x - 1


def log_erfc(t: Number) -> Number:
    return mp.log(mp.erfc(1 + t))


def log1p_remainder(e: Number) -> Number:
    """(log(1 + e) - e) / e^2"""
    return -ONE / 2 + e / 3 - e * e / 4 if e < 1e-15 else (mp.log1p(e) - e) / (e * e)


def normal_tail(t: Number) -> Number:
    """F(-t), F being the normal distribution function."""
    return mp.erfc(t / mp.sqrt(2)) / 2


def gelu_tail(t: Number) -> Number:
    """The slope of gelu at -t, (F(-t) - t f(t)) over exp(-t^2 / 2)."""
    return mp.exp(t * t / 2) * normal_tail(t) - t / mp.sqrt(2 * mp.pi)


def erfc_scaled(k: Number) -> Function:
    """(1 + 2 a) exp(a^2) erfc(a) at t = (a - k) / (a + k)"""

    @functools.cache
    def f(t: Number) -> Number:
        a = k * (1 + t) / (1 - t)
        return (1 + 2 * a) * mp.exp(a * a) * mp.erfc(a)

    return f


@functools.cache
def erfinv_ratio(w: Number) -> Number:
    """erfinv(x) / x at w = -log(1 - x^2)"""
    if w < mp.mpf("1e-30"):
        return mp.sqrt(mp.pi) / 2
    x = mp.sqrt(-mp.expm1(-w))
    return mp.erfinv(x) / x


def sin_ratio(z: Number) -> Number:
    """sin(pi r) / r at z = r^2"""
    r = mp.sqrt(z)
    return mp.pi if z < mp.mpf("1e-60") else mp.sin(mp.pi * r) / r


def cosine(z: Number) -> Number:
    """cos(pi r) at z = r^2"""
    return mp.cos(mp.pi * mp.sqrt(z))


def main() -> None:
    half_ln2 = mp.log(2) / 2 * mp.mpf("1.001")  # n is rounded from an inexact x / ln 2
    for degree, precision in ((6, FLOAT), (11, DOUBLE)):
        interval = (-half_ln2, half_ln2)
        fit("exp", mp.exp, lambda x: mp.exp(-x), degree, interval, precision, [ONE, ONE])

    margin = mp.mpf("1.0005")
    low, high = (mp.sqrt(ONE / 2) - 1) * margin, (mp.sqrt(2 * ONE) - 1) * margin
    fit("log, float", log_remainder, lambda x: x**3 / mp.log1p(x), 7, (low, high), FLOAT)
    z_end = ((mp.sqrt(2 * ONE) - 1) / (mp.sqrt(2 * ONE) + 1) * margin) ** 2
    fit("log, double", atanh_remainder, lambda z: z, 6, (mp.mpf("1e-30"), z_end), DOUBLE)

    z_range = (mp.mpf("1e-9"), mp.mpf("0.55") ** 2)
    for degree, precision in ((4, FLOAT), (9, DOUBLE)):
        fit(
            "tanh below 0.55",
            tanh_remainder,
            lambda z: z / (1 + z * tanh_remainder(z)),
            degree,
            z_range,
            precision,
        )

    for degree, precision in ((6, FLOAT), (11, DOUBLE)):
        unit = (mp.mpf(0), ONE)
        fit(
            "erf below 1",
            erf_remainder,
            lambda z: 1 / (1 + erf_remainder(z)),
            degree,
            unit,
            precision,
        )
    for degree, end, precision in ((6, "3.95", FLOAT), (17, "5.95", DOUBLE)):
        beyond = (mp.mpf(0), mp.mpf(end) - 1)
        fit("log(erfc(1 + t))", log_erfc, lambda t: mp.erfc(1 + t), degree, beyond, precision)
    single()
    special()


def special() -> None:
    """In simd/math_special.h."""
    k, a, b = mp.mpf("3.75"), ONE / 2, mp.mpf("27.3")
    f = erfc_scaled(k)
    interval = ((a - k) / (a + k), (b - k) / (b + k))
    fit("erfc, scaled", f, lambda t: 1 / f(t), 20, interval, DOUBLE)
    for degree, middle, low, high, power in (
        (21, "2.5", "0", "5", 1),
        (19, "3", "2.236", "4", 2),
        (17, "5", "4", "6.08", 2),
    ):
        c = mp.mpf(middle)

        def ratio(t: Number, c: Number = c, power: int = power) -> Number:
            return erfinv_ratio((t + c) ** power)

        fit(
            f"erfinv(x) / x around {middle}, power {power}",
            ratio,
            lambda t, ratio=ratio: 1 / ratio(t),
            degree,
            (mp.mpf(low) - c, mp.mpf(high) - c),
            DOUBLE,
        )
    until = (mp.mpf("1e-20"), ONE / 16)
    fit("sin(pi r) / r", sin_ratio, lambda z: 1 / sin_ratio(z), 6, until, DOUBLE)
    fit("cos(pi r)", cosine, lambda z: 1 / cosine(z), 7, until, DOUBLE, [ONE])


def single() -> None:
    """What only float has: in simd/math_near.h and simd/math_normal.h."""
    half = mp.mpf("0.5001")
    fit("exp2", lambda x: mp.mpf(2) ** x, lambda x: mp.mpf(2) ** -x, 6, (-half, half), FLOAT, [ONE])
    unit = (mp.mpf("1e-6"), ONE)
    fit("log1p", log1p_remainder, lambda e: e * e / mp.log1p(e), 9, unit, FLOAT)
    fit(
        "log2(F(-t))",
        lambda t: mp.log(normal_tail(t), 2),
        lambda t: normal_tail(t) * mp.log(2),
        8,
        (mp.mpf(0), mp.mpf("5.9")),
        FLOAT,
    )
    until = (mp.mpf(0), mp.mpf("5.5"))
    fit("slope of gelu", gelu_tail, lambda t: mp.exp(-t * t / 2), 11, until, FLOAT, [ONE / 2])


if __name__ == "__main__":
    main()
