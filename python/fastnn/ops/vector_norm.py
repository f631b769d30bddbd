# SPDX-License-Identifier: BSD-3-Clause
"""Norms of vectors: (sum |x|^p)^(1/p) over dimensions.

    p = 2: the root of the sum of squares     p = 1: the sum of magnitudes     p = 0: how many are
    not 0     p = inf, -inf: the largest, smallest magnitude

Shapes:   x (...) -> the kept dimensions (all reduced: 0-d).
Backward: p = 2: dx = g x / norm, 0 where the norm is 0;  else through the operations it is made of.
"""

from __future__ import annotations

import math
from typing import Any

from fastnn import _dtypes
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._elementwise import number
from fastnn.ops._fold import Fold
from fastnn.ops.compare import ne_tensors
from fastnn.ops.copy import to
from fastnn.ops.extremum import Extremum
from fastnn.ops.power import pow_tensors
from fastnn.ops.reduce import sum
from fastnn.ops.rounding import abs
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


class Norm2(Op):
    """The Euclidean norm over dimensions."""

    name = "norm"

    def forward(self, x: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
        table = self.kernels
        fold = self.fold = Fold(x.shape, dims)
        out = table.empty(fold.pair, x.dtype)
        table.square_sum(fold.fold(table, x), None, out)
        table.sqrt_forward(out, out)
        y = out.reshape(fold.result_shape(keepdim))
        if self.needs[0]:
            self.save(x, y)
        return y

    def backward(self, g: Any) -> tuple[Any, ...]:
        x, y = (Tensor._wrap(a) for a in self.saved or ())
        return (self.part(x, y, Tensor._wrap(g)).array,)

    def part(self, x: Tensor, y: Tensor, g: Tensor) -> Tensor:
        """g x / y, 0 where y is 0."""
        kept = self.fold.kept_shape
        g, y = g.reshape(kept), y.reshape(kept)
        zero = y.detach() == 0
        return x * where(zero, 0.0, g / where(zero, 1.0, y))

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, y = self.saved_tensors()
        return (self.part(x, y, g),)


def _norm(name: str, x: Tensor, p: float, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    if x.array.dtype.itemsize == 2 and not math.isinf(p):
        # The square of 256 is beyond float16, that of 1e-4 below it: powers are summed in float32.
        return to(_norm(name, to(x, _dtypes.float32), p, dims, keepdim), x.dtype)
    if p == 2.0:
        return Norm2.apply((x,), dims, keepdim)  # type: ignore[no-any-return]
    if p == 0.0:
        return sum(where(ne_tensors(x.detach(), 0), 1.0, x * 0.0), dims, keepdim)
    if math.isinf(p):
        if any(x.shape[d] == 0 for d in dims):
            message = (
                f"{name}: expected at least one element for p {p}, got shape {x.shape}; choose a "
                "dim that is not empty"
            )
            raise RuntimeError(message)
        kernel = "amax" if p > 0 else "amin"
        return Extremum.apply((abs(x),), dims, keepdim, kernel, True)  # type: ignore[no-any-return]
    if p == 1.0:
        return sum(abs(x), dims, keepdim)
    size = abs(x)
    if p < 1.0:  # at 0 the power has no derivative either
        none = size.detach() == 0
        powers = pow_tensors(where(none, 1.0, size), p)
        total = sum(where(none, 0.0 if p > 0.0 else math.inf, powers), dims, keepdim)
    else:
        total = sum(pow_tensors(size, p), dims, keepdim)
    # The root has none; the norm's is taken as 0.
    zero = total.detach() == 0
    return where(zero, total, pow_tensors(where(zero, 1.0, total), 1.0 / p))


def _checked(name: str, input: Tensor, p: Any, dim: Any, dtype: Any) -> tuple[Any, ...]:
    _common.require_tensor(name, "input", input)
    x = input if dtype is None else to(input, _dtypes.argument(name, dtype))
    _common.require_float(name, "input", x)
    if p == "fro" and name == "norm":
        p = 2.0
    order = number(name, "p" if name == "norm" else "ord", p)
    return x, order, _common.many_dims(name, dim, x.ndim)


def norm(
    input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """The norm of order p over ``dim`` (an int, a tuple, or None for all), as torch.norm.

    p: a number, inf, -inf, 'fro' for 2, or 'nuc' for matrices.   Raises TypeError for no tensor,
    RuntimeError for integers, IndexError for a bad dim.
    """
    if p == "nuc":
        from fastnn.ops.matrix_norm import matrix_norm  # noqa: PLC0415  (lies above)

        _common.require_tensor("norm", "input", input)
        dims = (-2, -1) if dim is None else dim
        return matrix_norm(input, "nuc", dims, keepdim, dtype=dtype)
    x, order, dims = _checked("norm", input, p, dim, dtype)
    return _norm("norm", x, order, dims, keepdim)


def vector_norm_tensor(
    x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """The norm of order ``ord`` of the elements over ``dim``, as torch.linalg.vector_norm.

    ord: a number, inf or -inf.   Raises TypeError for no tensor, RuntimeError for integers,
    IndexError for a bad dim.
    """
    value, order, dims = _checked("vector_norm", x, ord, dim, dtype)
    return _norm("vector_norm", value, order, dims, keepdim)


_common.named(vector_norm=vector_norm_tensor)


def _plain(x: Any, p: Any = 2, d: Any = None, keepdim: bool = False) -> Any:
    d = tuple(d) if isinstance(d, list) else d
    size = (x * x) ** 0.5
    if p == math.inf:
        return size.max(d, keepdims=keepdim)
    if p == -math.inf:
        return size.min(d, keepdims=keepdim)
    if p == 0:
        return (x != 0).sum(d, keepdims=keepdim) * 1.0
    return (size ** (2 if p == "fro" else p)).sum(d, keepdims=keepdim) ** (
        1 / (2 if p == "fro" else p)
    )


CASES = [
    *(
        OpCase(norm, "norm", [s, *a], k, _plain, kink=0.0)
        for s, a, k in (
            ((3, 5), [], {}),
            ((3, 5), [2, 1], {"keepdim": True}),
            ((4, 3, 5), ["fro", [0, 2]], {}),
            ((4, 3, 5), [1, 1], {}),
            ((4, 5), [3, 0], {}),
            ((4, 5), [math.inf, 0], {}),
            ((4, 5), [0.5, 1], {}),
            ((4, 5), [-1.0, 1], {}),
            ((0, 4), [2, 1], {}),
            ((), [], {}),
            ((3, 2500), [2, 1], {}),
        )
    ),
    OpCase(norm, "norm", [(4, 5), -math.inf, 1], ref=_plain, low=0.2),
    OpCase(norm, "norm", [(4, 5), 0, 1], ref=_plain, grad=False),
    OpCase(vector_norm_tensor, "vector_norm", [(3, 5)], ref=_plain),
    OpCase(vector_norm_tensor, "vector_norm", [(3, 5), 3, 1], ref=_plain, kink=0.0),
    OpCase(norm, "norm", [(1024, 4096)], ref=_plain, bench=True),
]
ERRORS = [
    ErrorCase(norm, "norm", [(2, 3), 2, 2], IndexError, "expected dim in [-2, 1]"),
    ErrorCase(norm, "norm", [[1.0]], TypeError, "expected input as a Tensor"),
    ErrorCase(norm, "norm", [("int", (2, 3), 0, 9)], RuntimeError, "floating-point type"),
    ErrorCase(norm, "norm", [(2, 3), "a"], TypeError, "p as a number"),
    ErrorCase(norm, "norm", [(2, 0), math.inf, 1], RuntimeError, "at least one element"),
    *(
        ErrorCase(vector_norm_tensor, "vector_norm", a, error, text)
        for a, error, text in (
            ([(2, 3), 2, 2], IndexError, "expected dim in [-2, 1]"),
            ([[1.0]], TypeError, "expected input as a Tensor"),
            ([(2, 3), "fro"], TypeError, "ord as a number"),
        )
    ),
]
