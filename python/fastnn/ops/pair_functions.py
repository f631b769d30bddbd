# SPDX-License-Identifier: BSD-3-Clause
"""Functions of two numbers: fmax, fmin, hypot, copysign, logaddexp, logaddexp2, xlogy, ldexp.

    hypot: sqrt(x^2 + y^2)              copysign: |x| with the sign of y
    logaddexp: ln(e^x + e^y)            logaddexp2: the same to base 2
    xlogy: x ln y, 0 where x is 0       ldexp: x 2^y
    fmax, fmin: the larger, the smaller; of a number and NaN the number

Shapes:   x (...), y (...) -> their common broadcast shape, in their promoted type.
Backward: the formulas of the rows below, summed over the broadcast dimensions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.ops import _common
from fastnn.ops._binary_op import Binary, binary, common_type
from fastnn.ops._formulas import tensor_math
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops.copy import to
from fastnn.ops.power import pow_tensors
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

if TYPE_CHECKING:
    from collections.abc import Callable

    Gradient = Callable[[Any, Any, Any, Any], Any]  # (m, x, y, g) -> of one operand


class Pair(Binary):
    """An operation whose gradients are formulas on tensors, for all orders of derivatives."""

    gradients: ClassVar[tuple[Gradient, Gradient]]
    saves = (3, 3)

    def parts(self, x: Tensor, y: Tensor, g: Tensor) -> list[Any]:
        """The gradients before they are summed over broadcast dimensions."""
        m = tensor_math()
        pairs = zip(type(self).gradients, self.needs, strict=True)
        return [formula(m, x, y, g) if need else None for formula, need in pairs]

    def backward(self, g: Any) -> tuple[Any, ...]:
        x, y = (Tensor._wrap(a) for a in self.saved or ())
        parts = self.parts(x, y, Tensor._wrap(g))
        return self.shrink(*(None if t is None else t.array for t in parts))

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, y = self.saved_tensors()
        return self.shrink_graph(*self.parts(x, y, g))


def _row(
    name: str, value: Callable[..., Any], x: Gradient, y: Gradient, *, floating: bool = False
) -> type[Pair]:
    """The operation of three formulas, its reference registered. floating: integers are computed
    in the default type."""

    def forward(a: Any, b: Any, out: Any) -> None:
        if out.dtype.itemsize == 2 and out.dtype.kind not in "iu":
            a, b = a.astype("float32"), b.astype("float32")  # halves are computed in single
        # NumPy's loops round by the layout of what they are given; this way there is one.
        a, b = (v if v.flags.c_contiguous else v.copy() for v in (a, b))
        out[...] = value(array_module(out), a, b).astype(out.dtype)

    forward.__name__ = name
    reference(forward)
    members = {"name": name, "kernel": name, "gradients": (x, y), "floating": floating}
    return type(name.title(), (Pair,), members)


def _x_log_y(xp: Any, x: Any, y: Any) -> Any:
    return xp.where((x == 0) & ~xp.isnan(y), 0.0, x * xp.log(y))


def _same_sign(m: Any, x: Any, y: Any, g: Any) -> Any:
    x, y = x.detach(), y.detach()
    return g * m.where(x == 0, 0.0, m.copysign(x, y) / x)


Fmax = _row(
    "fmax",
    lambda xp, x, y: xp.fmax(x, y),
    lambda m, x, y, g: m.where((x >= y) | m.isnan(y), g, 0.0),
    lambda m, x, y, g: m.where((x >= y) | m.isnan(y), 0.0, g),
)
Fmin = _row(
    "fmin",
    lambda xp, x, y: xp.fmin(x, y),
    lambda m, x, y, g: m.where((x <= y) | m.isnan(y), g, 0.0),
    lambda m, x, y, g: m.where((x <= y) | m.isnan(y), 0.0, g),
)
Hypot = _row(
    "hypot",
    lambda xp, x, y: xp.hypot(x, y),
    lambda m, x, y, g: g * (x / m.hypot(x, y)),
    lambda m, x, y, g: g * (y / m.hypot(x, y)),
)
Copysign = _row(
    "copysign",
    lambda xp, x, y: xp.copysign(x, y),
    _same_sign,
    lambda m, _x, _y, g: m.zeros_like(g),
    floating=True,
)
Logaddexp = _row(
    "logaddexp",
    lambda xp, x, y: xp.logaddexp(x, y),
    lambda m, x, y, g: g * m.sigmoid(x - y),
    lambda m, x, y, g: g * m.sigmoid(y - x),
)
Logaddexp2 = _row(
    "logaddexp2",
    lambda xp, x, y: xp.logaddexp2(x, y),
    lambda m, x, y, g: g * m.sigmoid((x - y) * math.log(2.0)),
    lambda m, x, y, g: g * m.sigmoid((y - x) * math.log(2.0)),
)
Xlogy = _row(
    "xlogy",
    _x_log_y,
    lambda m, x, y, g: m.where((x == 0) & (y <= 0), 0.0, m.xlogy(g, y)),
    lambda _, x, y, g: g * x / y,
    floating=True,
)


def _both(op: type[Pair], input: Any, other: Any, floats: bool) -> Tensor:
    _common.require_tensor(op.name, "input", input)
    _common.require_tensor(op.name, "other", other)
    if floats and (found := common_type(op, input, other)).category < 2:
        message = (
            f"{op.name}: expected a floating-point operand, got a result of {found}; convert one "
            "with .float()"
        )
        raise RuntimeError(message)
    return binary(op, input, other)


def fmax(input: Tensor, other: Tensor) -> Tensor:
    """The larger of both, elementwise, as torch.fmax: NaN only where both are.

    Shapes: their broadcast shape, in their promoted type. Of equals input gets the gradient.
    Raises TypeError for no tensors, RuntimeError for shapes that do not broadcast.
    """
    return _both(Fmax, input, other, floats=False)


def fmin(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of both, elementwise, as torch.fmin: NaN only where both are.

    Shapes: their broadcast shape, in their promoted type. Of equals input gets the gradient.
    Raises TypeError for no tensors, RuntimeError for shapes that do not broadcast.
    """
    return _both(Fmin, input, other, floats=False)


def hypot(input: Tensor, other: Tensor) -> Tensor:
    """sqrt(input^2 + other^2) without overflow on the way, elementwise, as torch.hypot.

    Shapes: their broadcast shape, in their promoted type.   Raises TypeError for no tensors,
    RuntimeError for shapes that do not broadcast and two tensors of integers.
    """
    return _both(Hypot, input, other, floats=True)


def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """ln(exp(input) + exp(other)) without overflow on the way, elementwise, as torch.logaddexp.

    Shapes: their broadcast shape, in their promoted type.   Raises TypeError for no tensors,
    RuntimeError for shapes that do not broadcast and two tensors of integers.
    """
    return _both(Logaddexp, input, other, floats=True)


def logaddexp2(input: Tensor, other: Tensor) -> Tensor:
    """log2(2^input + 2^other) without overflow on the way, elementwise, as torch.logaddexp2.

    Shapes: their broadcast shape, in their promoted type.   Raises TypeError for no tensors,
    RuntimeError for shapes that do not broadcast and two tensors of integers.
    """
    return _both(Logaddexp2, input, other, floats=True)


def copysign(input: Tensor, other: Any) -> Tensor:
    """|input| with the sign of other (a tensor or a number; -0 and NaN have signs too), as
    torch.copysign; the gradient is that of input, 0 where it is 0.

    Shapes: their broadcast shape; integers become the default floating-point type.   Raises
    TypeError unless input is a tensor, RuntimeError for shapes that do not broadcast.
    """
    _common.require_tensor("copysign", "input", input)
    return binary(Copysign, input, other)


def xlogy(input: Any, other: Any) -> Tensor:
    """input ln(other), 0 where input is 0 and other not NaN, elementwise, as torch.xlogy: tensors
    or numbers, at least one of them a tensor.

    Shapes: their broadcast shape; integers become the default floating-point type.   Raises
    TypeError for other operands, RuntimeError for shapes that do not broadcast.
    """
    return binary(Xlogy, input, other)


def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """input * 2^other, elementwise, as torch.ldexp.

    Shapes: their broadcast shape; with integers as other the result is of the input's type, and
    integers as input become the default floating-point type.   Raises TypeError for no tensors,
    RuntimeError for shapes that do not broadcast.
    """
    _common.require_tensor("ldexp", "input", input)
    _common.require_tensor("ldexp", "other", other)
    _common.broadcast_shape("ldexp", input.shape, other.shape)
    if not input.is_floating_point() or other.is_floating_point():
        return input * pow_tensors(2.0, other)
    wide = _dtypes.float32 if input.itemsize < 4 else input.dtype
    return to(to(input, wide) * pow_tensors(2.0, to(other, wide)), input.dtype)


hypot_: InPlace[...] = in_place(hypot)
copysign_: InPlace[...] = in_place(copysign)
xlogy_: InPlace[...] = in_place(xlogy)
ldexp_: InPlace[...] = in_place(ldexp)

# function, plain NumPy, range of the random inputs, their distance from 0
_FAMILY: tuple[tuple[Any, Any, float, float, float | None], ...] = (
    (fmax, lambda x, y: x * (x >= y) + y * (x < y), -2.0, 2.0, None),
    (fmin, lambda x, y: x * (x <= y) + y * (x > y), -2.0, 2.0, None),
    (hypot, lambda x, y: (x * x + y * y) ** 0.5, -2.0, 2.0, 0.0),
    (logaddexp, lambda x, y: array_module(x).log(math.e**x + math.e**y), -2.0, 2.0, None),
    (logaddexp2, lambda x, y: array_module(x).log2(2.0**x + 2.0**y), -2.0, 2.0, None),
    (copysign, lambda x, y: abs(x) * ((y > 0) * 2.0 - 1.0), -2.0, 2.0, 0.0),
    (xlogy, lambda x, y: x * array_module(y).log(y), 0.2, 2.0, None),
    (ldexp, lambda x, y: x * 2.0**y, -2.0, 2.0, None),
)
CASES = [
    *(
        OpCase(f, f.__name__, list(s), ref=ref, low=low, high=high, kink=kink)
        for f, ref, low, high, kink in _FAMILY
        for s in (((4, 1, 3), (2, 1)), ((), (0, 4)))
    ),
    OpCase(copysign, "copysign", [(3, 4), -1.0], ref=lambda x, _: -abs(x), kink=0.0),
    OpCase(xlogy, "xlogy", [(3, 4), 2.0], ref=lambda x, y: x * math.log(y)),
    OpCase(xlogy, "xlogy", [2.0, (3, 4)], ref=_FAMILY[6][1], low=0.2),
    OpCase(
        fmax, "fmax", [("int", (9,), -9, 9), ("int", (9,), -9, 9)], ref=_FAMILY[0][1], grad=False
    ),
]
ERRORS = [
    *(
        case
        for f in (fmax, fmin, hypot, logaddexp, logaddexp2, ldexp)
        for case in (
            ErrorCase(f, f.__name__, [(3,), (4,)], RuntimeError, "shapes that broadcast"),
            ErrorCase(f, f.__name__, [(3,), 1.0], TypeError, "expected other as a Tensor"),
            ErrorCase(f, f.__name__, [1.0, (3,)], TypeError, "expected input as a Tensor"),
        )
    ),
    *(
        ErrorCase(
            f,
            f.__name__,
            [("int", (3,), 0, 9), ("int", (3,), 0, 9)],
            RuntimeError,
            "a floating-point operand, got a result of fastnn.int64",
        )
        for f in (hypot, logaddexp, logaddexp2)
    ),
    ErrorCase(copysign, "copysign", [(3,), (4,)], RuntimeError, "shapes that broadcast"),
    ErrorCase(copysign, "copysign", [(3,), "a"], TypeError, "a tensor or a number"),
    ErrorCase(copysign, "copysign", [1.0, (3,)], TypeError, "expected input as a Tensor"),
    ErrorCase(xlogy, "xlogy", [(3,), (4,)], RuntimeError, "shapes that broadcast"),
    ErrorCase(xlogy, "xlogy", [(3,), "a"], TypeError, "a tensor or a number"),
    ErrorCase(xlogy, "xlogy", [1.0, 2.0], TypeError, "got two numbers"),
]
