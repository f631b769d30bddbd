# SPDX-License-Identifier: BSD-3-Clause
"""Smooth activations: GELU, SiLU, Mish, softplus, log-sigmoid, softsign, tanhshrink.

Shapes:   x (...) -> y (...), floating point.
Backward: from the saved x.
Sources:  Hendrycks and Gimpel 2016 (GELU); Elfwing, Uchibe and Doya 2018 (SiLU); Misra 2019 (Mish);
          Dugas et al. 2001 (softplus); Bergstra et al. 2009 (softsign).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._elementwise import define, floating, floats_only, number
from fastnn.ops._in_place import in_place
from fastnn.testing import ErrorCase, OpCase

if TYPE_CHECKING:
    from fastnn.tensor import Tensor

_SQRT_HALF = math.sqrt(0.5)
_DENSITY = 1.0 / math.sqrt(2.0 * math.pi)
_SCALE = math.sqrt(2.0 / math.pi)
_CUBIC = 0.044715


def _cdf(m: Any, x: Any) -> Any:
    return 0.5 * (1.0 + m.erf(x * _SQRT_HALF))


def _inner(m: Any, x: Any) -> Any:
    return m.tanh(_SCALE * (x + _CUBIC * x * x * x))


def _gelu_tanh_gradient(m: Any, x: Any, g: Any) -> Any:
    t = _inner(m, x)
    slope = _SCALE * (1.0 + 3.0 * _CUBIC * x * x)
    return g * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope)


def _silu_gradient(m: Any, x: Any, g: Any) -> Any:
    s = m.sigmoid(x)
    return g * (s * (1.0 + x * (1.0 - s)))


def _log_one_plus_exp(m: Any, z: Any) -> Any:
    """log(1 + exp(z)) without overflow."""
    return m.where(z < 0, 0.0, z) + m.log1p(m.exp(-m.abs(z)))


def _mish_factor(m: Any, x: Any) -> Any:
    """tanh(log(1 + exp(x))) without the kink at 0 of that logarithm's formula; 1 from 30 on."""
    e = m.exp(m.where(x > 30.0, 30.0, x))
    n = e * (e + 2.0)
    return n / (n + 2.0)


def _mish_gradient(m: Any, x: Any, g: Any) -> Any:
    t = _mish_factor(m, x)
    return g * (t + m.where(x > 30.0, 30.0, x) * (1.0 - t * t) * m.sigmoid(x))


def _softplus(m: Any, x: Any, beta: float, threshold: float) -> Any:
    z = x * beta
    return m.where(z > threshold, x, _log_one_plus_exp(m, z) / beta)


def _softplus_gradient(m: Any, x: Any, g: Any, beta: float, threshold: float) -> Any:
    z = x * beta
    return m.where(z > threshold, g, g * m.sigmoid(z))


def _softsign_gradient(m: Any, x: Any, g: Any) -> Any:
    d = 1.0 + m.abs(x)
    return g / (d * d)


def _tanhshrink_gradient(m: Any, x: Any, g: Any) -> Any:
    t = m.tanh(x)
    return g * (t * t)


Gelu = define(
    "gelu",
    lambda m, x: x * _cdf(m, x),
    lambda m, x, g: g * (_cdf(m, x) + x * (_DENSITY * m.exp(-0.5 * x * x))),
)
GeluTanh = define("gelu_tanh", lambda m, x: 0.5 * x * (1.0 + _inner(m, x)), _gelu_tanh_gradient)
Silu = define("silu", lambda m, x: x * m.sigmoid(x), _silu_gradient)
Mish = define("mish", lambda m, x: x * _mish_factor(m, x), _mish_gradient)
Softplus = define("softplus", _softplus, _softplus_gradient)
Logsigmoid = define(
    "logsigmoid",
    lambda m, x: m.where(x > 0, 0.0, x) - m.log1p(m.exp(-m.abs(x))),
    lambda m, x, g: g * m.sigmoid(-x),
)
Softsign = define("softsign", lambda m, x: x / (1.0 + m.abs(x)), _softsign_gradient)
Tanhshrink = define("tanhshrink", lambda m, x: x - m.tanh(x), _tanhshrink_gradient)


def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """input F(input), F being the normal distribution function.

    approximate: 'none', or 'tanh' for 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
    Shapes: (...) -> (...).   Raises TypeError for no tensor, RuntimeError for integers and another
    ``approximate``.
    """
    x = floats_only("gelu", input)
    if approximate not in ("none", "tanh"):
        message = (
            f"gelu: expected approximate 'none' or 'tanh', got {approximate!r}; 'none' is exact"
        )
        raise RuntimeError(message)
    return (Gelu if approximate == "none" else GeluTanh).apply((x,))  # type: ignore[no-any-return]


def _silu(input: Tensor) -> Tensor:
    return Silu.apply((floats_only("silu", input),))  # type: ignore[no-any-return]


def _mish(input: Tensor) -> Tensor:
    return Mish.apply((floats_only("mish", input),))  # type: ignore[no-any-return]


for _f in (_silu, _mish):
    _f.__name__ = _f.__qualname__ = _f.__name__[1:]
_silu_ = in_place(_silu, "silu_forward")
_mish_ = in_place(_mish, "mish_forward")


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """input sigmoid(input), also called swish.

    Shapes: (...) -> (...).   Raises TypeError for no tensor, RuntimeError for integers.
    """
    return (_silu_ if inplace else _silu)(input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """input tanh(softplus(input)).

    Shapes: (...) -> (...).   Raises TypeError for no tensor, RuntimeError for integers.
    """
    return (_mish_ if inplace else _mish)(input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta input)) / beta; input itself where beta input is above the threshold.

    Shapes: (...) -> (...).   Raises TypeError for no tensor, RuntimeError for integers and beta 0.
    """
    x = floats_only("softplus", input)
    b, t = number("softplus", "beta", beta), number("softplus", "threshold", threshold)
    if b == 0.0:
        message = "softplus: expected beta other than 0, got 0; its default is 1"
        raise RuntimeError(message)
    return Softplus.apply((x,), b, t)  # type: ignore[no-any-return]


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(input)), without overflow.

    Shapes: (...) -> (...).   Raises TypeError for no tensor, RuntimeError for integers.
    """
    return Logsigmoid.apply((floats_only("logsigmoid", input),))  # type: ignore[no-any-return]


def _numbers(name: str, input: Tensor) -> Tensor:
    x = floating(name, input)
    _common.require_numbers(name, "input", input)
    return x


def softsign(input: Tensor) -> Tensor:
    """input / (1 + |input|); of integers in the default type.

    Shapes: (...) -> (...).   Raises TypeError for no tensor, RuntimeError for bools.
    """
    return Softsign.apply((_numbers("softsign", input),))  # type: ignore[no-any-return]


def tanhshrink(input: Tensor) -> Tensor:
    """input - tanh(input); of integers in the default type.

    Shapes: (...) -> (...).   Raises TypeError for no tensor, RuntimeError for bools.
    """
    return Tanhshrink.apply((_numbers("tanhshrink", input),))  # type: ignore[no-any-return]


def _plain_gelu(x: Any, approximate: str = "none") -> Any:
    xp = array_module(x)
    if approximate == "tanh":
        return x / (1 + _exp(-2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    values = [math.erfc(-float(v) / math.sqrt(2)) / 2 for v in x.flat]
    return x * xp.asarray(values, x.dtype).reshape(x.shape)


def _exp(x: Any) -> Any:
    return math.e**x


# function, plain NumPy, options, range of the inputs
_FAMILY: tuple[tuple[Any, Any, dict[str, Any], tuple[float, float]], ...] = (
    (gelu, _plain_gelu, {}, (-2, 3)),
    (gelu, _plain_gelu, {"approximate": "tanh"}, (-2, 3)),
    (silu, lambda x: x / (1 + _exp(-x)), {}, (-6, 6)),
    (mish, lambda x: x * array_module(x).tanh(array_module(x).log(1 + _exp(x))), {}, (-6, 6)),
    (softplus, lambda x: array_module(x).log(1 + _exp(x)), {}, (-6, 6)),
    (
        softplus,
        lambda x, beta, **_: array_module(x).log(1 + _exp(beta * x)) / beta,
        {"beta": 3.0, "threshold": 50.0},
        (-2, 6),
    ),
    (logsigmoid, lambda x: -array_module(x).log(1 + _exp(-x)), {}, (-6, 6)),
    (softsign, lambda x: x / (abs(x) + 1), {}, (-6, 6)),
    (tanhshrink, lambda x: x - 1 + 2 / (_exp(2 * x) + 1), {}, (0.5, 3)),
)
_TIMED: dict[Any, tuple[tuple[int, ...], ...]] = {
    gelu: ((1024, 4096),), softplus: ((1024, 4096),), silu: ((512, 1024),), mish: ((512, 1024),),
}  # fmt: skip
CASES = [
    OpCase(f, f.__name__, [s], k, ref, kink=0, low=low, high=high, bench=s in _TIMED.get(f, ()))
    for f, ref, k, (low, high) in _FAMILY
    for s in ((3, 5), (), (0, 4), (7, 1, 33), *_TIMED.get(f, ()))
]
ERRORS = [
    *(
        case
        for f in dict.fromkeys(row[0] for row in _FAMILY)
        for case in (
            ErrorCase(f, f.__name__, [1.0], TypeError, "input as a Tensor"),
            ErrorCase(f, f.__name__, [None], TypeError, "got NoneType"),
            ErrorCase(f, f.__name__, [("bool", (3,))], RuntimeError, ".float()"),
        )
    ),
    ErrorCase(gelu, "gelu", [(3,)], RuntimeError, "'none' or 'tanh'", {"approximate": "x"}),
    ErrorCase(softplus, "softplus", [(3,), 0.0], RuntimeError, "beta other than 0"),
    ErrorCase(softplus, "softplus", [(3,), "a"], TypeError, "beta as a number"),
]
