# SPDX-License-Identifier: BSD-3-Clause
"""The element at a place of the order: kthvalue, median, nanmedian; and the most frequent: mode.

Shapes:   (..., n, ...) -> without the dimension, or with one of size 1.
Backward: an element's gradient goes where the element came from. median of all elements shares it
          among those that are equal to the result.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.ops import _common
from fastnn.ops._fold import Fold
from fastnn.ops._numpy_names import numpy_names
from fastnn.ops._selection import place_of_rank
from fastnn.ops.extremum import Extremum
from fastnn.ops.finite import isnan
from fastnn.ops.gather import Gather, gather_elements
from fastnn.ops.index import BasicIndex
from fastnn.ops.masked import masked_select
from fastnn.ops.reduce import sum
from fastnn.ops.sorting import Ordered, order_of, ranked, with_dimension
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def mode_place(x: Any, index: Any) -> None:
    """index[o, i] = the last place of what is most frequent in x[o, :, i], the least of such."""
    xp = array_module(x)
    for o in range(x.shape[0]):
        for i in range(x.shape[2]):
            row = x[o, :, i]
            values, counts = xp.unique(row, return_counts=True, equal_nan=False)
            found = values[int(counts.argmax())]
            same = row == found
            if not same.any():  # a NaN, which equals nothing: all of them are once there
                same = xp.isnan(row)
            index[o, i] = int(same.nonzero()[0][-1])


@reference
def kth_place(x: Any, index: Any, k: int) -> None:
    """index[o, i] = the place of rank k (from 0 on) of x[o, :, i]; of equals that of
    `place_of_rank`."""
    order, ranks, tied = ranked(x, False)
    index[...] = order[:, k]
    for o, i in zip(*tied[:, max(0, k - 1) : k + 1].any(axis=1).nonzero(), strict=True):
        index[o, i] = place_of_rank(ranks[o, :, i].tolist(), k)


def _at_rank(x: Tensor, d: int, rank: Any, keepdim: bool) -> Ordered:
    """The elements at a place of the order: one for all rows, or one for each."""
    order = order_of(x.detach(), d)
    if isinstance(rank, Tensor):
        places = gather_elements(order, d, rank)
    else:
        places = order[(*(slice(None),) * d, slice(rank, rank + 1), Ellipsis)].contiguous()
    return _taken(x, d, places, keepdim)


def _taken(x: Tensor, d: int, places: Tensor, keepdim: bool) -> Ordered:
    values = Gather.apply((x, places), d)
    if keepdim:
        return Ordered(values, places)
    first = (*(slice(None),) * d, 0, Ellipsis)
    return Ordered(BasicIndex.apply((values,), first), places[first])


def _along(name: str, input: Tensor, dim: Any, keepdim: bool) -> tuple[Tensor, int, bool]:
    x, d = with_dimension(name, input, dim)
    if x.shape[d] == 0:
        message = (
            f"{name}: expected at least one element along dim {dim}, got {input.shape}; choose a "
            "dim that is not empty"
        )
        raise IndexError(message)
    return x, d, bool(keepdim) and input.ndim > 0


@numpy_names
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Ordered:
    """The k-th smallest element along ``dim``, and where it stands, as torch.kthvalue.

    Raises RuntimeError unless 1 <= k <= the size of dim, IndexError for a bad or empty dim,
    TypeError for no tensor.
    """
    x, d, keep = _along("kthvalue", input, dim, keepdim)
    k = _common.integer("kthvalue", "k", k)
    if not 1 <= k <= x.shape[d]:
        message = f"kthvalue: expected k in [1, {x.shape[d]}], got {k}; 1 is the smallest"
        raise RuntimeError(message)
    table = _common.table_of(x)
    fold = Fold(x.shape, (d,))
    index = table.empty(fold.pair, _dtypes.int64.numpy)
    table.kth_place(fold.fold(table, x.array), index, k - 1)
    return _taken(x, d, Tensor._wrap(index.reshape(fold.kept_shape)), keep)


def _median(name: str, input: Tensor, dim: Any, keepdim: bool) -> Any:
    skip = name == "nanmedian"
    if dim is not None:
        x, d, keep = _along(name, input, dim, keepdim)
        return _at_rank(x, d, _middle(x, d, skip), keep)
    _common.require_tensor(name, "input", input)
    if input.numel() == 0:
        if input.array.dtype.kind == "f":
            return sum(input) * float("nan")
        message = f"{name}: expected at least one element, got {input.shape}; add some"
        raise RuntimeError(message)
    flat = input.detach().reshape(-1)
    value = _at_rank(flat, 0, _middle(flat, 0, skip), False).values
    if not input.requires_grad:
        return value
    # The gradient is shared among equals, as that of the largest element is.
    same = (input.detach() == value) | (isnan(input.detach()) & isnan(value))
    return Extremum.apply((masked_select(input, same),), (0,), False, "amax", True)


def _middle(x: Tensor, d: int, skip: bool) -> Any:
    """The place of the lower middle, the first NaN's if there is one, or of what is no NaN."""
    n = x.shape[d]
    if x.array.dtype.kind != "f":
        return (n - 1) // 2
    bad = isnan(x.detach())
    count = sum(bad, d, keepdim=True)
    if skip:
        return where(count == n, 0, (n - 1 - count) // 2)
    return where(count > 0, n - count, (n - 1) // 2)


@numpy_names
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element in order, of two the lower; with ``dim`` a pair (values, indices).

    As torch.median: NaN if one is. Without dim all that are equal to it share its gradient.
    Raises IndexError for a bad or empty dim, TypeError for no tensor.
    """
    return _median("median", input, dim, keepdim)


@numpy_names
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """`median` of the elements that are not NaN, as torch.nanmedian.

    Raises IndexError for a bad or empty dim, TypeError for no tensor.
    """
    return _median("nanmedian", input, dim, keepdim)


@numpy_names
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Ordered:
    """The most frequent element along ``dim``, of such the least, and its last place; torch.mode.

    Raises IndexError for a bad or empty dim, TypeError for no tensor.
    """
    x, d, keep = _along("mode", input, dim, keepdim)
    table = _common.table_of(x)
    fold = Fold(x.shape, (d,))
    index = table.empty(fold.pair, _dtypes.int64.numpy)
    table.mode_place(fold.fold(table, x.array), index)
    return _taken(x, d, Tensor._wrap(index.reshape(fold.kept_shape)), keep)


def _plain_rank(rank: Any) -> Any:
    def ref(x: Any, *a: Any, keepdim: bool = False) -> Any:
        xp = array_module(x)
        k, d = rank(x, *a)
        place = xp.argsort(x, axis=d, kind="stable").take([k], d)
        value = xp.take_along_axis(x, place, d)
        return tuple(y if keepdim else y.squeeze(d) for y in (value, place))

    return ref


def _plain_mode(x: Any, d: int = -1) -> Any:
    xp = array_module(x)
    rows = xp.moveaxis(x, d, -1)
    place = xp.zeros(rows.shape[:-1], xp.int64)
    for at in xp.ndindex(*place.shape):
        row = rows[at].tolist()
        found = max(sorted(row), key=row.count)
        place[at] = len(row) - 1 - row[::-1].index(found)
    return xp.take_along_axis(rows, place[..., None], -1)[..., 0], place


def _place(_: Any, k: int, d: int = -1) -> tuple[int, int]:
    return k - 1, d


_median_rank = _plain_rank(lambda x, d: ((x.shape[d] - 1) // 2, d))
CASES = [
    OpCase(kthvalue, "kthvalue", [(7,), 3], ref=_plain_rank(_place)),
    OpCase(
        kthvalue,
        "kthvalue",
        [(2, 5, 3), 5, 1],
        {"keepdim": True},
        _plain_rank(_place),
    ),
    OpCase(mode, "mode", [("int", (3, 9), 0, 4)], ref=_plain_mode, grad=False),
    OpCase(mode, "mode", [(2, 4, 3), 1], ref=_plain_mode),
    *(
        case
        for f in (median, nanmedian)
        for case in (
            OpCase(f, f.__name__, [(5,)], ref=lambda x: sorted(x.tolist())[2]),
            OpCase(f, f.__name__, [(2, 3)], ref=lambda x: sorted(x.reshape(-1).tolist())[2]),
            OpCase(f, f.__name__, [(2, 6, 3), 1], ref=_median_rank),
            OpCase(f, f.__name__, [(4, 3), 0], {"keepdim": True}, _median_rank),
            OpCase(f, f.__name__, [("int", (3, 5), 0, 4), 1], ref=_median_rank, grad=False),
        )
    ),
]
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    (kthvalue, "kthvalue", [(3,), 0], RuntimeError, "expected k in [1, 3]"),
    (kthvalue, "kthvalue", [(2, 0), 1], IndexError, "at least one element"),
    (kthvalue, "kthvalue", [(3,), 1, 1], IndexError, "expected dim in"),
    *(
        bad
        for f in (median, nanmedian, mode)
        for bad in (
            (f, f.__name__, [(2, 3), 2], IndexError, "expected dim in [-2, 1]"),
            (f, f.__name__, [[1.0]], TypeError, "expected input as a Tensor"),
            (f, f.__name__, [(2, 0), 1], IndexError, "at least one element"),
        )
    ),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]
