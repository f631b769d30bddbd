# SPDX-License-Identifier: BSD-3-Clause
"""Losses as modules: ``loss(input, target)``, with torch's names and arguments.

Every loss has ``reduction``: 'mean', 'sum' or 'none'. ``size_average`` and ``reduce``, which torch
replaced by it, come before it where they are given, with a warning. Input and target are of one
shape unless they are classes: nothing is broadcast. The formulas, shapes and errors are those of
the functions in `fastnn.nn.functional`.
"""

from __future__ import annotations

from fastnn.nn._calls import F
from fastnn.nn.module import Module
from fastnn.ops._common import integer
from fastnn.ops._losses import check_reduction, label_share
from fastnn.tensor import Tensor

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "SmoothL1Loss",
]


class _Loss(Module):
    reduction: str

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        extra = ("batchmean",) if isinstance(self, KLDivLoss) else ()
        name = type(self).__name__
        self.reduction = check_reduction(name, reduction, size_average, reduce, extra)


class _WeightedLoss(_Loss):
    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class MSELoss(_Loss):
    """(input - target)^2: `fastnn.nn.functional.mse_loss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """|input - target|: `fastnn.nn.functional.l1_loss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """Quadratic for differences below ``beta``: `fastnn.nn.functional.smooth_l1_loss`."""

    beta: float

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """Quadratic for differences below ``delta``: `fastnn.nn.functional.huber_loss`."""

    delta: float

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class NLLLoss(_WeightedLoss):
    """Negative log-likelihood of class numbers: `fastnn.nn.functional.nll_loss`.

    weight: a factor for each class (c,); a buffer. ignore_index: a class that does not count.
    """

    ignore_index: int

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class BCELoss(_WeightedLoss):
    """Cross-entropy of probabilities: `fastnn.nn.functional.binary_cross_entropy`.

    weight: broadcast to the input's shape; a buffer.
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Cross-entropy of logits: `fastnn.nn.functional.binary_cross_entropy_with_logits`.

    weight, pos_weight: broadcast to the input's shape; buffers. pos_weight multiplies the loss of
    targets of 1 alone, so that rare classes count more.
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(
            input,
            target,
            weight=self.weight,
            pos_weight=self.pos_weight,
            reduction=self.reduction,
        )


class KLDivLoss(_Loss):
    """Kullback-Leibler divergence of logarithms of probabilities: `fastnn.nn.functional.kl_div`.

    reduction='batchmean' gives the divergence itself; 'mean' divides by all elements.
    log_target: target holds logarithms too.
    """

    log_target: bool

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class CrossEntropyLoss(_WeightedLoss):
    """Softmax over the class axis, then the negative log-likelihood of ``target``.

    Shapes: input (n, c, ...) or (c,) unnormalised scores; target (n, ...) or () class numbers, or
            probabilities shaped as input -> scalar, or one per target with ``reduction="none"``.
    weight: a factor for each class (c,); a buffer. ignore_index: a class that does not count.
    label_smoothing: the share of the target spread evenly over all classes (Szegedy et al. 2016).
    Errors: ValueError for a reduction other than none, mean, sum, or a smoothing outside [0, 1].
    """

    ignore_index: int
    label_smoothing: float

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        label_share("CrossEntropyLoss", label_smoothing)
        integer("CrossEntropyLoss", "ignore_index", ignore_index)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )
