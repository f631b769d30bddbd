# SPDX-License-Identifier: BSD-3-Clause
"""Sums and means over dimensions, argmax and argmin.

Shapes:   x (...) -> the kept dimensions (all reduced: 0-d).
Backward: sum: the gradient repeated along the reduced dimensions;  mean: the same over their size.
"""

from __future__ import annotations

import math
from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops.copy import to
from fastnn.ops.view import expand, reshape
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def sum_last(x: Any, y: Any, n_reduced: int, divisor: float) -> None:
    """y = (sum of x over its last n_reduced dimensions) / divisor."""
    xp = array_module(x)
    axes = tuple(range(x.ndim - n_reduced, x.ndim))
    # Half precision is added up in single: 2048 + 1 is 2048 in half.
    wide = xp.float32 if x.dtype == xp.float16 else x.dtype
    total = xp.add.reduce(x, axis=axes, dtype=wide) if axes else x.astype(wide)
    if divisor != 1.0:
        total = total / total.dtype.type(divisor)
    y[...] = total.reshape(y.shape)


@reference
def column_sum(x: Any, y: Any, accumulate: bool) -> None:
    """y (+)= the sum of the rows of x (n, o)."""
    xp = array_module(x)
    wide = xp.float32 if x.dtype == xp.float16 else x.dtype
    total = xp.add.reduce(x, axis=0, dtype=wide)
    y[...] = y + total if accumulate else total


@reference
def argmax_forward(x: Any, y: Any) -> None:
    """y[o, i] = the first j at which x[o, j, i] is largest; NaN counts as largest."""
    xp = array_module(x)
    if x.shape[1] == 0 and y.size:
        message = "argmax_forward: the largest of no elements does not exist"
        raise ValueError(message)
    if y.size:
        xp.copyto(y, xp.argmax(x, axis=1))


class Sum(Op):
    """Sum over dimensions, divided by a number (mean)."""

    def forward(self, x: Any, dims: tuple[int, ...], keepdim: bool, divisor: float) -> Any:
        table = self.kernels
        self.shape, self.divisor = x.shape, divisor
        kept = [d for d in range(x.ndim) if d not in dims]
        self.kept_shape = tuple([1 if d in dims else n for d, n in enumerate(x.shape)])
        out = table.empty(tuple([x.shape[d] for d in kept]), x.dtype)
        table.sum_last(x.transpose((*kept, *dims)), out, len(dims), divisor)
        return out.reshape(self.kept_shape) if keepdim else out

    def backward(self, g: Any) -> tuple[Any, ...]:
        table = self.kernels
        g = _common.reshaped(table, g, self.kept_shape)
        if self.divisor != 1.0:
            scaled = table.empty(g.shape, g.dtype)
            cell = _common.scalar_array(table, self.divisor, _dtypes.from_numpy(g.dtype))
            table.div(g, _common.broadcast_array(table, cell, g.shape), scaled)
            g = scaled
        out = table.empty(self.shape, g.dtype)
        table.copy(_common.broadcast_array(table, g, self.shape), out)
        return (out,)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        g = expand(reshape(g, self.kept_shape), self.shape)
        return (g / self.divisor if self.divisor != 1.0 else g,)


def _numpy_names(
    op: str, dim: Any, keepdim: bool, axis: Any, keepdims: bool | None
) -> tuple[Any, bool]:
    """NumPy's names for the same two arguments, which torch takes too."""
    if (axis is not None and dim is not None) or (keepdims is not None and keepdim):
        message = (
            f"{op}: expected dim or axis, keepdim or keepdims, got an argument under both; leave "
            "axis and keepdims out"
        )
        raise TypeError(message)
    return (dim if axis is None else axis), (keepdim if keepdims is None else keepdims)


def sum(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The sum over ``dim`` (an int, a tuple, or None for all), as torch.sum.

    Integers and bools are summed as int64. Error: O(eps log n), pairwise summation
    (Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 4.2).
    """
    _common.require_tensor("sum", "input", input)
    if axis is not None or keepdims is not None:
        dim, keepdim = _numpy_names("sum", dim, keepdim, axis, keepdims)
    dims = _common.many_dims("sum", dim, input.ndim)
    if dtype is None and input.array.dtype.kind in "biu":
        dtype = _dtypes.int64
    x = input if dtype is None else to(input, _dtypes.argument("sum", dtype))
    return Sum.apply((x,), dims, keepdim, 1.0)  # type: ignore[no-any-return]


def mean(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The mean over ``dim`` (an int, a tuple, or None for all), as torch.mean; NaN of no elements.

    Raises RuntimeError for integers unless ``dtype`` is a floating-point type.
    """
    _common.require_tensor("mean", "input", input)
    if axis is not None or keepdims is not None:
        dim, keepdim = _numpy_names("mean", dim, keepdim, axis, keepdims)
    dims = _common.many_dims("mean", dim, input.ndim)
    x = input if dtype is None else to(input, _dtypes.argument("mean", dtype))
    _common.require_float("mean", "input", x)
    count = math.prod(x.shape[d] for d in dims)
    return Sum.apply((x,), dims, keepdim, float(count))  # type: ignore[no-any-return]


def argmax(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Where the largest element stands, as torch.argmax: the first of equals, int64.

    Without ``dim`` the index into the flattened tensor. NaN counts as largest.
    """
    if axis is not None or keepdims is not None:
        dim, keepdim = _numpy_names("argmax", dim, keepdim, axis, keepdims)
    return _place("argmax", input, dim, keepdim)


def argmin(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Where the smallest element stands, as torch.argmin: the first of equals, int64.

    Without ``dim`` the index into the flattened tensor. NaN counts as smallest. It is the argmax of
    -x, of integers and bools of their bits' complement, which cannot overflow.
    """
    if axis is not None or keepdims is not None:
        dim, keepdim = _numpy_names("argmin", dim, keepdim, axis, keepdims)
    return _place("argmin", input, dim, keepdim)


def _place(name: str, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    _common.require_tensor(name, "input", input)
    table = _common.table_of(input)
    x, d, shape = input.array, 0, input.shape
    if dim is None:
        x = _common.reshaped(table, x, (x.size,))
    else:
        d = _common.one_dim(name, dim, input.ndim)
    if x.ndim == 0:
        x = x.reshape(1)
    n = x.shape[d]
    if n == 0:
        message = (
            f"{name}: expected at least one element along dim {dim}, got shape {shape}; choose a "
            "dim that is not empty"
        )
        raise IndexError(message)
    outer, inner = math.prod(x.shape[:d]), math.prod(x.shape[d + 1 :])
    x = _common.reshaped(table, x, (outer, n, inner))
    if name == "argmin":
        turned = table.empty(x.shape, x.dtype)
        (table.neg_forward if x.dtype.kind not in "biu" else table.bitwise_not_forward)(x, turned)
        x = turned
    out = table.empty((outer, inner), _dtypes.int64.numpy)
    table.argmax_forward(x, out)
    if dim is None:
        return Tensor._wrap(out.reshape((1,) * len(shape) if keepdim else ()))
    kept = [1 if i == d else m for i, m in enumerate(shape)] if shape else []
    if not keepdim and shape:
        del kept[d]
    return Tensor._wrap(out.reshape(tuple(kept)))


CASES = [
    *(
        OpCase(
            sum,
            "sum",
            [s, *a],
            kwargs=k,
            ref=lambda x, d=None, keepdim=False: x.sum(d, keepdims=keepdim),
        )
        for s, a, k in (
            ((3, 5), [], {}),
            ((3, 5), [0], {}),
            ((3, 5), [1], {"keepdim": True}),
            ((4, 3, 5), [(0, 2)], {}),
            ((4, 3, 5), [-2], {}),
            ((), [], {}),
            ((0, 4), [0], {}),
            ((300, 257), [], {}),
        )
        if not (a and isinstance(a[0], tuple))
    ),
    OpCase(sum, "sum", [(4, 3, 5), [0, 2]], ref=lambda x, d: x.sum(tuple(d))),
    *(
        OpCase(
            mean,
            "mean",
            [s, *a],
            kwargs=k,
            ref=lambda x, d=None, keepdim=False: x.mean(d, keepdims=keepdim),
        )
        for s, a, k in (
            ((3, 5), [], {}),
            ((3, 5), [0], {"keepdim": True}),
            ((4, 3, 5), [1], {}),
            ((129, 65), [-1], {}),
        )
    ),
    *(
        OpCase(
            f,
            f.__name__,
            [s, *a],
            kwargs=k,
            grad=False,
            ref=lambda x, d=None, keepdim=False, f=f: getattr(x, f.__name__)(d, keepdims=keepdim),
        )
        for f in (argmax, argmin)
        for s, a, k in (
            ((3, 5), [], {}),
            ((3, 5), [1], {}),
            ((4, 3, 5), [1], {"keepdim": True}),
            ((), [], {}),
            (("int", (4, 9), -9, 9), [0], {}),
        )
    ),
    OpCase(sum, "sum", [(1024, 4096)], ref=lambda x: x.sum(), bench=True),
    OpCase(sum, "sum", [(1024, 4096), 0], ref=lambda x, d: x.sum(d), bench=True),
]
ERRORS = [
    *(
        case
        for f, name in ((sum, "sum"), (mean, "mean"), (argmax, "argmax"), (argmin, "argmin"))
        for case in (
            ErrorCase(f, name, [(2, 3), 2], IndexError, "expected dim in [-2, 1]"),
            ErrorCase(f, name, [[1.0]], TypeError, "expected input as a Tensor"),
            ErrorCase(f, name, [(2, 3), "a"], TypeError, "expected dim as an int"),
        )
    ),
    ErrorCase(sum, "sum", [(2, 3), [0, 0]], RuntimeError, "expected distinct dims"),
    ErrorCase(mean, "mean", [("int", (2, 3), 0, 9)], RuntimeError, "floating-point type"),
    ErrorCase(argmax, "argmax", [(2, 0), 1], IndexError, "at least one element"),
]
