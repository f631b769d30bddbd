# SPDX-License-Identifier: BSD-3-Clause
"""Elementwise functions of one operand: exp, log.

Shapes:   x (...) -> y (...).
Backward: exp: dx = dy y;  log: dx = dy / x.
Saved:    exp: y;  log: x.
"""

from __future__ import annotations

from typing import Any, ClassVar

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops.copy import to
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def exp_forward(x: Any, y: Any) -> None:
    """y = e^x."""
    xp = array_module(x)
    with xp.errstate(over="ignore", under="ignore"):
        xp.exp(x, out=y)


@reference
def log_forward(x: Any, y: Any) -> None:
    """y = ln x: -inf at 0, NaN below."""
    xp = array_module(x)
    with xp.errstate(divide="ignore", invalid="ignore"):
        xp.log(x, out=y)


class Unary(Op):
    """y = kernel(x)."""

    kernel: ClassVar[str]
    backward_kernel: ClassVar[str]  # of grad_y and what is saved
    saves_output: ClassVar[bool]

    def forward(self, x: Any) -> Any:
        table = self.kernels
        y = getattr(table.fast, self.kernel)(x)
        if y is NotImplemented:
            y = table.empty(x.shape, x.dtype)
            getattr(table, self.kernel)(_common.contiguous_array(table, x), y)
        if self.needs[0]:
            self.save(y if self.saves_output else x)
        return y

    def backward(self, g: Any) -> tuple[Any, ...]:
        (value,) = self.saved  # type: ignore[misc]
        table = self.kernels
        out = table.empty(value.shape, value.dtype)
        getattr(table, self.backward_kernel)(g, value, out)
        return (out,)


class Exp(Unary):
    """e^x."""

    kernel, backward_kernel, saves_output = "exp_forward", "mul", True

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (y,) = self.saved_tensors()
        return (g * y,)


class Log(Unary):
    """ln x."""

    kernel, backward_kernel, saves_output = "log_forward", "div", False

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (x,) = self.saved_tensors()
        return (g / x,)


def _floating(name: str, input: Tensor) -> Tensor:
    _common.require_tensor(name, "input", input)
    return input if input.array.dtype.kind not in "biu" else to(input, _dtypes.get_default_dtype())


def exp(input: Tensor) -> Tensor:
    """e to the power of input, elementwise, as torch.exp.

    Shapes: input (...) -> (...); integers and bools become the default floating-point type.
    Infinity above the largest exponent, 0 below the smallest, NaN for NaN.   Raises TypeError for
    no tensor.
    """
    return Exp.apply((_floating("exp", input),))  # type: ignore[no-any-return]


exp_: InPlace[[]] = in_place(exp, "exp_forward")


def log(input: Tensor) -> Tensor:
    """The natural logarithm, elementwise, as torch.log: -inf at 0, NaN below.

    Shapes: input (...) -> (...); integers and bools become the default floating-point type.
    Raises TypeError for no tensor.
    """
    return Log.apply((_floating("log", input),))  # type: ignore[no-any-return]


log_: InPlace[[]] = in_place(log, "log_forward")


_FAMILY = (
    (exp, "exp", lambda x: array_module(x).exp(x), -5.0),
    (log, "log", lambda x: array_module(x).log(x), 0.1),
)
CASES = [
    OpCase(f, name, [s], ref=ref, low=low, high=5.0, bench=s == (1024, 4096))
    for f, name, ref, low in _FAMILY
    for s in ((3, 5), (), (0, 4), (7, 133), (1024, 4096))
]
ERRORS = [
    case
    for f, name, _, _ in _FAMILY
    for case in (
        ErrorCase(f, name, [1.0], TypeError, "expected input as a Tensor"),
        ErrorCase(f, name, [None], TypeError, "NoneType"),
        ErrorCase(f, name, ["a"], TypeError, "fastnn.tensor"),
    )
]
