# SPDX-License-Identifier: BSD-3-Clause
"""Products over dimensions, running sums and running products.

    prod = x_1 ... x_n      cumsum_j = x_1 + ... + x_j      cumprod_j = x_1 ... x_j

Shapes:   prod: x (...) -> the kept dimensions; cumsum, cumprod: (...) -> (...).
Backward: prod: dx_j = g times the product of the others;  cumsum: the running sum of g from the
          end;  cumprod: dx_j = y_(j-1) r_j, r_j = g_j + x_(j+1) r_(j+1). Nothing is divided by x,
          so a zero is a number like others, and so it is in gradients of these gradients.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._fold import Fold
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops._numpy_names import numpy_names
from fastnn.ops.copy import to
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

if TYPE_CHECKING:
    from collections.abc import Callable


@reference
def prod_forward(x: Any, y: Any) -> None:
    """y[o, i] = the product of x[o, :, i]."""
    xp = array_module(x)
    wide = xp.float32 if x.dtype == xp.float16 else x.dtype
    y[...] = xp.multiply.reduce(x, axis=1, dtype=wide)


@reference
def prod_backward(x: Any, grad_y: Any, grad_x: Any) -> None:
    """grad_x[o, j, i] = grad_y[o, i] times the product of x[o, k, i] for k != j."""
    xp = array_module(x)
    n = x.shape[1]
    before, behind = xp.ones(x.shape, x.dtype), xp.ones(x.shape, x.dtype)
    for j in range(1, n):
        before[:, j] = before[:, j - 1] * x[:, j - 1]
        behind[:, n - 1 - j] = behind[:, n - j] * x[:, n - j]
    xp.multiply(before * behind, grad_y[:, None], out=grad_x)


def _running(x: Any) -> str | Any:
    """What running sums and products are formed in: only what is stored is rounded to float."""
    return "float64" if x.dtype.kind == "f" and x.dtype.itemsize < 8 else x.dtype


@reference
def cumsum_forward(x: Any, y: Any, reverse: bool) -> None:
    """y_j = x_0 + ... + x_j along the middle dimension, from its end if reverse."""
    xp = array_module(x)
    way = slice(None, None, -1 if reverse else 1)
    # From +0 on: the sum of negative zeros is a positive one.
    y[:, way] = xp.cumsum(x[:, way], axis=1, dtype=_running(x)) + 0


@reference
def cumprod_forward(x: Any, y: Any) -> None:
    """y_j = x_0 ... x_j along the middle dimension."""
    xp = array_module(x)
    y[...] = xp.cumprod(x, axis=1, dtype=_running(x))


@reference
def cumprod_backward(x: Any, y: Any, grad_y: Any, grad_x: Any) -> None:
    """grad_x_j = y_(j-1) r_j, r_j = grad_y_j + x_(j+1) r_(j+1)."""
    n = x.shape[1]
    if not n:
        return
    rest = grad_y[:, n - 1].astype(_running(x))
    for j in range(n - 1, -1, -1):
        if j < n - 1:
            rest = grad_y[:, j] + x[:, j + 1] * rest
        grad_x[:, j] = y[:, j - 1] * rest if j else rest


class Prod(Op):
    """The product over dimensions."""

    def forward(self, x: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
        table = self.kernels
        fold = self.fold = Fold(x.shape, dims)
        out = table.empty(fold.pair, x.dtype)
        table.prod_forward(fold.fold(table, x), out)
        y = out.reshape(fold.result_shape(keepdim))
        self.save(x, y)
        return y

    def backward(self, g: Any) -> tuple[Any, ...]:
        x, _ = self.saved  # type: ignore[misc]
        table, fold = self.kernels, self.fold
        out = table.empty(fold.triple, g.dtype)
        table.prod_backward(fold.fold(table, x), fold.pairs(table, g), out)
        return (fold.unfold(table, out),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        from fastnn.ops.recurrence import shifted  # noqa: PLC0415  (made of what lies above)
        from fastnn.ops.view import permute  # noqa: PLC0415

        x, _ = self.saved_tensors()
        fold = self.fold
        if not x.ndim:
            return (g,)
        order = (*fold.kept, *fold.dims)
        rows = permute(x, order).reshape(fold.outer * fold.inner, fold.n)
        # The products of what lies before each element and of what lies behind.
        before = CumProd.apply((shifted(rows, 1, False, 1.0),), 1)
        behind = CumProd.apply((shifted(rows.flip(1), 1, False, 1.0),), 1).flip(1)
        out = before * behind * g.reshape(-1, 1)
        back = sorted(range(x.ndim), key=order.__getitem__)
        return (permute(out.reshape([x.shape[d] for d in order]), back),)


class Cumulative(Op):
    """A running fold along one dimension."""

    def fold_of(self, x: Any, dim: int) -> Fold:
        """The dimension in the middle of three."""
        self.dim = dim
        return Fold(x.shape, (dim,) if x.ndim else ())


class CumSum(Cumulative):
    """The running sum."""

    def forward(self, x: Any, dim: int, reverse: bool) -> Any:
        table = self.kernels
        self.fold, self.reverse = self.fold_of(x, dim), reverse
        out = table.empty(self.fold.triple, x.dtype)
        table.cumsum_forward(self.fold.fold(table, x), out, reverse)
        return out.reshape(x.shape)

    def backward(self, g: Any) -> tuple[Any, ...]:
        table = self.kernels
        out = table.empty(self.fold.triple, g.dtype)
        table.cumsum_forward(self.fold.fold(table, g), out, not self.reverse)
        return (out.reshape(self.fold.shape),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (CumSum.apply((g,), self.dim, not self.reverse),)


class CumProd(Cumulative):
    """The running product."""

    def forward(self, x: Any, dim: int) -> Any:
        table = self.kernels
        self.fold = self.fold_of(x, dim)
        out = table.empty(self.fold.triple, x.dtype)
        table.cumprod_forward(self.fold.fold(table, x), out)
        y = out.reshape(x.shape)
        self.save(x, y)
        return y

    def backward(self, g: Any) -> tuple[Any, ...]:
        table, fold = self.kernels, self.fold
        x, y, g = (fold.fold(table, a) for a in (*(self.saved or ()), g))
        out = table.empty(fold.triple, g.dtype)
        table.cumprod_backward(x, y, g, out)
        return (out.reshape(fold.shape),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        from fastnn.ops.recurrence import recurrence, shifted  # noqa: PLC0415  (lies above)

        x, y = self.saved_tensors()
        if not x.ndim:
            return (g,)
        rest = recurrence(g, shifted(x, self.dim, True), self.dim, True)
        return (shifted(y, self.dim, False, 1.0) * rest,)


def _typed(name: str, input: Tensor, dtype: Any) -> Tensor:
    _common.require_tensor(name, "input", input)
    if dtype is None and input.array.dtype.kind in "biu":
        dtype = _dtypes.int64
    return input if dtype is None else to(input, _dtypes.argument(name, dtype))


@numpy_names
def prod(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """The product of all elements or along ``dim``, as torch.prod; 1 of no elements.

    Integers and bools are multiplied as int64 and wrap around.   Raises TypeError for no tensor,
    IndexError for a bad dim.
    """
    x = _typed("prod", input, dtype)
    dims = tuple(range(x.ndim))
    if dim is not None:
        dims = (_common.one_dim("prod", dim, x.ndim),) if x.ndim else dims
    return Prod.apply((x,), dims, keepdim)  # type: ignore[no-any-return]


@numpy_names
def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The sums of all elements up to each along ``dim``, as torch.cumsum.

    Shapes: (...) -> (...); integers and bools are added as int64.   Raises TypeError for no tensor,
    IndexError for a bad dim.
    """
    x = _typed("cumsum", input, dtype)
    return CumSum.apply((x,), _common.one_dim("cumsum", dim, x.ndim), False)  # type: ignore[no-any-return]


@numpy_names
def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The products of all elements up to each along ``dim``, as torch.cumprod.

    Shapes: (...) -> (...); integers and bools are multiplied as int64.   Raises TypeError for no
    tensor, IndexError for a bad dim.
    """
    x = _typed("cumprod", input, dtype)
    return CumProd.apply((x,), _common.one_dim("cumprod", dim, x.ndim))  # type: ignore[no-any-return]


def _own_type(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function in the type of its input, integers too: what can be stored there."""
    name = function.__name__ + "_"

    @functools.wraps(function)
    def same(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
        own = input.dtype
        if _dtypes.argument(name, dtype, own) is not own:
            message = (
                f"{name}: expected dtype as the type of the tensor, {own}, got {dtype}; leave it "
                "out"
            )
            raise RuntimeError(message)
        _common.require_numbers(name, "a tensor", input)
        return function(input, dim, dtype=own)

    return same


cumsum_: InPlace[...] = in_place(_own_type(cumsum))
cumprod_: InPlace[...] = in_place(_own_type(cumprod))

_DIMS = (((3, 5), 1), ((4, 3, 5), 1), ((4, 3, 5), 0), ((7,), -1), ((0, 4), 1), ((2, 9, 70), 1))
CASES = [
    OpCase(prod, "prod", [(3, 5)], ref=lambda x: x.prod(), kink=0.0),
    OpCase(prod, "prod", [()], ref=lambda x: x.prod(), kink=0.0),
    OpCase(
        prod,
        "prod",
        [(3, 5), 0],
        {"keepdim": True},
        lambda x, d, keepdim: x.prod(d, keepdims=keepdim),
        kink=0.0,
    ),
    *(OpCase(prod, "prod", list(a), ref=lambda x, d: x.prod(d), low=0.5, high=1.5) for a in _DIMS),
    OpCase(prod, "prod", [(2, 300), 1], ref=lambda x, d: x.prod(d), low=0.9, high=1.1),
    OpCase(prod, "prod", [("int", (3, 5), -3, 9), 1], ref=lambda x, d: x.prod(d), grad=False),
    *(
        OpCase(f, f.__name__, list(a), ref=ref, low=0.5, high=1.5)
        for f, ref in (
            (cumsum, lambda x, d: x.cumsum(d)),
            (cumprod, lambda x, d: x.cumprod(d)),
        )
        for a in (*_DIMS, ((300, 300), 0))
    ),
    *(
        OpCase(f, f.__name__, [("int", (3, 5), -3, 9), 1], ref=ref, grad=False)
        for f, ref in ((cumsum, lambda x, d: x.cumsum(d)), (cumprod, lambda x, d: x.cumprod(d)))
    ),
]
ERRORS = [
    case
    for f in (prod, cumsum, cumprod)
    for case in (
        ErrorCase(f, f.__name__, [(2, 3), 2], IndexError, "expected dim in [-2, 1]"),
        ErrorCase(f, f.__name__, [[1.0], 0], TypeError, "expected input as a Tensor"),
        ErrorCase(f, f.__name__, [(2, 3), "a"], TypeError, "expected dim as an int"),
    )
]
