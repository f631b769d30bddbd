# SPDX-License-Identifier: BSD-3-Clause
"""Losses of an element of input against one of target; d = x - t.

    mse_loss        d^2
    l1_loss         |d|
    smooth_l1_loss  d^2 / (2 beta) where |d| < beta, else |d| - beta / 2
    huber_loss      d^2 / 2 where |d| < delta, else delta (|d| - delta / 2)

Shapes:   input (...), target (...) of the same shape -> () or (...) for reduction 'none'.
Backward: one kernel for both gradients, which differ in sign alone.
Sources:  Huber 1964; Girshick, "Fast R-CNN", 2015 (smooth_l1_loss).
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module
from fastnn.ops import _common, _losses
from fastnn.ops._elementwise import number
from fastnn.ops._losses import PointwiseLoss
from fastnn.ops.copy import to
from fastnn.ops.rounding import abs, sign
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


class MSELoss(PointwiseLoss):
    """d^2."""

    name = kernel = "mse_loss"

    @staticmethod
    def slopes(*args: Any) -> tuple[Tensor, Tensor]:
        x, t = args
        return 2.0 * (x - t), 2.0 * (t - x)


class L1Loss(PointwiseLoss):
    """|d|."""

    name = kernel = "l1_loss"

    @staticmethod
    def slopes(*args: Any) -> tuple[Tensor, Tensor]:
        x, t = args
        return sign(x - t), sign(t - x)


class SmoothL1Loss(PointwiseLoss):
    """Quadratic within beta, of slope 1 beyond."""

    name = kernel = "smooth_l1_loss"

    @staticmethod
    def slopes(*args: Any) -> tuple[Tensor, Tensor]:
        x, t, beta = args
        d = x - t
        s = where(abs(d) < beta, d / beta, sign(d)) if beta > 0 else sign(d)
        return s, -s


class HuberLoss(PointwiseLoss):
    """Quadratic within delta, of slope delta beyond."""

    name = kernel = "huber_loss"

    @staticmethod
    def slopes(*args: Any) -> tuple[Tensor, Tensor]:
        x, t, delta = args
        d = x - t
        s = where(abs(d) < delta, d, sign(d) * delta)
        return s, -s


def pointwise_loss(
    kind: type[PointwiseLoss], input: Tensor, target: Tensor, reduction: str, *options: Any
) -> Tensor:
    """A loss of two tensors of one shape in their common type, Huber's in the input's."""
    _losses.check_pair(kind.name, input, target)
    x, t = _losses.promoted(kind.name, input, target)
    divisor = _losses.divisor_of(reduction, input)
    narrow = x is not input and kind is HuberLoss
    if narrow:
        _common.require_float(kind.name, "input", input)
    loss: Tensor = kind.apply((x, t), reduction != "none", divisor, options)
    return to(loss, input.dtype) if narrow else loss


def _weighted(
    kind: type[PointwiseLoss], input: Tensor, target: Tensor, weight: Any, reduction: str,
    *options: Any, by_weight: bool = False,
) -> Tensor:  # fmt: skip
    """Losses times weights; ``by_weight``: the mean is divided by the sum of the weights."""
    losses = pointwise_loss(kind, input, target, "none", *options)
    _common.require_tensor(kind.name, "weight", weight)
    if weight.shape != input.shape:
        message = (
            f"{kind.name}: expected weight of input's shape {input.shape}, got {weight.shape}; use "
            "expand()"
        )
        raise ValueError(message)
    result: Tensor = losses * weight
    if reduction == "mean":
        # In one order whatever the layout, as the losses are.
        result = result.sum() / weight.contiguous().sum() if by_weight else result.mean()
    return result.sum() if reduction == "sum" else result


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target)^2, averaged, summed or as it is, as torch.nn.functional.mse_loss.

    input, target: (...), of one shape. Unlike torch, nothing is broadcast.
    weight: a factor for every element, of the same shape; the average is divided by its sum.
    All have gradients.
    Raises ValueError for other reductions, RuntimeError for other shapes and integers.
    """
    reduction = _losses.check_reduction("mse_loss", reduction, size_average, reduce)
    if weight is not None:
        return _weighted(MSELoss, input, target, weight, reduction, by_weight=True)
    return pointwise_loss(MSELoss, input, target, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|, averaged, summed or as it is, as torch.nn.functional.l1_loss.

    input, target: (...), of one shape. Unlike torch, nothing is broadcast. The slope at 0 is 0.
    weight: a factor for every element, of the same shape; the average is divided by its sum.
    All have gradients.
    Raises ValueError for other reductions, RuntimeError for other shapes and integers.
    """
    reduction = _losses.check_reduction("l1_loss", reduction, size_average, reduce)
    if weight is not None:
        return _weighted(L1Loss, input, target, weight, reduction, by_weight=True)
    return pointwise_loss(L1Loss, input, target, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """d^2 / (2 beta) where |d| < beta, else |d| - beta / 2, as torch.nn.functional.smooth_l1_loss.

    input, target: (...), of one shape; d is their difference. Unlike torch, nothing is broadcast.
    beta = 0 gives l1_loss. Raises ValueError for other reductions, RuntimeError for other shapes,
    integers or beta below 0. Source: Girshick, "Fast R-CNN", 2015.
    """
    reduction = _losses.check_reduction("smooth_l1_loss", reduction, size_average, reduce)
    if type(beta) is not float:
        beta = number("smooth_l1_loss", "beta", beta)
    if not beta >= 0:
        message = f"smooth_l1_loss: expected beta >= 0, got {beta}; its default is 1.0"
        raise RuntimeError(message)
    return pointwise_loss(SmoothL1Loss, input, target, reduction, beta)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """d^2 / 2 where |d| < delta, else delta (|d| - delta / 2), as torch.nn.functional.huber_loss.

    input, target: (...), of one shape; d is their difference. Unlike torch, nothing is broadcast.
    weight: a factor for every element, of the same shape; the average is one over all elements.
    The result is of the input's type. Raises ValueError for other reductions, RuntimeError for
    other shapes, integers as input, or delta not above 0. Source: Huber 1964.
    """
    _losses.check_reduction("huber_loss", reduction)
    if type(delta) is not float:
        delta = number("huber_loss", "delta", delta)
    if not delta > 0:
        message = f"huber_loss: expected delta > 0, got {delta}; its default is 1.0"
        raise RuntimeError(message)
    if weight is not None:
        return _weighted(HuberLoss, input, target, weight, reduction, delta)
    return pointwise_loss(HuberLoss, input, target, reduction, delta)


def _plain(of: Any, by_weight: bool = True) -> Any:
    def loss(x: Any, t: Any, reduction: str = "mean", weight: Any = None, **options: float) -> Any:
        losses = of(array_module(x), x, t, **options)
        if weight is not None:
            losses = losses * weight
        if reduction == "none":
            return losses
        if weight is not None and reduction == "mean" and by_weight:
            return losses.sum() / weight.sum()
        n = x.size if reduction == "mean" else 1
        return losses.sum() / n if n else losses.sum() * float("nan")

    return loss


def _weights(ref: Any) -> Any:
    def loss(x: Any, t: Any, *given: Any) -> Any:
        options = {"delta": given[1]} if len(given) == 3 else {}
        return ref(x, t, given[-2 - len(options)], weight=given[-1], **options)

    return loss


_HUBER = _plain(
    lambda xp, x, t, delta=1.0: (
        xp.minimum(xp.abs(x - t), delta) ** 2 / 2 + delta * xp.maximum(xp.abs(x - t) - delta, 0)
    ),
    by_weight=False,
)
_FAMILY: tuple[tuple[Any, str, Any, tuple[dict[str, Any], ...]], ...] = (
    (mse_loss, "mse_loss", _plain(lambda _, x, t: (x - t) ** 2), ({},)),
    (l1_loss, "l1_loss", _plain(lambda xp, x, t: xp.abs(x - t)), ({},)),
    (
        smooth_l1_loss,
        "smooth_l1_loss",
        _plain(
            lambda xp, x, t, beta=1.0: (
                xp.minimum(xp.abs(x - t), beta) ** 2 / (2 * (beta or 1))
                + xp.maximum(xp.abs(x - t) - beta, 0)
            )
        ),
        ({}, {"beta": 0.5}, {"beta": 0.0}),
    ),
    (huber_loss, "huber_loss", _HUBER, ({}, {"delta": 1.5})),
)
CASES = [
    *(
        OpCase(f, name, [shape, shape], kwargs={"reduction": r, **k}, ref=ref)
        for f, name, ref, options in _FAMILY
        for k in options
        for shape, r in (
            ((3, 5), "mean"),
            ((7, 1, 33), "sum"),
            ((4, 6), "none"),
            ((), "mean"),
            ((1, 1), "none"),
            ((0, 4), "sum"),
            ((0, 4), "none"),
            ((300, 257), "mean"),
        )
    ),
    *(
        OpCase(f, name, [shape, shape, *between, r, *behind, shape], ref=_weights(ref), low=0.2)
        for f, name, ref, between, behind in (
            (mse_loss, "mse_loss", _FAMILY[0][2], [None, None], []),
            (l1_loss, "l1_loss", _FAMILY[1][2], [None, None], []),
            (huber_loss, "huber_loss", _HUBER, [], [1.5]),
        )
        for shape, r in (((3, 5), "mean"), ((7, 33), "sum"), ((4, 6), "none"), ((), "mean"))
    ),
    *(
        OpCase(f, name, [(1024, 4096), (1024, 4096)], ref=ref, bench=True)
        for f, name, ref, _ in _FAMILY
    ),
]
_Bad = tuple[list[Any], type[Exception], str, dict[str, Any]]
_COMMON: tuple[_Bad, ...] = (
    ([(3, 5), (5,)], RuntimeError, "losses broadcast nothing", {}),
    ([(3, 1), (3,)], RuntimeError, "expected target of input's shape", {}),
    ([(3,), [1.0]], TypeError, "expected target as a Tensor, got list", {}),
    ([(3,), (3,)], ValueError, "reduction", {"reduction": "avg"}),
    ([("int", (3,), 0, 5)] * 2, RuntimeError, "a floating-point type", {}),
)
_BAD: list[tuple[Any, Any, type[Exception], str, dict[str, Any]]] = [
    *((f, *bad) for f, _, _, _ in _FAMILY for bad in _COMMON),
    *(
        (f, [(3, 5), (3, 5)], TypeError, "weight as a Tensor", {"weight": [1.0]})
        for f in (mse_loss, l1_loss, huber_loss)
    ),
    (l1_loss, [(3, 5), (3, 5), None, None, "sum", (5,)], ValueError, "weight of input's", {}),
    (huber_loss, [(3, 5), (3, 5), "none", 1.0, (5,)], ValueError, "(3, 5), got (5,)", {}),
    (smooth_l1_loss, [(3,), (3,)], RuntimeError, "beta >= 0", {"beta": -1.0}),
    (huber_loss, [(3,), (3,)], RuntimeError, "delta > 0", {"delta": 0.0}),
    (huber_loss, [("int", (3,), 0, 5), (3,)], RuntimeError, "input of a floating-point", {}),
]
ERRORS = [
    ErrorCase(f, f.__name__, given, error, text, options) for f, given, error, text, options in _BAD
]
