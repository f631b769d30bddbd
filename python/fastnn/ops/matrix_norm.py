# SPDX-License-Identifier: BSD-3-Clause
"""Singular values and norms of matrices: svd, svdvals, matrix_norm and norm of torch.linalg.

    A = U diag(S) V^T     norms: 'fro' (sum a^2)^(1/2), 'nuc' sum S, 2 max S, -2 min S, 1 and inf
    the largest sum of magnitudes in a column and row, -1 and -inf the smallest

Shapes:   A (..., m, n), k = min(m, n): U (..., m, k), S (..., k), V^T (..., k, n); norms (...).
Backward: through U and V with the differences of squares of singular values, which have to differ;
          of S alone dA = U diag(g) V^T.
Source:   Townsend, "Differentiating the singular value decomposition", 2016.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from fastnn import _dtypes
from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._matrix_op import MatrixOp, batch_of, require_matrices
from fastnn.ops.creation import zeros
from fastnn.ops.extremum import amax_tensor, amin_tensor
from fastnn.ops.pieces import movedim
from fastnn.ops.reduce import sum
from fastnn.ops.rounding import abs
from fastnn.ops.vector_norm import vector_norm_tensor
from fastnn.ops.view import reshape
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


class Singular(NamedTuple):
    """What svd gives."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def _given(g: Tensor) -> bool:
    return g.requires_grad or bool((g.detach() != 0).any())


class Svd(MatrixOp):
    """The singular value decomposition of a batch of matrices."""

    def forward(self, a: Any) -> Any:
        (b, m, n), table = a.shape, self.kernels
        k = min(m, n)
        u, s, vh = (table.empty(shape, a.dtype) for shape in ((b, m, k), (b, k), (b, k, n)))
        table.lapack_svd(a, u, s, vh)
        self.save(u, s, vh)
        return u, s, vh

    def parts(
        self, u: Tensor, s: Tensor, vh: Tensor, gu: Tensor, gs: Tensor, gvh: Tensor
    ) -> tuple[Any, ...]:
        """Two parts of the middle come from the turning of U and V within their columns."""
        middle = gs.diag_embed()
        wide = s.unsqueeze(-2)
        tall = s.unsqueeze(-1)
        one = (s.detach() * 0.0 + 1.0).diag_embed()
        apart = (wide - tall) * (wide + tall) + one
        out = None
        if _given(gu):
            turn = u.mT @ gu
            middle = middle + (turn - turn.mT) / apart * wide
            if u.shape[1] > u.shape[2]:
                out = ((gu - u @ turn) / wide) @ vh
        if _given(gvh):
            gv = gvh.mT
            turn = vh @ gv
            middle = middle + tall * ((turn - turn.mT) / apart)
            if vh.shape[2] > vh.shape[1]:
                more = u @ ((gv - vh.mT @ turn) / wide).mT
                out = more if out is None else out + more
        inside = u @ middle @ vh
        return (inside if out is None else out + inside,)


def svd(A: Tensor, full_matrices: bool = True) -> Singular:
    """The singular value decomposition (U, S, Vh), as torch.linalg.svd.

    Of matrices that are not square only with full_matrices=False: min(m, n) columns of U and rows
    of Vh.   Raises RuntimeError for other shapes and types, NotImplementedError for full matrices.
    """
    require_matrices("svd", A, square=False)
    if full_matrices and A.shape[-1] != A.shape[-2]:
        message = (
            "svd: square U and Vh of matrices that are not square are not there yet; pass "
            "full_matrices=False, which gives all that A is made of"
        )
        raise NotImplementedError(message)
    u, s, vh = Svd.apply((batch_of(A),))
    lead = A.shape[:-2]
    return Singular(*(reshape(t, *lead, *t.shape[1:]) for t in (u, s, vh)))


def svdvals(A: Tensor) -> Tensor:
    """The singular values in falling order, as torch.linalg.svdvals.

    Raises RuntimeError for other shapes and types.
    """
    require_matrices("svdvals", A, square=False)
    return svd(A, False).S


_SIDES: dict[Any, tuple[Any, int]] = {
    1: (amax_tensor, 0), -1: (amin_tensor, 0), math.inf: (amax_tensor, 1),
    -math.inf: (amin_tensor, 1),
}  # fmt: skip


def _matrix_norm(name: str, x: Tensor, ord: Any, dims: Any, keepdim: bool) -> Tensor:
    pair = [_common.one_dim(name, d, x.ndim) for d in dims]
    if len(set(pair)) != 2:
        message = f"{name}: expected two different dims, got {tuple(dims)}; (-2, -1) is usual"
        raise RuntimeError(message)
    known = (
        ord in ("fro", "nuc")
        if isinstance(ord, str)
        else ord in (2, -2) or _common.hashed(ord) in _SIDES
    )
    if not known:
        message = (
            f"{name}: expected ord 'fro', 'nuc', 1, 2 or inf, of the numbers also the negative, "
            f"got {ord!r}; vector_norm() takes others"
        )
        raise RuntimeError(message)
    if ord == "fro":
        return vector_norm_tensor(x, 2, tuple(pair), keepdim)
    y = movedim(x, pair, (-2, -1))
    if ord in _SIDES:
        fold, along = _SIDES[ord]
        values = sum(abs(y), -2 + along)
    else:
        fold = (amax_tensor, amin_tensor)[ord == -2]
        values = svdvals(y)
    if ord == "nuc":
        out: Tensor = sum(values, -1)
    elif values.shape[-1] == 0:  # the largest of no magnitudes is 0, the smallest is none
        if ord < 0:
            message = f"{name}: expected elements for ord {ord}, got {x.shape}; 'fro' takes none"
            raise IndexError(message)
        out = zeros(values.shape[:-1], dtype=x.dtype, device=x.device)
    else:
        out = fold(values, -1)
    return reshape(out, [1 if d in pair else n for d, n in enumerate(x.shape)]) if keepdim else out


def _converted(name: str, A: Tensor, dtype: Any) -> Tensor:
    _common.require_tensor(name, "A", A)
    x = A if dtype is None else A.to(_dtypes.argument(name, dtype))
    _common.require_float(name, "A", x)
    return x


def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """The norm of matrices in the dimensions ``dim``, as torch.linalg.matrix_norm.

    ord: 'fro', 'nuc', 1, -1, 2, -2, inf or -inf.   Raises RuntimeError for others, integers and
    fewer than 2 dimensions, IndexError for bad dims.
    """
    x = _converted("matrix_norm", A, dtype)
    if x.ndim < 2 or not isinstance(dim, tuple | list) or len(dim) != 2:
        message = (
            f"matrix_norm: expected at least 2 dimensions and dim as two of them, got {x.shape} "
            f"and {dim}; vector_norm() takes others"
        )
        raise RuntimeError(message)
    return _matrix_norm("matrix_norm", x, ord, dim, keepdim)


def linalg_norm(
    A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """`vector_norm` or `matrix_norm`, as torch.linalg.norm.

    Without ord the 2-norm of all elements. With it, or dim, one dimension is a vector's and two are
    a matrix's.   Raises RuntimeError for other numbers of dimensions, and as these do.
    """
    x = _converted("norm", A, dtype)
    if dim is None and ord is None:
        return vector_norm_tensor(x, 2, None, keepdim)
    dims = tuple(range(x.ndim)) if dim is None else dim
    dims = tuple(dims) if isinstance(dims, tuple | list) else (dims,)
    if len(dims) not in (1, 2):
        message = (
            f"norm: expected one or two dims for ord {ord!r}, got {dims} of {x.shape}; name them "
            "with dim"
        )
        raise RuntimeError(message)
    if ord is None:
        return vector_norm_tensor(x, 2, dims, keepdim)
    if len(dims) == 2:
        return _matrix_norm("norm", x, ord, dims, keepdim)
    if isinstance(ord, str):
        message = f"norm: expected ord as a number for vectors, got {ord!r}; name two dims"
        raise RuntimeError(message)
    return vector_norm_tensor(x, ord, dims, keepdim)


_common.named(norm=linalg_norm)


def rebuilt(x: Tensor) -> Tensor:
    """U^2 diag(S) V^T, which no sign of a column changes, for the case table."""
    u, s, vh = svd(x, False)
    return (u * u * s.unsqueeze(-2)) @ (vh * vh)


def _plain_svd(x: Any) -> Any:
    u, s, vh = array_module(x).linalg.svd(x, full_matrices=False)
    return (u * u * s[..., None, :]) @ (vh * vh)


def _plain_norm(x: Any, ord: Any = None, dim: Any = None, keepdim: bool = False) -> Any:
    dim = tuple(dim) if isinstance(dim, list) else dim
    return array_module(x).linalg.norm(x, ord, dim, keepdims=keepdim)


CASES = [
    OpCase(svd, "svd", [(2, 2)], ref=lambda x: array_module(x).linalg.svd(x), grad=False),
    *(OpCase(rebuilt, "svd rebuilt", [s], ref=_plain_svd) for s in ((3, 2), (2, 3), (2, 2, 2))),
    OpCase(
        svdvals,
        "svdvals",
        [(2, 3, 2)],
        ref=lambda x: array_module(x).linalg.svd(x, compute_uv=False),
    ),
    *(
        OpCase(f, name, [(3, 4), ord], ref=_plain_norm, kink=0.0)
        for f, name in ((matrix_norm, "matrix_norm"), (linalg_norm, "matrix_norm or vector_norm"))
        for ord in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)
        if f is matrix_norm or ord in ("nuc", 1)
    ),
    *(
        OpCase(matrix_norm, "matrix_norm", [s, ord], ref=lambda x, _: x.sum((-2, -1)), grad=False)
        for s, ord in (((5, 0), 1), ((2, 0, 3), 2), ((0, 3), math.inf))
    ),
    OpCase(
        matrix_norm,
        "matrix_norm",
        [(2, 3, 2), 1],
        {"dim": [2, 0], "keepdim": True},
        _plain_norm,
        kink=0.0,
    ),
    OpCase(
        linalg_norm, "matrix_norm or vector_norm", [(2, 3, 2)], ref=lambda x: (x * x).sum() ** 0.5
    ),
    OpCase(linalg_norm, "matrix_norm or vector_norm", [(2, 3), None, 1], ref=_plain_norm),
    OpCase(linalg_norm, "matrix_norm or vector_norm", [(2, 3), 3, 0], ref=_plain_norm, kink=0.0),
]
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    (svd, "svd", [(3,)], RuntimeError, "expected matrices"),
    (svd, "svd", [(3, 2)], NotImplementedError, "not there yet"),
    (svd, "svd", [1.0], TypeError, "expected A as a Tensor"),
    (svdvals, "svdvals", [(3,)], RuntimeError, "expected matrices"),
    (svdvals, "svdvals", [("int", (2, 2), 0, 9)], RuntimeError, "float32 or float64"),
    (svdvals, "svdvals", [None], TypeError, "expected A as a Tensor"),
    (matrix_norm, "matrix_norm", [(3,)], RuntimeError, "at least 2 dimensions"),
    (matrix_norm, "matrix_norm", [(3, 3), 3], RuntimeError, "expected ord 'fro', 'nuc'"),
    (matrix_norm, "matrix_norm", [(3, 3), 1, [0, 0]], RuntimeError, "two different dims"),
    (matrix_norm, "matrix_norm", [(0, 3), -2], IndexError, "expected elements"),
    (linalg_norm, "norm", [(2, 3, 2), 2], RuntimeError, "one or two dims"),
    (linalg_norm, "norm", [(3,), "fro"], RuntimeError, "ord as a number"),
    (linalg_norm, "norm", [(3, 3), 3], RuntimeError, "expected ord 'fro', 'nuc'"),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]
