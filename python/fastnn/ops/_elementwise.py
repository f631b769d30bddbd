# SPDX-License-Identifier: BSD-3-Clause
"""Families of elementwise operations: what `define` makes of a row of formulas.

    Silu = define("silu", lambda m, x: x * m.sigmoid(x), lambda m, x, g: ...)

gives the operation whose kernels are ``silu_forward(x, y, *options)`` and ``silu_backward(v,
grad_y, grad_x, *options)``: the formulas (see `_formulas`) are their references, and the second one
is the gradient under ``create_graph``. v is the input, or the output where that is saved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._formulas import ArrayMath, tensor_math
from fastnn.ops._tied import tied
from fastnn.ops.copy import to
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable


class Elementwise(Op):
    """y = value(x, *options), element by element."""

    gradient: ClassVar[Callable[..., Any]]  # (m, v, grad_y, *options)
    saves_output: ClassVar[bool]
    steps: ClassVar[bool] = False  # whether the gradient is a step function of v

    def forward(self, x: Any, *options: Any) -> Any:
        table = self.kernels
        kernel = self.name + "_forward"
        y = NotImplemented if options else getattr(table.fast, kernel)(x)
        if y is NotImplemented:
            y = table.empty(x.shape, x.dtype)
            getattr(table, kernel)(_common.contiguous_array(table, x), y, *options)
        self.options = options
        if self.needs[0]:
            self.save(y if self.saves_output else x)
        return y

    def backward(self, g: Any) -> tuple[Any, ...]:
        (v,) = self.saved  # type: ignore[misc]
        table = self.kernels
        out = table.empty(v.shape, v.dtype)
        pair = (_common.contiguous_array(table, v), _common.contiguous_array(table, g))
        getattr(table, self.name + "_backward")(*pair, out, *self.options)
        return (out,)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (v,) = self.saved_tensors()
        gx = type(self).gradient(tensor_math(), v, g, *self.options)
        return (tied(gx, v, again=True) if self.steps else gx,)


def _wide(x: Any) -> Any:
    """Half precision is computed in single."""
    return x.astype("float32") if x.dtype == "float16" else x


def define(
    name: str,
    value: Callable[..., Any],
    gradient: Callable[..., Any],
    *,
    saves_output: bool = False,
) -> type[Elementwise]:
    """The operation of two formulas, its references registered."""

    def forward(x: Any, y: Any, *options: Any) -> None:
        x = _wide(x)
        array_module(y).copyto(y, value(ArrayMath(x), x, *options))

    def backward(v: Any, grad_y: Any, grad_x: Any, *options: Any) -> None:
        v, g = _wide(v), _wide(grad_y)
        array_module(grad_x).copyto(grad_x, gradient(ArrayMath(v), v, g, *options))

    forward.__name__, backward.__name__ = name + "_forward", name + "_backward"
    reference(forward)
    reference(backward)
    members = {"name": name, "gradient": staticmethod(gradient), "saves_output": saves_output}
    return type(name.title().replace("_", ""), (Elementwise,), members)


def floating(name: str, input: Tensor) -> Tensor:
    """The tensor, in the default type if it is of integers or bools; TypeError for no tensor."""
    _common.require_tensor(name, "input", input)
    return input if input.array.dtype.kind not in "biu" else to(input, _dtypes.get_default_dtype())


def floats_only(name: str, input: Tensor) -> Tensor:
    """The tensor; TypeError for no tensor, RuntimeError for integers and bools."""
    _common.require_tensor(name, "input", input)
    _common.require_float(name, "input", input)
    return input


def number(name: str, argument: str, value: Any) -> float:
    """An option as a float; TypeError for what is no number."""
    try:
        if not isinstance(value, bool) and hasattr(value, "__float__"):
            return float(value)
    except (TypeError, ValueError, OverflowError):  # arrays; ints beyond all floats
        pass
    kind = type(value).__name__
    message = f"{name}: expected {argument} as a number, got {kind}; convert it with float()"
    raise TypeError(message)
