# SPDX-License-Identifier: BSD-3-Clause
"""Elements folded into places along a dimension: scatter_reduce.

    sum, prod, mean, amax, amin of what an index sends to a place, with or without what was there

Shapes:   index and src have the dimensions of x; the sizes of index are at most those of src and,
          but for ``dim``, of x.
Backward: sum, mean: of scatter_add;  amax, amin: equals share the gradient;  prod: g times the
          product of the others, which a zero among them makes 0 and two make 0 for all.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops.compare import eq_tensors
from fastnn.ops.copy import clone, to
from fastnn.ops.gather import Gather, Numbered, check_places, prepared, run
from fastnn.ops.minmax import clamp_min
from fastnn.ops.scatter import ScatterAdd, scatter_elements
from fastnn.ops.view import expand
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def _folded(name: str, y: Any, index: Any, x: Any, fold: Any) -> None:
    check_places(name, index, x.shape[1])
    xp = array_module(x)
    for k in range(index.shape[1] if y.size else 0):
        at = index[:, k : k + 1]
        xp.put_along_axis(x, at, fold(xp.take_along_axis(x, at, axis=1), y[:, k : k + 1]), axis=1)


@reference
def scatter_prod(y: Any, index: Any, x: Any) -> None:
    """x[o, index[o, k, i], i] *= y[o, k, i], in the order of k."""
    _folded("scatter_prod", y, index, x, array_module(x).multiply)


@reference
def scatter_amax(y: Any, index: Any, x: Any) -> None:
    """x[o, index[o, k, i], i] = the larger of it and y[o, k, i]; NaN is."""
    _folded("scatter_amax", y, index, x, array_module(x).maximum)


@reference
def scatter_amin(y: Any, index: Any, x: Any) -> None:
    """x[o, index[o, k, i], i] = the smaller of it and y[o, k, i]; NaN is."""
    _folded("scatter_amin", y, index, x, array_module(x).minimum)


class ScatterExtremum(Numbered):
    """A copy of x with the largest (smallest) of it and src at places along a dimension."""

    name = "scatter_reduce"
    kernel = "scatter_amax"

    def forward(self, x: Any, index: Any, src: Any, dim: int) -> Any:
        self.dim, self.shape = dim, src.shape
        y = self.scattered(self.kernel, self.copied(x), index, src)
        self.save(x, index, src, y)
        return y

    def backward(self, g: Any) -> tuple[Any, ...]:
        values: list[Any] = [Tensor._wrap(a) for a in (*(self.saved or ()), g)]
        found = self.parts(*values)
        return tuple([None if t is None else t.array for t in found])

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        values: list[Any] = [*(t.detach() for t in self.saved_tensors()), g]
        return self.parts(*values)

    def parts(self, x: Tensor, index: Tensor, src: Tensor, y: Tensor, g: Tensor) -> tuple[Any, ...]:
        """g over the number of equals, at these."""
        part = src[tuple(slice(n) for n in index.shape)]
        mine = to(eq_tensors(x, y), g.dtype)
        theirs = to(eq_tensors(part, Gather.apply((y, index), self.dim)), g.dtype)
        count = ScatterAdd.apply((mine, index, theirs), self.dim)
        share = g / count
        gs = None
        if self.needs[2]:
            gs = theirs * Gather.apply((share, index), self.dim)
            if part.shape != src.shape:
                zeros = Tensor._wrap(self.filled(src.shape, src.array.dtype))
                gs = padded(gs, zeros)
        return mine * share if self.needs[0] else None, None, gs


class ScatterMin(ScatterExtremum):
    """The same with the smallest."""

    name = "scatter_reduce"
    kernel = "scatter_amin"


def padded(part: Tensor, zeros: Tensor) -> Tensor:
    """A tensor at the front of a larger one of zeros."""
    from fastnn.ops.index_put import IndexPut  # noqa: PLC0415

    return IndexPut.apply((zeros, part), tuple(slice(n) for n in part.shape))  # type: ignore[no-any-return]


class ScatterProd(Numbered):
    """A copy of x multiplied by src at places along a dimension."""

    name = "scatter_reduce"

    def forward(self, x: Any, index: Any, src: Any, dim: int) -> Any:
        self.dim = dim
        self.save(x, index, src)
        return self.scattered("scatter_prod", self.copied(x), index, src)

    def backward(self, g: Any) -> tuple[Any, ...]:
        values: list[Any] = [Tensor._wrap(a) for a in (*(self.saved or ()), g)]
        found = self.parts(*values)
        return tuple([None if t is None else t.array for t in found])

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        values: list[Any] = [*self.saved_tensors(), g]
        return self.parts(*values)

    def parts(self, x: Tensor, index: Tensor, src: Tensor, g: Tensor) -> tuple[Any, ...]:
        """g times the product of the others: of those that are not 0, if no other is."""
        d = self.dim
        whole = src
        src = src[tuple(slice(n) for n in index.shape)]
        mine, theirs = (eq_tensors(t.detach(), 0) for t in (x, src))
        zeros = ScatterAdd.apply((to(mine, _dtypes.int64), index, to(theirs, _dtypes.int64)), d)
        x1, s1 = where(mine, 1.0, x), where(theirs, 1.0, src)
        # Of a factor that is no zero the others are the product over it.
        product = ScatterProd.apply((x1, index, s1), d) * g
        gx = where(eq_tensors(zeros, to(mine, _dtypes.int64)), product / x1, 0.0)
        gs = None
        if self.needs[2]:
            around = Gather.apply((zeros, index), d)
            taken = Gather.apply((product, index), d)
            gs = where(eq_tensors(around, to(theirs, _dtypes.int64)), taken / s1, 0.0)
            if gs.shape != whole.shape:
                gs = padded(gs, Tensor._wrap(self.filled(whole.shape, gs.array.dtype)))
        return gx, None, gs


_EXTREMA: dict[str, type[Op]] = {"amax": ScatterExtremum, "amin": ScatterMin}
_START = {"prod": 1, "amax": -float("inf"), "amin": float("inf")}


def _start(dtype: _dtypes.dtype, reduce: str) -> float:
    """What changes nothing when it is folded in."""
    if dtype.category == 2 or reduce not in ("amax", "amin"):
        return _START.get(reduce, 0)
    if dtype.category == 0:
        return reduce == "amin"
    width = 8 * dtype.itemsize
    top = (1 << (width - 1 if dtype.is_signed else width)) - 1
    return top if reduce == "amin" else (-top - 1 if dtype.is_signed else 0)


def scatter_reduced(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """A copy with elements of ``src`` folded into places along ``dim``, as torch.scatter_reduce.

    reduce: sum, prod, mean, amax or amin; include_self: whether what was there counts. Places that
    index does not name stay. Shapes and errors as `scatter`; RuntimeError for another reduction.
    """
    name = "scatter_reduce"
    _common.require_tensor(name, "src", src)
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        message = (
            f"{name}: expected reduce as sum, prod, mean, amax or amin, got {reduce!r}; scatter() "
            "takes none"
        )
        raise RuntimeError(message)
    d, numbers = prepared(name, input, dim, index, src)
    if numbers.numel() == 0:
        return input.clone()
    return reduced(name, input, d, numbers, src, reduce, include_self)


def reduced(
    name: str, x: Tensor, d: int, numbers: Tensor, src: Tensor, reduce: str, include: bool
) -> Tensor:
    """x with elements of src folded into places; the arguments fit."""
    if not include:
        x = scatter_elements(x, d, numbers, _start(x.dtype, reduce))
    if reduce == "prod":
        return run(name, ScatterProd, (x, numbers, src), d)
    if reduce in _EXTREMA:
        return run(name, _EXTREMA[reduce], (x, numbers, src), d)
    total = run(name, ScatterAdd, (x, numbers, src), d)
    if reduce == "sum":
        return total
    table, dtype = _common.table_of(x), x.dtype
    one = Tensor._wrap(_common.scalar_array(table, 1, dtype, op=name))
    count = clone(expand(one if include else one * 0, *x.shape))
    count = run(name, ScatterAdd, (count, numbers, expand(one, *numbers.shape)), d)
    count = clamp_min(count, 1)
    return total / count if dtype.category == 2 else total // count


_common.named(scatter_reduce=scatter_reduced)
scatter_reduce_: InPlace[...] = in_place(scatter_reduced)


def _plain(x: Any, d: int, index: Any, src: Any, reduce: str, include_self: bool = True) -> Any:
    xp = array_module(x)
    sent: dict[tuple[int, ...], list[Any]] = {}
    for place in xp.ndindex(*index.shape):
        at = list(place)
        at[d] = int(index[place])
        sent.setdefault(tuple(at), []).append(src[place])
    out = x.copy()
    for cell, values in sent.items():
        every = [*values, x[cell]] if include_self else values
        out[cell] = getattr(xp, reduce)(xp.asarray(every))
    return out


_INDEX = ("cells", [[2, 1, 0], [2, 3, 3], [2, 2, 0]])
CASES = [
    *(
        OpCase(
            scatter_reduced,
            "scatter_reduce",
            [(4, 3), 0, _INDEX, (3, 3), reduce],
            {"include_self": include},
            _plain,
            low=0.5,
        )
        for reduce in ("sum", "prod", "mean", "amax", "amin")
        for include in (True, False)
    ),
    *(
        OpCase(scatter_reduced, "scatter_reduce", [(2, 4), -1, i, size, reduce], ref=_plain)
        for reduce, size in (("amax", (3, 2)), ("prod", (1, 2)))
        for i in (("cells", [[3, 3]]),)
    ),
    OpCase(
        scatter_reduced,
        "scatter_reduce",
        [("int", (3,), 0, 9), 0, ("cells", [0, 0]), ("int", (2,), 0, 9), "mean"],
        ref=lambda x, _d, _i, s, _r: x * [0, 1, 1] + (x + s.sum()) // 3 * [1, 0, 0],
        grad=False,
    ),
]
_BAD: list[tuple[list[Any], type[Exception], str]] = [
    ([(4,), 0, ("cells", [0]), (1,), "max"], RuntimeError, "reduce as sum, prod"),
    ([(4,), 0, ("cells", [4]), (1,), "prod"], RuntimeError, "indices in [0, 3], got 4"),
    ([(4, 3), 0, ("cells", [[0, 1]]), (1, 1), "amax"], RuntimeError, "up to those of src"),
    ([(4,), 0, ("cells", [0]), ("int", (1,), 0, 5), "sum"], RuntimeError, "src in the type"),
    ([(4,), 0, ("cells", [0]), 1.0, "mean"], TypeError, "expected src as a Tensor"),
]
ERRORS = [ErrorCase(scatter_reduced, "scatter_reduce", *bad) for bad in _BAD]
