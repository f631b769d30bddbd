# SPDX-License-Identifier: BSD-3-Clause
"""Determinants: det, slogdet, logdet.

Shapes:   matrices (..., n, n) -> (...).
Backward: det: dA = g times the cofactors, which there also are of a singular matrix;  slogdet,
          logdet: dA = g A^-T.
Source:   Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
          differentiation", 2008.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastnn._backend import array_module
from fastnn.ops._matrix_op import MatrixOp, applied, batch_of, require_matrices
from fastnn.ops.creation import arange
from fastnn.ops.inverse import Inverse
from fastnn.ops.unary import log
from fastnn.ops.view import reshape
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


class Determinant(NamedTuple):
    """What slogdet gives."""

    sign: Tensor
    logabsdet: Tensor


class Det(MatrixOp):
    """The determinants of a batch of matrices."""

    def forward(self, a: Any) -> Any:
        y = self.kernels.empty(a.shape[:1], a.dtype)
        self.kernels.lapack_det(a, y)
        self.save(a, y)
        return y

    def backward(self, g: Any) -> tuple[Any, ...]:
        a, _ = self.saved  # type: ignore[misc]
        out = self.empty_like(a)
        self.kernels.lapack_cofactors(a, out)
        return ((Tensor._wrap(out) * Tensor._wrap(g).reshape(-1, 1, 1)).array,)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        a, y = self.saved_tensors()
        try:
            if not bool((y.detach() == 0).any()):
                return (Inverse.apply((a,)).mT * (y * g).reshape(-1, 1, 1),)
        except ValueError:
            pass  # singular, though rounding left a determinant: by minors too
        return (self.minors(a) * g.reshape(-1, 1, 1),)

    def minors(self, a: Tensor) -> Tensor:
        """The cofactors as determinants of what is left without a row and a column: these are
        polynomials, also where there is no inverse."""
        count, n = a.shape[0], a.shape[1]
        if n == 1:
            return a * 0.0 + 1.0
        at, left = arange(n).reshape(-1, 1), arange(n - 1).reshape(1, -1)
        rest = left + (left >= at)  # (n, n - 1): the others
        parts = a[:, rest.reshape(n, 1, n - 1, 1), rest.reshape(1, n, 1, n - 1)]
        values = Det.apply((parts.reshape(-1, n - 1, n - 1),)).reshape(count, n, n)
        return where((at + at.T) % 2 == 0, values, -values)


class SLogDet(MatrixOp):
    """Signs and logarithms of the magnitudes of determinants."""

    name = "slogdet"

    def forward(self, a: Any) -> Any:
        sign, logarithm = (self.kernels.empty(a.shape[:1], a.dtype) for _ in range(2))
        self.kernels.lapack_slogdet(a, sign, logarithm)
        self.save(a)
        return sign, logarithm

    def parts(self, a: Tensor, _sign: Any, g: Tensor) -> tuple[Any, ...]:
        return (applied("slogdet backward", Inverse, a).mT * g.reshape(-1, 1, 1),)


def det(A: Tensor) -> Tensor:
    """The determinants of matrices (..., n, n), as torch.linalg.det; also singular have a gradient.

    Raises RuntimeError for other shapes and types.
    """
    require_matrices("det", A)
    return reshape(Det.apply((batch_of(A),)), A.shape[:-2])


def slogdet(A: Tensor) -> Determinant:
    """The sign and the logarithm of the magnitude of determinants, as torch.linalg.slogdet.

    0 and -inf of a singular matrix.   Raises RuntimeError for other shapes and types.
    """
    require_matrices("slogdet", A)
    sign, logarithm = SLogDet.apply((batch_of(A),))
    return Determinant(reshape(sign, A.shape[:-2]), reshape(logarithm, A.shape[:-2]))


def logdet(input: Tensor) -> Tensor:
    """The logarithm of determinants, as torch.logdet: -inf of 0 and NaN of less.

    Raises RuntimeError for other shapes and types.
    """
    require_matrices("logdet", input)
    sign, logarithm = slogdet(input)
    return where(sign < 0, log(sign), logarithm)


def _leibniz(x: Any) -> Any:
    """By the first row, as textbooks define it."""
    if x.shape[-1] == 0:
        return array_module(x).ones(x.shape[:-2])
    total = x[..., 0, 0] * 0
    for j in range(x.shape[-1]):
        rest = array_module(x).delete(x[..., 1:, :], j, -1)
        total = total + (-1) ** j * x[..., 0, j] * _leibniz(rest)
    return total


def _plain_slogdet(x: Any) -> Any:
    y = _leibniz(x)
    return array_module(x).sign(y), array_module(x).log(abs(y))


CASES = [
    *(OpCase(det, "det", [s], ref=_leibniz) for s in ((3, 3), (2, 2, 2), (1, 1), (0, 0))),
    *(OpCase(slogdet, "slogdet", [s], ref=_plain_slogdet) for s in ((3, 3), (2, 2, 2))),
    OpCase(logdet, "logdet", [(1, 1)], ref=lambda x: array_module(x).log(x[0, 0]), low=0.5),
]
ERRORS = [
    case
    for f in (det, slogdet, logdet)
    for case in (
        ErrorCase(f, f.__name__, [(2, 3)], RuntimeError, "square matrices"),
        ErrorCase(f, f.__name__, [(3,)], RuntimeError, "square matrices"),
        ErrorCase(f, f.__name__, [("int", (2, 2), 0, 9)], RuntimeError, "float32 or float64"),
        ErrorCase(f, f.__name__, [1.0], TypeError, "expected A as a Tensor"),
    )
]
