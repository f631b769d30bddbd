# SPDX-License-Identifier: BSD-3-Clause
"""Activations made of pieces: leaky ReLU, ELU, SELU, CELU, hardtanh, ReLU6 and their like.

Shapes:   x (...) -> y (...), floating point; NaN stays NaN.
Backward: from the saved x, 0 on pieces that are constant.
Sources:  Maas, Hannun and Ng 2013 (leaky ReLU); Clevert, Unterthiner and Hochreiter 2016 (ELU);
          Klambauer, Unterthiner, Mayr and Hochreiter 2017 (SELU); Barron 2017 (CELU);
          Howard et al. 2019 (hard sigmoid and swish).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._elementwise import define, floats_only, number
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops._integer_rectifiers import held_integers, integers_above
from fastnn.testing import ErrorCase, OpCase

if TYPE_CHECKING:
    from fastnn.tensor import Tensor

# Of SELU: the fixed point of mean 0 and variance 1.
_ALPHA = 1.6732632423543772848170429916717
_SCALE = 1.0507009873554804934193349852946

LeakyRelu = define(
    "leaky_relu",
    lambda m, x, a: m.where(x > 0, x, x * a),
    lambda m, x, g, a: m.where(x > 0, g, g * a),
)
Elu = define(
    "elu",
    lambda m, x, a, s, r: m.where(x > 0, x * s, m.expm1(x * r) * (a * s)),
    lambda m, x, g, a, s, r: g * m.where(x > 0, s, m.exp(m.where(x > 0, 0.0, x * r)) * (a * s * r)),
)
Hardtanh = define(
    "hardtanh",
    lambda m, x, low, high: m.where(x < low, low, m.where(x > high, high, x)),
    lambda m, x, g, low, high: m.where((x <= low) | (x >= high), 0.0, g),
)
Threshold = define(
    "threshold",
    lambda m, x, t, v: m.where(x <= t, v, x),
    lambda m, x, g, t, _: m.where(x <= t, 0.0, g),
)
Hardsigmoid = define(
    "hardsigmoid",
    lambda m, x: m.where(x < -3, 0.0, m.where(x > 3, 1.0, (x + 3.0) / 6.0)),
    lambda m, x, g: m.where((x <= -3) | (x >= 3), 0.0, g / 6.0),
)
Hardswish = define(
    "hardswish",
    lambda m, x: x * m.where(x < -3, 0.0, m.where(x > 3, 6.0, x + 3.0)) / 6.0,
    lambda m, x, g: m.where(x <= -3, 0.0, m.where(x >= 3, g, g * (x / 3.0 + 0.5))),
)
Hardshrink = define(
    "hardshrink",
    lambda m, x, d: m.where(m.abs(x) <= d, 0.0, x),
    lambda m, x, g, d: m.where(m.abs(x) <= d, 0.0, g),
)
Softshrink = define(
    "softshrink",
    lambda m, x, d: m.where(m.abs(x) <= d, 0.0, m.where(x > 0, x - d, x + d)),
    lambda m, x, g, d: m.where(m.abs(x) <= d, 0.0, g),
)
Step = define(
    "step",
    lambda m, x: m.where(x > 0, 1.0, 0.0),
    lambda m, x, g: m.where(x > math.inf, g, 0.0),  # nowhere
)
for _flat in (LeakyRelu, Hardtanh, Threshold, Hardsigmoid, Hardshrink, Softshrink):
    _flat.steps = True


def _leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    x = floats_only("leaky_relu", input)
    return LeakyRelu.apply((x,), number("leaky_relu", "negative_slope", negative_slope))  # type: ignore[no-any-return]


def _elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    return Elu.apply((floats_only("elu", input),), number("elu", "alpha", alpha), 1.0, 1.0)  # type: ignore[no-any-return]


def _selu(input: Tensor) -> Tensor:
    return Elu.apply((floats_only("selu", input),), _ALPHA, _SCALE, 1.0)  # type: ignore[no-any-return]


def _celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    x = floats_only("celu", input)
    a = number("celu", "alpha", alpha)
    if a == 0.0:
        message = "celu: expected alpha other than 0, got 0; its default is 1.0"
        raise RuntimeError(message)
    return Elu.apply((x,), a, 1.0, 1.0 / a)  # type: ignore[no-any-return]


def _hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    _common.require_tensor("hardtanh", "input", input)
    low, high = number("hardtanh", "min_val", min_val), number("hardtanh", "max_val", max_val)
    if low > high:
        message = (
            f"hardtanh: expected min_val <= max_val, got {min_val} and {max_val}; exchange them"
        )
        raise ValueError(message)
    if input.array.dtype.kind in "biu":
        return held_integers("hardtanh", input, low, high)
    return Hardtanh.apply((input,), low, high)  # type: ignore[no-any-return]


def _threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    _common.require_tensor("threshold", "input", input)
    options = (number("threshold", "threshold", threshold), number("threshold", "value", value))
    if input.array.dtype.kind in "biu":
        return integers_above("threshold", input, *options)
    return Threshold.apply((input,), *options)  # type: ignore[no-any-return]


for _f in (_leaky_relu, _elu, _selu, _celu, _hardtanh, _threshold):
    _f.__name__ = _f.__qualname__ = _f.__name__[1:]
leaky_relu_: InPlace[...] = in_place(_leaky_relu)
elu_: InPlace[...] = in_place(_elu)
selu_: InPlace[[]] = in_place(_selu)
celu_: InPlace[...] = in_place(_celu)
hardtanh_: InPlace[...] = in_place(_hardtanh)
threshold_: InPlace[...] = in_place(_threshold)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """input where it is positive, else negative_slope * input.

    Shapes: (...) -> (...).   Raises TypeError for no tensor, RuntimeError for integers.
    """
    return (leaky_relu_ if inplace else _leaky_relu)(input, negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """input where it is positive, else alpha (exp(input) - 1).

    Shapes: (...) -> (...).   Raises TypeError for no tensor, RuntimeError for integers.
    """
    return (elu_ if inplace else _elu)(input, alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """1.0507 elu(input, 1.6733): keeps mean 0 and variance 1 from layer to layer.

    Shapes: (...) -> (...).   Raises TypeError for no tensor, RuntimeError for integers.
    """
    return (selu_ if inplace else _selu)(input)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """input where it is positive, else alpha (exp(input / alpha) - 1).

    Shapes: (...) -> (...).   Raises TypeError for no tensor, RuntimeError for integers or alpha 0.
    """
    return (celu_ if inplace else _celu)(input, alpha)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """input held between min_val and max_val; at the ends the gradient is 0.

    Shapes: (...) -> (...).   Raises TypeError for no tensor, RuntimeError for bools, ValueError if
    min_val > max_val.
    """
    return (hardtanh_ if inplace else _hardtanh)(input, min_val, max_val)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """input held between 0 and 6.

    Shapes: (...) -> (...).   Raises TypeError for no tensor, RuntimeError for bools.
    """
    _common.require_tensor("relu6", "input", input)
    _common.require_numbers("relu6", "input", input)
    return hardtanh(input, 0.0, 6.0, inplace)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """input where it is above the threshold, else ``value``; both cut to integers for integers.

    Shapes: (...) -> (...).   Raises TypeError for no tensor, RuntimeError for bools.
    """
    return (threshold_ if inplace else _threshold)(input, threshold, value)


def _maybe_in_place(op: Any, name: str, input: Tensor, inplace: bool) -> Tensor:
    def function(t: Tensor) -> Tensor:
        return op.apply((floats_only(name, t),))  # type: ignore[no-any-return]

    function.__name__ = name
    return in_place(function, name + "_forward")(input) if inplace else function(input)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """(input + 3) / 6 held between 0 and 1.

    Shapes: (...) -> (...).   Raises TypeError for no tensor, RuntimeError for integers.
    """
    return _maybe_in_place(Hardsigmoid, "hardsigmoid", input, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """input hardsigmoid(input).

    Shapes: (...) -> (...).   Raises TypeError for no tensor, RuntimeError for integers.
    """
    return _maybe_in_place(Hardswish, "hardswish", input, inplace)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """input where its magnitude is above lambd, else 0.

    Shapes: (...) -> (...).   Raises TypeError for no tensor, RuntimeError for integers.
    """
    x = floats_only("hardshrink", input)
    return Hardshrink.apply((x,), number("hardshrink", "lambd", lambd))  # type: ignore[no-any-return]


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """input moved towards 0 by lambd, 0 where its magnitude is not above lambd.

    Shapes: (...) -> (...).   Raises TypeError for no tensor, RuntimeError for integers and a
    negative lambd.
    """
    x = floats_only("softshrink", input)
    if number("softshrink", "lambd", lambd) < 0.0:
        message = f"softshrink: expected lambd >= 0, got {lambd}; its default is 0.5"
        raise RuntimeError(message)
    return Softshrink.apply((x,), float(lambd))  # type: ignore[no-any-return]


def step(input: Tensor) -> Tensor:
    """1 where input is positive, else 0 (also where it is NaN): the threshold unit of McCulloch and
    Pitts 1943. Its gradient is 0.

    Shapes: (...) -> (...).   Raises TypeError for no tensor, RuntimeError for integers.
    """
    return Step.apply((floats_only("step", input),))  # type: ignore[no-any-return]


def _held(x: Any, low: float, high: float) -> Any:
    return array_module(x).clip(x, low, high)


def _plain_elu(x: Any, alpha: float = 1.0, width: float = 1.0) -> Any:
    return array_module(x).where(x > 0, x, alpha * (math.e ** (x / width) - 1))


# function, plain NumPy, options, range of the inputs (one kink in it), that kink
_FAMILY: tuple[tuple[Any, Any, dict[str, Any], tuple[float, float], float], ...] = (
    (
        leaky_relu,
        lambda x, negative_slope=0.01: _held(x, 0, 9) + negative_slope * _held(x, -9, 0),
        {},
        (-2, 2),
        0,
    ),
    (elu, _plain_elu, {"alpha": 1.5}, (-2, 2), 0),
    (selu, lambda x: _SCALE * _plain_elu(x, _ALPHA), {}, (-2, 2), 0),
    (celu, lambda x, alpha: _plain_elu(x, alpha, alpha), {"alpha": 0.7}, (-2, 2), 0),
    (hardtanh, lambda x: _held(x, -1, 1), {}, (-2, 0.9), -1),
    (hardtanh, lambda x, **_: _held(x, -9, 1), {"min_val": -9, "max_val": 1}, (0, 2), 1),
    (relu6, lambda x: _held(x, 0, 6), {}, (3, 9), 6),
    (threshold, lambda x, **_: x, {"threshold": -9.0, "value": 7.0}, (-2, 2), 0),
    (threshold, lambda x, **_: x + (2 - x) * (x < 1), {"threshold": 1, "value": 2}, (-2, 2), 1),
    (hardsigmoid, lambda x: _held(x, -3, 3) / 6 + 0.5, {}, (1, 5), 3),
    (hardswish, lambda x: x * (_held(x, -3, 3) / 6 + 0.5), {}, (-5, 2), -3),
    (hardshrink, lambda x, lambd=0.5: x * (abs(x) > lambd), {}, (0, 2), 0.5),
    (softshrink, lambda x, lambd=0.5: x - _held(x, -lambd, lambd), {}, (-2, 0), -0.5),
    (step, lambda x: (x > 0) * 1.0, {}, (-2, 2), 0),
)
CASES = [
    OpCase(f, f.__name__, [s], k, ref, kink=kink, low=low, high=high, bench=s == (1024, 4096))
    for f, ref, k, (low, high), kink in _FAMILY
    for s in ((3, 5), (), (0, 4), (7, 1, 33), *(((1024, 4096),) if f in (leaky_relu, elu) else ()))
]
_BOOLS = ("bool", (3,))
_OPTIONS: dict[Any, list[Any]] = {threshold: [0.0, 1.0]}
ERRORS = [
    *(
        case
        for f in dict.fromkeys(row[0] for row in _FAMILY)
        for case in (
            ErrorCase(f, f.__name__, [1.0, *_OPTIONS.get(f, [])], TypeError, "input as a Tensor"),
            ErrorCase(f, f.__name__, [None, *_OPTIONS.get(f, [])], TypeError, "got NoneType"),
            ErrorCase(f, f.__name__, [_BOOLS, *_OPTIONS.get(f, [])], RuntimeError, ".float()"),
        )
    ),
    ErrorCase(leaky_relu, "leaky_relu", [(3,), "a"], TypeError, "negative_slope as a number"),
    ErrorCase(celu, "celu", [(3,), 0.0], RuntimeError, "alpha other than 0"),
    ErrorCase(hardtanh, "hardtanh", [(3,), 1.0, 0.0], ValueError, "min_val <= max_val"),
    ErrorCase(softshrink, "softshrink", [(3,), -1.0], RuntimeError, "lambd >= 0"),
]
