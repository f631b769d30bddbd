# SPDX-License-Identifier: BSD-3-Clause
"""The largest and the smallest: max, min, amax, amin, and with them any and all.

Shapes:   x (...) -> the kept dimensions (all reduced: 0-d).
Backward: with ``dim``, of max and min: the gradient goes to the element whose index is returned;
          else: shared equally among all that are equal to the result. If that is NaN, max and min
          share it among the NaN; amax and amin, which find no equals, divide by their number 0: NaN
          for all elements.
NaN is larger than every number and smaller than every number: one makes the result NaN.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._fold import Fold
from fastnn.ops._numpy_names import numpy_names
from fastnn.ops.compare import eq_tensors, ne_tensors
from fastnn.ops.copy import to
from fastnn.ops.reduce import argmax, argmin
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def amax(x: Any, y: Any) -> None:
    """y[o, i] = the largest x[o, j, i]; bool: any."""
    _largest_of_none("amax", x, y)
    if y.size:
        array_module(x).amax(x, axis=1, out=y)


@reference
def amin(x: Any, y: Any) -> None:
    """y[o, i] = the smallest x[o, j, i]; bool: all."""
    _largest_of_none("amin", x, y)
    if y.size:
        array_module(x).amin(x, axis=1, out=y)


def _largest_of_none(kernel: str, x: Any, y: Any) -> None:
    if x.shape[1] == 0 and y.size:
        message = f"{kernel}: expected at least one element"
        raise ValueError(message)


@reference
def pick_forward(x: Any, index: Any, y: Any) -> None:
    """y[o, i] = x[o, index[o, i], i]."""
    xp = array_module(x)
    if index.size and (index.min() < 0 or index.max() >= x.shape[1]):
        message = f"pick_forward: expected indices in [0, {x.shape[1]})"
        raise IndexError(message)
    xp.copyto(y, xp.take_along_axis(x, index[:, None], 1)[:, 0])


@reference
def pick_backward(index: Any, grad_y: Any, grad_x: Any) -> None:
    """grad_x[o, index[o, i], i] = grad_y[o, i], else 0."""
    xp = array_module(index)
    if index.size and (index.min() < 0 or index.max() >= grad_x.shape[1]):
        message = f"pick_backward: expected indices in [0, {grad_x.shape[1]})"
        raise IndexError(message)
    here = xp.arange(grad_x.shape[1])[None, :, None] == index[:, None]
    grad_x[...] = xp.where(here, grad_y[:, None], xp.zeros((), grad_x.dtype))


class Extremum(Op):
    """The largest or smallest over dimensions; ties share the gradient."""

    name = "extremum"

    def forward(
        self, x: Any, dims: tuple[int, ...], keepdim: bool, kernel: str, nan_shares: bool
    ) -> Any:
        table = self.kernels
        fold = self.fold = Fold(x.shape, dims)
        out = table.empty(fold.pair, x.dtype)
        getattr(table, kernel)(fold.fold(table, x), out)
        y = out.reshape(fold.result_shape(keepdim))
        self.nan_shares = nan_shares
        if self.needs[0]:
            self.save(x, y)
        return y

    def backward(self, g: Any) -> tuple[Any, ...]:
        x, y = (Tensor._wrap(a) for a in self.saved or ())
        return (self.part(x, y, Tensor._wrap(g)).array,)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, y = (t.detach() for t in self.saved_tensors())
        return (self.part(x, y, g),)

    def part(self, x: Tensor, y: Tensor, g: Tensor) -> Tensor:
        """The gradient: g over the number of elements that are the result, at these."""
        kept = self.fold.kept_shape
        y = y.reshape(kept)
        same = eq_tensors(x, y)
        if self.nan_shares:
            same = same | ne_tensors(x, x)  # NaN, which makes the result NaN too
        taken = to(same, g.dtype)
        count = taken.sum(self.fold.dims, keepdim=True) if self.fold.dims else taken
        if self.nan_shares:
            return where(same, g.reshape(kept) / count, 0.0)
        return g.reshape(kept) * taken / count


class Pick(Op):
    """The elements that indices name along one dimension."""

    def forward(self, x: Any, index: Any, dim: int, keepdim: bool) -> Any:
        table = self.kernels
        fold = self.fold = Fold(x.shape, (dim,) if x.ndim else ())
        out = table.empty(fold.pair, x.dtype)
        table.pick_forward(fold.fold(table, x), fold.pairs(table, index), out)
        self.save(index)
        return out.reshape(fold.result_shape(keepdim))

    def backward(self, g: Any) -> tuple[Any, ...]:
        (index,) = self.saved  # type: ignore[misc]
        table, fold = self.kernels, self.fold
        out = table.empty(fold.triple, g.dtype)
        table.pick_backward(fold.pairs(table, index), fold.pairs(table, g), out)
        return fold.unfold(table, out), None

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        from fastnn.ops.creation import arange  # noqa: PLC0415

        (index,) = self.saved_tensors()
        kept = self.fold.kept_shape
        if not kept:
            return g, None
        (dim,) = self.fold.dims
        sizes = tuple(-1 if d == dim else 1 for d in range(len(kept)))
        places = arange(self.fold.n).reshape(sizes)
        return where(eq_tensors(places, index.reshape(kept)), g.reshape(kept), 0.0), None


class Extreme(NamedTuple):
    """What max and min give for a dimension."""

    values: Tensor
    indices: Tensor


def _along(name: str, place: Any, input: Tensor, dim: Any, keepdim: bool) -> Extreme:
    d = _common.one_dim(name, dim, input.ndim)
    if input.ndim and input.shape[d] == 0:
        message = (
            f"{name}: expected at least one element along dim {dim}, got {input.shape}; choose a "
            "dim that is not empty"
        )
        raise IndexError(message)
    indices = place(input.detach(), d, keepdim)
    return Extreme(Pick.apply((input, indices), d, keepdim), indices)


def _over(name: str, kernel: str, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    _common.require_tensor(name, "input", input)
    dims = _common.many_dims(name, dim, input.ndim)
    if any(input.shape[d] == 0 for d in dims):
        message = (
            f"{name}: expected at least one element to reduce, got shape {input.shape}; name dims "
            "that are not empty"
        )
        raise (RuntimeError if dim is None or dim in ((), []) else IndexError)(message)
    return Extremum.apply((input,), dims, keepdim, kernel, name[0] == "m")  # type: ignore[no-any-return]


@numpy_names
def amax_tensor(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The largest over ``dim`` (an int, a tuple, or () for all), as torch.amax.

    Elements equal to it share its gradient, none are if it is NaN: then all get NaN.   Raises
    IndexError for a bad or empty dim, RuntimeError of no elements over all.
    """
    return _over("amax", "amax", input, dim, keepdim)


@numpy_names
def amin_tensor(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The smallest over ``dim`` (an int, a tuple, or () for all), as torch.amin.

    Elements equal to it share its gradient, none are if it is NaN: then all get NaN.   Raises
    IndexError for a bad or empty dim, RuntimeError of no elements over all.
    """
    return _over("amin", "amin", input, dim, keepdim)


@numpy_names
def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; with ``dim`` a pair (values, indices), with a tensor `maximum`.

    As torch.max. Indices are those of the first of equals; there the gradient goes. Without dim all
    equals share it. NaN counts as largest and equals NaN.   Raises RuntimeError of no elements,
    IndexError for a bad dim, TypeError for no tensor.
    """
    return _max_or_min("max", input, dim, keepdim, other)


@numpy_names
def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element; with ``dim`` a pair (values, indices), with a tensor `minimum`.

    As torch.min. Indices are those of the first of equals; there the gradient goes. Without dim all
    equals share it. NaN counts as smallest and equals NaN.   Raises RuntimeError of no elements,
    IndexError for a bad dim, TypeError for no tensor.
    """
    return _max_or_min("min", input, dim, keepdim, other)


def _max_or_min(name: str, input: Tensor, dim: Any, keepdim: bool, other: Any) -> Any:
    from fastnn import ops  # noqa: PLC0415  (the binary forms lie above)

    _common.require_tensor(name, "input", input)
    if isinstance(dim, Tensor) or other is not None:
        pair = ops.maximum if name == "max" else ops.minimum
        return pair(input, dim if other is None else other)
    if dim is None:
        return _over(name, "a" + name, input, None, keepdim)
    return _along(name, argmax if name == "max" else argmin, input, dim, keepdim)


_common.named(amax=amax_tensor, amin=amin_tensor)


def _axes(d: Any) -> Any:
    return tuple(d) if isinstance(d, list) else d


CASES = [
    *(
        OpCase(f, f.__name__, [s, *a], k, ref)
        for f, ref in (
            (amax_tensor, lambda x, d=None, keepdim=False: x.max(_axes(d), keepdims=keepdim)),
            (amin_tensor, lambda x, d=None, keepdim=False: x.min(_axes(d), keepdims=keepdim)),
        )
        for s, a, k in (
            ((3, 5), [], {}),
            ((3, 5), [0], {}),
            ((4, 3, 5), [[0, 2]], {}),
            ((4, 3, 5), [[1, 2]], {"keepdim": True}),
            ((), [], {}),
            ((0, 4), [1], {}),
            ((1, 1), [0], {}),
            ((300, 257), [], {}),
            ((2, 700, 3), [1], {}),
        )
    ),
    *(
        OpCase(f, f.__name__, [s], ref=ref)
        for f, ref in ((max, lambda x: x.max()), (min, lambda x: x.min()))
        for s in ((3, 5), (), (7, 133))
    ),
    *(
        OpCase(
            f,
            f.__name__,
            [s, d],
            k,
            lambda x, d, keepdim=False, f=f: (
                getattr(x, f.__name__)(d, keepdims=keepdim),
                getattr(x, "arg" + f.__name__)(d, keepdims=keepdim),
            ),
        )
        for f in (max, min)
        for s, d, k in (
            ((3, 5), 1, {}),
            ((4, 3, 5), 1, {"keepdim": True}),
            ((0, 4), 1, {}),
            ((33, 70), -2, {}),
        )
    ),
    *(
        OpCase(f, f.__name__, [("int", (7, 9), -9, 9), 0], ref=ref, grad=False)
        for f, ref in (
            (amax_tensor, lambda x, d: x.max(d)),
            (min, lambda x, d: (x.min(d), x.argmin(d))),
        )
    ),
    OpCase(amax_tensor, "amax", [(1024, 4096)], ref=lambda x: x.max(), bench=True),
]
ERRORS = [
    *(
        case
        for f in (amax_tensor, amin_tensor, max, min)
        for case in (
            ErrorCase(f, f.__name__, [(2, 3), 2], IndexError, "expected dim in [-2, 1]"),
            ErrorCase(f, f.__name__, [[1.0]], TypeError, "expected input as a Tensor"),
            ErrorCase(f, f.__name__, [(2, 3), "a"], TypeError, "expected dim as an int"),
            ErrorCase(f, f.__name__, [(2, 0), 1], IndexError, "at least one element"),
        )
    ),
    ErrorCase(max, "max", [(0,)], RuntimeError, "at least one element"),
    ErrorCase(amin_tensor, "amin", [(2, 3), [0, 0]], RuntimeError, "distinct dims"),
]
