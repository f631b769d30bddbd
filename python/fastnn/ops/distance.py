# SPDX-License-Identifier: BSD-3-Clause
"""Distances and angles between vectors.

    cosine_similarity:  y = sum_k x_k z_k / (max(|x|, eps) max(|z|, eps))
    pairwise_distance:  y = |x - z + eps|_p                         along the last dimension
    pdist:              y_k = |x_i - x_j|_p,  k running over the pairs i < j of rows, i slowest

Shapes:   cosine_similarity, pairwise_distance: (...), (...) -> their broadcast shape without the
          dimension that is summed over;  pdist (n, d) -> (n (n - 1) / 2,).
Backward: through the norms that they are made of; 0 where a distance is 0.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._elementwise import number
from fastnn.ops.arrange import triu
from fastnn.ops.binary import div_tensors
from fastnn.ops.copy import to
from fastnn.ops.creation import ones
from fastnn.ops.masked import masked_select
from fastnn.ops.minmax import clamp_min
from fastnn.ops.reduce import sum
from fastnn.ops.vector_norm import norm
from fastnn.ops.view import expand
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def _tensors(name: str, x1: Any, x2: Any) -> None:
    _common.require_tensor(name, "x1", x1)
    _common.require_tensor(name, "x2", x2)
    _common.table_of(x1, x2, op=name)


def _floats(name: str, x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    """Both operands in their common floating-point type."""
    _tensors(name, x1, x2)
    dtype = _common.result_type(x1, x2)
    if not dtype.is_floating_point:
        message = (
            f"{name}: expected operands of a floating-point type, got {x1.dtype} and {x2.dtype}; "
            "convert with .float()"
        )
        raise RuntimeError(message)
    return to(x1, dtype), to(x2, dtype)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along ``dim``, as torch.cosine_similarity.

    y = sum x1 x2 / (max(|x1|, eps) max(|x2|, eps)).   Shapes: x1 and x2 broadcast; y is without
    ``dim`` of the result.
    Raises TypeError for no tensors and options that are no numbers, RuntimeError for integers and
    shapes that do not broadcast, IndexError for a bad dim.
    """
    name = "cosine_similarity"
    a, b = _floats(name, x1, x2)
    shape = _common.broadcast_shape(name, a.shape, b.shape)
    d = _common.one_dim(name, dim, len(shape))
    least = number(name, "eps", eps)
    if not shape:  # a vector of one number
        return cosine_similarity(a.reshape(1), b.reshape(1), 0, least)
    pair = [
        div_tensors(t, clamp_min(norm(t, 2.0, d, keepdim=True), least))
        for t in (expand(a, *shape), expand(b, *shape))
    ]
    return sum(pair[0] * pair[1], d)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The norm of order ``p`` of x1 - x2 + eps over the last dimension, as torch's.

    Shapes: x1 and x2 broadcast; y is without the last dimension of the result, which with
    ``keepdim`` stays as 1.
    Raises TypeError for no tensors and options that are no numbers, RuntimeError for shapes that do
    not broadcast.
    """
    name = "pairwise_distance"
    _tensors(name, x1, x2)
    order, shift = number(name, "p", p), number(name, "eps", eps)
    _common.broadcast_shape(name, x1.shape, x2.shape)
    return norm(x1 - x2 + shift, order, -1, keepdim=keepdim)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The distances of order ``p`` between all pairs of rows, as torch.nn.functional.pdist.

    input (n, d) -> (n (n - 1) / 2,): of row 0 to the rows 1, 2, ..., then of row 1, and so on.
    Raises TypeError for no tensor and no number, RuntimeError for integers, another number of
    dimensions and p < 0.
    """
    _common.require_tensor("pdist", "input", input)
    _common.require_float("pdist", "input", input)
    if input.ndim != 2:
        message = f"pdist: expected input (n, d), got {input.shape}; reshape() it to one row each"
        raise RuntimeError(message)
    order = number("pdist", "p", p)
    if not order >= 0.0:
        message = f"pdist: expected p >= 0, got {p}; 2.0 is the Euclidean distance"
        raise RuntimeError(message)
    n, d = input.shape
    upper = triu(ones(n, n, dtype=_dtypes.bool_, device=input.device), 1)
    if d == 0:  # no coordinates: no distance, also as the largest of them
        return masked_select(ones(n, n, dtype=input.dtype, device=input.device) * 0.0, upper)
    apart = input.unsqueeze(1) - input.unsqueeze(0)
    # The diagonal, whose derivatives need not exist, is taken away before the norm.
    rows = masked_select(apart, expand(upper.unsqueeze(2), n, n, d)).reshape(n * (n - 1) // 2, d)
    return norm(rows, order, 1)


def _plain_cosine(a: Any, b: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    if not (a.ndim or b.ndim):
        a, b, dim = a.reshape(1), b.reshape(1), 0
    a, b = array_module(a).broadcast_arrays(a, b)
    sizes = [((v * v).sum(dim) ** 0.5).clip(eps, None) for v in (a, b)]
    return (a * b).sum(dim) / (sizes[0] * sizes[1])


def _order(x: Any, p: float, keepdim: bool = False) -> Any:
    size = (x * x) ** 0.5
    if p == math.inf:
        return size.max(-1, keepdims=keepdim)
    if p == 0:
        return (x != 0).sum(-1, keepdims=keepdim) * 1.0
    return (size**p).sum(-1, keepdims=keepdim) ** (1 / p)


def _plain_pair(a: Any, b: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    return _order(a - b + eps, p, keepdim)


def _plain_pdist(x: Any, p: float = 2.0) -> Any:
    pairs = [_order(x[i] - x[j], p) for i, j in itertools.combinations(range(len(x)), 2)]
    return array_module(x).asarray(pairs, dtype=x.dtype)


CASES = [
    *(
        OpCase(cosine_similarity, "cosine_similarity", list(a), ref=_plain_cosine)
        for a in (
            ((3, 5), (3, 5)),
            ((3, 5), (5,), -1, 1.5),
            ((2, 1, 4), (3, 4), 0),
            ((4,), (4,), 0),
            ((), (), 0),
            ((0, 4), (1, 4)),
            ((3, 0), (3, 0)),
        )
    ),
    *(
        OpCase(pairwise_distance, "pairwise_distance", list(a), k, _plain_pair)
        for *a, k in (
            ((3, 5), (3, 5), {}),
            ((3, 5), (5,), {"keepdim": True}),
            ((2, 1, 4), (3, 4), 1.0, {"eps": 0.0}),
            ((4,), (4,), 3.0, {}),
            ((3, 4), (3, 4), math.inf, {}),
            ((0, 4), (1, 4), {}),
        )
    ),
    *(
        OpCase(pdist, "pdist", [shape, *p], ref=_plain_pdist)
        for shape, *p in (((4, 3),), ((4, 3), 1.0), ((3, 2), 3.0), ((3, 4), math.inf), ((1, 3),))
    ),
    OpCase(pdist, "pdist", [(4, 3), 0.0], ref=_plain_pdist, grad=False),
]
_BAD: list[tuple[Any, list[Any], type[Exception], str]] = [
    (cosine_similarity, [(3,), (4,), 0], RuntimeError, "shapes that broadcast"),
    (cosine_similarity, [(3, 4), (3, 4), 2], IndexError, "expected dim in [-2, 1]"),
    (cosine_similarity, [(3, 4), 1.0], TypeError, "expected x2 as a Tensor"),
    (cosine_similarity, [("int", (3,), 0, 9), ("int", (3,), 0, 9), 0], RuntimeError, "floating"),
    (pairwise_distance, [(3, 4), (2, 4)], RuntimeError, "shapes that broadcast"),
    (pairwise_distance, [(3, 4), None], TypeError, "expected x2 as a Tensor"),
    (pairwise_distance, [(3, 4), (3, 4), "a"], TypeError, "expected p as a number"),
    (pdist, [(3, 4, 2)], RuntimeError, "expected input (n, d)"),
    (pdist, [(3, 4), -1.0], RuntimeError, "expected p >= 0, got -1.0"),
    (pdist, [("int", (3, 2), 0, 9)], RuntimeError, "floating-point type"),
    (pdist, [[1.0]], TypeError, "expected input as a Tensor"),
]
ERRORS = [ErrorCase(f, f.__name__, a, error, text) for f, a, error, text in _BAD]
