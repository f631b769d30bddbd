# SPDX-License-Identifier: BSD-3-Clause
"""Products of tensors: inner, kron, cross, tensordot.

    inner: sum_k a[..., k] b[..., k] for all pairs    kron: blocks a[i, j] b    cross: a x b in R^3

Backward: of the products and sums that they are made of.
"""

from __future__ import annotations

import math
from typing import Any

from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops.arrange import roll
from fastnn.ops.binary import mul_tensors
from fastnn.ops.bmm import checked_pair
from fastnn.ops.matmul import matmul
from fastnn.ops.reduce import sum
from fastnn.ops.view import permute, reshape
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products over the last dimensions, for all pairs of rows, as torch.inner.

    Shapes: (..., k) and (---, k) -> (..., ---); a 0-d tensor multiplies.   Raises RuntimeError
    where the last sizes or the types differ, TypeError for no tensors.
    """
    a, b = checked_pair("inner", input, other)
    if not a.ndim or not b.ndim:
        return mul_tensors(a, b)
    if a.shape[-1] != b.shape[-1]:
        message = (
            f"inner: expected last dimensions of one size, got {a.shape} and {b.shape}; "
            "tensordot() takes others"
        )
        raise RuntimeError(message)
    return tensordot(a, b, ([-1], [-1]))


def kron(input: Tensor, other: Tensor) -> Tensor:
    """Kronecker's product: every element of input times the whole of other, as torch.kron.

    Shapes: (r, c) and (p, q) -> (r p, c q), and the same for other numbers of dimensions.   Raises
    TypeError for no tensors.
    """
    _common.require_tensor("kron", "input", input)
    _common.require_tensor("kron", "other", other)
    _common.table_of(input, other, op="kron")
    n = max(input.ndim, other.ndim)
    a, b = ((1,) * (n - t.ndim) + tuple(t.shape) for t in (input, other))
    wide = mul_tensors(
        reshape(input, *(s for size in a for s in (size, 1))),
        reshape(other, *(s for size in b for s in (1, size))),
    )
    return reshape(wide, *(p * q for p, q in zip(a, b, strict=True)))


def cross_of(name: str, x: Tensor, y: Tensor, dim: Any) -> Tensor:
    """The vector product along a dimension; None: the first of size 3."""
    _common.require_tensor(name, "input", x)
    _common.require_tensor(name, "other", y)
    if x.ndim != y.ndim:
        message = (
            f"{name}: expected equally many dimensions, got {x.shape} and {y.shape}; unsqueeze() "
            "adds one"
        )
        raise RuntimeError(message)
    shape = _common.broadcast_shape(name, x.shape, y.shape)
    threes = [i for i, n in enumerate(x.shape) if n == 3]
    d = _common.one_dim(name, dim, x.ndim) if dim is not None else (threes or [-1])[0]
    if d < 0 or not x.ndim or x.shape[d] != 3 or y.shape[d] != 3:
        message = f"{name}: expected dim {dim} of size 3, got {x.shape} and {y.shape}; name another"
        raise RuntimeError(message)
    a, b = x.expand(*shape), y.expand(*shape)
    return roll(a, -1, d) * roll(b, -2, d) - roll(a, -2, d) * roll(b, -1, d)


def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product along ``dim``, by default the first of size 3, as torch.cross.

    Raises RuntimeError for a dimension of another size and shapes that do not broadcast.
    """
    return cross_of("cross", input, other, dim)


def _pair_of_dims(a: Tensor, b: Tensor, dims: Any) -> tuple[list[int], list[int]]:
    name = "tensordot"
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, tuple | list) and len(dims) == 2:
        left, right = ([*d] if isinstance(d, tuple | list) else [d] for d in dims)
    else:
        n = _common.integer(name, "dims", dims)
        if not 0 <= n <= min(a.ndim, b.ndim):
            message = (
                f"{name}: expected dims in [0, {min(a.ndim, b.ndim)}], got {n}; a pair of lists "
                "names others"
            )
            raise RuntimeError(message)
        left, right = list(range(a.ndim - n, a.ndim)), list(range(n))
    x = [_common.one_dim(name, d, a.ndim) for d in left]
    y = [_common.one_dim(name, d, b.ndim) for d in right]
    if len(x) != len(y) or len(set(x)) != len(x) or len(set(y)) != len(y):
        message = (
            f"{name}: expected as many distinct dims of both, got {left} and {right}; pair them"
        )
        raise RuntimeError(message)
    return x, y


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Sums of products over pairs of dimensions, as torch.tensordot.

    dims: how many, the last of a and the first of b, or a pair of lists. A size of 1 is repeated.
    The result has the others of a, then those of b.   Raises RuntimeError for sizes that differ and
    dims that do not pair, TypeError for no tensors.
    """
    checked_pair("tensordot", a, b)
    left, right = _pair_of_dims(a, b, dims)
    for i, j in zip(left, right, strict=True):
        n, m = a.shape[i], b.shape[j]
        if n != m and 1 not in (n, m):
            message = (
                f"tensordot: expected dims of one size, got {n} and {m} for {a.shape} and "
                f"{b.shape}; movedim() brings others there"
            )
            raise RuntimeError(message)
        if n != m and n == 1:
            b = sum(b, j, keepdim=True, dtype=b.dtype)
        elif n != m:
            a = sum(a, i, keepdim=True, dtype=a.dtype)
    rows = [i for i in range(a.ndim) if i not in left]
    columns = [j for j in range(b.ndim) if j not in right]
    inside = math.prod(a.shape[i] for i in left)
    shape = [*(a.shape[i] for i in rows), *(b.shape[j] for j in columns)]
    x = reshape(permute(a, [*rows, *left]), math.prod(a.shape[i] for i in rows), inside)
    y = reshape(permute(b, [*right, *columns]), inside, math.prod(b.shape[j] for j in columns))
    return reshape(matmul(x, y), shape)


def _np(name: str) -> Any:
    return lambda x, y, *a: getattr(array_module(x), name)(x, y, *a)


CASES = [
    OpCase(inner, "inner", [(2, 3), (4, 5, 3)], ref=_np("inner")),
    OpCase(inner, "inner", [(3,), ()], ref=_np("multiply")),
    *(
        OpCase(kron, "kron", list(s), ref=_np("kron"))
        for s in (((2, 3), (3, 2)), ((2,), (2, 1, 3)))
    ),
    OpCase(cross, "cross", [(4, 3), (4, 3), -1], ref=_np("cross")),
    OpCase(
        cross,
        "cross",
        [(3, 2), (3, 1), 0],
        ref=lambda x, y, _: array_module(x).cross(x.T, y.T).T,
    ),
    *(
        OpCase(tensordot, "tensordot", a, ref=_np("tensordot"))
        for a in (
            [(2, 3, 4), (3, 4, 5)],
            [(2, 3), (4,), 0],
            [(2, 3, 4), (4, 2, 5), [[0, 2], [1, 0]]],
        )
    ),
]
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    (inner, "inner", [(2, 3), (2, 4)], RuntimeError, "of one size"),
    (inner, "inner", [(3,), 1.0], TypeError, "expected other as a Tensor"),
    (inner, "inner", [(3,), ("cells", [1, 2, 3])], RuntimeError, "of one type"),
    *(
        (kron, "kron", a, TypeError, "as a Tensor")
        for a in ([(2,), 1.0], [None, (2,)], [[1.0], ()])
    ),
    (cross, "cross", [(2, 4), (2, 4)], RuntimeError, "of size 3"),
    (cross, "cross", [(2, 3), (3,)], RuntimeError, "equally many dimensions"),
    (cross, "cross", [(3,), 1.0], TypeError, "expected other as a Tensor"),
    (tensordot, "tensordot", [(2, 3), (4, 2), 1], RuntimeError, "dims of one size"),
    (tensordot, "tensordot", [(2, 3), (3, 2), 3], RuntimeError, "dims in [0, 2]"),
    (tensordot, "tensordot", [(2, 3), (3, 2), [[1], [0, 1]]], RuntimeError, "as many distinct"),
    (tensordot, "tensordot", [(2, 3), 1.0], TypeError, "expected other as a Tensor"),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]
