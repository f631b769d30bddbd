# SPDX-License-Identifier: BSD-3-Clause
"""Products of vectors, and products added to something: vdot, vecdot, addmv, addr, addbmm.

    vecdot: sum_k x_k y_k     addmv, addr, addbmm: beta input + alpha (a x, x y^T, sum_b a_b b_b)

Backward: of the products and sums that they are made of.
"""

from __future__ import annotations

from typing import Any

from fastnn.ops import _common
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops.binary import mul_tensors
from fastnn.ops.bmm import checked_pair, require_batches
from fastnn.ops.matmul import matmul
from fastnn.ops.products import add_product, dot, mv, outer
from fastnn.ops.reduce import sum
from fastnn.ops.view import permute, reshape
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def vdot(input: Tensor, other: Tensor) -> Tensor:
    """`dot` of two vectors, as torch.vdot: the same for real numbers. Raises as that does."""
    _common.require_tensor("vdot", "input", input)
    _common.require_tensor("vdot", "other", other)
    if input.ndim != 1 or input.shape != other.shape:
        message = (
            f"vdot: expected two vectors of one length, got {input.shape} and {other.shape}; "
            "matmul() takes other shapes"
        )
        raise RuntimeError(message)
    return dot(*checked_pair("vdot", input, other))


def vecdot_tensors(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The dot products of the vectors along ``dim``, as torch.linalg.vecdot; shapes broadcast.

    Raises RuntimeError for shapes that do not broadcast, IndexError for a bad dim.
    """
    _common.require_tensor("vecdot", "x", x)
    _common.require_tensor("vecdot", "y", y)
    shape = _common.broadcast_shape("vecdot", x.shape, y.shape)
    d = _common.one_dim("vecdot", dim, len(shape))
    product = mul_tensors(*checked_pair("vecdot", x, y))
    return sum(product, d, dtype=x.dtype) if shape else product


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta input + alpha mat vec, as torch.addmv; with beta 0 input does not count at all.

    Shapes: input broadcasts to (m,), mat (m, k), vec (k,).   Raises RuntimeError for shapes or
    types that do not fit, TypeError for no tensors.
    """
    a, b = checked_pair("addmv", mat, vec)
    if a.ndim != 2 or b.ndim != 1 or a.shape[1] != b.shape[0]:
        message = (
            f"addmv: expected a matrix (m, k) and a vector (k,), got {a.shape} and {b.shape}; t() "
            "turns a matrix"
        )
        raise RuntimeError(message)
    return add_product("addmv", input, mv(a, b), beta, alpha)


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta input + alpha vec1 vec2^T, as torch.addr; with beta 0 input does not count at all.

    Shapes: input broadcasts to (n, m), vec1 (n,), vec2 (m,).   Raises RuntimeError for shapes that
    do not fit, TypeError for no tensors.
    """
    _common.require_tensor("addr", "input", input)
    _common.require_tensor("addr", "vec1", vec1)
    _common.require_tensor("addr", "vec2", vec2)
    if vec1.ndim != 1 or vec2.ndim != 1:
        message = (
            f"addr: expected two vectors, got {vec1.shape} and {vec2.shape}; flatten() makes them"
        )
        raise RuntimeError(message)
    dtype = _common.result_type(input, vec1, vec2)
    product = outer(vec1.to(dtype), vec2.to(dtype))
    if dtype.category == 0:
        product = product & bool(alpha)
        beta = bool(beta)
        if not beta:
            return product
        _ = _common.broadcast_shape("addr", input.shape, product.shape)
        return product | input.to(dtype)
    return add_product("addr", input.to(dtype), product, beta, alpha)


def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """beta input + alpha sum over a batch of batch1 batch2, as torch.addbmm.

    Shapes: input broadcasts to (m, n), batch1 (b, m, k), batch2 (b, k, n).   Raises RuntimeError
    for shapes or types that do not fit, TypeError for no tensors.
    """
    a, b = checked_pair("addbmm", batch1, batch2)
    require_batches("addbmm", a.shape, b.shape)
    # One product, whose inner dimension holds the batch.
    inner = a.shape[0] * a.shape[2]
    product = matmul(
        reshape(permute(a, (1, 0, 2)), a.shape[1], inner), reshape(b, inner, b.shape[2])
    )
    return add_product("addbmm", input, product, beta, alpha)


_common.named(vecdot=vecdot_tensors)
addmv_: InPlace[...] = in_place(addmv)
addr_: InPlace[...] = in_place(addr)
addbmm_: InPlace[...] = in_place(addbmm)


def _plain_addr(c: Any, x: Any, y: Any, beta: float = 1, alpha: float = 1) -> Any:
    return beta * c + alpha * x[:, None] * y


def _plain_sum(c: Any, a: Any, b: Any, beta: float = 1, alpha: float = 1) -> Any:
    return beta * c + alpha * (a @ b).sum(0)


_SCALED = {"beta": 0.5, "alpha": -2.0}
CASES = [
    OpCase(vdot, "vdot", [(4,), (4,)], ref=lambda x, y: x @ y),
    OpCase(vecdot_tensors, "vecdot", [(3, 4), (4,)], ref=lambda x, y: (x * y).sum(-1)),
    OpCase(vecdot_tensors, "vecdot", [(3, 4), (3, 1)], {"dim": 0},
           lambda x, y, **_: (x * y).sum(0)),
    *(
        OpCase(f, f.__name__, list(s), k, ref)
        for f, ref, shapes in (
            (addmv, lambda c, a, x, beta=1, alpha=1: beta * c + alpha * (a @ x), ((3, 4), (4,))),
            (addr, _plain_addr, ((3,), (4,))),
            (addbmm, _plain_sum, ((2, 3, 5), (2, 5, 4))),
        )
        for s, k in (((() if f is addmv else (4,), *shapes), {}), (((1,), *shapes), _SCALED))
    ),
    OpCase(addmv, "addmv", [(3,), (3, 4), (4,)], ref=lambda c, a, x: c + a @ x),
    OpCase(addr, "addr", [(3, 4), (3,), (4,)], ref=_plain_addr),
    OpCase(addbmm, "addbmm", [(3, 4), (2, 3, 5), (2, 5, 4)], ref=_plain_sum),
    OpCase(addr, "addr", [("bool", (2, 3)), ("bool", (2,)), ("bool", (3,))],
           ref=lambda c, x, y: c | (x[:, None] & y), grad=False),
]  # fmt: skip
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    (vdot, "vdot", [(3,), (4,)], RuntimeError, "two vectors of one length"),
    (vdot, "vdot", [(3, 1), (3, 1)], RuntimeError, "two vectors of one length"),
    (vdot, "vdot", [(3,), 1.0], TypeError, "expected other as a Tensor"),
    (vecdot_tensors, "vecdot", [(3,), (4,)], RuntimeError, "shapes that broadcast"),
    (vecdot_tensors, "vecdot", [(3,), 1.0], TypeError, "expected y as a Tensor"),
    (vecdot_tensors, "vecdot", [(3,), ("cells", [1, 2, 3])], RuntimeError, "of one type"),
    (addmv, "addmv", [(3,), (3, 4), (3,)], RuntimeError, "a matrix (m, k)"),
    (addmv, "addmv", [(2,), (3, 4), (4,)], RuntimeError, "shapes that broadcast"),
    (addmv, "addmv", [1.0, (3, 4), (4,)], TypeError, "expected input as a Tensor"),
    (addr, "addr", [(3, 4), (3, 1), (4,)], RuntimeError, "two vectors"),
    (addr, "addr", [(2, 4), (3,), (4,)], RuntimeError, "shapes that broadcast"),
    (addr, "addr", [(3, 4), (3,), 1.0], TypeError, "expected vec2 as a Tensor"),
    (addbmm, "addbmm", [(3, 4), (3, 5), (5, 4)], RuntimeError, "expected batches"),
    (addbmm, "addbmm", [(2, 4), (2, 3, 5), (2, 5, 4)], RuntimeError, "shapes that broadcast"),
    (addbmm, "addbmm", [1.0, (2, 3, 5), (2, 5, 4)], TypeError, "expected input as a Tensor"),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]
