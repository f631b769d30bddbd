# SPDX-License-Identifier: BSD-3-Clause
"""Arithmetic with broadcasting and torch's type promotion: add, sub, mul, div, neg.

Shapes:   x (...), y (...) -> their common broadcast shape.
Backward: add: dx = g, dy = g;  sub: dx = g, dy = -g;  mul: dx = g y, dy = g x;
          div: dx = g / y, dy = -g (x / y) / y;  each summed over the broadcast dimensions.
Saved:    mul, div: the operands that the wanted gradients need.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._binary_op import Binary, binary, binary_, common_type
from fastnn.ops._common import named
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops.copy import to
from fastnn.ops.modulo import divide_rounded
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def add(x: Any, y: Any, out: Any) -> None:
    """out = x + y (bool: or)."""
    array_module(out).add(x, y, out=out)


@reference
def sub(x: Any, y: Any, out: Any) -> None:
    """out = x - y."""
    array_module(out).subtract(x, y, out=out)


@reference
def mul(x: Any, y: Any, out: Any) -> None:
    """out = x y (bool: and)."""
    array_module(out).multiply(x, y, out=out)


@reference
def div(x: Any, y: Any, out: Any) -> None:
    """out = x / y, with IEEE infinities and NaNs."""
    xp = array_module(out)
    with xp.errstate(divide="ignore", invalid="ignore", over="ignore"):
        xp.divide(x, y, out=out)


@reference
def neg_forward(x: Any, y: Any) -> None:
    """y = -x."""
    array_module(y).negative(x, out=y)


class Add(Binary):
    """x + y."""

    kernel = "add"

    def backward(self, g: Any) -> tuple[Any, ...]:
        return self.shrink(g if self.needs[0] else None, g if self.needs[1] else None)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return self.shrink_graph(g if self.needs[0] else None, g if self.needs[1] else None)


class Sub(Binary):
    """x - y."""

    kernel, takes_bool = "sub", False

    def backward(self, g: Any) -> tuple[Any, ...]:
        gx, gy = self.shrink(g if self.needs[0] else None, g if self.needs[1] else None)
        return gx, None if gy is None else self.negative(gy)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return self.shrink_graph(g if self.needs[0] else None, -g if self.needs[1] else None)


class Mul(Binary):
    """x y."""

    kernel, saves = "mul", (2, 1)

    def backward(self, g: Any) -> tuple[Any, ...]:
        x, y = self.saved  # type: ignore[misc]
        gx = self.wide("mul", g, y) if self.needs[0] else None
        gy = self.wide("mul", g, x) if self.needs[1] else None
        return self.shrink(gx, gy)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, y = self.saved_tensors()
        return self.shrink_graph(g * y if self.needs[0] else None, g * x if self.needs[1] else None)


class Div(Binary):
    """x / y."""

    kernel, floating, saves = "div", True, (2, 3)

    def backward(self, g: Any) -> tuple[Any, ...]:
        x, y = self.saved  # type: ignore[misc]
        gx = self.wide("div", g, y)
        gy = None
        if self.needs[1]:
            gy = self.negative(self.wide("mul", gx, self.wide("div", x, y)))
        return self.shrink(gx if self.needs[0] else None, gy)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, y = self.saved_tensors()
        gx = g / y
        return self.shrink_graph(
            gx if self.needs[0] else None, -(gx * (x / y)) if self.needs[1] else None
        )


class Neg(Op):
    """-x."""

    def forward(self, x: Any) -> Any:
        table = self.kernels
        out = table.empty(x.shape, x.dtype)
        table.neg_forward(_common.contiguous_array(table, x), out)
        return out

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (self.forward(g),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (-g,)


def _scaled(op: type[Binary], name: str, input: Any, other: Any, alpha: Any) -> Any:
    """alpha * other, computed in the type of the result."""
    other = _common.as_operand(name, other)
    if isinstance(alpha, int) and not isinstance(alpha, bool) and alpha == 1:
        return other
    if isinstance(alpha, Tensor) and alpha.ndim == 0:
        alpha = alpha.item()
    if not _common.is_operand(alpha) or isinstance(alpha, Tensor):
        message = (
            f"{name}: expected alpha as a number, got {type(alpha).__name__}; multiply other by a "
            "tensor before"
        )
        raise TypeError(message)
    input = _common.as_operand(name, input)
    dtype = common_type(op, input, other)
    given = _dtypes.of_scalar(alpha)
    if given.category == 2 and dtype.category < 2:
        message = (
            f"{name}: expected alpha as an integer for a result of type {dtype}, got {alpha}; "
            "convert input with .float()"
        )
        raise RuntimeError(message)
    if given.category == 0 and dtype.category > 0:
        message = (
            f"{name}: expected alpha as a number for a result of type {dtype}, got {alpha}; 1 "
            "stands for True"
        )
        raise RuntimeError(message)
    table = _common.table_of(input, other, op=name)
    if not isinstance(other, Tensor):
        other = Tensor._wrap(_common.scalar_array(table, other, dtype, wrap=True, op=name))
    factor = Tensor._wrap(_common.scalar_array(table, alpha, dtype, op=name))
    return binary(Mul, to(other, dtype), factor)


def add_(t: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """t becomes t + alpha * other, as torch.Tensor.add_."""
    _common.require_tensor("add_", "the tensor to change", t)
    return binary_(Add, t, _scaled(Add, "add_", t, other, alpha))


def sub_(t: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """t becomes t - alpha * other, as torch.Tensor.sub_."""
    _common.require_tensor("sub_", "the tensor to change", t)
    return binary_(Sub, t, _scaled(Sub, "sub_", t, other, alpha))


def mul_(t: Tensor, other: Any) -> Tensor:
    """t becomes t * other, as torch.Tensor.mul_."""
    return binary_(Mul, t, other)


def div_(t: Tensor, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """t becomes t / other, as torch.Tensor.div_; unrounded, t must be of a floating-point type."""
    if rounding_mode is not None:
        return divide_rounded(t, other, rounding_mode, in_place=True)
    return binary_(Div, t, other)


def add_tensors(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input + alpha * other, as torch.add: tensors or numbers, at least one of them a tensor.

    Shapes: input (...), other (...) -> their common broadcast shape, in their promoted type; a
    number beyond an integer type wraps around.   Raises TypeError for other operands, RuntimeError
    for shapes that do not broadcast and an alpha that is no integer where the result is one.
    """
    return binary(Add, input, _scaled(Add, "add", input, other, alpha))


def sub_tensors(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input - alpha * other, as torch.sub; shapes, types and errors as `add`.

    Raises RuntimeError for a bool operand too.
    """
    return binary(Sub, input, _scaled(Sub, "sub", input, other, alpha))


def mul_tensors(input: Any, other: Any) -> Tensor:
    """input * other, as torch.mul; shapes, types and errors as `add`."""
    return binary(Mul, input, other)


def div_tensors(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """input / other, as torch.div: integers give the default type; the rest as `add`.

    rounding_mode: None, 'trunc' (towards 0) or 'floor', whose results keep the promoted type.
    """
    if rounding_mode is not None:
        return divide_rounded(input, other, rounding_mode)
    return binary(Div, input, other)


def negative(input: Tensor) -> Tensor:
    """-input, as torch.neg; unsigned integers wrap around.

    Shapes: input (...) -> (...).   Raises TypeError for no tensor, RuntimeError for bool.
    """
    _common.require_tensor("neg", "input", input)
    if input.array.dtype.kind == "b":
        message = "neg: expected numbers, got a bool tensor; use logical operations on it"
        raise RuntimeError(message)
    return Neg.apply((input,))  # type: ignore[no-any-return]


named(add=add_tensors, sub=sub_tensors, mul=mul_tensors, div=div_tensors, neg=negative)
neg_: InPlace[[]] = in_place(negative, "neg_forward")


_SHAPES = [((3, 5), (3, 5)), ((3, 5), (5,)), ((4, 1, 3), (2, 1)), ((), (2, 3)), ((0, 4), (4,))]
CASES = [
    *(
        OpCase(f, name, shapes=list(s), ref=ref, kink=kink)
        for f, name, ref, kink in (
            (add_tensors, "add", lambda x, y: x + y, None),
            (sub_tensors, "sub", lambda x, y: x - y, None),
            (mul_tensors, "mul", lambda x, y: x * y, None),
            (div_tensors, "div", lambda x, y: x / y, 0.0),
        )
        for s in _SHAPES
    ),
    OpCase(add_tensors, "add", [(3, 4), (4,)], {"alpha": 2.5}, lambda x, y, alpha: x + alpha * y),
    OpCase(sub_tensors, "sub", [(3, 4), (4,)], {"alpha": -3}, lambda x, y, alpha: x - alpha * y),
    OpCase(negative, "neg", [(3, 5)], ref=lambda x: -x),
    OpCase(add_tensors, "add", [(1024, 1024), (1024, 1024)], ref=lambda x, y: x + y, bench=True),
    OpCase(mul_tensors, "mul", [(1024, 1024), (1024,)], ref=lambda x, y: x * y, bench=True),
]

ERRORS = [
    *(
        case
        for f, name in (
            (add_tensors, "add"),
            (sub_tensors, "sub"),
            (mul_tensors, "mul"),
            (div_tensors, "div"),
        )
        for case in (
            ErrorCase(f, name, [(3, 4), (3, 5)], RuntimeError, "expected shapes that broadcast"),
            ErrorCase(
                f, name, [(3, 4), "text"], TypeError, "expected a tensor or a number, got str"
            ),
            ErrorCase(f, name, [(3, 4), None], TypeError, "got NoneType"),
        )
    ),
    ErrorCase(negative, "neg", ["text"], TypeError, "expected input as a Tensor"),
    ErrorCase(negative, "neg", [3.0], TypeError, "fastnn.tensor"),
    ErrorCase(negative, "neg", [("bool", (2,))], RuntimeError, "bool"),
    ErrorCase(sub_tensors, "sub", [("bool", (2,)), 1], RuntimeError, "bool operand"),
    ErrorCase(sub_tensors, "sub", [(2,), True], RuntimeError, "bool operand"),
    ErrorCase(add_tensors, "add", [(2,), 1], TypeError, "alpha as a number", {"alpha": "a"}),
    ErrorCase(
        add_tensors, "add", [("int", (2,), 0, 9), 1], RuntimeError, "as an integer", {"alpha": 2.5}
    ),
    ErrorCase(add_tensors, "add", [1.0, 2.0], TypeError, "got two numbers"),
]
