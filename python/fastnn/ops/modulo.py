# SPDX-License-Identifier: BSD-3-Clause
"""Division with a rounded quotient, and what it leaves.

    fmod: x - y trunc(x / y)      remainder: x - y floor(x / y)
    floor_divide: floor(x / y)    trunc_divide: trunc(x / y)

Shapes:   x (...), y (...) -> their common broadcast shape.
Backward: fmod, remainder: dx = g, dy = -g q, q the rounded quotient;  the quotients: 0.
"""

from __future__ import annotations

from typing import Any, ClassVar

from fastnn._backend import array_module, reference
from fastnn.ops import _common
from fastnn.ops._binary_op import Binary, binary, binary_
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def _no_zero(kernel: str, y: Any) -> None:
    if y.dtype.kind != "f" and (y == 0).any():
        message = f"{kernel}: division of an integer by zero"
        raise ValueError(message)


@reference
def fmod(x: Any, y: Any, out: Any) -> None:
    """out = x - y trunc(x / y), of the sign of x."""
    _no_zero("fmod", y)
    array_module(out).fmod(x, y, out=out)


@reference
def remainder(x: Any, y: Any, out: Any) -> None:
    """out = x - y floor(x / y), of the sign of y; a zero has the sign of x."""
    _no_zero("remainder", y)
    xp = array_module(out)
    rest = xp.fmod(x, y)
    xp.copyto(out, xp.where((rest != 0) & ((rest < 0) != (y < 0)), rest + y, rest))


@reference
def floor_divide(x: Any, y: Any, out: Any) -> None:
    """out = floor(x / y)."""
    _no_zero("floor_divide", y)
    array_module(out).floor_divide(x, y, out=out)


@reference
def trunc_divide(x: Any, y: Any, out: Any) -> None:
    """out = trunc(x / y)."""
    _no_zero("trunc_divide", y)
    xp = array_module(out)
    if out.dtype.kind == "f":
        xp.trunc(xp.divide(x, y), out=out)
    else:
        rest = xp.fmod(x, y)
        xp.floor_divide(x - rest, y, out=out)


class Quotient(Binary):
    """A rounded quotient."""

    gives_bool, saves = False, (2, 2)

    def forward(self, x: Any, y: Any) -> Any:
        try:
            return super().forward(x, y)
        except ValueError:
            message = (
                f"{self.name}: expected divisors other than 0 for integers, got 0; convert with "
                ".float() for inf and nan"
            )
            raise RuntimeError(message) from None

    def backward(self, g: Any) -> tuple[Any, ...]:
        zero = self.kernels.empty(g.shape, g.dtype)
        self.kernels.fill(self.kernels.xp.zeros(1, g.dtype), zero)
        return self.shrink(*(zero if need else None for need in self.needs))

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        grads = self.backward(g.array)
        return tuple(None if a is None else Tensor._wrap(a) for a in grads)


class FloorDivide(Quotient):
    """floor(x / y)."""

    name = kernel = "floor_divide"


class TruncDivide(Quotient):
    """trunc(x / y)."""

    name, kernel = "div", "trunc_divide"


class FloorDiv(FloorDivide):
    """floor(x / y), as a mode of div."""

    name = "div"


class Rest(Quotient):
    """What a division leaves."""

    quotient: ClassVar[type[Quotient]]

    def parts(self, g: Tensor) -> tuple[Any, Any]:
        """The gradients before they are summed over broadcast dimensions."""
        gy = None
        if self.needs[1]:
            x, y = (Tensor._wrap(a) for a in self.saved or ())
            gy = -(g * binary(self.quotient, x, y))
        return (g if self.needs[0] else None), gy

    def backward(self, g: Any) -> tuple[Any, ...]:
        pair = self.parts(Tensor._wrap(g))
        return self.shrink(*(None if t is None else t.array for t in pair))

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return self.shrink_graph(*self.parts(g))


class Fmod(Rest):
    """x - y trunc(x / y)."""

    name = kernel = "fmod"
    quotient = TruncDivide


class Remainder(Rest):
    """x - y floor(x / y)."""

    name = kernel = "remainder"
    quotient = FloorDivide


def fmod_tensors(input: Tensor, other: Any) -> Tensor:
    """What input leaves, divided by other and the quotient cut towards 0, as torch.fmod.

    Shapes: their broadcast shape, in their promoted type.   Raises TypeError for other operands,
    RuntimeError for shapes that do not broadcast, two bools and integers divided by 0.
    """
    _common.require_tensor("fmod", "input", input)
    return binary(Fmod, input, other)


def remainder_tensors(input: Any, other: Any) -> Tensor:
    """What input leaves, divided by other and the quotient rounded down, as torch.remainder.

    As Python's %, of the sign of other. Shapes: their broadcast shape, in their promoted type.
    Raises TypeError for other operands, RuntimeError for shapes that do not broadcast, two bools
    and integers divided by 0.
    """
    return binary(Remainder, input, other)


def floor_divide_tensors(input: Any, other: Any) -> Tensor:
    """input / other rounded down, as torch.floor_divide and Python's //; the gradient is 0.

    Shapes: their broadcast shape, in their promoted type.   Raises TypeError for other operands,
    RuntimeError for shapes that do not broadcast, two bools and integers divided by 0.
    """
    return binary(FloorDivide, input, other)


def divide_rounded(input: Any, other: Any, rounding_mode: Any, in_place: bool = False) -> Tensor:
    """div with a ``rounding_mode``, 'floor' or 'trunc'."""
    modes: dict[Any, type[Quotient]] = {"floor": FloorDiv, "trunc": TruncDivide}
    if not isinstance(rounding_mode, str) or rounding_mode not in modes:
        message = (
            f"div: expected rounding_mode None, 'floor' or 'trunc', got {rounding_mode!r}; 'floor' "
            "rounds down, 'trunc' towards 0"
        )
        raise RuntimeError(message)
    op = modes[rounding_mode]
    return binary_(op, input, other) if in_place else binary(op, input, other)


def fmod_(t: Tensor, other: Any) -> Tensor:
    """t becomes fmod(t, other), as torch.Tensor.fmod_."""
    return binary_(Fmod, t, other)


def remainder_(t: Tensor, other: Any) -> Tensor:
    """t becomes remainder(t, other), as torch.Tensor.remainder_."""
    return binary_(Remainder, t, other)


def floor_divide_(t: Tensor, other: Any) -> Tensor:
    """t becomes floor_divide(t, other), as torch.Tensor.floor_divide_."""
    return binary_(FloorDivide, t, other)


_common.named(fmod=fmod_tensors, remainder=remainder_tensors, floor_divide=floor_divide_tensors)


def _divided(x: Any, y: Any, *, rounding_mode: str) -> Tensor:
    return divide_rounded(x, y, rounding_mode)


def _cut(v: Any) -> Any:
    return (v > 0) * (v // 1.0) - (v < 0) * (-v // 1.0)


_divided.__name__ = "div"
# Far from whole quotients, where the results jump.
_PAIRS: list[list[Any]] = [
    [(3, 5), 0.7],
    [(), 0.7],
    [(0, 4), (4,)],
    [(7, 33), (33,)],
    [("int", (4, 9), -9, 9), ("int", (9,), 1, 5)],
    [("int", (4, 9), -9, 9), -4],
]
_FAMILY: tuple[tuple[Any, Any, dict[str, Any]], ...] = (
    (fmod_tensors, lambda x, y: x - y * _cut(x / y), {}),
    (remainder_tensors, lambda x, y: x % y, {}),
    (floor_divide_tensors, lambda x, y: x // y, {}),
    (_divided, lambda x, y, **_: x // y, {"rounding_mode": "floor"}),
    (_divided, lambda x, y, **_: _cut(x / y), {"rounding_mode": "trunc"}),
)
CASES = [
    OpCase(
        f,
        f.__name__,
        s,
        k,
        ref,
        grad=f is not floor_divide_tensors and s[0][:1] != ("int",),
        low=1.5,
        high=2.0,
    )
    for f, ref, k in _FAMILY
    for s in _PAIRS
]
ERRORS = [
    *(
        case
        for f, _, k in _FAMILY
        for case in (
            ErrorCase(f, f.__name__, [(3,), (4,)], RuntimeError, "shapes that broadcast", k),
            ErrorCase(f, f.__name__, [(3,), "a"], TypeError, "a tensor or a number", k),
            ErrorCase(f, f.__name__, [("bool", (3,)), True], RuntimeError, "got two bools", k),
            ErrorCase(
                f, f.__name__, [("int", (3,), 1, 9), 0], RuntimeError, "divisors other than 0", k
            ),
        )
    ),
    ErrorCase(_divided, "div", [(3,), 2], RuntimeError, "rounding_mode", {"rounding_mode": "up"}),
]
