# SPDX-License-Identifier: BSD-3-Clause
"""The recurrence that gradients of running products and running logarithms of sums are made of.

    u_j = g_j + a_j u_(j+1)      or, forward,      u_j = g_j + a_j u_(j-1)

Shapes:   g, a (...) -> (...), along one dimension; the a of the element with none before it does
          not count.
Backward: dg = the recurrence of the gradient the other way round, with a moved by one;  da_j =
          dg_j u_(j+1). So it is closed under differentiation.
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._fold import Fold
from fastnn.ops.index import BasicIndex
from fastnn.ops.join import Cat
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def recurrence_forward(g: Any, a: Any, u: Any, reverse: bool) -> None:
    """u[:, j] = g[:, j] + a[:, j] u[:, j -+ 1] for (outer, n, inner); from the end if reverse."""
    n, last = g.shape[1], None
    xp = array_module(g)
    wide = xp.float64 if g.dtype.kind == "f" and g.dtype.itemsize < 8 else g.dtype
    for j in range(n - 1, -1, -1) if reverse else range(n):
        last = g[:, j].astype(wide) if last is None else g[:, j] + a[:, j] * last
        u[:, j] = last


class Recurrence(Op):
    """u_j = g_j + a_j u_(j+1) along a dimension, or from its start."""

    def forward(self, g: Any, a: Any, dim: int, reverse: bool) -> Any:
        table = self.kernels
        self.dim, self.reverse = dim, reverse
        fold = Fold(g.shape, (dim,) if g.ndim else ())
        out = table.empty(fold.triple, g.dtype)
        table.recurrence_forward(fold.fold(table, g), fold.fold(table, a), out, reverse)
        u = out.reshape(g.shape)
        self.save(a, u)
        return u

    def backward(self, grad: Any) -> tuple[Any, ...]:
        a, u = (Tensor._wrap(x) for x in self.saved or ())
        return tuple([None if t is None else t.array for t in self.parts(a, u, Tensor._wrap(grad))])

    def backward_graph(self, grad: Tensor) -> tuple[Any, ...]:
        a, u = self.saved_tensors()
        return self.parts(a, u, grad)

    def parts(self, a: Tensor, u: Tensor, grad: Tensor) -> tuple[Any, ...]:
        """The gradients of g and a."""
        if not a.ndim:
            return grad, grad * 0.0
        back = not self.reverse
        gg = Recurrence.apply((grad, shifted(a, self.dim, back)), self.dim, back)
        return gg, gg * shifted(u, self.dim, self.reverse) if self.needs[1] else None


def shifted(x: Tensor, dim: int, forward: bool, edge: float = 0.0) -> Tensor:
    """x_(j+1) at j (or x_(j-1)), ``edge`` where there is none."""
    n, lead = x.shape[dim], (slice(None),) * dim
    if n == 0:
        return x
    table, dtype = _common.table_of(x), x.array.dtype
    end = table.empty((*x.shape[:dim], 1, *x.shape[dim + 1 :]), dtype)
    table.fill(table.xp.asarray([edge], dtype), end)
    rest = slice(1, None) if forward else slice(0, n - 1)
    pair = [BasicIndex.apply((x,), (*lead, rest, Ellipsis)), Tensor._wrap(end)]
    return Cat.apply(tuple(pair if forward else pair[::-1]), dim)  # type: ignore[no-any-return]


def recurrence(g: Tensor, a: Tensor, dim: int, reverse: bool) -> Tensor:
    """u_j = g_j + a_j u_(j+1) along ``dim``, or u_(j-1) unless reverse; g and a of one shape.

    Raises RuntimeError for other shapes and types, TypeError for no tensors.
    """
    name = "recurrence"
    _common.require_tensor(name, "g", g)
    _common.require_tensor(name, "a", a)
    if g.shape != a.shape or g.array.dtype != a.array.dtype:
        message = (
            f"{name}: expected g and a of one shape and type, got {g.shape} {g.dtype} and "
            f"{a.shape} {a.dtype}; expand() and to() make them fit"
        )
        raise RuntimeError(message)
    _common.table_of(g, a, op=name)
    return Recurrence.apply((g, a), _common.one_dim(name, dim, g.ndim), reverse)  # type: ignore[no-any-return]


def _plain(g: Any, a: Any, dim: int, reverse: bool) -> Any:
    g, a = (array_module(x).moveaxis(x, dim, 0) for x in (g, a))
    u = g.copy()
    places = range(len(g) - 2, -1, -1) if reverse else range(1, len(g))
    for j in places:
        u[j] += a[j] * u[j + (1 if reverse else -1)]
    return array_module(g).moveaxis(u, 0, dim)


CASES = [
    OpCase(recurrence, "recurrence", [s, s, d, reverse], ref=_plain)
    for s, d, reverse in (((5,), 0, True), ((2, 4, 3), 1, False), ((0, 2), 0, True))
]
ERRORS = [
    ErrorCase(recurrence, "recurrence", [(3,), (4,), 0, True], RuntimeError, "of one shape"),
    ErrorCase(recurrence, "recurrence", [(3,), (3,), 1, True], IndexError, "expected dim in"),
    ErrorCase(recurrence, "recurrence", [(3,), 1.0, 0, True], TypeError, "a as a Tensor"),
]
