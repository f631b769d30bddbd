# SPDX-License-Identifier: BSD-3-Clause
"""Elementwise maths: roots, powers of two, logarithms, trigonometric and hyperbolic functions, erf.

Shapes:   x (...) -> y (...); integers and bools become the default floating-point type.
Backward: the formulas of the table below, from x or, where that is shorter, from y.
Saved:    x or y.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fastnn._backend import array_module
from fastnn.ops._elementwise import Elementwise, define, floating
from fastnn.ops._in_place import InPlace, in_place
from fastnn.testing import ErrorCase, OpCase

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastnn.tensor import Tensor

    Function = Callable[[Tensor], Tensor]

_LN2 = math.log(2.0)
_LN10 = math.log(10.0)
_SCALE = 2.0 / math.sqrt(math.pi)


def _function(op: type[Elementwise], what: str) -> Function:
    """The public function of an operation."""
    name = op.name

    def function(input: Tensor) -> Tensor:
        return op.apply((floating(name, input),))  # type: ignore[no-any-return]

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{what}, elementwise, as torch.{name}; NaN outside of its domain.

    Shapes: input (...) -> (...); integers and bools become the default floating-point type.
    Raises TypeError for no tensor.
    """
    return function


def _from_x(name: str, what: str, value: Any, gradient: Any) -> Function:
    return _function(define(name, value, gradient), what)


def _from_y(name: str, what: str, value: Any, gradient: Any) -> Function:
    return _function(define(name, value, gradient, saves_output=True), what)


sqrt: Function = _from_y(
    "sqrt", "The square root", lambda m, x: m.sqrt(x), lambda _, y, g: g / (y + y)
)
rsqrt: Function = _from_y(
    "rsqrt",
    "One over the square root",
    lambda m, x: 1.0 / m.sqrt(x),
    lambda _, y, g: -0.5 * g * y * y * y,
)
reciprocal: Function = _from_y(
    "reciprocal", "1 / input", lambda _, x: 1.0 / x, lambda _, y, g: -g * y * y
)
exp2: Function = _from_y(
    "exp2", "2 to the power of input", lambda m, x: m.exp2(x), lambda _, y, g: g * y * _LN2
)
expm1: Function = _from_y(
    "expm1",
    "exp(input) - 1 without loss of digits near 0",
    lambda m, x: m.expm1(x),
    lambda _, y, g: g * (y + 1.0),
)
log2: Function = _from_x(
    "log2", "The logarithm to base 2", lambda m, x: m.log2(x), lambda _, x, g: g / (x * _LN2)
)
log10: Function = _from_x(
    "log10", "The logarithm to base 10", lambda m, x: m.log10(x), lambda _, x, g: g / (x * _LN10)
)
log1p: Function = _from_x(
    "log1p",
    "log(1 + input) without loss of digits near 0",
    lambda m, x: m.log1p(x),
    lambda _, x, g: g / (x + 1.0),
)
sin: Function = _from_x("sin", "The sine", lambda m, x: m.sin(x), lambda m, x, g: g * m.cos(x))
cos: Function = _from_x("cos", "The cosine", lambda m, x: m.cos(x), lambda m, x, g: -g * m.sin(x))
tan: Function = _from_y(
    "tan", "The tangent", lambda m, x: m.tan(x), lambda _, y, g: g * (1.0 + y * y)
)
asin: Function = _from_x(
    "asin", "The inverse sine", lambda m, x: m.asin(x), lambda m, x, g: g / m.sqrt(1.0 - x * x)
)
acos: Function = _from_x(
    "acos", "The inverse cosine", lambda m, x: m.acos(x), lambda m, x, g: -g / m.sqrt(1.0 - x * x)
)
atan: Function = _from_x(
    "atan", "The inverse tangent", lambda m, x: m.atan(x), lambda _, x, g: g / (1.0 + x * x)
)
sinh: Function = _from_x(
    "sinh", "The hyperbolic sine", lambda m, x: m.sinh(x), lambda m, x, g: g * m.cosh(x)
)
cosh: Function = _from_x(
    "cosh", "The hyperbolic cosine", lambda m, x: m.cosh(x), lambda m, x, g: g * m.sinh(x)
)
asinh: Function = _from_x(
    "asinh",
    "The inverse hyperbolic sine",
    lambda m, x: m.asinh(x),
    lambda m, x, g: g / m.sqrt(x * x + 1.0),
)
acosh: Function = _from_x(
    "acosh",
    "The inverse hyperbolic cosine",
    lambda m, x: m.acosh(x),
    lambda m, x, g: g / m.sqrt(x * x - 1.0),
)
atanh: Function = _from_x(
    "atanh",
    "The inverse hyperbolic tangent",
    lambda m, x: m.atanh(x),
    lambda _, x, g: g / (1.0 - x * x),
)
erf: Function = _from_x(
    "erf",
    "The error function 2/sqrt(pi) times the integral of exp(-t^2) from 0 to input",
    lambda m, x: m.erf(x),
    lambda m, x, g: g * _SCALE * m.exp(-x * x),
)

sqrt_: InPlace[[]] = in_place(sqrt, "sqrt_forward")
rsqrt_: InPlace[[]] = in_place(rsqrt, "rsqrt_forward")
reciprocal_: InPlace[[]] = in_place(reciprocal, "reciprocal_forward")
exp2_: InPlace[[]] = in_place(exp2, "exp2_forward")
expm1_: InPlace[[]] = in_place(expm1, "expm1_forward")
log2_: InPlace[[]] = in_place(log2, "log2_forward")
log10_: InPlace[[]] = in_place(log10, "log10_forward")
log1p_: InPlace[[]] = in_place(log1p, "log1p_forward")
sin_: InPlace[[]] = in_place(sin, "sin_forward")
cos_: InPlace[[]] = in_place(cos, "cos_forward")
tan_: InPlace[[]] = in_place(tan, "tan_forward")
asin_: InPlace[[]] = in_place(asin, "asin_forward")
acos_: InPlace[[]] = in_place(acos, "acos_forward")
atan_: InPlace[[]] = in_place(atan, "atan_forward")
sinh_: InPlace[[]] = in_place(sinh, "sinh_forward")
cosh_: InPlace[[]] = in_place(cosh, "cosh_forward")
asinh_: InPlace[[]] = in_place(asinh, "asinh_forward")
acosh_: InPlace[[]] = in_place(acosh, "acosh_forward")
atanh_: InPlace[[]] = in_place(atanh, "atanh_forward")
erf_: InPlace[[]] = in_place(erf, "erf_forward")


def _numpy(name: str) -> Any:
    return lambda x: getattr(array_module(x), name)(x)


def _plain_erf(x: Any) -> Any:
    xp = array_module(x)
    return xp.asarray([math.erf(float(v)) for v in x.flat], x.dtype).reshape(x.shape)


# function, plain NumPy, range of the random inputs
_FAMILY = (
    (sqrt, _numpy("sqrt"), (0.1, 5.0)),
    (rsqrt, lambda x: x**-0.5, (0.1, 5.0)),
    (reciprocal, lambda x: x**-1.0, (0.1, 5.0)),
    (exp2, lambda x: 2.0**x, (-5.0, 5.0)),
    (expm1, _numpy("expm1"), (-3.0, 3.0)),
    (log2, _numpy("log2"), (0.1, 5.0)),
    (log10, _numpy("log10"), (0.1, 5.0)),
    (log1p, _numpy("log1p"), (-0.9, 5.0)),
    (sin, _numpy("sin"), (-5.0, 5.0)),
    (cos, _numpy("cos"), (-5.0, 5.0)),
    (tan, lambda x: array_module(x).sin(x) / array_module(x).cos(x), (-1.2, 1.2)),
    (asin, _numpy("arcsin"), (-0.9, 0.9)),
    (acos, _numpy("arccos"), (-0.9, 0.9)),
    (atan, _numpy("arctan"), (-5.0, 5.0)),
    (sinh, lambda x: (array_module(x).exp(x) - array_module(x).exp(-x)) / 2, (-3.0, 3.0)),
    (cosh, lambda x: (array_module(x).exp(x) + array_module(x).exp(-x)) / 2, (-3.0, 3.0)),
    (asinh, _numpy("arcsinh"), (-3.0, 3.0)),
    (acosh, _numpy("arccosh"), (1.1, 5.0)),
    (atanh, _numpy("arctanh"), (-0.9, 0.9)),
    (erf, _plain_erf, (-3.0, 3.0)),
)
CASES = [
    *(
        OpCase(f, f.__name__, [s], ref=ref, low=low, high=high)
        for f, ref, (low, high) in _FAMILY
        for s in ((3, 5), (), (0, 4), (7, 133))
    ),
    OpCase(sqrt, "sqrt", [(1024, 4096)], ref=_numpy("sqrt"), low=0.1, bench=True),
    OpCase(erf, "erf", [(512, 1024)], ref=_plain_erf, bench=True),
    OpCase(expm1, "expm1", [(1024, 4096)], ref=_numpy("expm1"), bench=True),
    OpCase(log1p, "log1p", [(1024, 4096)], ref=_numpy("log1p"), low=-0.9, bench=True),
    OpCase(sin, "sin", [(512, 1024)], ref=_numpy("sin"), bench=True),
]
ERRORS = [
    case
    for f, _, _ in _FAMILY
    for case in (
        ErrorCase(f, f.__name__, [1.0], TypeError, "expected input as a Tensor"),
        ErrorCase(f, f.__name__, [None], TypeError, "NoneType"),
        ErrorCase(f, f.__name__, ["a"], TypeError, "fastnn.tensor"),
    )
]
