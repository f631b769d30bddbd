# SPDX-License-Identifier: BSD-3-Clause
"""Triplet losses: an anchor is to be nearer to its positive than to its negative, by a margin.

    loss = max(0, margin + d(a, p) - d(a, n));   with swap d(n, .) is the less of d(a, n), d(p, n)

Shapes:   anchor, positive, negative (..., d) of as many dimensions -> () or (...) for 'none'.
Backward: that of the operations they are made of.
Sources:  Schroff, Kalenichenko and Philbin, "FaceNet", 2015; Balntas et al., "Learning local
          feature descriptors with triplets and shallow convolutional neural networks", 2016 (swap).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn._backend import array_module
from fastnn.ops import _common, _losses
from fastnn.ops._elementwise import number
from fastnn.ops.minmax import clamp_min
from fastnn.ops.minmax import minimum_tensors as minimum
from fastnn.ops.vector_norm import norm
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

if TYPE_CHECKING:
    from collections.abc import Callable


def _checked(name: str, anchor: Any, positive: Any, negative: Any, margin: Any) -> float:
    """The margin as a float; raises unless the tensors go together."""
    for what, value in (("anchor", anchor), ("positive", positive), ("negative", negative)):
        _common.require_tensor(name, what, value)
    if not anchor.ndim == positive.ndim == negative.ndim:
        message = (
            f"{name}: expected anchor, positive and negative of as many dimensions, got "
            f"{anchor.ndim}, {positive.ndim} and {negative.ndim}; unsqueeze() adds one"
        )
        raise RuntimeError(message)
    for other in (positive, negative):
        _common.broadcast_shape(name, anchor.shape, other.shape)
    m = number(name, "margin", margin)
    if not m > 0:
        message = f"{name}: expected margin > 0, got {m}; its default is 1.0"
        raise ValueError(message)
    return m


def _loss(
    distance: Callable[[Tensor, Tensor], Tensor], a: Tensor, p: Tensor, n: Tensor,
    margin: float, swap: bool, reduction: str,
) -> Tensor:  # fmt: skip
    near, far = distance(a, p), distance(a, n)
    if swap:
        far = minimum(far, distance(p, n))
    return _losses.reduced(clamp_min(margin + near - far, 0.0), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin + d(a, p) - d(a, n)), as torch.nn.functional.triplet_margin_loss.

    anchor, positive, negative: (..., d), which broadcast; d(x, z) is the norm of order ``p`` of
        x - z + eps over the last dimension.
    swap: also d(positive, negative) counts as the distance of the negative, if it is less.
    reduction: 'mean', 'sum' or 'none'.

    Raises ValueError for a margin not above 0 and unknown reductions, RuntimeError for shapes that
    do not go together.
    """
    name = "triplet_margin_loss"
    reduction = _losses.check_reduction(name, reduction, size_average, reduce)
    m = _checked(name, anchor, positive, negative, margin)
    order, e = number(name, "p", p), number(name, "eps", eps)

    def distance(x: Tensor, z: Tensor) -> Tensor:
        return norm(x - z + e, order, -1)

    return _loss(distance, anchor, positive, negative, m, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with any function of two tensors as the distance, as torch's.

    distance_function: None for the Euclidean distance.
    Raises ValueError for a margin not above 0 and unknown reductions, RuntimeError for shapes that
    do not go together, TypeError for a distance that cannot be called.
    """
    name = "triplet_margin_with_distance_loss"
    _losses.check_reduction(name, reduction)
    m = _checked(name, anchor, positive, negative, margin)
    if distance_function is None:

        def distance_function(x: Tensor, z: Tensor) -> Tensor:
            return norm(x - z + 1e-6, 2.0, -1)

    elif not callable(distance_function):
        message = (
            f"{name}: expected distance_function as a function of two tensors, got "
            f"{type(distance_function).__name__}; None is the Euclidean distance"
        )
        raise TypeError(message)
    return _loss(distance_function, anchor, positive, negative, m, swap, reduction)


def _plain(
    a: Any, p: Any, n: Any, margin: float = 1.0, order: float = 2.0, eps: float = 1e-6,
    swap: bool = False, reduction: str = "mean", distance_function: Any = None,
) -> Any:  # fmt: skip
    xp = array_module(a)

    def d(x: Any, z: Any) -> Any:
        if distance_function is not None:
            return xp.abs(x - z).sum(-1)
        return (xp.abs(x - z + eps) ** order).sum(-1) ** (1 / order)

    far = xp.minimum(d(a, n), d(p, n)) if swap else d(a, n)
    losses = xp.maximum(margin + d(a, p) - far, 0)
    return losses if reduction == "none" else getattr(losses, reduction)()


def _plain_order(anchor: Any, positive: Any, negative: Any, p: float = 2.0, **options: Any) -> Any:
    return _plain(anchor, positive, negative, order=p, **options)


def _manhattan(x: Any, z: Any) -> Any:
    return (x - z).abs().sum(-1)


_MARGIN, _DISTANCE = "triplet_margin_loss", "triplet_margin_with_distance_loss"
_THREE: list[Any] = [(4, 3)] * 3
CASES = [
    *(
        OpCase(triplet_margin_loss, _MARGIN, shapes, kwargs=k, ref=_plain_order)
        for shapes, k in (
            (_THREE, {}),
            (_THREE, {"reduction": "sum", "margin": 0.3, "p": 3.0}),
            (_THREE, {"reduction": "none", "swap": True, "eps": 0.01}),
            ([(5,)] * 3, {}),
            ([(2, 1, 3), (2, 4, 3), (1, 4, 3)], {"reduction": "sum"}),
            ([(0, 3)] * 3, {"reduction": "sum"}),
        )
    ),
    *(
        OpCase(triplet_margin_with_distance_loss, _DISTANCE, _THREE, kwargs=k, ref=_plain)
        for k in (
            {"reduction": "none"},
            {"swap": True, "margin": 2.0},
            {"distance_function": _manhattan, "swap": True, "reduction": "sum"},
        )
    ),
]
ERRORS = [
    *(
        ErrorCase(f, f.__name__, shapes, error, text, options)
        for f in (triplet_margin_loss, triplet_margin_with_distance_loss)
        for shapes, error, text, options in (
            (_THREE, ValueError, "reduction", {"reduction": "avg"}),
            (_THREE, ValueError, "margin > 0, got 0.0", {"margin": 0}),
            ([(3, 4), (4,), (3, 4)], RuntimeError, "as many dimensions, got 2, 1 and 2", {}),
            ([(3, 4), (3, 4), (3, 5)], RuntimeError, "shapes that broadcast", {}),
            ([(3, 4), (3, 4), 1.0], TypeError, "negative as a Tensor", {}),
        )
    ),
    ErrorCase(
        triplet_margin_with_distance_loss,
        _DISTANCE,
        _THREE,
        TypeError,
        "distance_function as a function",
        {"distance_function": 2.0},
    ),
]
