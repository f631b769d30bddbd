# SPDX-License-Identifier: BSD-3-Clause
"""Variance and standard deviation.

    var = sum (x - mean)^2 / max(0, n - correction)      std = sqrt(var)

Shapes:   x (...) -> the kept dimensions (all reduced: 0-d).
Backward: var: dx = 2 g (x - mean) / (n - correction);  std: dx = g (x - mean) / (std (n -
          correction)), 0 where std is 0.
Saved:    x, the mean, and std.
Source:   two passes, so that nothing cancels: Chan, Golub and LeVeque 1983.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._fold import Fold
from fastnn.ops._numpy_names import numpy_names
from fastnn.ops.reduce import mean
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def square_sum(x: Any, center: Any, y: Any) -> None:
    """y[o, i] = sum over j of (x[o, j, i] - center[o, i])^2; no center: 0."""
    xp = array_module(x)
    wide = xp.float32 if x.dtype == xp.float16 else x.dtype
    d = x.astype(wide) if center is None else x.astype(wide) - center.astype(wide)[:, None]
    y[...] = xp.add.reduce(d * d, axis=1, dtype=wide)


class Variance(Op):
    """The variance over dimensions, or its root."""

    def forward(
        self, x: Any, dims: tuple[int, ...], keepdim: bool, correction: float, root: bool
    ) -> Any:
        table = self.kernels
        fold = self.fold = Fold(x.shape, dims)
        self.root = root
        self.freedom = max(0.0, fold.n - correction)
        folded = fold.fold(table, x)
        middle, out = table.empty(fold.pair, x.dtype), table.empty(fold.pair, x.dtype)
        table.sum_last(folded.transpose((0, 2, 1)), middle, 1, float(fold.n))
        table.square_sum(folded, middle, out)
        self.scale(table.div, out, self.freedom)
        if root:
            table.sqrt_forward(out, out)
        y = out.reshape(fold.result_shape(keepdim))
        if self.needs[0]:
            self.save(x, middle, y if root else None)
        return y

    def scale(self, kernel: Any, a: Any, value: float) -> None:
        """a = kernel(a, value), in place."""
        cell = _common.scalar_array(self.kernels, value, _dtypes.from_numpy(a.dtype))
        kernel(a, _common.broadcast_array(self.kernels, cell, a.shape), a)

    def backward(self, g: Any) -> tuple[Any, ...]:
        x, middle, y = self.saved  # type: ignore[misc]
        table, fold = self.kernels, self.fold
        share = table.empty(fold.pair, g.dtype)
        table.copy(fold.pairs(table, g), share)
        self.scale(table.div, share, self.freedom if self.root else self.freedom / 2.0)
        if self.root:
            std = fold.pairs(table, y)
            table.div(share, std, share)
            zero = _common.scalar_array(table, 0, _dtypes.from_numpy(g.dtype))
            zero = _common.broadcast_array(table, zero, share.shape)
            flat = table.empty(share.shape, _dtypes.bool_.numpy)
            table.eq(std, zero, flat)
            kept = table.empty(share.shape, g.dtype)
            table.where_forward(flat, zero, share, kept)
            share = kept
        out = table.empty(fold.triple, g.dtype)
        table.sub(
            fold.fold(table, x), _common.broadcast_array(table, middle[:, None], out.shape), out
        )
        table.mul(out, _common.broadcast_array(table, share[:, None], out.shape), out)
        return (fold.unfold(table, out),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, _, y = self.saved_tensors()
        kept, dims = self.fold.kept_shape, self.fold.dims
        share = g.reshape(kept) * (1.0 / self.freedom if self.freedom else float("inf"))
        if not self.root:
            share = share * 2.0
        else:
            std = y.reshape(kept)
            share = where(std.detach() == 0, 0.0, share / std)
        center = x.mean(dims, keepdim=True) if dims else x
        return (share * (x - center),)


def _spread(
    name: str, root: bool, input: Tensor, dim: Any, unbiased: Any, keepdim: bool, correction: Any
) -> Tensor:
    _common.require_tensor(name, "input", input)
    _common.require_float(name, "input", input)
    if isinstance(dim, bool):  # torch's older form: var(input, unbiased)
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        message = (
            f"{name}: expected unbiased or correction, got both; correction=0 stands for "
            "unbiased=False"
        )
        raise TypeError(message)
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    if isinstance(correction, bool) or not isinstance(correction, int | float):
        message = (
            f"{name}: expected correction as a number, got {type(correction).__name__}; 1 divides "
            "by n - 1"
        )
        raise TypeError(message)
    dims = _common.many_dims(name, dim, input.ndim)
    return Variance.apply((input,), dims, keepdim, float(correction), root)  # type: ignore[no-any-return]


@numpy_names
def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The variance over ``dim`` (an int, a tuple, or None for all), as torch.var.

    The sum of squares is divided by n - correction, by default n - 1 (``unbiased=False``: by n);
    NaN where that is not positive.   Raises TypeError for no tensor, RuntimeError for integers.
    """
    return _spread("var", False, input, dim, unbiased, keepdim, correction)


@numpy_names
def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The standard deviation, the root of `var`, as torch.std; where it is 0 its gradient is 0.

    Raises TypeError for no tensor, RuntimeError for integers.
    """
    return _spread("std", True, input, dim, unbiased, keepdim, correction)


@numpy_names
def var_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The variance and the mean, as torch.var_mean; arguments and errors as `var`."""
    spread = _spread("var_mean", False, input, dim, unbiased, keepdim, correction)
    return spread, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@numpy_names
def std_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean, as torch.std_mean; arguments and errors as `var`."""
    spread = _spread("std_mean", True, input, dim, unbiased, keepdim, correction)
    return spread, mean(input, None if isinstance(dim, bool) else dim, keepdim)


def _plain(name: str) -> Any:
    def ref(
        x: Any, d: Any = None, unbiased: Any = None, keepdim: bool = False, correction: Any = 1
    ) -> Any:
        if isinstance(d, bool):
            d, unbiased = None, d
        d = tuple(d) if isinstance(d, list) else d
        ddof = correction if unbiased in (None, True) else 0
        out = getattr(x, name[:3])(d, ddof=ddof, keepdims=keepdim)
        return (out, x.mean(d, keepdims=keepdim)) if name[3:] else out

    return ref


CASES = [
    *(
        OpCase(f, f.__name__, [s, *a], k, _plain(f.__name__))
        for f in (var, std, var_mean, std_mean)
        for s, a, k in (
            ((3, 5), [], {}),
            ((3, 5), [0], {"correction": 0}),
            ((4, 3, 5), [[0, 2]], {"keepdim": True}),
            ((4, 3, 5), [1], {"unbiased": False}),
            ((2, 7), [-1], {"correction": 2}),
            ((6,), [False], {}),
        )
    ),
    OpCase(var, "var", [(3, 700, 2), 1], ref=_plain("var")),
    OpCase(var, "var", [(7, 2500), -1], ref=_plain("var")),
    OpCase(std, "std", [(0, 4), 1], ref=_plain("std")),
    OpCase(var, "var", [(1024, 4096), 1], ref=_plain("var"), bench=True),
    OpCase(var, "var", [(1024, 4096), 0], ref=_plain("var"), bench=True),
]
ERRORS = [
    *(
        case
        for f in (var, std, var_mean, std_mean)
        for case in (
            ErrorCase(f, f.__name__, [(2, 3), 2], IndexError, "expected dim in [-2, 1]"),
            ErrorCase(f, f.__name__, [[1.0]], TypeError, "expected input as a Tensor"),
            ErrorCase(f, f.__name__, [("int", (2, 3), 0, 9)], RuntimeError, "floating-point type"),
        )
    ),
    ErrorCase(
        var, "var", [(3,)], TypeError, "unbiased or correction", {"unbiased": True, "correction": 1}
    ),
    ErrorCase(std, "std", [(3,)], TypeError, "correction as a number", {"correction": "a"}),
]
