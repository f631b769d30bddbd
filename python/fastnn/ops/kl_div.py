# SPDX-License-Identifier: BSD-3-Clause
"""The Kullback-Leibler divergence of distributions, from logarithms of probabilities.

    kl_div   t (log t - x);  with log_target  exp(t) (t - x)

Shapes:   input (...), target (...) of the same shape -> () or (...) for reduction 'none'.
Backward: one kernel for both gradients.
Source:   Kullback and Leibler 1951.
"""

from __future__ import annotations

import warnings
from typing import Any

from fastnn._backend import array_module
from fastnn.ops import _common, _losses
from fastnn.ops._losses import PointwiseLoss
from fastnn.ops.losses import pointwise_loss
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


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


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target (log target - input), 0 where target is 0, as torch.nn.functional.kl_div.

    input:  (...) logarithms of probabilities.
    target: (...) probabilities, or with ``log_target`` their logarithms; of the input's shape.
    reduction: 'batchmean' (the sum over the first size: the divergence itself), 'mean' (over all
        elements, with torch's warning), 'sum' or 'none'.

    Raises ValueError for other reductions, RuntimeError for other shapes, integers.
    Source: Kullback and Leibler 1951.
    """
    legacy = size_average is not None or reduce is not None
    reduction = _losses.check_reduction("kl_div", reduction, size_average, reduce, ("batchmean",))
    _losses.check_pair("kl_div", input, target)
    _common.require_float("kl_div", "input", input)
    _common.require_float("kl_div", "target", target)
    if reduction == "mean" and not legacy:
        warnings.warn(
            "kl_div: reduction='mean' divides by the number of elements, not of samples; the "
            "divergence is reduction='batchmean'",
            stacklevel=2,
        )
    return pointwise_loss(KLDiv, input, target, reduction, bool(log_target))


def _plain(x: Any, t: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    xp = array_module(x)
    losses = xp.exp(t) * (t - x) if log_target else t * xp.log(t) - t * x
    if reduction == "none":
        return losses
    n = {"mean": x.size, "batchmean": len(x) if x.ndim else 1}.get(reduction, 1)
    return losses.sum() / n


CASES = [
    *(
        OpCase(kl_div, "kl_div", [shape, shape], kwargs={"reduction": r, **k}, ref=_plain, low=0.1)
        for k in ({}, {"log_target": True})
        for shape, r in (((3, 5), "batchmean"), ((4, 6), "none"), ((2, 3, 5), "sum"), ((), "sum"))
    ),
]
ERRORS = [
    ErrorCase(kl_div, "kl_div", [(3, 5), (5,)], RuntimeError, "losses broadcast nothing"),
    ErrorCase(kl_div, "kl_div", [(3, 1), (3,)], RuntimeError, "expected target of input's shape"),
    ErrorCase(kl_div, "kl_div", [(3,), [1.0]], TypeError, "expected target as a Tensor, got list"),
    ErrorCase(kl_div, "kl_div", [(3,), (3,)], ValueError, "reduction", {"reduction": "avg"}),
    ErrorCase(kl_div, "kl_div", [(3,), ("int", (3,), 0, 2)], RuntimeError, "target of a floating"),
    ErrorCase(kl_div, "kl_div", [("int", (3,), 0, 2), (3,)], RuntimeError, "input of a floating"),
]
