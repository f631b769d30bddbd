# SPDX-License-Identifier: BSD-3-Clause
"""Linear equations: inv, solve, cholesky, matrix_power.

Shapes:   matrices (..., n, n); solve (..., n, n), (..., n, k) -> (..., n, k), or vectors (..., n).
Backward: inv: dA = -Y^T g Y^T;  solve: dB = A^-T g, dA = -dB X^T;  cholesky: dA = L^-T P L^-1, P
          the symmetric half of L^T g.
Source:   Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
          differentiation", 2008; Murray, "Differentiation of the Cholesky decomposition", 2016.
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module
from fastnn._dtypes import bool_
from fastnn.ops import _common
from fastnn.ops._matrix_op import MatrixOp, applied, batch_of, require_matrices
from fastnn.ops.arrange import tril
from fastnn.ops.bmm import BatchMatMul
from fastnn.ops.copy import to
from fastnn.ops.creation import arange, zeros
from fastnn.ops.diagonals import diagonal
from fastnn.ops.matmul import matmul
from fastnn.ops.view import expand, reshape
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


class Inverse(MatrixOp):
    """The inverses of a batch of matrices."""

    name = "inv"

    def forward(self, a: Any) -> Any:
        y = self.empty_like(a)
        self.kernels.lapack_inv(a, y)
        self.save(y)
        return y

    def parts(self, y: Tensor, g: Tensor) -> tuple[Any, ...]:
        return (-(y.mT @ g @ y.mT),)


class Solve(MatrixOp):
    """x of a x = b for batches (b, n, n) and (b, n, k)."""

    def forward(self, a: Any, b: Any) -> Any:
        x = self.empty_like(b)
        self.kernels.lapack_solve(a, b, x)
        self.save(a, x)
        return x

    def parts(self, a: Tensor, x: Tensor, g: Tensor) -> tuple[Any, ...]:
        gb = Solve.apply((a.mT, g))
        return (-BatchMatMul.apply((gb, x.mT)) if self.needs[0] else None), gb


class Cholesky(MatrixOp):
    """The lower triangular factors of a batch of matrices."""

    def forward(self, a: Any) -> Any:
        y = self.empty_like(a)
        self.kernels.lapack_cholesky(a, y)
        self.save(y)
        return y

    def parts(self, y: Tensor, g: Tensor) -> tuple[Any, ...]:
        lower = tril(y.mT @ g)
        half = (lower + tril(lower, -1).mT) * 0.5
        left = Solve.apply((y.mT, half))
        return (Solve.apply((y.mT, left.mT)).mT,)


def inv(A: Tensor) -> Tensor:
    """The inverses of matrices (..., n, n), as torch.linalg.inv.

    Raises LinAlgError for a singular one, RuntimeError for other shapes and types.
    """
    return _inverted("inv", A)


def inverse(input: Tensor) -> Tensor:
    """`inv`, as torch.inverse. Raises as that does."""
    return _inverted("inverse", input)


def _inverted(name: str, A: Tensor) -> Tensor:
    require_matrices(name, A)
    return reshape(applied(name, Inverse, batch_of(A)), A.shape)


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X of A X = B (or X A = B unless ``left``), as torch.linalg.solve.

    Shapes: A (..., n, n), B (..., n, k), or a vector (n), or vectors in A's own shape but one; what
    stands before broadcasts.
    Raises LinAlgError for a singular A, RuntimeError for shapes and types that do not go together.
    """
    require_matrices("solve", A)
    _common.require_tensor("solve", "B", B)
    vector = B.ndim == 1 or (A.ndim - 1 == B.ndim and B.shape == A.shape[:-1])
    b = B.unsqueeze(-1) if vector else B
    if not left and not vector:
        a, b = A.mT, b.mT
    else:
        a = A
    fits = b.ndim >= 2 and b.shape[-2] == a.shape[-1] and b.array.dtype == a.array.dtype
    if not fits or (vector and not left):
        message = (
            f"solve: expected A (..., n, n) and B of its type, (..., n, k) or (..., n), got "
            f"{A.dtype} {A.shape} and {B.dtype} {B.shape}, left={left}; unsqueeze() adds dimensions"
        )
        raise RuntimeError(message)
    _common.table_of(A, B, op="solve")
    lead = _common.broadcast_shape("solve", a.shape[:-2], b.shape[:-2])
    a, b = (expand(t, *lead, *t.shape[-2:]) for t in (a, b))
    x = reshape(applied("solve", Solve, batch_of(a), batch_of(b)), b.shape)
    return x.squeeze(-1) if vector else (x if left else x.mT)


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """L with positive diagonal and A = L L^T (or, upper, its transpose); torch.linalg.cholesky.

    Of A, symmetric and positive definite, one triangle is read.   Raises LinAlgError if it is not
    positive definite, RuntimeError for other shapes and types.
    """
    require_matrices("cholesky", A)
    x = A.mT if upper else A
    y = reshape(applied("cholesky", Cholesky, batch_of(x)), A.shape)
    return y.mT if upper else y


def matrix_power(A: Tensor, n: int) -> Tensor:
    """A multiplied by itself n times, of n < 0 its inverse -n times; as torch.linalg.matrix_power.

    By repeated squaring.   Raises LinAlgError for n < 0 and a singular matrix, RuntimeError for
    other shapes and types.
    """
    require_matrices("matrix_power", A)
    n = _common.integer("matrix_power", "n", n)
    if n == 0:
        at = arange(A.shape[-1])
        one = to(at.unsqueeze(1) == at, A.dtype)
        return where(zeros(1, dtype=bool_), A, one)  # with a gradient of 0
    power, out = (_inverted("matrix_power", A) if n < 0 else A), None
    n = abs(n)
    while True:
        if n % 2:
            out = power if out is None else matmul(out, power)
        n //= 2
        if n == 0:
            return out  # type: ignore[return-value]
        power = matmul(power, power)


def _plain_inverse(x: Any) -> Any:
    return array_module(x).linalg.inv(x)


def _plain_power(x: Any, n: int) -> Any:
    return array_module(x).linalg.matrix_power(x, n)


def factor(x: Tensor) -> Tensor:
    """cholesky of a matrix that has one, for the case table."""
    one = (diagonal(x, 0, -2, -1).detach() * 0.0 + 1.0).diag_embed()
    return cholesky(x @ x.mT + one)


def _plain_factor(x: Any) -> Any:
    xp, n = array_module(x), x.shape[-1]
    return xp.linalg.cholesky(x @ x.swapaxes(-1, -2) + xp.eye(n))


CASES = [
    *(OpCase(inv, "inv", [s], ref=_plain_inverse) for s in ((3, 3), (2, 2, 2), (0, 2, 2))),
    OpCase(inverse, "inverse", [(2, 2)], ref=_plain_inverse),
    *(
        OpCase(solve, "solve", [(3, 3), s], ref=lambda a, b: array_module(a).linalg.solve(a, b))
        for s in ((3,), (3, 2))
    ),
    OpCase(
        solve,
        "solve",
        [(2, 2, 2), (3, 2)],
        {"left": False},
        lambda a, b, **_: b @ _plain_inverse(a),
    ),
    OpCase(cholesky, "cholesky", [(2, 1, 1)], ref=lambda x: x**0.5, low=0.5),
    *(OpCase(factor, "cholesky factor", [s], ref=_plain_factor) for s in ((3, 3), (2, 2, 2))),
    *(OpCase(matrix_power, "matrix_power", [(3, 3), n], ref=_plain_power) for n in (1, 3, 4, -2)),
    OpCase(matrix_power, "matrix_power", [(2, 2), 0], ref=_plain_power, grad=False),
]
_ZEROS = ("cells", [[0, 0], [0, 0]])
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    *(
        bad
        for f in (inv, inverse, cholesky)
        for bad in (
            (f, f.__name__, [(2, 3)], RuntimeError, "square matrices"),
            (f, f.__name__, [_ZEROS], RuntimeError, "float32 or float64"),
            (f, f.__name__, [1.0], TypeError, "expected A as a Tensor"),
        )
    ),
    (solve, "solve", [(3, 3), (2,)], RuntimeError, "A (..., n, n) and B"),
    (solve, "solve", [(3, 2), (3,)], RuntimeError, "square matrices"),
    (solve, "solve", [(3, 3), 1.0], TypeError, "expected B as a Tensor"),
    (matrix_power, "matrix_power", [(3, 3), 1.5], TypeError, "n as an int"),
    (matrix_power, "matrix_power", [(3, 2), 2], RuntimeError, "square matrices"),
    (matrix_power, "matrix_power", [None, 2], TypeError, "expected A as a Tensor"),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]
