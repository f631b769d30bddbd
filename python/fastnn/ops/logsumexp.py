# SPDX-License-Identifier: BSD-3-Clause
"""log(sum exp(x)) over dimensions.

Shapes:   x (...) -> the kept dimensions.
Backward: dx = exp(x - y) g.       Saved: x, y.
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._elementwise import floating
from fastnn.ops._fold import Fold
from fastnn.ops._numpy_names import numpy_names
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def logsumexp_forward(x: Any, y: Any) -> None:
    """y = m + log(sum exp(x - m)) of rows, m = max x, 0 where that is infinite."""
    xp = array_module(x)
    wide = x.astype(xp.float32) if x.dtype == xp.float16 else x
    if x.shape[1] == 0:
        y[...] = -xp.inf
        return
    top = wide.max(axis=1)
    top = xp.where(xp.isinf(top), xp.zeros((), wide.dtype), top)
    y[...] = top + xp.log(xp.add.reduce(xp.exp(wide - top[:, None]), axis=1))


@reference
def logsumexp_backward(x: Any, y: Any, grad_y: Any, grad_x: Any) -> None:
    """grad_x = exp(x - y) grad_y by rows."""
    xp = array_module(x)
    xp.multiply(xp.exp(x - y[:, None]), grad_y[:, None], out=grad_x)


class LogSumExp(Op):
    """log(sum exp(x)) over dimensions."""

    def forward(self, x: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
        table = self.kernels
        fold = self.fold = Fold(x.shape, dims)
        out = table.empty((fold.outer * fold.inner,), x.dtype)
        table.logsumexp_forward(fold.rows(table, x), out)
        y = out.reshape(fold.result_shape(keepdim))
        if self.needs[0]:
            self.save(x, y)
        return y

    def backward(self, g: Any) -> tuple[Any, ...]:
        x, y = self.saved  # type: ignore[misc]
        table, fold = self.kernels, self.fold
        rows = fold.rows(table, x)
        out = table.empty(rows.shape, g.dtype)
        flat = (rows.shape[0],)
        table.logsumexp_backward(rows, y.reshape(flat), _common.reshaped(table, g, flat), out)
        return (fold.unrows(table, out) if x.ndim else out.reshape(()),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, y = self.saved_tensors()
        kept = self.fold.kept_shape
        return ((x - y.reshape(kept)).exp() * g.reshape(kept),)


@numpy_names
def logsumexp_tensor(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """log(sum exp(input)) over ``dim`` (an int or a tuple) without overflow, as torch.logsumexp.

    Shapes: (...) -> the kept dimensions; integers become the default floating-point type. -inf of
    no elements.   Raises IndexError for a bad dim, TypeError for no tensor.
    """
    x = floating("logsumexp", input)
    if dim is None:
        message = "logsumexp: expected dim as an int or a tuple, got None; -1 is the last one"
        raise TypeError(message)
    return LogSumExp.apply((x,), _common.many_dims("logsumexp", dim, x.ndim), keepdim)  # type: ignore[no-any-return]


_common.named(logsumexp=logsumexp_tensor)


def _plain(x: Any, d: Any, keepdim: bool = False) -> Any:
    xp = array_module(x)
    return xp.log(xp.exp(x).sum(tuple(d) if isinstance(d, list) else d, keepdims=keepdim))


CASES = [
    OpCase(logsumexp_tensor, "logsumexp", [s, d], k, _plain, low=-4.0, high=4.0)
    for s, d, k in (
        ((3, 5), 1, {}),
        ((3, 5), 0, {"keepdim": True}),
        ((4, 3, 5), [0, 2], {}),
        ((4, 3, 5), [0, 2], {"keepdim": True}),
        ((0, 4), 1, {}),
        ((7, 2500), 1, {}),
    )
]
ERRORS = [
    ErrorCase(logsumexp_tensor, "logsumexp", [(2, 3), 2], IndexError, "expected dim in [-2, 1]"),
    ErrorCase(logsumexp_tensor, "logsumexp", [[1.0], 0], TypeError, "expected input as a Tensor"),
    ErrorCase(logsumexp_tensor, "logsumexp", [(2, 3), None], TypeError, "expected dim as an int"),
]
