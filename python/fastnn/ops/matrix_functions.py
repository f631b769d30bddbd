# SPDX-License-Identifier: BSD-3-Clause
"""Functions of matrices: the exponential, and products of Householder's reflections.

    matrix_exp: I + A + A^2 / 2! + A^3 / 3! + ...
    householder_product: the first n columns of H_1 H_2 ... H_k,  H_i = I - tau_i v_i v_i^T

Shapes:   matrix_exp (..., n, n) -> (..., n, n);  householder_product (..., m, n), (..., k) ->
          (..., m, n).
Backward: of the products and sums that they are made of.
Source:   Higham, "The scaling and squaring method for the matrix exponential revisited", 2005;
          Paterson and Stockmeyer, "On the number of nonscalar multiplications necessary to evaluate
          polynomials", 1973; Joffrain, Low, Quintana-Orti, van de Geijn and Van Zee, "Accumulating
          Householder transformations, revisited", 2006.
"""

from __future__ import annotations

import math
from typing import Any

from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._matrix_op import applied, batch_of, require_matrices
from fastnn.ops._ranges import eye
from fastnn.ops.arrange import tril, triu
from fastnn.ops.bmm import bmm_tensors as bmm
from fastnn.ops.copy import clone
from fastnn.ops.creation import tensor
from fastnn.ops.inverse import Solve
from fastnn.ops.rounding import abs
from fastnn.ops.view import reshape
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

_BLOCKS, _WIDTH = 6, 3  # terms up to A^17, whose rest is below 2^-52 for norms up to 1


def _halvings(a: Tensor) -> list[int]:
    """How often each matrix of a batch is halved until its norm is at most 1."""
    norms = abs(a.detach()).sum(1).amax(1).tolist()
    return [math.ceil(math.log2(n)) if 1 < n < math.inf else 0 for n in norms]


def _polynomial(a: Tensor, one: Tensor) -> Tensor:
    """The first terms of the series, by blocks of powers below the third."""
    square = bmm(a, a)
    cube = bmm(square, a)
    total: Any = None
    for block in reversed(range(_BLOCKS)):
        c0, c1, c2 = (1 / math.factorial(_WIDTH * block + i) for i in range(_WIDTH))
        part = one * c0 + a * c1 + square * c2
        total = part if total is None else bmm(total, cube) + part
    return total  # type: ignore[no-any-return]


def matrix_exp(input: Tensor) -> Tensor:
    """The exponentials of matrices (..., n, n), as torch.linalg.matrix_exp.

    exp(A) = exp(A / 2^s)^(2^s), s such that the norm of A / 2^s is at most 1.
    Raises RuntimeError for other shapes and types, TypeError for no tensor.
    """
    require_matrices("matrix_exp", input)
    if input.numel() == 0:
        return clone(input)
    a = batch_of(input)
    one = eye(a.shape[1], dtype=a.dtype, device=a.device)
    times = _halvings(a)
    scale = tensor([2.0**-k for k in times], dtype=a.dtype, device=a.device)
    y = _polynomial(a * reshape(scale, -1, 1, 1), one)
    for step in range(max(times)):
        if min(times) > step:
            y = bmm(y, y)
            continue
        # Of what is done the unit is squared, which is no larger for it.
        going = tensor([k > step for k in times], device=a.device).reshape(-1, 1, 1)
        moving = where(going, y, one)
        y = where(going, bmm(moving, moving), y)
    return reshape(y, input.shape)


def householder_product(input: Tensor, tau: Tensor) -> Tensor:
    """The first n columns of products of k reflections, as torch.linalg.householder_product.

        H_1 H_2 ... H_k,   H_i = I - tau_i v_i v_i^T

    Shapes: input (..., m, n), m >= n, whose column i holds v_i beneath the diagonal, where v_i is 1
    (above it is 0); tau (..., k), k <= n -> (..., m, n).
    Raises RuntimeError for other shapes and types, TypeError for no tensors.
    """
    name = "householder_product"
    require_matrices(name, input, square=False)
    _common.require_tensor(name, "tau", tau)
    *lead, m, n = input.shape
    fits = tau.ndim == input.ndim - 1 and list(tau.shape[:-1]) == lead and tau.shape[-1] <= n <= m
    if not fits or tau.array.dtype != input.array.dtype:
        message = (
            f"{name}: expected input (..., m, n), m >= n, and tau of its type (..., k), k <= n, "
            f"got {input.dtype} {input.shape} and {tau.dtype} {tau.shape}; the columns of input "
            "are the reflections"
        )
        raise RuntimeError(message)
    _common.table_of(input, tau, op=name)
    k = tau.shape[-1]
    whole = eye(m, n, dtype=input.dtype, device=input.device)
    v = (tril(batch_of(input), -1) + whole)[..., :k]
    scale = reshape(tau, v.shape[0], k, 1)
    # I - V T V^T, the inverse of T being diag(1 / tau) + the upper triangle of V^T V.
    upper = triu(bmm(v.mT, v), 1) * scale + whole[:k, :k]
    solved = applied(name, Solve, upper, scale * v[:, :n].mT)
    return reshape(whole - bmm(v, solved), input.shape)


def _plain_exp(x: Any) -> Any:
    xp = array_module(x)
    term = xp.broadcast_to(xp.eye(x.shape[-1], dtype=x.dtype), x.shape)
    y = term
    for k in range(1, 80):
        term = term @ x / k
        y = y + term
    return y


def _plain_product(a: Any, tau: Any) -> Any:
    xp = array_module(a)
    m, n = a.shape[-2:]
    y = xp.eye(m, dtype=a.dtype)
    for i in range(tau.shape[-1]):
        v = xp.tril(a, -1)[..., i : i + 1] + xp.eye(m, dtype=a.dtype)[:, i : i + 1]
        y = y - (y @ v) @ v.swapaxes(-1, -2) * tau[..., i, None, None]
    return y[..., :n]


CASES = [
    OpCase(matrix_exp, "matrix_exp", [(1, 1)], ref=lambda x: array_module(x).exp(x)),
    *(OpCase(matrix_exp, "matrix_exp", [s], ref=_plain_exp) for s in ((3, 3), (2, 0, 0))),
    # Two matrices that are halved 0 and 3 times.
    OpCase(lambda x: matrix_exp(x * tensor([[[0.1]], [[3.0]]], dtype=x.dtype)), "matrix_exp scaled",
           [(2, 2, 2)], ref=lambda x: _plain_exp(x * [[[0.1]], [[3.0]]]), low=0.5, high=1.2),
    *(
        OpCase(householder_product, "householder_product", list(s), ref=_plain_product)
        for s in (((3, 3), (3,)), ((4, 3), (2,)), ((2, 4, 2), (2, 2)))
    ),
]  # fmt: skip
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    (matrix_exp, "matrix_exp", [(2, 3)], RuntimeError, "square matrices"),
    (matrix_exp, "matrix_exp", [("cells", [[1]])], RuntimeError, "float32 or float64"),
    (matrix_exp, "matrix_exp", [1.0], TypeError, "expected A as a Tensor"),
    (householder_product, "householder_product", [(2, 3), (2,)], RuntimeError, "m >= n"),
    (householder_product, "householder_product", [(3, 2), (3,)], RuntimeError, "k <= n"),
    (householder_product, "householder_product", [(2, 3, 2), (2,)], RuntimeError, "(..., k)"),
    (householder_product, "householder_product", [(3, 2), 1.0], TypeError, "tau as a Tensor"),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]
