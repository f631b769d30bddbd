# SPDX-License-Identifier: BSD-3-Clause
"""Losses of an element of input against one of target; d = x - t.

    mse_loss        d^2
    l1_loss         |d|
    smooth_l1_loss  d^2 / (2 beta) where |d| < beta, else |d| - beta / 2
    huber_loss      d^2 / 2 where |d| < delta, else delta (|d| - delta / 2)
    kl_div          t (log t - x);  with log_target  exp(t) (t - x)

Shapes:   input (...), target (...) of the same shape -> () or (...) for reduction 'none'.
Backward: one kernel for both gradients; those of the first four differ in sign alone.
Sources:  Huber 1964; Girshick, "Fast R-CNN", 2015 (smooth_l1_loss); Kullback and Leibler 1951.
"""

from __future__ import annotations

import warnings
from typing import Any

from fastnn._backend import array_module
from fastnn.ops import _losses
from fastnn.ops._losses import PointwiseLoss
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


class KLDiv(PointwiseLoss):
    """t (log t - x)."""

    name = kernel = "kl_div"

    @staticmethod
    def slopes(*args: Any) -> tuple[Tensor, Tensor]:
        x, t, log_target = args
        if log_target:
            p = t.exp()
            return -p, p * (t - x) + p
        return -t, t.log() + 1.0 - x


def _loss(
    kind: type[PointwiseLoss], input: Tensor, target: Tensor, reduction: str, *options: Any
) -> Tensor:
    _losses.check_pair(kind.name, input, target)
    x, t = _losses.promoted(kind.name, input, target)
    divisor = _losses.divisor_of(reduction, input)
    return kind.apply((x, t), reduction != "none", divisor, options)  # type: ignore[no-any-return]


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """(input - target)^2, averaged, summed or as it is, as torch.nn.functional.mse_loss.

    input, target: (...), of one shape. Unlike torch, nothing is broadcast. Both have gradients.
    Raises ValueError for other shapes or reductions, RuntimeError for integers.
    """
    _losses.check_reduction("mse_loss", reduction, size_average, reduce)
    return _loss(MSELoss, input, target, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """|input - target|, averaged, summed or as it is, as torch.nn.functional.l1_loss.

    input, target: (...), of one shape. Unlike torch, nothing is broadcast. The slope at 0 is 0.
    Raises ValueError for other shapes or reductions, RuntimeError for integers.
    """
    _losses.check_reduction("l1_loss", reduction, size_average, reduce)
    return _loss(L1Loss, input, target, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """d^2 / (2 beta) where |d| < beta, else |d| - beta / 2, as torch.nn.functional.smooth_l1_loss.

    input, target: (...), of one shape; d is their difference. Unlike torch, nothing is broadcast.
    beta = 0 gives l1_loss. Raises ValueError for other shapes or reductions, RuntimeError for
    integers or beta below 0. Source: Girshick, "Fast R-CNN", 2015.
    """
    _losses.check_reduction("smooth_l1_loss", reduction, size_average, reduce)
    if not beta >= 0:
        message = f"smooth_l1_loss: expected beta >= 0, got {beta}"
        raise RuntimeError(message)
    return _loss(SmoothL1Loss, input, target, reduction, float(beta))


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """d^2 / 2 where |d| < delta, else delta (|d| - delta / 2), as torch.nn.functional.huber_loss.

    input, target: (...), of one shape; d is their difference. Unlike torch, nothing is broadcast.
    Raises ValueError for other shapes or reductions, RuntimeError for integers or delta not
    above 0. Source: Huber 1964.
    """
    _losses.check_reduction("huber_loss", reduction, None, None)
    if not delta > 0:
        message = f"huber_loss: expected delta > 0, got {delta}"
        raise RuntimeError(message)
    return _loss(HuberLoss, input, target, reduction, float(delta))


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target (log target - input), 0 where target is 0, as torch.nn.functional.kl_div.

    input:  (...) logarithms of probabilities.
    target: (...) probabilities, or with ``log_target`` their logarithms; of the input's shape.
    reduction: 'batchmean' (the sum over the first size: the divergence itself), 'mean' (over all
        elements, with torch's warning), 'sum' or 'none'.

    Raises ValueError for other shapes or reductions, RuntimeError for integers.
    Source: Kullback and Leibler 1951.
    """
    _losses.check_reduction("kl_div", reduction, size_average, reduce, ("batchmean",))
    _losses.check_pair("kl_div", input, target)
    if reduction == "mean":
        warnings.warn(
            "kl_div: reduction='mean' divides by the number of elements, not of samples; the "
            "divergence is reduction='batchmean'",
            stacklevel=2,
        )
    return _loss(KLDiv, input, target, reduction, bool(log_target))


def _plain(of: Any) -> Any:
    def loss(x: Any, t: Any, reduction: str = "mean", **options: float) -> Any:
        losses = of(array_module(x), x, t, **options)
        if reduction == "none":
            return losses
        n = {"mean": x.size, "batchmean": len(x) if x.ndim else 1}.get(reduction, 1)
        return losses.sum() / n if n else losses.sum() * float("nan")

    return loss


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
    (
        huber_loss,
        "huber_loss",
        _plain(
            lambda xp, x, t, delta=1.0: (
                xp.minimum(xp.abs(x - t), delta) ** 2 / 2
                + delta * xp.maximum(xp.abs(x - t) - delta, 0)
            )
        ),
        ({}, {"delta": 1.5}),
    ),
)
_KL = _plain(
    lambda xp, x, t, log_target=False: xp.exp(t) * (t - x) if log_target else t * xp.log(t) - t * x
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
        OpCase(kl_div, "kl_div", [shape, shape], kwargs={"reduction": r, **k}, ref=_KL, low=0.1)
        for k in ({}, {"log_target": True})
        for shape, r in (((3, 5), "batchmean"), ((4, 6), "none"), ((2, 3, 5), "sum"), ((), "sum"))
    ),
    *(
        OpCase(f, name, [(1024, 4096), (1024, 4096)], ref=ref, bench=True)
        for f, name, ref, _ in _FAMILY
    ),
]
ERRORS = [
    *(
        case
        for f, name in (*((f, name) for f, name, _, _ in _FAMILY), (kl_div, "kl_div"))
        for case in (
            ErrorCase(f, name, [(3, 5), (5,)], ValueError, "losses broadcast nothing"),
            ErrorCase(
                f,
                name,
                [
                    (3, 1),
                    (3,),
                ],
                ValueError,
                "expected target of input's shape",
            ),
            ErrorCase(f, name, [(3,), [1.0]], TypeError, "expected target as a Tensor, got list"),
            ErrorCase(f, name, [(3,), (3,)], ValueError, "reduction", {"reduction": "avg"}),
        )
    ),
    *(
        ErrorCase(f, name, [("int", (3,), 0, 5)] * 2, RuntimeError, "a floating-point type")
        for f, name, _, _ in _FAMILY
    ),
    ErrorCase(mse_loss, "mse_loss", [(3,), (3,), True], ValueError, "size_average"),
    ErrorCase(
        smooth_l1_loss, "smooth_l1_loss", [(3,), (3,)], RuntimeError, "beta >= 0", {"beta": -1.0}
    ),
    ErrorCase(huber_loss, "huber_loss", [(3,), (3,)], RuntimeError, "delta > 0", {"delta": 0.0}),
]
