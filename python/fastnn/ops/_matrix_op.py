# SPDX-License-Identifier: BSD-3-Clause
"""What the operations of linear algebra share: checks, batches, gradients stated once."""

from __future__ import annotations

import math
from typing import Any

from fastnn import _dtypes
from fastnn.autograd import Op
from fastnn.ops import _common, _lapack  # noqa: F401  (the kernels)
from fastnn.ops.view import reshape
from fastnn.tensor import Tensor


class LinAlgError(RuntimeError):
    """A matrix is not of the kind that an operation needs: singular, or not positive definite."""


def require_matrices(name: str, A: Any, *, square: bool = True) -> None:
    """Raises unless a value is a tensor of (square) matrices of float32 or float64."""
    _common.require_tensor(name, "A", A)
    if A.ndim < 2 or (square and A.shape[-1] != A.shape[-2]):
        what = "square matrices (..., n, n)" if square else "matrices (..., m, n)"
        message = f"{name}: expected {what}, got shape {A.shape}; unsqueeze() adds dimensions"
        raise RuntimeError(message)
    if A.array.dtype.kind != "f" or A.dtype is _dtypes.float16:
        message = f"{name}: expected float32 or float64, got {A.dtype}; convert with .float()"
        raise RuntimeError(message)


def batch_of(A: Tensor) -> Tensor:
    """Matrices as one batch (b, m, n)."""
    return reshape(A, math.prod(A.shape[:-2]), *A.shape[-2:])


def applied(name: str, op: type[Op], *tensors: Tensor) -> Any:
    """An operation whose kernel refuses some matrices."""
    try:
        return op.apply(tensors)
    except ValueError:
        kind = "positive definite" if op.name == "cholesky" else "invertible"
        message = f"{name}: expected {kind} matrices, got another; add a multiple of eye(n) to it"
        raise LinAlgError(message) from None


class MatrixOp(Op):
    """An operation whose gradient is stated once, in Tensor operations."""

    def parts(self, *values: Any) -> tuple[Any, ...]:
        """The gradients, of the saved values and those of the outputs."""
        raise NotImplementedError

    def backward(self, *grads: Any) -> tuple[Any, ...]:
        given = [Tensor._wrap(a) for a in (*(self.saved or ()), *grads)]
        return tuple([None if t is None else t.array for t in self.parts(*given)])

    def backward_graph(self, *grads: Any) -> tuple[Any, ...]:
        return self.parts(*self.saved_tensors(), *grads)

    def empty_like(self, a: Any) -> Any:
        """Memory for a result of one shape and type."""
        return self.kernels.empty(a.shape, a.dtype)
