# SPDX-License-Identifier: BSD-3-Clause
"""Covariances, correlations and distances between all rows: cov, corrcoef, cdist.

    cov[i, j] = sum_k w_k (x_ik - m_i) (x_jk - m_j) / (sum w - correction)
    corrcoef[i, j] = cov[i, j] / (cov[i, i] cov[j, j])^(1/2)
    cdist[..., i, j] = |x_i - y_j|_p

Shapes:   x (v, n), variables by observations, or (n) -> (v, v), or (); cdist (..., p, m),
          (..., r, m) -> (..., p, r).
Backward: of what they are made of; of a distance 0 it is 0.
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._elementwise import number
from fastnn.ops.copy import to
from fastnn.ops.diagonals import diagonal
from fastnn.ops.elementwise_math import sqrt
from fastnn.ops.matmul import matmul
from fastnn.ops.minmax import clamp, clamp_min
from fastnn.ops.reduce import sum
from fastnn.ops.vector_norm import vector_norm_tensor
from fastnn.ops.view import reshape
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def _observations(name: str, input: Any) -> Tensor:
    _common.require_tensor(name, "input", input)
    if input.ndim > 2 or input.array.dtype.kind == "b":
        message = (
            f"{name}: expected a matrix (variables, observations) or a vector of numbers, got "
            f"{input.dtype} {input.shape}; reshape() it, convert it with .float()"
        )
        raise RuntimeError(message)
    return reshape(input, 1, -1) if input.ndim < 2 else input


def _weights(what: str, w: Any, n: int, whole: bool) -> None:
    _common.require_tensor("cov", what, w)
    right = w.dtype.category == (1 if whole else 2)
    if w.shape != (n,) or not right or (n and bool((w.detach() < 0).any())):
        kind = "integers" if whole else "floating-point numbers"
        message = (
            f"cov: expected {what} as {n} {kind} >= 0, got {w.dtype} {w.shape}; one for each "
            "observation"
        )
        raise RuntimeError(message)


def cov(
    input: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:
    """The covariances of variables (rows) over observations (columns), as torch.cov.

    correction: what is taken off the number of observations. fweights: how often each observation
    counts, integers; aweights: how much it weighs.
    Raises RuntimeError for more than 2 dimensions, bools and weights that do not fit.
    """
    x = _observations("cov", input)
    correction = _common.integer("cov", "correction", correction)
    n = x.shape[1]
    w = None
    for what, given in (("fweights", fweights), ("aweights", aweights)):
        if given is not None:
            _weights(what, given, n, what == "fweights")
            w = given if w is None else w * given
    total: Any = n if w is None else sum(w)
    if w is not None and n and float(total) == 0:
        message = "cov: expected weights that are not all 0, got a sum of 0; leave them out"
        raise RuntimeError(message)
    mean = sum(x if w is None else x * w, 1, keepdim=True) / total
    if w is not None and aweights is not None and correction:
        freedom = total - correction * sum(w * aweights) / total
    else:
        freedom = total - correction
    freedom = clamp_min(freedom, 0) if isinstance(freedom, Tensor) else max(freedom, 0)
    x = x - mean
    wide = x if w is None else to(x * w, x.dtype)
    return (matmul(x, wide.T) / freedom).squeeze()


def corrcoef(input: Tensor) -> Tensor:
    """The correlations of variables (rows) over observations (columns), as torch.corrcoef.

    Raises RuntimeError for more than 2 dimensions and bools, TypeError for no tensor.
    """
    c = cov(_observations("corrcoef", input))
    if c.ndim == 0:
        return c / c
    d = sqrt(diagonal(c))
    return clamp(c / d.unsqueeze(1) / d.unsqueeze(0), -1, 1)


_MODES = (None, "use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist",
          "donot_use_mm_for_euclid_dist", 0, 1, 2)  # fmt: skip


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: Any = None) -> Tensor:
    """The distances of order p between all rows of two matrices, as torch.cdist.

    Shapes: (..., p, m) and (..., r, m) -> (..., p, r), what stands before broadcasts. Differences
    are always formed: compute_mode, torch's choice of a faster and less exact way, says nothing.
    Raises RuntimeError for shapes and types that do not go together, or p < 0.
    """
    _common.require_tensor("cdist", "x1", x1)
    _common.require_tensor("cdist", "x2", x2)
    if x1.ndim < 2 or x2.ndim < 2 or x1.shape[-1] != x2.shape[-1]:
        message = (
            f"cdist: expected (..., p, m) and (..., r, m) with one m, got {x1.shape} and "
            f"{x2.shape}; unsqueeze() makes a vector a row"
        )
        raise RuntimeError(message)
    if number("cdist", "p", p) < 0 or compute_mode not in _MODES:
        message = f"cdist: expected p >= 0 and torch's modes, got {p}, {compute_mode!r}; 2 is usual"
        raise RuntimeError(message)
    dtype = _common.result_type(x1, x2)
    if dtype.category != 2:
        message = (
            f"cdist: expected floating-point tensors, got {x1.dtype}, {x2.dtype}; use .float()"
        )
        raise RuntimeError(message)
    _common.broadcast_shape("cdist", x1.shape[:-2], x2.shape[:-2])
    apart = to(x1, dtype).unsqueeze(-2) - to(x2, dtype).unsqueeze(-3)
    if p == float("inf") and apart.shape[-1] == 0:
        p = 2.0  # of no numbers the largest is 0 too
    return vector_norm_tensor(apart, p, -1)


def _plain_cov(x: Any, correction: int = 1) -> Any:
    return array_module(x).cov(x, ddof=correction)


def _weighted(x: Any, f: Any, a: Any) -> Any:
    """cov with both weights, for the case table."""
    return cov(x, fweights=f, aweights=a)


def _plain_cdist(x: Any, y: Any, p: float = 2.0) -> Any:
    return (abs(x[..., :, None, :] - y[..., None, :, :]) ** p).sum(-1) ** (1 / p)


_F, _A = ("cells", [1, 2, 1, 3]), (4,)
CASES = [
    OpCase(cov, "cov", [(2, 4)], ref=_plain_cov),
    OpCase(cov, "cov", [(5,)], {"correction": 0}, _plain_cov),
    OpCase(
        _weighted,
        "cov weighted",
        [(2, 4), _F, _A],
        ref=lambda x, f, a: array_module(x).cov(x, fweights=f, aweights=a),
        low=0.2,
    ),
    OpCase(corrcoef, "corrcoef", [(2, 4)], ref=lambda x: array_module(x).corrcoef(x)),
    OpCase(cdist, "cdist", [(3, 2), (4, 2)], ref=_plain_cdist),
    OpCase(cdist, "cdist", [(2, 3, 2), (1, 4, 2), 3.0], ref=_plain_cdist),
]
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    *(
        bad
        for f in (cov, corrcoef)
        for bad in (
            (f, f.__name__, [(2, 3, 4)], RuntimeError, "a matrix (variables"),
            (f, f.__name__, [("bool", (2, 3))], RuntimeError, "of numbers"),
            (f, f.__name__, [1.0], TypeError, "expected input as a Tensor"),
        )
    ),
    (_weighted, "cov", [(2, 4), _A, _A], RuntimeError, "fweights as 4 integers"),
    (cdist, "cdist", [(3,), (3,)], RuntimeError, "with one m"),
    (cdist, "cdist", [(2, 3), (2, 3), -1], RuntimeError, "p >= 0"),
    (cdist, "cdist", [(2, 3), 1.0], TypeError, "expected x2 as a Tensor"),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]
