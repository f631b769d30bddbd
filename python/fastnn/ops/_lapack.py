# SPDX-License-Identifier: BSD-3-Clause
"""The kernels of linear algebra, on batches of matrices (b, n, n): references alone, by NumPy's
LAPACK (by CuPy's on the GPU).

LAPACK is for float32 and float64. What is wider, which the tests compare these with, goes through
the textbook algorithms beneath (Golub, Van Loan, "Matrix Computations", 2013: elimination with
partial pivoting 3.4, Cholesky 4.2, Jacobi's one-sided rotations 8.6).
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module, reference

SINGULAR, INDEFINITE = "a matrix is singular", "a matrix is not positive definite"


def _is_wide(a: Any) -> bool:
    return a.dtype.char not in "fd"


def _eliminated(a: Any, b: Any) -> tuple[Any, Any, float]:
    """(x of a x = b or None, the pivots, the sign of the rows' order) of one matrix."""
    xp, n = array_module(a), a.shape[0]
    a, b, sign = a.copy(), b.copy(), 1.0
    for j in range(n):
        p = j + int(abs(a[j:, j]).argmax())
        if p != j:
            a[[j, p]], b[[j, p]], sign = a[[p, j]], b[[p, j]], -sign
        if a[j, j] != 0:
            factors = (a[j + 1 :, j] / a[j, j])[:, None]
            a[j + 1 :] -= factors * a[j]
            b[j + 1 :] -= factors * b[j]
    pivots = xp.diagonal(a)
    if (pivots == 0).any():
        return None, pivots, sign
    for j in range(n - 1, -1, -1):
        b[j] = (b[j] - a[j, j + 1 :] @ b[j + 1 :]) / a[j, j]
    return b, pivots, sign


def _solved(a: Any, b: Any) -> Any:
    x, _, _ = _eliminated(a, b)
    if x is None:
        raise ValueError(SINGULAR)
    return x


def _lower(a: Any) -> Any:
    """Cholesky's factor of one matrix."""
    y = a * 0
    for j in range(a.shape[0]):
        rest = a[j:, j] - y[j:, :j] @ y[j, :j]
        if not rest[0] > 0:
            raise ValueError(INDEFINITE)
        y[j:, j] = rest / rest[0] ** 0.5
    return y


def _rotated(a: Any) -> tuple[Any, Any, Any]:
    """(u, s, vh) of one matrix with at least as many rows as columns."""
    xp, n = array_module(a), a.shape[1]
    u, v = a.copy(), xp.eye(n, dtype=a.dtype)
    for _ in range(60):
        moved = False
        for p in range(n - 1):
            for q in range(p + 1, n):
                x, y, z = u[:, p] @ u[:, p], u[:, q] @ u[:, q], u[:, p] @ u[:, q]
                if abs(z) <= xp.finfo(a.dtype).eps * (x * y) ** 0.5:
                    continue
                moved = True
                t = (y - x) / (2 * z)
                t = (1 if t >= 0 else -1) / (abs(t) + (1 + t * t) ** 0.5)
                c = 1 / (1 + t * t) ** 0.5
                turn = xp.asarray([[c, t * c], [-t * c, c]], a.dtype)
                u[:, [p, q]], v[:, [p, q]] = u[:, [p, q]] @ turn, v[:, [p, q]] @ turn
        if not moved:
            break
    s = (u * u).sum(0) ** 0.5
    order = xp.argsort(-s, kind="stable")
    return u[:, order] / s[order], s[order], v[:, order].T


@reference
def lapack_inv(a: Any, y: Any) -> None:
    """y[b] = the inverse of a[b]; ValueError if one has none."""
    xp = array_module(a)
    if _is_wide(a):
        for i in range(a.shape[0]):
            y[i] = _solved(a[i], xp.eye(a.shape[1], dtype=a.dtype))
    elif a.size:
        y[...] = xp.linalg.inv(a)


@reference
def lapack_solve(a: Any, b: Any, x: Any) -> None:
    """x[b] of a[b] x[b] = b[b]; ValueError if one a is singular."""
    if _is_wide(a):
        for i in range(a.shape[0]):
            x[i] = _solved(a[i], b[i])
    elif a.size:
        x[...] = array_module(a).linalg.solve(a, b)


@reference
def lapack_slogdet(a: Any, sign: Any, logarithm: Any) -> None:
    """The sign and the logarithm of the magnitude of a[b]'s determinant; 0 and -inf if singular."""
    xp = array_module(a)
    if not _is_wide(a):
        sign[...], logarithm[...] = xp.linalg.slogdet(a)
        return
    for i in range(a.shape[0]):
        _, pivots, s = _eliminated(a[i], a[i])
        sign[i] = s * xp.sign(pivots).prod()
        logarithm[i] = xp.log(abs(pivots)).sum()


@reference
def lapack_det(a: Any, y: Any) -> None:
    """y[b] = the determinant of a[b]."""
    if not _is_wide(a):
        y[...] = array_module(a).linalg.det(a)
        return
    for i in range(a.shape[0]):
        _, pivots, sign = _eliminated(a[i], a[i])
        y[i] = sign * pivots.prod()


@reference
def lapack_cofactors(a: Any, y: Any) -> None:
    """y[b, i, j] = the derivative of a[b]'s determinant by a[b, i, j], also of singular a[b].

    From the singular values: det = det(u) det(vh) s_1 ... s_n, so that y = det(u) det(vh) u d vh,
    where d_i is the product of the s_j but s_i.
    """
    xp, n = array_module(a), a.shape[1]
    if not a.size:
        return
    if _is_wide(a):
        for i in range(n):
            for j in range(n):
                rest = xp.delete(xp.delete(a, i, 1), j, 2)
                for b in range(a.shape[0]):
                    _, pivots, sign = _eliminated(rest[b], rest[b])
                    y[b, i, j] = (-1) ** (i + j) * sign * pivots.prod()
        return
    u, s, vh = xp.linalg.svd(a)
    others = xp.ones(s.shape, a.dtype)
    for i in range(n):
        for j in range(n):
            if i != j:
                others[:, i] *= s[:, j]
    sign = xp.linalg.det(u) * xp.linalg.det(vh)
    y[...] = (u * (sign[:, None] * others)[:, None]) @ vh


@reference
def lapack_cholesky(a: Any, y: Any) -> None:
    """y[b], lower triangular, of a[b] = y[b] y[b]^T, of which the lower triangle is read.

    ValueError if one is not positive definite.
    """
    if not a.size:
        return
    if _is_wide(a):
        for i in range(a.shape[0]):
            y[i] = _lower(a[i])
        return
    xp = array_module(a)
    y[...] = xp.linalg.cholesky(a)
    if xp.isnan(y).any():  # what CuPy gives in place of an error
        raise ValueError(INDEFINITE)


@reference
def lapack_svd(a: Any, u: Any, s: Any, vh: Any) -> None:
    """a[b] (m, n) = u[b] diag(s[b]) vh[b], s in falling order, of min(m, n) columns and rows."""
    if not a.size:
        u[...], s[...], vh[...] = 0, 0, 0
        return
    if not _is_wide(a):
        u[...], s[...], vh[...] = array_module(a).linalg.svd(a, full_matrices=False)
        return
    for i in range(a.shape[0]):
        if a.shape[1] >= a.shape[2]:
            u[i], s[i], vh[i] = _rotated(a[i])
        else:
            v, s[i], uh = _rotated(a[i].T)
            u[i], vh[i] = uh.T, v.T
