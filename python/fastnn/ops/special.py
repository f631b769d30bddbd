# SPDX-License-Identifier: BSD-3-Clause
"""Special functions of one number: erfc, erfinv, lgamma, digamma, polygamma, sinc, logit; and the
linear ones deg2rad, rad2deg and frac.

    lgamma(x) = ln |gamma(x)|,  digamma = lgamma',  polygamma(n, x): the n-th derivative of digamma
    sinc(x) = sin(pi x) / (pi x)      logit(x) = ln(x / (1 - x))      frac(x) = x - trunc(x)

Shapes:   x (...) -> y (...); integers and bools become the default floating-point type.
Backward: the formulas of the rows below, from x or, where that is shorter, from y.
Source:   see `_special_arrays`, which computes them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops import _special_arrays as arrays
from fastnn.ops._elementwise import Elementwise, define, floating, floats_only, number
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops.rounding import trunc
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = Callable[[Tensor], Tensor]

_SCALE = 2.0 / math.sqrt(math.pi)


def _half_turns(m: Any, x: Any) -> tuple[Any, Any]:
    """(s, r) with sin(pi x) = s sin(r), cos(pi x) = s cos(r): r from the distance to the nearest
    whole number, which is exact, where a rounded pi x would lose its digits, and 0 for whole x."""
    n = m.round(x)
    return 1.0 - 2.0 * (n - 2.0 * m.floor(n * 0.5)), (x - n) * math.pi


def _sinc(m: Any, x: Any) -> Any:
    s, r = _half_turns(m, x)
    t = m.where(x == 0.0, 1.0, x * math.pi)
    return m.where(x == 0.0, 1.0, s * m.sin(r) / t)


def _sinc_slope(m: Any, x: Any, g: Any) -> Any:
    """Near 0, where the two terms cancel, by the series of its derivative."""
    s, r = _half_turns(m, x)
    t = m.where(m.abs(x) < 0.1, 1.0, x) * math.pi
    z = m.where(m.abs(x) < 0.1, x, 0.0) * math.pi
    series = 1.0
    for divisor in (130.0, 88.0, 54.0, 28.0, 10.0):
        series = 1.0 - z * z / divisor * series
    slope = s * (m.cos(r) - m.sin(r) / t) / t
    return g * math.pi * m.where(m.abs(x) < 0.1, z / -3.0 * series + 0.0, slope)


def _logit(m: Any, x: Any, low: float) -> Any:
    z = x
    if low >= 0.0:
        high = 1.0 - low
        z = m.where(x < low, low, m.where(x > high, high, x))
    return m.log(z / (1.0 - z))


def _logit_slope(m: Any, x: Any, g: Any, low: float) -> Any:
    a = max(low, 0.0)
    outside = math.nan if low < 0.0 else 0.0
    # 0 and -0 alike
    slope = m.where((x == 0.0) | (x == 1.0), math.inf, 1.0 / (x * (1.0 - x)))
    return m.where((x < a) | (x > 1.0 - a), outside, g * slope)


def _polygamma_slope(m: Any, x: Any, g: Any, n: int) -> Any:
    if hasattr(m, "library"):
        return g * arrays.polygamma(m.library, n + 1, x)
    return g * m.polygamma(n + 1, x)


def _digamma_of(m: Any, x: Any) -> Any:
    return arrays.digamma(m.library, x) if hasattr(m, "library") else m.digamma(x)


Erfc = define(
    "erfc",
    lambda m, x: arrays.erfc(m.library, m.erf, x),
    lambda m, x, g: -g * _SCALE * m.exp(-x * x),
)
Erfinv = define(
    "erfinv",
    lambda m, x: arrays.erfinv(m.library, m.erf, x),
    lambda m, y, g: g / _SCALE * m.exp(y * y),
    saves_output=True,
)
Lgamma = define(
    "lgamma", lambda m, x: arrays.lgamma(m.library, x), lambda m, x, g: g * _digamma_of(m, x)
)
Digamma = define(
    "digamma",
    lambda m, x: arrays.digamma(m.library, x),
    lambda m, x, g: _polygamma_slope(m, x, g, 0),
)
Polygamma = define(
    "polygamma", lambda m, x, n: arrays.polygamma(m.library, int(n), x), _polygamma_slope
)
Sinc = define("sinc", _sinc, _sinc_slope)
Logit = define("logit", _logit, _logit_slope)


def _function(op: type[Elementwise], what: str) -> Function:
    name = op.name

    def function(input: Tensor) -> Tensor:
        return op.apply((floating(name, input),))  # type: ignore[no-any-return]

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{what}, elementwise, as torch.{name}.

    Shapes: input (...) -> (...); integers and bools become the default floating-point type.
    Raises TypeError for no tensor.
    """
    return function


erfc: Function = _function(Erfc, "1 - erf(input), without loss of digits where it is small")
erfinv: Function = _function(
    Erfinv, "The number whose error function is input: infinite at -1 and 1, NaN beyond"
)
lgamma: Function = _function(
    Lgamma, "ln |gamma(input)|, the logarithm of (input - 1)!; infinite at 0, -1, -2, ..."
)
digamma: Function = _function(
    Digamma, "The derivative of lgamma: infinite at 0 and NaN at -1, -2, ..."
)
sinc: Function = _function(Sinc, "sin(pi x) / (pi x), 1 at 0")


def polygamma(n: Any, input: Any) -> Tensor:
    """The n-th derivative of digamma, elementwise, as torch.polygamma: n from 0 to 170. As a method
    the tensor comes first, ``input.polygamma(n)``, and so it may here.

    Shapes: input (...) -> (...); integers and bools become the default floating-point type.
    Infinite at 0, -1, -2, ...   Raises TypeError for no tensor and for an n that is no int,
    RuntimeError for an n outside of 0 to 170, beyond which n! is no number of double precision.
    """
    if isinstance(n, Tensor) and not isinstance(input, Tensor):
        n, input = input, n
    x = floating("polygamma", input)
    n = _common.integer("polygamma", "n", n)
    if not 0 <= n <= 170:
        message = f"polygamma: expected n in [0, 170], got {n}; the order of digamma is 0"
        raise RuntimeError(message)
    return digamma(x) if n == 0 else Polygamma.apply((x,), n)


def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """ln(x / (1 - x)), the inverse of sigmoid, elementwise, as torch.logit; NaN outside of [0, 1].

    eps: input is first held between eps and 1 - eps, beyond which the gradient is 0.
    Shapes: input (...) -> (...); integers and bools become the default floating-point type.
    Raises TypeError for no tensor and for an eps that is no number.
    """
    x = floating("logit", input)
    low = -1.0 if eps is None else number("logit", "eps", eps)
    return Logit.apply((x,), low)  # type: ignore[no-any-return]


def deg2rad(input: Tensor) -> Tensor:
    """Degrees as radians, input * pi / 180, as torch.deg2rad.

    Shapes: input (...) -> (...); integers and bools become the default floating-point type.
    Raises TypeError for no tensor.
    """
    return floating("deg2rad", input) * (math.pi / 180.0)


def rad2deg(input: Tensor) -> Tensor:
    """Radians as degrees, input * 180 / pi, as torch.rad2deg.

    Shapes: input (...) -> (...); integers and bools become the default floating-point type.
    Raises TypeError for no tensor.
    """
    return floating("rad2deg", input) * (180.0 / math.pi)


def frac(input: Tensor) -> Tensor:
    """The fraction that trunc leaves, of the sign of input, as torch.frac; NaN for infinities.

    Shapes: input (...) -> (...).   Raises TypeError for no tensor, RuntimeError for integers and
    bools.
    """
    x = floats_only("frac", input)
    return x - trunc(x.detach())


erfc_: InPlace[[]] = in_place(erfc, "erfc_forward")
erfinv_: InPlace[[]] = in_place(erfinv, "erfinv_forward")
lgamma_: InPlace[[]] = in_place(lgamma, "lgamma_forward")
digamma_: InPlace[[]] = in_place(digamma, "digamma_forward")
sinc_: InPlace[[]] = in_place(sinc, "sinc_forward")
logit_: InPlace[...] = in_place(logit)
polygamma_: InPlace[...] = in_place(polygamma)
deg2rad_: InPlace[[]] = in_place(deg2rad)
rad2deg_: InPlace[[]] = in_place(rad2deg)
frac_: InPlace[[]] = in_place(frac)


def _each(function: Callable[[float], float]) -> Callable[..., Any]:
    def plain(x: Any) -> Any:
        xp = array_module(x)
        return xp.asarray([function(float(v)) for v in x.flat], x.dtype).reshape(x.shape)

    return plain


def _slow_erfinv(y: float) -> float:
    low, high = -7.0, 7.0
    for _ in range(80):
        middle = (low + high) / 2.0
        low, high = (middle, high) if math.erf(middle) < y else (low, middle)
    return low


def _slow_polygamma(n: int, x: float) -> float:
    """By the recurrence up to 60 and the first terms of the series there."""
    terms = []
    sign = (-1.0) ** (n + 1) * math.factorial(n)
    while x < 60.0:
        terms.append(sign * x ** (-n - 1.0))
        x += 1.0
    if n == 0:
        return math.fsum([*terms, math.log(x), -0.5 / x, -1 / 12 / x**2, 1 / 120 / x**4])
    rest = math.factorial(n - 1) * x**-n + math.factorial(n) / 2 * x ** (-n - 1)
    rest += math.factorial(n + 1) / 12 * x ** (-n - 2) - math.factorial(n + 3) / 720 * x ** (-n - 4)
    rest += math.factorial(n + 5) / 30240 * x ** (-n - 6)
    return math.fsum([*terms, (-1.0) ** (n + 1) * rest])


# function, plain NumPy, range of the random inputs
_FAMILY: tuple[tuple[Any, Any, tuple[float, float]], ...] = (
    (erfc, _each(math.erfc), (-3.0, 5.0)),
    (erfinv, _each(_slow_erfinv), (-0.95, 0.95)),
    (lgamma, _each(math.lgamma), (-0.9, 12.0)),
    (digamma, _each(lambda x: _slow_polygamma(0, x)), (0.2, 12.0)),
    (sinc, _each(lambda x: math.sin(math.pi * x) / (math.pi * x)), (0.01, 3.0)),
    (logit, lambda x: array_module(x).log(x) - array_module(x).log1p(-x), (0.05, 0.95)),
    (deg2rad, lambda x: x * (math.pi / 180), (-180.0, 180.0)),
    (rad2deg, lambda x: x * (180 / math.pi), (-3.0, 3.0)),
    (frac, lambda x: x - array_module(x).sign(x) * (array_module(x).abs(x) // 1), (1.1, 1.9)),
)
CASES = [
    *(
        OpCase(f, f.__name__, [(3, 5)], ref=ref, low=low, high=high)
        for f, ref, (low, high) in _FAMILY
    ),
    OpCase(lgamma, "lgamma", [(0, 4)], ref=lambda x: x),
    OpCase(erfc, "erfc", [()], ref=_FAMILY[0][1]),
    OpCase(sinc, "sinc", [(7,)], ref=_FAMILY[4][1], low=0.001, high=0.09),
    *(
        OpCase(
            polygamma,
            "polygamma",
            [n, (2, 5)],
            ref=lambda n, x: _each(lambda v: _slow_polygamma(n, v))(x),
            low=0.3,
            high=14.0,
        )
        for n in (0, 1, 2)
    ),
    OpCase(
        logit,
        "logit",
        [(9,)],
        {"eps": 0.25},
        lambda x, eps: -array_module(x).log(1.0 / x.clip(eps, 1.0 - eps) - 1.0),
        low=0.02,
        high=0.98,
        kink=0.25,
    ),
]
ERRORS = [
    *(
        case
        for f, _, _ in _FAMILY
        for case in (
            ErrorCase(f, f.__name__, [1.0], TypeError, "expected input as a Tensor"),
            ErrorCase(f, f.__name__, [None], TypeError, "NoneType"),
            ErrorCase(f, f.__name__, ["a"], TypeError, "fastnn.tensor"),
        )
    ),
    ErrorCase(frac, "frac", [("int", (3,), 0, 9)], RuntimeError, "floating-point type"),
    ErrorCase(logit, "logit", [(3,)], TypeError, "eps as a number", {"eps": "a"}),
    ErrorCase(polygamma, "polygamma", [1, 1.0], TypeError, "expected input as a Tensor"),
    ErrorCase(polygamma, "polygamma", [-1, (3,)], RuntimeError, "n in [0, 170], got -1"),
    ErrorCase(polygamma, "polygamma", [171, (3,)], RuntimeError, "n in [0, 170], got 171"),
    ErrorCase(polygamma, "polygamma", [1.5, (3,)], TypeError, "expected n as an int"),
]
