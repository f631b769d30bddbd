# SPDX-License-Identifier: BSD-3-Clause
"""Reductions made of others: nansum, nanmean, aminmax, dist, diff, renorm.

    nansum: sum of what is no NaN     nanmean: that over their number     dist: norm(x - y, p)
    diff: x_(j+1) - x_j     renorm: entries of a dimension scaled down to a norm of at most maxnorm

Backward: of what they are made of; NaN gets 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastnn import _dtypes
from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._elementwise import number
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops._numpy_names import numpy_names
from fastnn.ops.binary import mul_tensors, sub_tensors
from fastnn.ops.compare import ne_tensors
from fastnn.ops.copy import to
from fastnn.ops.extremum import amax_tensor, amin_tensor
from fastnn.ops.finite import isnan
from fastnn.ops.join import cat
from fastnn.ops.pieces import narrow
from fastnn.ops.reduce import sum
from fastnn.ops.vector_norm import vector_norm_tensor
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@numpy_names
def nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum of the elements that are not NaN over ``dim``, as torch.nansum; see `sum`.

    Raises TypeError for no tensor, IndexError for a bad dim.
    """
    _common.require_tensor("nansum", "input", input)
    if input.array.dtype.kind == "f":
        input = where(isnan(input.detach()), 0.0, input)
    return sum(input, _common.many_dims("nansum", dim, input.ndim), keepdim, dtype=dtype)


@numpy_names
def nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean of the elements that are not NaN over ``dim``, as torch.nanmean.

    Raises RuntimeError for integers, TypeError for no tensor, IndexError for a bad dim.
    """
    _common.require_tensor("nanmean", "input", input)
    _common.require_float("nanmean", "input", input)
    dims = _common.many_dims("nanmean", dim, input.ndim)
    count = sum(~isnan(input.detach()), dims, keepdim)
    total = nansum(input, dims, keepdim, dtype=dtype)
    return total / to(count, total.dtype)


class Bounds(NamedTuple):
    """What aminmax gives."""

    min: Tensor
    max: Tensor


@numpy_names
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Bounds:
    """The smallest and the largest element, over ``dim`` or of all, as torch.aminmax.

    Equals share the gradient.   Raises IndexError for a bad or empty dim, RuntimeError for no
    elements.
    """
    _common.require_tensor("aminmax", "input", input)
    d = None if dim is None else _common.one_dim("aminmax", dim, input.ndim)
    dims = () if d is None else (d,)
    if input.numel() == 0 and (d is None or input.shape[d] == 0):
        message = (
            f"aminmax: expected at least one element to reduce, got shape {input.shape}; choose a "
            "dim that is not empty"
        )
        raise (RuntimeError if d is None else IndexError)(message)
    return Bounds(amin_tensor(input, dims, keepdim), amax_tensor(input, dims, keepdim))


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The norm of order p of the difference of two tensors, which broadcast, as torch.dist.

    Raises RuntimeError for shapes that do not broadcast, TypeError for no tensors.
    """
    _common.require_tensor("dist", "input", input)
    _common.require_tensor("dist", "other", other)
    number("dist", "p", p)
    _common.broadcast_shape("dist", input.shape, other.shape)
    return vector_norm_tensor(sub_tensors(input, other), p)


@numpy_names
def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """The n-th differences of neighbours along ``dim``, as torch.diff; of bools whether they are.

    prepend, append: tensors joined to input's ends first.   Raises RuntimeError for a 0-d tensor or
    n below 0, IndexError for a bad dim.
    """
    _common.require_tensor("diff", "input", input)
    if input.ndim == 0:
        message = "diff: expected at least one dimension, got a 0-d tensor; unsqueeze(0) gives one"
        raise RuntimeError(message)
    d = _common.one_dim("diff", dim, input.ndim)
    if _common.integer("diff", "n", n) < 0:
        message = f"diff: expected n >= 0, got {n}; cumsum() goes the other way"
        raise RuntimeError(message)
    if n == 0:
        return input.clone()
    parts = []
    for part in (prepend, input, append):
        if part is None:
            continue
        _common.require_tensor("diff", "prepend and append", part)
        if part.ndim != input.ndim:
            message = (
                f"diff: expected prepend and append of {input.ndim} dimensions, got {part.shape}; "
                "unsqueeze() adds one"
            )
            raise RuntimeError(message)
        parts.append(part)
    x = cat(parts, d) if len(parts) > 1 else input
    subtract: Any = ne_tensors if x.array.dtype.kind == "b" else sub_tensors
    for _ in range(n):
        m = x.shape[d]
        if m == 0:
            break
        x = subtract(narrow(x, d, 1, m - 1), narrow(x, d, 0, m - 1))
    return x


@numpy_names
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Entries of ``dim`` whose norm of order p is above ``maxnorm`` scaled to it; torch.renorm.

    Raises RuntimeError for a vector or 0-d tensor, p <= 0 and maxnorm < 0, IndexError for a bad
    dim.
    """
    _common.require_tensor("renorm", "input", input)
    _common.require_float("renorm", "input", input)
    if number("renorm", "p", p) <= 0 or number("renorm", "maxnorm", maxnorm) < 0:
        message = f"renorm: expected p > 0 and maxnorm >= 0, got {p} and {maxnorm}; 2 is usual"
        raise RuntimeError(message)
    if input.ndim < 2:
        message = f"renorm: expected at least 2 dimensions, got {input.shape}; unsqueeze() adds one"
        raise RuntimeError(message)
    d = _common.one_dim("renorm", dim, input.ndim)
    others = tuple(i for i in range(input.ndim) if i != d)
    norm = vector_norm_tensor(input, p, others, keepdim=True)
    # The small number is torch's: what is scaled has a norm a little below.
    scale = where(norm.detach() > maxnorm, maxnorm / (norm + 1e-7), 1.0)
    return mul_tensors(input, to(scale, _dtypes.from_numpy(input.array.dtype)))


renorm_: InPlace[...] = in_place(renorm)


def _axes(d: Any) -> Any:
    return tuple(d) if isinstance(d, list) else d


def _plain_renorm(x: Any, p: float, d: int, most: float) -> Any:
    xp = array_module(x)
    others = tuple(i for i in range(x.ndim) if i != d % x.ndim)
    norm = (abs(x) ** p).sum(others, keepdims=True) ** (1 / p)
    return xp.where(norm > most, x * (most / (norm + x.dtype.type(1e-7))), x)


def _plain_diff(x: Any, n: int = 1, d: int = -1, *ends: Any) -> Any:
    xp = array_module(x)
    return xp.diff(x, n, d, **dict(zip(("prepend", "append"), ends, strict=False)))


CASES = [
    *(
        OpCase(f, f.__name__, [s, *a], k, ref)
        for f, ref in (
            (nansum, lambda x, d=None, keepdim=False: x.sum(_axes(d), keepdims=keepdim)),
            (nanmean, lambda x, d=None, keepdim=False: x.mean(_axes(d), keepdims=keepdim)),
        )
        for s, a, k in (((3, 5), [], {}), ((2, 3, 4), [[0, 2]], {"keepdim": True}), ((), [], {}))
    ),
    *(
        OpCase(aminmax, "aminmax", [s], k, lambda x, dim=None: (x.min(dim), x.max(dim)))
        for s, k in (((3, 5), {}), ((3, 5), {"dim": 1}), ((), {}))
    ),
    OpCase(dist, "dist", [(3, 4), (4,)], ref=lambda x, y: ((x - y) ** 2).sum() ** 0.5),
    OpCase(dist, "dist", [(5,), (5,), 1], ref=lambda x, y, _: abs(x - y).sum()),
    *(
        OpCase(diff, "diff", a, ref=_plain_diff)
        for a in ([(5,)], [(3, 4), 2, 0], [(2, 0)], [(3, 2), 1, 0, (1, 2), (2, 2)])
    ),
    OpCase(diff, "diff", [("bool", (9,))], ref=_plain_diff, grad=False),
    OpCase(renorm, "renorm", [(3, 4), 2, 0, 1.5], ref=_plain_renorm),
    OpCase(renorm, "renorm", [(2, 3, 4), 1, -1, 9.0], ref=_plain_renorm, kink=0.0),
]
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    *(
        bad
        for f in (nansum, nanmean)
        for bad in (
            (f, f.__name__, [(2, 3), 2], IndexError, "expected dim in [-2, 1]"),
            (f, f.__name__, [[1.0]], TypeError, "expected input as a Tensor"),
            (f, f.__name__, [(2, 3), "a"], TypeError, "expected dim as an int"),
        )
    ),
    (nanmean, "nanmean", [("int", (3,), 0, 9)], RuntimeError, "floating-point type"),
    (aminmax, "aminmax", [(0,)], RuntimeError, "at least one element"),
    (aminmax, "aminmax", [[1.0]], TypeError, "expected input as a Tensor"),
    (aminmax, "aminmax", [None], TypeError, "expected input as a Tensor"),
    (dist, "dist", [(3,), (4,)], RuntimeError, "shapes that broadcast"),
    (dist, "dist", [(3,), 1.0], TypeError, "expected other as a Tensor"),
    (dist, "dist", [(3,), (3,), "fro"], TypeError, "p as a number"),
    (diff, "diff", [()], RuntimeError, "at least one dimension"),
    (diff, "diff", [(3,), -1], RuntimeError, "n >= 0"),
    (diff, "diff", [(3,), 1, 1], IndexError, "expected dim in"),
    (diff, "diff", [(3,), 1, 0, ()], RuntimeError, "of 1 dimensions"),
    (renorm, "renorm", [(3,), 2, 0, 1.0], RuntimeError, "at least 2 dimensions"),
    (renorm, "renorm", [(3, 3), 0, 0, 1.0], RuntimeError, "p > 0"),
    (renorm, "renorm", [(3, 3), 2, 2, 1.0], IndexError, "expected dim in"),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]
