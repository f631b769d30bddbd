# SPDX-License-Identifier: BSD-3-Clause
"""Products with vectors, and products that are added to something.

    mv: a x      dot: x . y      outer: x y^T      addmm, baddbmm: beta input + alpha a b

All are made of `matmul`, `bmm` and arithmetic, and so are their gradients.
"""

from __future__ import annotations

from typing import Any

from fastnn.ops import _common
from fastnn.ops._elementwise import number
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops.binary import add_tensors, mul_tensors
from fastnn.ops.bmm import bmm_tensors, checked_pair, require_batches
from fastnn.ops.matmul import matmul, mm, require_matrices
from fastnn.ops.view import expand, unsqueeze
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """A matrix times a vector, (m, k) (k,) -> (m,), as torch.mv.

    Raises RuntimeError for other shapes and for operands of two types, TypeError for no tensors.
    """
    a, b = checked_pair("mv", input, vec)
    if a.ndim != 2 or b.ndim != 1 or a.shape[1] != b.shape[0]:
        message = (
            f"mv: expected a matrix (m, k) and a vector (k,), got {a.shape} and {b.shape}; t() "
            "turns a matrix, matmul() takes other shapes"
        )
        raise RuntimeError(message)
    return matmul(a, b)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The sum of the products of two vectors, (k,) (k,) -> (), as torch.dot.

    Raises RuntimeError for other shapes and for operands of two types, TypeError for no tensors.
    """
    a, b = checked_pair("dot", input, tensor)
    if a.ndim != 1 or a.shape != b.shape:
        message = (
            f"dot: expected two vectors of one length, got {a.shape} and {b.shape}; matmul() takes "
            "other shapes"
        )
        raise RuntimeError(message)
    return matmul(a, b)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The products of all elements of two vectors, (n,) (m,) -> (n, m), as torch.outer.

    Raises RuntimeError for other shapes, TypeError for no tensors.
    """
    _common.require_tensor("outer", "input", input)
    _common.require_tensor("outer", "vec2", vec2)
    if input.ndim != 1 or vec2.ndim != 1:
        message = (
            f"outer: expected two vectors, got {input.shape} and {vec2.shape}; flatten() makes "
            "vectors"
        )
        raise RuntimeError(message)
    return mul_tensors(unsqueeze(input, 1), unsqueeze(vec2, 0))


def add_product(name: str, input: Tensor, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    """beta input + alpha product; of integers the factors are cut to integers, as torch does."""
    _common.require_tensor(name, "input", input)
    if input.array.dtype != product.array.dtype:
        message = (
            f"{name}: expected input of the type of the product, {product.dtype}, got "
            f"{input.dtype}; convert it with .to({product.dtype})"
        )
        raise RuntimeError(message)
    if _common.broadcast_shape(name, input.shape, product.shape) != product.shape:
        message = (
            f"{name}: expected input that broadcasts to {product.shape}, got {input.shape}; "
            "reshape() it, sizes of 1 are repeated"
        )
        raise RuntimeError(message)
    number(name, "beta", beta)
    number(name, "alpha", alpha)
    if product.array.dtype.kind != "f":
        beta, alpha = int(beta), int(alpha)
    if alpha != 1:
        product = mul_tensors(product, alpha)
    if beta == 0:  # then also infinities and NaN of input do not count
        return product
    wide = expand(input, *product.shape)
    return add_tensors(wide if beta == 1 else mul_tensors(wide, beta), product)


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta input + alpha mat1 mat2, as torch.addmm; with beta 0 input does not count at all.

    Shapes: input broadcasts to (m, n), mat1 (m, k), mat2 (k, n).   Raises RuntimeError for shapes
    or types that do not fit, TypeError for no tensors.
    """
    a, b = checked_pair("addmm", mat1, mat2)
    require_matrices("addmm", a.shape, b.shape)
    return add_product("addmm", input, mm(a, b), beta, alpha)


def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """beta input + alpha batch1 batch2, as torch.baddbmm; with beta 0 input does not count at all.

    Shapes: input broadcasts to (b, m, n), batch1 (b, m, k), batch2 (b, k, n).   Raises RuntimeError
    for shapes or types that do not fit, TypeError for no tensors.
    """
    a, b = checked_pair("baddbmm", batch1, batch2)
    require_batches("baddbmm", a.shape, b.shape)
    return add_product("baddbmm", input, bmm_tensors(a, b), beta, alpha)


addmm_: InPlace[...] = in_place(addmm)
baddbmm_: InPlace[...] = in_place(baddbmm)


def _plain(c: Any, a: Any, b: Any, beta: float = 1, alpha: float = 1) -> Any:
    return beta * c + alpha * a @ b


_SCALED = {"beta": 0.5, "alpha": -2.0}
CASES = [
    *(
        OpCase(mv, "mv", list(s), ref=lambda a, b: a @ b)
        for s in (((3, 4), (4,)), ((0, 4), (4,)), ((3, 0), (0,)), ((65, 130), (130,)))
    ),
    *(OpCase(dot, "dot", [s, s], ref=lambda a, b: a @ b) for s in ((4,), (0,), (1,), (1000,))),
    *(
        OpCase(outer, "outer", list(s), ref=lambda a, b: a[:, None] * b)
        for s in (((3,), (4,)), ((0,), (4,)), ((33,), (70,)))
    ),
    *(
        OpCase(addmm, "addmm", list(s), k, _plain)
        for s, k in (
            (((3, 5), (3, 4), (4, 5)), {}),
            (((5,), (3, 4), (4, 5)), _SCALED),
            (((3, 1), (3, 70), (70, 33)), {"beta": 2}),
        )
    ),
    *(
        OpCase(baddbmm, "baddbmm", list(s), k, _plain)
        for s, k in (
            (((2, 3, 5), (2, 3, 4), (2, 4, 5)), {}),
            (((3, 5), (2, 3, 4), (2, 4, 5)), _SCALED),
        )
    ),
]
ERRORS = [
    ErrorCase(mv, "mv", [(3, 4), (3,)], RuntimeError, "(m, k) and a vector (k,)"),
    ErrorCase(mv, "mv", [(3, 4), (4, 1)], RuntimeError, "expected a matrix"),
    ErrorCase(mv, "mv", [(3, 4), None], TypeError, "expected other as a Tensor"),
    ErrorCase(dot, "dot", [(3,), (4,)], RuntimeError, "two vectors of one length"),
    ErrorCase(dot, "dot", [(3, 1), (3, 1)], RuntimeError, "two vectors of one length"),
    ErrorCase(dot, "dot", [(3,), 1.0], TypeError, "expected other as a Tensor"),
    ErrorCase(outer, "outer", [(3, 1), (3,)], RuntimeError, "expected two vectors"),
    ErrorCase(outer, "outer", [(3,), 1.0], TypeError, "expected vec2 as a Tensor"),
    ErrorCase(outer, "outer", [None, (3,)], TypeError, "expected input as a Tensor"),
    ErrorCase(addmm, "addmm", [(3, 5), (3, 4), (3, 5)], RuntimeError, "(m, k) and (k, n)"),
    ErrorCase(addmm, "addmm", [(2, 5), (3, 4), (4, 5)], RuntimeError, "shapes that broadcast"),
    ErrorCase(addmm, "addmm", [1.0, (3, 4), (4, 5)], TypeError, "expected input as a Tensor"),
    ErrorCase(addmm, "addmm", [(5,), (3, 4), (4, 5)], TypeError, "beta as a number", {"beta": "a"}),
    ErrorCase(baddbmm, "baddbmm", [(3, 5), (3, 4), (4, 5)], RuntimeError, "expected batches"),
    ErrorCase(
        baddbmm, "baddbmm", [(4, 2, 3, 5), (2, 3, 4), (2, 4, 5)], RuntimeError, "broadcasts to"
    ),
    ErrorCase(
        baddbmm, "baddbmm", [None, (2, 3, 4), (2, 4, 5)], TypeError, "expected input as a Tensor"
    ),
]
