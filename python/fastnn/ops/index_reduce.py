# SPDX-License-Identifier: BSD-3-Clause
"""Entries of a tensor folded into places of a dimension: index_reduce.

    prod, mean, amax, amin of what an index sends to an entry, with or without what was there

Shapes:   input (..., n, ...), index (m), source (..., m, ...) -> input's.
Backward: as scatter_reduce's: amax, amin: equals share the gradient;  prod: g times the product of
          the others;  mean: g over their number.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops._numpy_names import numpy_names
from fastnn.ops.copy import to
from fastnn.ops.scatter_reduce import reduced
from fastnn.ops.view import expand, reshape
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

_NAME = "index_reduce"


def _numbers(index: Tensor) -> Tensor:
    if index.array.dtype.kind not in "iu" or index.ndim > 1:
        message = (
            f"{_NAME}: expected index as a 1-D tensor of integers, got {index.dtype} "
            f"{index.shape}; flatten() it, and convert it with .long()"
        )
        raise RuntimeError(message)
    return reshape(to(index, _dtypes.int64), -1)


@numpy_names
def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """A copy with entries of ``source`` folded into places of ``dim``, as torch.index_reduce.

    reduce: prod, mean, amax or amin; include_self: whether what was there counts. Entries that
    index does not name stay.   Shapes: input (..., n, ...), index (m) of integers in [0, n), source
    (..., m, ...) -> input's.   Raises IndexError for an index out of range, RuntimeError for types,
    shapes and reductions that do not fit.
    """
    for what, t in (("input", input), ("index", index), ("source", source)):
        _common.require_tensor(_NAME, what, t)
    if reduce not in ("prod", "mean", "amax", "amin"):
        message = (
            f"{_NAME}: expected reduce as prod, mean, amax or amin, got {reduce!r}; index_add() "
            "adds"
        )
        raise RuntimeError(message)
    d = _common.one_dim(_NAME, dim, input.ndim)
    row = _numbers(index)
    x = input if input.ndim else reshape(input, 1)
    src = source if source.ndim else reshape(source, 1)
    wanted = (*x.shape[:d], row.numel(), *x.shape[d + 1 :])
    if src.shape != wanted or src.array.dtype != x.array.dtype:
        message = (
            f"{_NAME}: expected source {wanted} of {x.dtype}, got {source.shape} of "
            f"{source.dtype}; reshape() it, and convert it with .to({x.dtype})"
        )
        raise RuntimeError(message)
    _common.require_numbers(_NAME, "input", x)
    _common.table_of(x, row, src, op=_NAME)
    places = expand(reshape(row, *(1,) * d, -1, *(1,) * (x.ndim - d - 1)), *wanted)
    return reshape(reduced(_NAME, x, d, places, src, reduce, include_self), input.shape)


index_reduce_: InPlace[...] = in_place(index_reduce)


def _plain(x: Any, d: int, index: Any, source: Any, reduce: str, include_self: bool = True) -> Any:
    xp = array_module(x)
    out, src = x.swapaxes(0, d).copy(), source.swapaxes(0, d)
    for j in sorted(set(index.tolist())):
        sent = [src[k] for k, i in enumerate(index) if i == j]
        every = [*sent, out[j]] if include_self else sent
        out[j] = getattr(xp, reduce)(xp.stack(every), 0)
    return out.swapaxes(0, d)


_ROW = ("cells", [2, 0, 2])
CASES = [
    *(
        OpCase(index_reduce, _NAME, [(4, 3), 0, _ROW, (3, 3), how], {"include_self": own}, _plain,
               low=0.5)
        for how in ("prod", "mean", "amax", "amin")
        for own in (True, False)
    ),
    OpCase(index_reduce, _NAME, [(2, 5, 2), -2, ("cells", [4]), (2, 1, 2), "amax"], ref=_plain),
    OpCase(index_reduce, _NAME, [(4,), 0, ("cells", []), (0,), "prod"], ref=_plain),
    OpCase(index_reduce, _NAME, [("int", (4,), 1, 9), 0, _ROW, ("int", (3,), 1, 9), "mean"],
           ref=lambda x, _d, _i, s, _r: x * [0, 1, 0, 1]
           + [(x[0] + s[1]) // 2, 0, (x[2] + s[0] + s[2]) // 3, 0], grad=False),
]  # fmt: skip
_BAD: list[tuple[list[Any], type[Exception], str]] = [
    ([(4,), 0, ("cells", [0]), (1,), "sum"], RuntimeError, "reduce as prod, mean"),
    ([(4,), 0, ("cells", [4]), (1,), "prod"], IndexError, "indices in [0, 3], got 4"),
    ([(4,), 0, (1,), (1,), "amax"], RuntimeError, "1-D tensor of integers"),
    ([(4, 3), 0, ("cells", [0, 1]), (1, 3), "amax"], RuntimeError, "expected source (2, 3)"),
    ([(4,), 0, ("cells", [0]), ("int", (1,), 0, 5), "mean"], RuntimeError, "of fastnn.float32"),
    ([("bool", (4,)), 0, ("cells", [0]), ("bool", (1,)), "amin"], RuntimeError, "of numbers"),
    ([(4,), 1, ("cells", [0]), (1,), "mean"], IndexError, "expected dim in"),
    ([(4,), 0, ("cells", [0]), 1.0, "mean"], TypeError, "expected source as a Tensor"),
]
ERRORS = [ErrorCase(index_reduce, _NAME, *bad) for bad in _BAD]
