# SPDX-License-Identifier: BSD-3-Clause
"""Losses with margins as modules, with torch's arguments.

They are called with the tensors of their functions in `fastnn.nn.functional`, where the formulas,
shapes and errors stand. ``reduction``, ``size_average`` and ``reduce``: `fastnn.nn.loss`.
"""

from __future__ import annotations

from collections.abc import Callable

from fastnn.nn._calls import F
from fastnn.nn.distance import PairwiseDistance
from fastnn.nn.loss import _Loss, _WeightedLoss
from fastnn.ops._common import shown
from fastnn.ops._elementwise import number
from fastnn.tensor import Tensor

__all__ = [
    "CosineEmbeddingLoss",
    "HingeEmbeddingLoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "MulticlassSVMLoss",
    "PerceptronLoss",
    "SoftMarginLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]


class _MarginLoss(_Loss):
    """A loss with a margin, which may be any number."""

    margin: float

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        number(type(self).__name__, "margin", margin)
        self.margin = margin


class HingeEmbeddingLoss(_MarginLoss):
    """Of distances and signs: `fastnn.nn.functional.hinge_embedding_loss`."""

    def __init__(
        self,
        margin: float = 1.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(margin, size_average, reduce, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)


class MarginRankingLoss(_MarginLoss):
    """Which of two is to be the larger one: `fastnn.nn.functional.margin_ranking_loss`."""

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.margin_ranking_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class CosineEmbeddingLoss(_MarginLoss):
    """Of pairs of vectors and signs: `fastnn.nn.functional.cosine_embedding_loss`."""

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.cosine_embedding_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class SoftMarginLoss(_Loss):
    """Logistic loss of scores and signs: `fastnn.nn.functional.soft_margin_loss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class PerceptronLoss(_Loss):
    """The perceptron criterion of scores and signs: `fastnn.nn.functional.perceptron_loss`."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.perceptron_loss(input, target, reduction=self.reduction)


def _power(name: str, p: int) -> int:
    if isinstance(p, bool) or p not in (1, 2):
        message = f"{name}: expected p 1 or 2, got {shown(p)}; 2 squares the violations"
        raise ValueError(message)
    return p


class MulticlassSVMLoss(_Loss):
    """The multiclass support vector machine's: `fastnn.nn.functional.multiclass_svm_loss`."""

    margin: float
    p: int

    def __init__(self, margin: float = 1.0, p: int = 1, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        number("MulticlassSVMLoss", "margin", margin)
        self.margin = margin
        self.p = _power("MulticlassSVMLoss", p)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multiclass_svm_loss(
            input, target, margin=self.margin, p=self.p, reduction=self.reduction
        )


class MultiMarginLoss(_WeightedLoss):
    """The same over the number of classes: `fastnn.nn.functional.multi_margin_loss`.

    weight: a factor for each class (c,); a buffer.
    """

    p: int
    margin: float

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.p = _power("MultiMarginLoss", p)
        number("MultiMarginLoss", "margin", margin)
        if weight is not None and weight.ndim != 1:
            message = (
                "MultiMarginLoss: expected weight of one dimension, a number for each class, got "
                f"{tuple(weight.shape)}; None weighs all classes alike"
            )
            raise ValueError(message)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multi_margin_loss(
            input,
            target,
            p=self.p,
            margin=self.margin,
            weight=self.weight,
            reduction=self.reduction,
        )


class MultiLabelMarginLoss(_Loss):
    """Of samples of several classes: `fastnn.nn.functional.multilabel_margin_loss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """Cross-entropy of each class alone: `fastnn.nn.functional.multilabel_soft_margin_loss`.

    weight: a factor for each class (c,); a buffer.
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_soft_margin_loss(
            input, target, weight=self.weight, reduction=self.reduction
        )


def _positive(name: str, margin: float) -> float:
    if not number(name, "margin", margin) > 0:
        message = f"{name}: expected margin > 0, got {margin}; its default is 1.0"
        raise ValueError(message)
    return margin


class TripletMarginLoss(_Loss):
    """An anchor nearer to one than to another: `fastnn.nn.functional.triplet_margin_loss`."""

    margin: float
    p: float
    eps: float
    swap: bool

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = _positive("TripletMarginLoss", margin)
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_loss(
            anchor,
            positive,
            negative,
            margin=self.margin,
            p=self.p,
            eps=self.eps,
            swap=self.swap,
            reduction=self.reduction,
        )


class TripletMarginWithDistanceLoss(_Loss):
    """The same with any distance: `fastnn.nn.functional.triplet_margin_with_distance_loss`.

    distance_function: a function of two tensors, or a module, whose parameters are then this one's;
    None for the Euclidean distance.
    """

    distance_function: Callable[[Tensor, Tensor], Tensor]
    margin: float
    swap: bool

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.distance_function = (
            PairwiseDistance() if distance_function is None else distance_function
        )
        self.margin = _positive("TripletMarginWithDistanceLoss", margin)
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )
