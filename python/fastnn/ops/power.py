# SPDX-License-Identifier: BSD-3-Clause
"""Powers and the angle of two numbers: pow, float_power, atan2.

    pow: x^y      atan2: the angle of the point (y, x)

Shapes:   x (...), y (...) -> their common broadcast shape.
Backward: pow: dx = g y x^(y - 1), 0 where y is 0;  dy = g x^y ln x, 0 where x is 0 and y >= 0;
          atan2(a, b): da = g b / (a^2 + b^2), db = -g a / (a^2 + b^2), 0 where both are 0.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.ops import _common
from fastnn.ops._binary_op import Binary, binary, binary_, common_type
from fastnn.ops._formulas import tensor_math
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops._like import ones_like
from fastnn.ops._tied import First
from fastnn.ops.copy import clone, to
from fastnn.ops.elementwise_math import reciprocal, rsqrt, sqrt
from fastnn.ops.rounding import square
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def pow(x: Any, y: Any, out: Any) -> None:
    """out = x^y; integers modulo 2^bits, to negative powers 0 except 1 and -1."""
    xp = array_module(out)
    if out.dtype.kind == "f":
        xp.power(x, y, out=out)
        return
    negative = y < 0
    xp.copyto(out, xp.power(x, xp.where(negative, xp.zeros((), y.dtype), y)))
    inverse = xp.where(x == 1, 1, xp.where((x == -1) if x.dtype.kind == "i" else False, 1, 0))
    inverse = xp.where((x < 0) & (y % 2 != 0), -inverse, inverse)
    xp.copyto(out, inverse.astype(out.dtype), where=negative)


@reference
def atan2(x: Any, y: Any, out: Any) -> None:
    """out = the angle of the point (y, x)."""
    array_module(out).arctan2(x, y, out=out)


class Pow(Binary):
    """x^y."""

    name = kernel = "pow"
    gives_bool, saves = False, (3, 3)

    def backward(self, g: Any) -> tuple[Any, ...]:
        x, y = (Tensor._wrap(a) for a in self.saved or ())
        gx, gy = self.parts(x, y, Tensor._wrap(g))
        return self.shrink(*(None if t is None else t.array for t in (gx, gy)))

    def parts(self, x: Tensor, y: Tensor, g: Tensor) -> tuple[Any, Any]:
        """The gradients before they are summed over broadcast dimensions."""
        m = tensor_math()
        gx = gy = None
        if self.needs[0]:
            zero = y.detach() == 0
            gx = m.where(zero, 0.0, g * (y * m.pow(x, m.where(zero, 1.0, y - 1.0))))
        if self.needs[1]:
            none = (x.detach() == 0) & (y.detach() >= 0)
            gy = m.where(none, 0.0, g * m.pow(x, y) * m.log(m.where(none, 1.0, x)))
        return gx, gy

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, y = self.saved_tensors()
        return self.shrink_graph(*self.parts(x, y, g))


class Atan2(Binary):
    """The angle of the point (y, x)."""

    name = kernel = "atan2"
    floating, saves = True, (3, 3)

    def backward(self, g: Any) -> tuple[Any, ...]:
        a, b = (Tensor._wrap(v) for v in self.saved or ())
        return self.shrink(*(t.array for t in self.parts(a, b, Tensor._wrap(g))))

    def parts(self, a: Tensor, b: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients before they are summed over broadcast dimensions."""
        m = tensor_math()
        d = a * a + b * b
        none = d.detach() == 0
        share = m.where(none, g * 0.0, g / m.where(none, 1.0, d))
        return share * b, -(share * a)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        a, b = self.saved_tensors()
        return self.shrink_graph(*self.parts(a, b, g))


def _shortcut(x: Tensor, exponent: float) -> Tensor | None:
    """The powers that a cheaper operation computes."""
    if exponent == 2:
        return square(x)
    if exponent == 1:
        return First.apply((x,))  # type: ignore[no-any-return]
    if exponent == 3:
        return x * square(x)
    if x.array.dtype.kind in "biu":
        return None
    if exponent == 0.5:
        return sqrt(x)
    if exponent == -1:
        return reciprocal(x)
    return rsqrt(x) if exponent == -0.5 else None


def pow_tensors(input: Any, exponent: Any) -> Tensor:
    """input to the power of exponent, as torch.pow: tensors or numbers, at least one a tensor.

    Shapes: input (...), exponent (...) -> their common broadcast shape, in their promoted type. NaN
    for a negative number to a power that is not whole; x^0 is 1 for every x. Integers wrap around.
    Raises TypeError for other operands, RuntimeError for shapes that do not broadcast, a bool to
    a tensor of bools, and integers to a negative number.
    """
    input, exponent = _common.as_operand("pow", input), _common.as_operand("pow", exponent)
    if isinstance(input, Tensor) and isinstance(exponent, bool) and input.array.dtype.kind == "b":
        return clone(input) if exponent else ones_like(input)
    dtype = common_type(Pow, input, exponent)
    if isinstance(input, Tensor) and not isinstance(exponent, Tensor):
        if dtype.category < 2 and exponent < 0:
            message = (
                f"pow: expected a power >= 0 of integers, got {exponent}; convert with .float()"
            )
            raise RuntimeError(message)
        fast = _shortcut(to(input, dtype), exponent)
        if fast is not None:
            return fast
    return binary(Pow, input, exponent)


def float_power(input: Any, exponent: Any) -> Tensor:
    """`pow` in double precision, as torch.float_power; the rest as `pow`."""
    pair = [_common.as_operand("float_power", v) for v in (input, exponent)]
    pair = [to(v, _dtypes.float64) if isinstance(v, Tensor) else float(v) for v in pair]
    return pow_tensors(*pair)


def float_power_(t: Tensor, exponent: Any) -> Tensor:
    """t becomes float_power(t, exponent), as torch.Tensor.float_power_; t must be of float64."""
    _common.require_tensor("float_power_", "the tensor to change", t)
    if t.dtype is not _dtypes.float64:
        message = (
            f"float_power_: expected a tensor of fastnn.float64, the result's type, got {t.dtype}; "
            "float_power makes a new tensor"
        )
        raise RuntimeError(message)
    return pow_(t, exponent)


def atan2_tensors(input: Tensor, other: Tensor) -> Tensor:
    """The angle, from -pi to pi, of the point (other, input), as torch.atan2.

    Shapes: their broadcast shape; integers become the default floating-point type.   Raises
    TypeError for no tensors, RuntimeError for shapes that do not broadcast.
    """
    _common.require_tensor("atan2", "input", input)
    _common.require_tensor("atan2", "other", other)
    return binary(Atan2, input, other)


def atan2_(t: Tensor, other: Tensor) -> Tensor:
    """t becomes atan2(t, other), as torch.Tensor.atan2_."""
    return binary_(Atan2, t, other)


_common.named(pow=pow_tensors, atan2=atan2_tensors)
pow_: InPlace[...] = in_place(pow_tensors)


def _forward(self: Tensor, exponent: Any) -> Tensor:
    _common.require_tensor("pow", "the owner of __pow__", self)
    return pow_tensors(self, exponent)


def _reflected(self: Tensor, base: Any) -> Tensor:
    _common.require_tensor("pow", "the owner of __rpow__", self)
    return pow_tensors(base, self)


def _augmented(self: Tensor, exponent: Any) -> Tensor:
    return pow_(self, exponent)


_forward.__name__, _reflected.__name__, _augmented.__name__ = "__pow__", "__rpow__", "__ipow__"
power_operators = (_forward, _reflected, _augmented)


def _plain(x: Any, y: Any) -> Any:
    xp = array_module(x if hasattr(x, "dtype") else y)
    return xp.exp(y * xp.log(x))


_SHAPES = [((3, 5), (3, 5)), ((3, 5), (5,)), ((4, 1, 3), (2, 1)), ((), (2, 3)), ((0, 4), (4,))]
CASES = [
    *(
        OpCase(pow_tensors, "pow", list(s), ref=_plain, low=0.2, high=3.0)
        for s in (*_SHAPES, ((7, 133), (7, 133)), ((3, 5), 2.5), (1.7, (3, 5)))
    ),
    *(
        OpCase(pow_tensors, "pow", [(3, 5), e], ref=lambda x, e: x**e, low=0.2, high=3.0)
        for e in (2, 3, 1, 0.5, -1, -0.5, 0, -2)
    ),
    OpCase(pow_tensors, "pow", [(3, 5), 3.0], ref=lambda x, e: x ** int(e), kink=0.0),
    OpCase(
        pow_tensors,
        "pow",
        [("int", (4, 9), -9, 9), ("int", (9,), 0, 9)],
        ref=lambda x, y: x**y,
        grad=False,
    ),
    OpCase(pow_tensors, "pow", [("int", (4, 9), -9, 9), 3], ref=lambda x, y: x**y, grad=False),
    OpCase(
        float_power,
        "float_power",
        [("int", (4, 9), 1, 9), 0.3],
        ref=lambda x, y: x**y,
        grad=False,
    ),
    *(
        OpCase(
            atan2_tensors,
            "atan2",
            list(s),
            ref=lambda x, y: array_module(x + y * 0 if x.ndim else y).arctan2(x, y),
            low=0.2,
        )
        for s in _SHAPES
    ),
    OpCase(
        pow_tensors, "pow", [(512, 1024), (512, 1024)], ref=_plain, low=0.2, high=3.0, bench=True
    ),
]
ERRORS = [
    ErrorCase(pow_tensors, "pow", [(3,), (4,)], RuntimeError, "shapes that broadcast"),
    ErrorCase(pow_tensors, "pow", [(3,), "a"], TypeError, "a tensor or a number"),
    ErrorCase(pow_tensors, "pow", [2.0, 3.0], TypeError, "got two numbers"),
    ErrorCase(pow_tensors, "pow", [True, ("bool", (3,))], RuntimeError, "got two bools"),
    ErrorCase(pow_tensors, "pow", [("int", (3,), 1, 9), -1], RuntimeError, "power >= 0"),
    ErrorCase(float_power, "float_power", [(3,), "a"], TypeError, "a tensor or a number"),
    ErrorCase(float_power, "float_power", [(3,), None], TypeError, "a tensor or a number"),
    ErrorCase(float_power, "float_power", [[1.0], 2], TypeError, "a tensor or a number"),
    ErrorCase(atan2_tensors, "atan2", [(3,), (4,)], RuntimeError, "shapes that broadcast"),
    ErrorCase(atan2_tensors, "atan2", [(3,), 1.0], TypeError, "expected other as a Tensor"),
    ErrorCase(atan2_tensors, "atan2", [1.0, (3,)], TypeError, "expected input as a Tensor"),
]
