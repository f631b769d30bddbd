# SPDX-License-Identifier: BSD-3-Clause
"""Elements in order: sort, argsort, msort, topk.

Shapes:   (..., n, ...) -> the same; topk -> (..., k, ...).
Backward: an element's gradient goes where the element came from.
NaN counts as largest; of equals the first comes first, but in topk as `_selection` has them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.ops import _common
from fastnn.ops._fold import Fold
from fastnn.ops._numpy_names import numpy_names
from fastnn.ops._selection import first_places
from fastnn.ops.gather import Gather
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def argsort_forward(x: Any, index: Any, descending: bool) -> None:
    """index[o, :, i] = the places of x[o, :, i] in order, equals as they came; NaN is largest."""
    xp = array_module(x)
    if not descending:
        index[...] = xp.argsort(x, axis=1, kind="stable")
        return
    # Turned round twice, so that equals stay as they came.
    turned = xp.argsort(x[:, ::-1], axis=1, kind="stable")
    index[...] = x.shape[1] - 1 - turned[:, ::-1]


@reference
def topk_places(x: Any, index: Any, largest: bool) -> None:
    """index[o, :, i] = the places of the first of x[o, :, i] in (falling) order; NaN is largest.

    Which of equals comes first is up to `first_places`.
    """
    k = index.shape[1]
    order, ranks, tied = ranked(x, largest)
    index[...] = order[:, :k]
    for o, i in zip(*tied[:, :k].any(axis=1).nonzero(), strict=True):
        index[o, :, i] = first_places(ranks[o, :, i].tolist(), k)


def ranked(x: Any, falling: bool) -> tuple[Any, Any, Any]:
    """The places in order, every element's rank, and whether elements in order equal the next."""
    xp = array_module(x)
    order = xp.empty(x.shape, "int64")
    argsort_forward(x, order, falling)
    values = xp.take_along_axis(x, order, axis=1)
    same = values[:, 1:] == values[:, :-1]
    if x.dtype.kind == "f":
        same |= xp.isnan(values[:, 1:]) & xp.isnan(values[:, :-1])
    ranks = xp.zeros(x.shape, order.dtype)
    steps = xp.cumsum(~same, axis=1)
    xp.put_along_axis(ranks, order[:, 1:], steps, axis=1)
    return order, ranks, same


class Ordered(NamedTuple):
    """Elements and where they stand."""

    values: Tensor
    indices: Tensor


def order_of(input: Tensor, dim: int, descending: bool = False) -> Tensor:
    """The places of the elements in order along a dimension, int64."""
    table = _common.table_of(input)
    fold = Fold(input.shape, (dim,))
    index = table.empty(fold.triple, _dtypes.int64.numpy)
    table.argsort_forward(fold.fold(table, input.array), index, bool(descending))
    return Tensor._wrap(index.reshape(input.shape))


def with_dimension(name: str, input: Tensor, dim: Any) -> tuple[Tensor, int]:
    """The tensor with at least one dimension, and which is meant."""
    _common.require_tensor(name, "input", input)
    d = _common.one_dim(name, dim, input.ndim)
    return (input if input.ndim else input.reshape(1)), d


def _ordered(name: str, input: Tensor, dim: Any, descending: Any) -> Ordered:
    x, d = with_dimension(name, input, dim)
    order = order_of(x, d, bool(descending))
    return Ordered(Gather.apply((x, order), d).reshape(input.shape), order.reshape(input.shape))


@numpy_names
def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool | None = None
) -> Ordered:
    """The elements in order along ``dim``, and their places, as torch.sort.

    Equals keep their order whether ``stable`` is asked for or not.   Raises TypeError for no
    tensor, IndexError for a bad dim.
    """
    del stable
    return _ordered("sort", input, dim, descending)


@numpy_names
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The places of the elements in order along ``dim``, int64, as torch.argsort; see `sort`.

    Raises TypeError for no tensor, IndexError for a bad dim.
    """
    del stable
    x, d = with_dimension("argsort", input, dim)
    return order_of(x, d, bool(descending)).reshape(input.shape)


def msort(input: Tensor) -> Tensor:
    """The elements in order along the first dimension, as torch.msort.

    Raises TypeError for no tensor.
    """
    return _ordered("msort", input, 0, False).values


@numpy_names
def topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> Ordered:
    """The k largest (or smallest) elements along ``dim`` in order, and where they stand.

    As torch.topk.   Raises RuntimeError unless 0 <= k <= the size of dim, IndexError for a bad dim,
    TypeError for no tensor.
    """
    del sorted  # in order either way
    x, d = with_dimension("topk", input, dim)
    k, n = _common.integer("topk", "k", k), x.shape[d]
    if not 0 <= k <= n:
        message = f"topk: expected k in [0, {n}], got {k}; choose a dim of more elements"
        raise RuntimeError(message)
    table = _common.table_of(x)
    fold = Fold(x.shape, (d,))
    index = table.empty((fold.outer, k, fold.inner), _dtypes.int64.numpy)
    table.topk_places(fold.fold(table, x.array), index, bool(largest))
    order = Tensor._wrap(index.reshape(*x.shape[:d], k, *x.shape[d + 1 :]))
    shape = order.shape if input.ndim or k != 1 else ()
    return Ordered(Gather.apply((x, order), d).reshape(shape), order.reshape(shape))


def _plain(x: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    del stable
    xp, d = array_module(x), dim
    order = xp.argsort(-x if descending else x, axis=d, kind="stable") if x.ndim else x * 0
    order = order.astype(xp.int64)
    return (xp.take_along_axis(x, order, d) if x.ndim else x), order


def _plain_top(x: Any, k: int, d: int = -1, largest: bool = True) -> Any:
    cut = tuple(slice(k) if i == d % x.ndim else slice(None) for i in range(x.ndim))
    return tuple(a[cut] for a in _plain(x, d, largest))


_SHAPES: tuple[tuple[Any, list[Any], dict[str, Any]], ...] = (
    ((5,), [], {}),
    ((2, 6, 3), [1], {"descending": True}),
    ((3, 4), [], {"dim": 0, "stable": True}),
    ((), [], {}),
    ((2, 0), [1], {}),
)
CASES = [
    *(OpCase(sort, "sort", [s, *a], k, _plain) for s, a, k in _SHAPES),
    *(
        OpCase(argsort, "argsort", [s, *a], k, lambda *a, **k: _plain(*a, **k)[1], grad=False)
        for s, a, k in _SHAPES[:3]
    ),
    OpCase(sort, "sort", [("int", (3, 9), 0, 4), 1, True], ref=_plain, grad=False),
    OpCase(sort, "sort", [("int", (3, 9), 0, 4), 1], ref=_plain, grad=False),
    OpCase(msort, "msort", [(4, 3)], ref=lambda x: _plain(x, 0)[0]),
    OpCase(topk, "topk", [(7,), 3], ref=_plain_top),
    OpCase(topk, "topk", [(2, 5, 3), 2, 1, False], ref=_plain_top),
    OpCase(topk, "topk", [(3, 4), 0], ref=_plain_top, grad=False),
]
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    *(
        bad
        for f in (sort, argsort)
        for bad in (
            (f, f.__name__, [(2, 3), 2], IndexError, "expected dim in [-2, 1]"),
            (f, f.__name__, [[1.0]], TypeError, "expected input as a Tensor"),
            (f, f.__name__, [(2, 3), "a"], TypeError, "expected dim as an int"),
        )
    ),
    (msort, "msort", [[1.0]], TypeError, "expected input as a Tensor"),
    (msort, "msort", [None], TypeError, "expected input as a Tensor"),
    (msort, "msort", [2.0], TypeError, "expected input as a Tensor"),
    (topk, "topk", [(3,), 4], RuntimeError, "expected k in [0, 3]"),
    (topk, "topk", [(3,), 1.5], TypeError, "expected k as an int"),
    (topk, "topk", [(3,), 1, 1], IndexError, "expected dim in"),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]
