# SPDX-License-Identifier: BSD-3-Clause
"""Windows that slide along a dimension, as a view.

    y[..., i, ..., j] = x[..., i step + j, ...]

Shapes:   x (..., n, ...) -> (..., w, ..., size), w = (n - size) // step + 1.
Backward: the gradient added up where windows overlap.
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops.view import View
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def _windows(x: Any, dim: int, size: int, step: int) -> Any:
    """A view of the windows of an array."""
    count = (x.shape[dim] - size) // step + 1
    shape = (*x.shape[:dim], count, *x.shape[dim + 1 :], size)
    strides = [*x.strides, x.strides[dim]]
    strides[dim] *= step
    return array_module(x).lib.stride_tricks.as_strided(x, shape, tuple(strides))


@reference
def add_windows(y: Any, x: Any, dim: int, step: int) -> None:
    """x = 0; x[..., i step + j, ...] += y[..., i, ..., j], in the order of j."""
    x[...] = 0
    count, lead = y.shape[dim], (slice(None),) * dim
    for j in range(y.shape[-1] if count else 0):
        x[(*lead, slice(j, j + (count - 1) * step + 1, step))] += y[..., j]


class Windows(View):
    """The windows of one dimension, their elements last."""

    name = "unfold"

    def forward(self, x: Any, dim: int, size: int, step: int) -> Any:
        self.shape, self.options = x.shape, (dim, size, step)
        return _windows(x, dim, size, step)

    def backward(self, g: Any) -> tuple[Any, ...]:
        dim, _, step = self.options
        out = self.kernels.empty(self.shape, g.dtype)
        self.kernels.add_windows(g, out, dim, step)
        return (out,)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (AddWindows.apply((g,), self.shape, self.options),)


class AddWindows(Op):
    """The transpose of `Windows`."""

    name = "unfold backward"

    def forward(self, y: Any, shape: tuple[int, ...], options: tuple[int, int, int]) -> Any:
        self.options = dim, _, step = options
        out = self.kernels.empty(shape, y.dtype)
        self.kernels.add_windows(y, out, dim, step)
        return out

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (_common.contiguous_array(self.kernels, _windows(g, *self.options)),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (Windows.apply((g,), *self.options),)


def unfold_dimension(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """A view of all windows of ``size`` entries, ``step`` apart, as torch.Tensor.unfold.

    Their elements are a new last dimension.   Raises RuntimeError for a size below 0 or above the
    dimension's and a step below 1, IndexError for a dimension that is not there.
    """
    _common.require_tensor("unfold", "input", input)
    d = _common.one_dim("unfold", dimension, input.ndim)
    size, step = _common.integer("unfold", "size", size), _common.integer("unfold", "step", step)
    n = input.shape[d] if input.ndim else 1
    if not 0 <= size <= n or step < 1:
        message = (
            f"unfold: expected a size in [0, {n}] and a step > 0, got {size} and {step}; pad() "
            "makes a dimension longer"
        )
        raise RuntimeError(message)
    step = min(step, n + 1)  # a longer one makes one window, too
    if input.ndim == 0:
        return Windows.apply((input.reshape(1),), 0, size, step)[0]  # type: ignore[no-any-return]
    return Windows.apply((input,), d, size, step)  # type: ignore[no-any-return]


_common.named(unfold=unfold_dimension)


def _plain(x: Any, dim: int, size: int, step: int) -> Any:
    xp, dim = array_module(x), dim % x.ndim
    starts = range(0, x.shape[dim] - size + 1, step)
    cut = [xp.moveaxis(x, dim, -1)[..., s : s + size] for s in starts]
    return xp.moveaxis(xp.stack(cut, -2), -2, dim)


CASES = [
    OpCase(unfold_dimension, "unfold dimension", [s, *a], ref=_plain)
    for s, a in (
        ((7,), [0, 3, 1]),
        ((2, 7, 3), [1, 2, 2]),
        ((5, 3), [-1, 3, 9]),
        ((4, 2), [0, 0, 2]),
        ((2, 9), [1, 2, 3]),
    )
]
_BAD: list[tuple[list[Any], type[Exception], str]] = [
    ([(3,), 0, 4, 1], RuntimeError, "a size in [0, 3]"),
    ([(3,), 0, 2, 0], RuntimeError, "a step > 0"),
    ([(3,), 1, 2, 1], IndexError, "expected dim in"),
    ([[1.0], 0, 1, 1], TypeError, "expected input as a Tensor"),
]
ERRORS = [ErrorCase(unfold_dimension, "unfold", *bad) for bad in _BAD]
