# SPDX-License-Identifier: BSD-3-Clause
"""Softmax and its logarithm along one dimension.

    softmax(x)_j = exp(x_j - m) / s,      log_softmax(x)_j = x_j - m - log s,
    m = max x,  s = sum exp(x - m)

Shapes:   x (..., c, ...) -> the same.
Backward: from the output y:  dx = y (dy - sum dy y);   dx = dy - exp(y) sum dy.
Source:   Bridle 1990; the shift by the maximum keeps exp from overflowing.
"""

from __future__ import annotations

from typing import Any, ClassVar

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops.copy import to
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def wide(x: Any) -> Any:
    """x, half precision as single: what is added up in half loses the small terms."""
    xp = array_module(x)
    return x.astype(xp.float32) if x.dtype == xp.float16 else x


def _shifted(x: Any) -> Any:
    # -inf everywhere gives NaN, as in torch.
    xp = array_module(x)
    with xp.errstate(invalid="ignore"):
        return x - xp.max(x, axis=1, keepdims=True) if x.size else x


def _row_sums(x: Any) -> Any:
    return array_module(x).add.reduce(x, axis=1, keepdims=True, dtype=x.dtype)


@reference
def softmax_forward(x: Any, y: Any) -> None:
    """Rows of x (n, c) to probabilities."""
    xp = array_module(x)
    e = xp.exp(_shifted(wide(x)))
    y[...] = xp.divide(e, _row_sums(e), out=e)


@reference
def softmax_backward(y: Any, grad_y: Any, grad_x: Any) -> None:
    """grad_x = y (grad_y - sum grad_y y) by rows."""
    y, grad_y = wide(y), wide(grad_y)
    grad_x[...] = y * (grad_y - _row_sums(grad_y * y))


@reference
def log_softmax_forward(x: Any, y: Any) -> None:
    """Rows of x (n, c) to logarithms of probabilities."""
    xp = array_module(x)
    shifted = _shifted(wide(x))
    y[...] = shifted - xp.log(_row_sums(xp.exp(shifted)))


@reference
def log_softmax_backward(y: Any, grad_y: Any, grad_x: Any) -> None:
    """grad_x = grad_y - exp(y) sum grad_y by rows."""
    xp = array_module(y)
    y, grad_y = wide(y), wide(grad_y)
    grad_x[...] = grad_y - xp.exp(y) * _row_sums(grad_y)


class RowOp(Op):
    """A kernel on the rows of a matrix, applied along any dimension."""

    kernel: ClassVar[str]

    def rows(self, x: Any) -> Any:
        """x as (n, c) with the dimension last."""
        if x.ndim == 0:
            return x.reshape(1, 1)
        moved = x.transpose(self.order)
        table = self.kernels
        return _common.reshaped(
            table, moved, (x.size // max(x.shape[self.dim], 1), x.shape[self.dim])
        )

    def back(self, y: Any, shape: tuple[int, ...]) -> Any:
        """(n, c) in the original order, contiguous."""
        if not shape:
            return y.reshape(())
        if y.shape == shape and self.order == (0, 1):
            return y  # a view of it would be copied by the tape
        moved = y.reshape(tuple([shape[d] for d in self.order]))
        inverse = tuple(sorted(range(len(shape)), key=self.order.__getitem__))
        return _common.contiguous_array(self.kernels, moved.transpose(inverse))

    def forward(self, x: Any, dim: int) -> Any:
        self.dim = dim
        self.order = (*[d for d in range(x.ndim) if d != dim], dim) if x.ndim else ()
        rows = self.rows(x)
        out = self.kernels.empty(rows.shape, x.dtype)
        getattr(self.kernels, self.kernel + "_forward")(rows, out)
        y = self.back(out, x.shape)
        if self.needs[0]:
            self.save(y)
        return y

    def backward(self, g: Any) -> tuple[Any, ...]:
        (y,) = self.saved  # type: ignore[misc]
        rows = self.rows(y)
        out = self.kernels.empty(rows.shape, y.dtype)
        getattr(self.kernels, self.kernel + "_backward")(rows, self.rows(g), out)
        return (self.back(out, y.shape),)


class Softmax(RowOp):
    """exp(x) / sum exp(x)."""

    kernel = "softmax"

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (y,) = self.saved_tensors()
        return (y * (g - (g * y).sum(self.dim, keepdim=True)),)


class LogSoftmax(RowOp):
    """log softmax(x)."""

    kernel = "log_softmax"

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (y,) = self.saved_tensors()
        return (g - y.exp() * g.sum(self.dim, keepdim=True),)


def _prepared(name: str, input: Any, dim: Any, dtype: Any, axis: Any) -> tuple[Tensor, int]:
    _common.require_tensor(name, "input", input)
    if axis is not None:
        if dim is not None:
            message = f"{name}: expected dim or axis, its other name, got both; leave axis out"
            raise TypeError(message)
        dim = axis
    if dim is None:
        message = (
            f"{name}: expected dim, the dimension along which the outputs sum to one, got None; "
            "-1 is the last one"
        )
        raise TypeError(message)
    x = input if dtype is None else to(input, _dtypes.argument(name, dtype))
    _common.require_float(name, "input", x)
    return x, _common.one_dim(name, dim, x.ndim)


def softmax(input: Tensor, dim: Any = None, *, dtype: Any = None, axis: Any = None) -> Tensor:
    """exp(x) / sum exp(x) along ``dim``, as torch.softmax."""
    x, d = _prepared("softmax", input, dim, dtype, axis)
    return Softmax.apply((x,), d)  # type: ignore[no-any-return]


def log_softmax(input: Tensor, dim: Any = None, *, dtype: Any = None, axis: Any = None) -> Tensor:
    """log softmax along ``dim`` without over- or underflow, as torch.log_softmax."""
    x, d = _prepared("log_softmax", input, dim, dtype, axis)
    return LogSoftmax.apply((x,), d)  # type: ignore[no-any-return]


def _plain_softmax(x: Any, d: int) -> Any:
    if not x.ndim:
        return x * 0 + 1
    e = array_module(x).exp(x - x.max(d, keepdims=True)) if x.size else x
    return e / e.sum(d, keepdims=True)


_FAMILY = (
    (softmax, "softmax", _plain_softmax),
    (log_softmax, "log_softmax", lambda x, d: array_module(x).log(_plain_softmax(x, d))),
)
CASES = [
    OpCase(f, name, [s, d], ref=ref, low=-4.0, high=4.0, bench=s[:1] == (4096,))
    for f, name, ref in _FAMILY
    for s, d in (
        ((3, 5), 1),
        ((3, 5), 0),
        ((4, 3, 5), -2),
        ((), 0),
        ((0, 4), 1),
        ((7, 131), 1),
        ((4096, 1000), 1),
    )
]
ERRORS = [
    case
    for f, name, _ in _FAMILY
    for case in (
        ErrorCase(f, name, [(2, 3), 2], IndexError, "expected dim in [-2, 1]"),
        ErrorCase(f, name, [[1.0], 0], TypeError, "expected input as a Tensor"),
        ErrorCase(f, name, [("int", (2, 3), 0, 9), 0], RuntimeError, "floating-point type"),
        ErrorCase(f, name, [(2, 3)], TypeError, "expected dim"),
    )
]
