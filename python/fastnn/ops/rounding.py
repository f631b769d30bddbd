# SPDX-License-Identifier: BSD-3-Clause
"""abs, sign, square and rounding, of numbers of every type.

Shapes:   x (...) -> y (...); integers stay integers, which rounding leaves as they are.
Backward: abs: dx = dy sign(x);  square: dx = 2 x dy;  sign and rounding: 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops._tied import First
from fastnn.ops.copy import clone, to
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = Callable[[Tensor], Tensor]


@reference
def abs_forward(x: Any, y: Any) -> None:
    """y = |x|."""
    array_module(y).absolute(x, out=y)


@reference
def sign_forward(x: Any, y: Any) -> None:
    """y = -1, 0 or 1; 0 where x is NaN."""
    array_module(y).subtract((x > 0).astype(y.dtype), (x < 0).astype(y.dtype), out=y)


@reference
def square_forward(x: Any, y: Any) -> None:
    """y = x^2."""
    array_module(y).multiply(x, x, out=y)


@reference
def floor_forward(x: Any, y: Any) -> None:
    """y = the largest whole number <= x."""
    array_module(y).floor(x, out=y)


@reference
def ceil_forward(x: Any, y: Any) -> None:
    """y = the smallest whole number >= x."""
    array_module(y).ceil(x, out=y)


@reference
def round_forward(x: Any, y: Any) -> None:
    """y = the next whole number, of two equally near ones the even one."""
    array_module(y).rint(x, out=y)


@reference
def trunc_forward(x: Any, y: Any) -> None:
    """y = x without its fraction."""
    array_module(y).trunc(x, out=y)


class Simple(Op):
    """y = kernel(x), of gradient 0."""

    kernel: ClassVar[str]

    def run(self, kernel: str, x: Any) -> Any:
        """kernel(x) in a new array."""
        table = self.kernels
        y = getattr(table.fast, kernel)(x)
        if y is NotImplemented:
            y = table.empty(x.shape, x.dtype)
            getattr(table, kernel)(_common.contiguous_array(table, x), y)
        return y

    def forward(self, x: Any) -> Any:
        self.keep(x)
        return self.run(self.kernel, x)

    def keep(self, x: Any) -> None:
        """Saves what backward needs."""
        del x

    def backward(self, g: Any) -> tuple[Any, ...]:
        table = self.kernels
        zero = table.empty(g.shape, g.dtype)
        table.fill(table.xp.zeros(1, g.dtype), zero)
        return (zero,)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (zero,) = self.backward(g.array)
        return (Tensor._wrap(zero),)


class Sign(Simple):
    """-1, 0 or 1."""

    kernel = "sign_forward"


class Abs(Simple):
    """|x|."""

    kernel = "abs_forward"

    def keep(self, x: Any) -> None:
        self.save(x if self.needs[0] else None)

    def backward(self, g: Any) -> tuple[Any, ...]:
        (x,) = self.saved  # type: ignore[misc]
        out = self.run("sign_forward", x)
        self.kernels.mul(g, out, out)
        return (out,)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (x,) = self.saved_tensors()
        return (g * sign(x),)


class Square(Simple):
    """x^2."""

    kernel = "square_forward"

    def keep(self, x: Any) -> None:
        self.save(x if self.needs[0] else None)

    def backward(self, g: Any) -> tuple[Any, ...]:
        table, (x,) = self.kernels, self.saved  # type: ignore[misc]
        out = table.empty(x.shape, x.dtype)
        table.mul(g, x, out)
        table.add(out, out, out)
        return (out,)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (x,) = self.saved_tensors()
        return (g * (First.apply((x,)) * 2.0),)


def _numbers(name: str, input: Tensor) -> Tensor:
    _common.require_tensor(name, "input", input)
    if input.array.dtype.kind == "b":
        message = f"{name}: expected numbers, got a bool tensor; convert with .to(dtype)"
        raise RuntimeError(message)
    return input


def _rounding(name: str, what: str) -> Function:
    members = {"kernel": name + "_forward", "name": name}
    op: type[Simple] = type(name.title(), (Simple,), members)

    def function(input: Tensor) -> Tensor:
        x = _numbers(name, input)
        if x.array.dtype.kind in "biu":
            return clone(x)
        return op.apply((x,))  # type: ignore[no-any-return]

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{what}, elementwise, as torch.{name}; the gradient is 0.

    Shapes: input (...) -> (...); integers are their own result.   Raises TypeError for no tensor,
    RuntimeError for bool.
    """
    return function


floor: Function = _rounding("floor", "The largest whole number that is not above input")
ceil: Function = _rounding("ceil", "The smallest whole number that is not below input")
trunc: Function = _rounding("trunc", "The whole part of input, towards 0")
_round: Function = _rounding("round", "The whole number next to input, the even one of two")


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The whole number next to input, the even one of two equally near, as torch.round.

    decimals: how many digits after the point are kept (before it, if negative).
    Shapes: input (...) -> (...); the gradient is 0.   Raises TypeError for no tensor, RuntimeError
    for bool and for decimals of integers.
    """
    if type(decimals) is not int:
        decimals = _common.integer("round", "decimals", decimals)
    if decimals == 0:
        return _round(input)
    _common.require_float("round", "input", x := _numbers("round", input))
    if not -308 <= decimals <= 308:
        message = f"round: expected decimals in [-308, 308], got {decimals}; float64 has 15 digits"
        raise RuntimeError(message)
    scale = 10.0 ** math.fabs(decimals)
    whole: Tensor = _round(x * scale if decimals > 0 else x / scale)
    out: Tensor = whole / scale if decimals > 0 else whole * scale
    return out


def abs(input: Tensor) -> Tensor:
    """|input|, elementwise, as torch.abs; at 0 and NaN the gradient is 0.

    Shapes: input (...) -> (...); the least signed integer stays as it is.   Raises TypeError for no
    tensor, RuntimeError for bool.
    """
    return Abs.apply((_numbers("abs", input),))  # type: ignore[no-any-return]


def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1 by the sign of input, as torch.sign; 0 for NaN. The gradient is 0.

    Shapes: input (...) -> (...); bools are their own result.   Raises TypeError for no tensor.
    """
    _common.require_tensor("sign", "input", input)
    if input.array.dtype.kind == "b":
        return clone(input)
    return Sign.apply((input,))  # type: ignore[no-any-return]


def square(input: Tensor) -> Tensor:
    """input^2, elementwise, as torch.square; integers wrap around, bools become int64.

    Shapes: input (...) -> (...).   Raises TypeError for no tensor.
    """
    _common.require_tensor("square", "input", input)
    x = to(input, _dtypes.int64) if input.array.dtype.kind == "b" else input
    return Square.apply((x,))  # type: ignore[no-any-return]


abs_: InPlace[[]] = in_place(abs, "abs_forward")
sign_: InPlace[[]] = in_place(sign, "sign_forward")
square_: InPlace[[]] = in_place(square, "square_forward")
floor_: InPlace[[]] = in_place(floor, "floor_forward")
ceil_: InPlace[[]] = in_place(ceil, "ceil_forward")
trunc_: InPlace[[]] = in_place(trunc, "trunc_forward")
round_: InPlace[...] = in_place(round, "round_forward")


def _plain_round(x: Any) -> Any:
    xp = array_module(x)
    return xp.floor(x + 0.5)


_FAMILY = (
    (abs, lambda x: array_module(x).where(x < 0, -x, x)),
    (sign, lambda x: (x > 0) * 1.0 - (x < 0) * 1.0),
    (square, lambda x: x**2),
    (floor, lambda x: x - x % 1.0),
    (ceil, lambda x: x + -x % 1.0),
    (trunc, lambda x: array_module(x).sign(x) * (array_module(x).abs(x) // 1.0)),
    (round, _plain_round),
)
_INT = ("int", (3, 5), -9, 9)
_WHOLE = (floor, ceil, trunc, round)
CASES = [
    *(
        OpCase(f, f.__name__, [s], ref=ref, kink=0.0, low=-0.45, high=0.45)
        for f, ref in _FAMILY
        for s in ((3, 5), (), (0, 4), (7, 133))
    ),
    *(OpCase(f, f.__name__, [_INT], ref=lambda x: x, grad=False) for f in _WHOLE),
    OpCase(floor, "floor", [(7, 33)], ref=lambda x: x // 1.0, low=1.6, high=1.9),
    OpCase(ceil, "ceil", [(7, 33)], ref=lambda x: -(-x // 1.0), low=-1.9, high=-1.1),
    OpCase(trunc, "trunc", [(7, 33)], ref=lambda x: -(-x // 1.0), low=-1.9, high=-1.1),
    OpCase(round, "round", [(7, 33)], ref=_plain_round, low=-1.4, high=-0.6),
    OpCase(
        *(round, "round", [(7, 33)], {"decimals": 1}),
        ref=lambda x, decimals: array_module(x).round(x, decimals),
        low=1.06,
        high=1.14,
    ),
    OpCase(abs, "abs", [_INT], ref=lambda x: (x * x) ** 0.5, grad=False),
    OpCase(sign, "sign", [("int", (3, 5), -2, 3)], ref=_FAMILY[1][1], grad=False),
    OpCase(sign, "sign", [("bool", (3, 5))], ref=lambda x: x, grad=False),
    OpCase(square, "square", [_INT], ref=lambda x: x * x, grad=False),
    OpCase(square, "square", [("bool", (4,))], ref=lambda x: x * 1, grad=False),
    OpCase(abs, "abs", [(1024, 4096)], ref=_FAMILY[0][1], kink=0.0, bench=True),
]
ERRORS = [
    *(
        case
        for f, _ in _FAMILY
        for case in (
            ErrorCase(f, f.__name__, [1.0], TypeError, "expected input as a Tensor"),
            ErrorCase(f, f.__name__, [None], TypeError, "NoneType"),
            ErrorCase(f, f.__name__, ["a"], TypeError, "fastnn.tensor"),
        )
    ),
    *(
        ErrorCase(f, f.__name__, [("bool", (3,))], RuntimeError, "got a bool tensor")
        for f, _ in _FAMILY
        if f not in (sign, square)
    ),
    ErrorCase(
        round, "round", [("int", (3,), 0, 9)], RuntimeError, "floating-point", {"decimals": 1}
    ),
]
