# SPDX-License-Identifier: BSD-3-Clause
"""The largest, the smallest and the logarithm of the sum of exponentials up to each element.

    cummax_j = max(x_1 ... x_j)      logcumsumexp_j = log(e^(x_1) + ... + e^(x_j))

Shapes:   (...) -> (...), cummax and cummin with the places of their values.
Backward: cummax, cummin: g goes to the element whose index is returned;  logcumsumexp: dx_j =
          e^(x_j - y_j) u_j, u_j = g_j + e^(y_j - y_(j+1)) u_(j+1), whose exponents are never
          positive: no overflow, and no logarithm of a gradient.
NaN is larger and smaller than every number: it stays once it has come.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._fold import Fold
from fastnn.ops._numpy_names import numpy_names
from fastnn.ops.gather import Gather
from fastnn.ops.recurrence import recurrence, shifted
from fastnn.ops.unary import exp
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def cummax_places(x: Any, index: Any, smallest: bool) -> None:
    """index[:, j] = the last i <= j at which x[:, i] is the largest (smallest) of those; NaN is."""
    xp = array_module(x)
    for j in range(x.shape[1]):
        if j == 0:
            index[:, 0] = 0
            best = x[:, 0].copy()
            continue
        new = x[:, j] <= best if smallest else x[:, j] >= best
        if x.dtype.kind == "f":
            new = (new & ~xp.isnan(best)) | xp.isnan(x[:, j])
        index[:, j] = xp.where(new, j, index[:, j - 1])
        best = xp.where(new, x[:, j], best)


@reference
def logcumsumexp_forward(x: Any, y: Any) -> None:
    """y[:, j] = log(sum of exp(x[:, :j + 1]))."""
    xp = array_module(x)
    y[...] = xp.logaddexp.accumulate(x, axis=1) if x.shape[1] else x


class Running(NamedTuple):
    """What cummax and cummin give."""

    values: Tensor
    indices: Tensor


class LogCumSumExp(Op):
    """The running logarithm of the sum of exponentials."""

    def forward(self, x: Any, dim: int) -> Any:
        table = self.kernels
        self.dim = dim
        fold = Fold(x.shape, (dim,))
        out = table.empty(fold.triple, x.dtype)
        table.logcumsumexp_forward(fold.fold(table, x), out)
        y = out.reshape(x.shape)
        self.save(x, y)
        return y

    def backward(self, g: Any) -> tuple[Any, ...]:
        x, y = (Tensor._wrap(a) for a in self.saved or ())
        return (self.part(x, y, Tensor._wrap(g)).array,)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, y = self.saved_tensors()
        return (self.part(x, y, g),)

    def part(self, x: Tensor, y: Tensor, g: Tensor) -> Tensor:
        """The gradient; where sums are 0, whose logarithms differ by NaN, parts are 0."""
        none = y.detach() == -float("inf")
        step = where(none, 0.0, shifted(y, self.dim, True))
        decay = exp(where(none, 0.0, y) - step)
        return exp(where(none, -float("inf"), x - where(none, 0.0, y))) * recurrence(
            g, decay, self.dim, True
        )


def _running(name: str, input: Tensor, dim: Any) -> Running:
    _common.require_tensor(name, "input", input)
    d = _common.one_dim(name, dim, input.ndim)
    table = _common.table_of(input)
    if input.ndim == 0:
        values, places = _running(name, input.reshape(1), 0)
        return Running(values.reshape(()), places.reshape(()))
    fold = Fold(input.shape, (d,))
    index = table.empty(fold.triple, _dtypes.int64.numpy)
    table.cummax_places(fold.fold(table, input.array), index, name == "cummin")
    places = Tensor._wrap(index.reshape(input.shape))
    return Running(Gather.apply((input, places), d), places)


@numpy_names
def cummax(input: Tensor, dim: int) -> Running:
    """The largest element up to each along ``dim``, and where it stands, as torch.cummax.

    Of equals the last one counts: its index is given and gets the gradient.   Raises TypeError for
    no tensor, IndexError for a bad dim.
    """
    return _running("cummax", input, dim)


@numpy_names
def cummin(input: Tensor, dim: int) -> Running:
    """The smallest element up to each along ``dim``, and where it stands, as torch.cummin.

    Of equals the last one counts: its index is given and gets the gradient.   Raises TypeError for
    no tensor, IndexError for a bad dim.
    """
    return _running("cummin", input, dim)


@numpy_names
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """log of the sums of e^x up to each element along ``dim``, as torch.logcumsumexp.

    Raises TypeError for no tensor, RuntimeError for integers, IndexError for a bad dim.
    """
    _common.require_tensor("logcumsumexp", "input", input)
    d = _common.one_dim("logcumsumexp", dim, input.ndim)
    _common.require_float("logcumsumexp", "input", input)
    if input.ndim == 0:
        return LogCumSumExp.apply((input.reshape(1),), 0).reshape(())  # type: ignore[no-any-return]
    return LogCumSumExp.apply((input,), d)  # type: ignore[no-any-return]


def _plain(name: str) -> Any:
    def ref(x: Any, d: int) -> Any:
        xp = array_module(x)
        if name == "logcumsumexp":
            return xp.log(xp.exp(x).cumsum(d))
        best = (xp.maximum if name == "cummax" else xp.minimum).accumulate(x, d)
        places = xp.arange(x.shape[d]).reshape(
            [-1 if i == d % x.ndim else 1 for i in range(x.ndim)]
        )
        return best, xp.maximum.accumulate(xp.where(x == best, places, 0), d)

    return ref


CASES = [
    OpCase(f, f.__name__, list(a), ref=_plain(f.__name__), grad=a[0][0] > 0)
    for f in (cummax, cummin, logcumsumexp)
    for a in (((5,), 0), ((2, 6, 3), 1), ((3, 4), -1), ((0, 2), 0))
]
CASES += [
    OpCase(f, f.__name__, [("int", (3, 9), 0, 4), 1], ref=_plain(f.__name__), grad=False)
    for f in (cummax, cummin)
]
ERRORS = [
    case
    for f in (cummax, cummin, logcumsumexp)
    for case in (
        ErrorCase(f, f.__name__, [(2, 3), 2], IndexError, "expected dim in [-2, 1]"),
        ErrorCase(f, f.__name__, [[1.0], 0], TypeError, "expected input as a Tensor"),
        ErrorCase(f, f.__name__, [(2, 3), "a"], TypeError, "expected dim as an int"),
    )
]
ERRORS += [
    ErrorCase(
        logcumsumexp, "logcumsumexp", [("int", (3,), 0, 9), 0], RuntimeError, "floating-point type"
    )
]
