# SPDX-License-Identifier: BSD-3-Clause
"""Special functions that NumPy lacks, on arrays: erfc, erfinv, lgamma, digamma, the Hurwitz zeta
function. To a few units in the last place of double precision; what is below it is computed in it.

Sources: Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964: 6.1.41 (Stirling's
series), 6.1.33 (series of ln gamma), 6.1.17 (reflection), 6.3.18 (digamma), 23.1.30 (Euler's and
Maclaurin's sum); for erfc and erfinv see there.
"""

from __future__ import annotations

import math
from typing import Any

_EULER = 0.5772156649015329  # Euler's constant
# Bernoulli's numbers B2, B4, ... B24.
_BERNOULLI = (
    *(1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798),
    *(-174611 / 330, 854513 / 138, -236364091 / 2730),
)


def _zeta_less_one(s: int) -> float:
    """The sum of n^-s from n = 2 on."""
    last = 12
    terms = [n**-s for n in range(last - 1, 1, -1)]
    rising = float(s)
    for j, b in enumerate(_BERNOULLI[:8], 1):
        terms.append(b / math.factorial(2 * j) * rising * last ** (1.0 - s - 2 * j))
        rising *= (s + 2 * j - 1) * (s + 2 * j)
    return math.fsum([*terms, last ** (1.0 - s) / (s - 1), 0.5 * last**-s])


# ln gamma(2 + z) = z (c1 + z (c2 + ...)): each is below a quarter of the one before, for |z| < .5.
_LOG_GAMMA = (
    1.0 - _EULER,
    *((-1.0) ** k * _zeta_less_one(k) / k for k in range(2, 30)),
)


def widened(x: Any) -> Any:
    """The array in double precision, if it is of less."""
    return x.astype("float64") if x.dtype.itemsize < 8 or x.dtype.kind != "f" else x


def sine_of_pi(xp: Any, x: Any) -> Any:
    """|sin(pi x)|, exactly 0 for whole x."""
    return xp.abs(xp.sin(math.pi * (x - xp.rint(x))))


def lgamma(xp: Any, x: Any) -> Any:
    """ln |gamma(x)|; infinite at 0, -1, -2, ..."""
    x = widened(x)
    a = xp.where(x < 0.5, 1.0 - x, x)  # >= 0.5; smaller x by reflection
    # To [1.5, 2.5) where the series is: down by division, or once up.
    b = xp.where(a < 10.0, a, 2.0)
    product = xp.ones_like(b)
    for _ in range(8):
        high = b >= 2.5
        b = xp.where(high, b - 1.0, b)
        product = xp.where(high, product * b, product)
    low = b < 1.5
    z = xp.where(low, b - 1.0, b - 2.0)
    series = xp.full_like(z, _LOG_GAMMA[-1])
    for c in _LOG_GAMMA[-2::-1]:
        series = series * z + c
    near = z * series + xp.where(low, -xp.log1p(b - 1.0), xp.log(product))
    large = xp.where(a < 10.0, 10.0, a)
    far = (large - 0.5) * (xp.log(large) - 1.0) - 0.5 + 0.5 * math.log(2.0 * math.pi)
    for k, c in enumerate(_BERNOULLI[:8], 1):
        far = far + c / (2 * k * (2 * k - 1)) / large ** (2 * k - 1)
    out = xp.where(a < 10.0, near, far)
    out = xp.where(x < 0.5, math.log(math.pi) - xp.log(sine_of_pi(xp, x)) - out, out)
    return xp.where(xp.isinf(x), xp.abs(x), out)


def digamma(xp: Any, x: Any) -> Any:
    """The derivative of ln gamma: -inf and inf at 0 and -0, NaN at -1, -2, ..."""
    x = widened(x)
    b = xp.where(x < 0.5, 1.0 - x, x)
    total = xp.zeros_like(b)
    for _ in range(10):
        low = b < 10.0
        total = total - xp.where(low, 1.0 / b, 0.0)
        b = xp.where(low, b + 1.0, b)
    total = total + xp.log(b) - 0.5 / b
    for k, c in enumerate(_BERNOULLI[:8], 1):
        total = total - c / (2 * k) / b ** (2 * k)
    cotangent = math.pi / xp.tan(math.pi * (x - xp.rint(x)))
    out = xp.where(x < 0.5, total - cotangent, total)
    out = xp.where((x < 0.0) & (x == xp.floor(x)), math.nan, out)
    return xp.where(x == 0.0, -xp.copysign(xp.full_like(x, math.inf), x), out)


def _zeta_of_positive(xp: Any, s: int, q: Any) -> Any:
    """The sum of (q + k)^-s over k >= 0, for q >= 0."""
    far = 10.0 + s  # from where Euler's and Maclaurin's terms fall by a factor of 5 and more
    total = xp.zeros_like(q)
    b = q
    for _ in range(10 + s):
        low = b < far
        total = total + xp.where(low, b ** (-s), 0.0)
        b = xp.where(low, b + 1.0, b)
    power = b ** (-s)
    total = total + power * (b / (s - 1) + 0.5)
    rising = float(s)
    for j, c in enumerate(_BERNOULLI, 1):
        total = total + c / math.factorial(2 * j) * rising * power / b ** (2 * j - 1)
        rising *= (s + 2 * j - 1) * (s + 2 * j)
    return xp.where(xp.isinf(q), 0.0, total)


def zeta(xp: Any, s: int, q: Any) -> Any:
    """Hurwitz' zeta function, the sum of (q + k)^-s over k >= 0, for a whole s > 1; infinite at
    0, -1, -2, ... Of negative q the terms below 0 are those of a sum above 0."""
    q = widened(q)
    negative = q < 0.0
    first = xp.where(negative, q - xp.floor(q), xp.abs(q))  # 0 and -0 alike
    out = _zeta_of_positive(xp, s, first)
    if negative.any():
        # 1 - first, but from q itself, in which a distance from a whole number keeps its digits.
        other = xp.where(negative, (xp.floor(q) + 1.0) - q, 1.0)
        last = xp.where(negative, 1.0 - q, 1.0)
        rest = _zeta_of_positive(xp, s, other) - _zeta_of_positive(xp, s, last)
        out = out + xp.where(negative, (-1.0) ** s * rest, 0.0)
    return out


def polygamma(xp: Any, n: int, x: Any) -> Any:
    """The derivative of order n of digamma: (-1)^(n+1) n! zeta(n + 1, x)."""
    if n == 0:
        return digamma(xp, x)
    factor = float(math.factorial(n)) if n <= 170 else math.inf
    return (-1.0) ** (n + 1) * factor * zeta(xp, n + 1, x)


def erfc(xp: Any, erf: Any, x: Any) -> Any:
    """1 - erf(x) without loss of digits where it is small.

    Below 1 by ``erf``; above by the sum and its correction that `ArrayMath.erf` names.
    """
    x = widened(x)
    a = xp.minimum(xp.where(x < 1.0, 1.0, x), 110.0)  # 0 in every type beyond; NaN passes
    step = 0.4375
    total = 0.5 / (a * a)
    for k in range(1, 17):
        square = (k * step) ** 2
        total = total + math.exp(-square) / (square + a * a)
    # a^2 to the last digit, of which exp would make thousands: h^2 is exact, the rest is small.
    h = a.astype("float32").astype(a.dtype)
    small = xp.exp(-h * h) * xp.exp(-(a - h) * (a + h))
    tail = 2.0 * step * a / math.pi * small * total
    correction = 2.0 / xp.expm1(2.0 * math.pi * a / step)
    tail = tail - xp.where(a < math.pi / step, correction, 0.0)
    return xp.where(x < 1.0, 1.0 - erf(xp.where(x < 1.0, x, 0.0)), xp.where(xp.isnan(x), x, tail))


def erfinv(xp: Any, erf: Any, y: Any) -> Any:
    """The x of erf(x) = y: infinite at 1 and -1, NaN beyond.

    A first guess (a series; from .5 on Winitzki's formula, 2008), then Halley's steps, of which
    each makes three times as many digits right; near 1 they are of erfc, which has them.
    """
    y = widened(y)
    a = xp.abs(y)
    inside = xp.where(a < 1.0, a, 0.0)
    t = math.pi / 4.0 * inside * inside
    small = inside * (1.0 + t * (1 / 3 + t * (7 / 30 + t * (127 / 630 + t * (4369 / 22680)))))
    small = small * (math.sqrt(math.pi) / 2.0)
    rest = 1.0 - inside
    log = xp.log(rest * (1.0 + inside))
    k = 2.0 / (math.pi * 0.147) + 0.5 * log
    x = xp.where(inside < 0.5, small, xp.sqrt(xp.sqrt(k * k - log / 0.147) - k))
    for _ in range(3):
        slope = 2.0 / math.sqrt(math.pi) * xp.exp(-x * x)
        miss = xp.where(inside < 0.5, erf(x) - inside, rest - erfc(xp, erf, x)) / slope
        x = x - miss / (1.0 + x * miss)
    x = xp.where(a == 1.0, math.inf, xp.where(a < 1.0, x, math.nan))
    return xp.copysign(x, y)
