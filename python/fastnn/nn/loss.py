# SPDX-License-Identifier: BSD-3-Clause
"""Losses as modules."""

from __future__ import annotations

from fastnn.nn import functional as F
from fastnn.nn.module import Module
from fastnn.tensor import Tensor

__all__ = ["CrossEntropyLoss"]


class CrossEntropyLoss(Module):
    """Softmax over the class axis, then the negative log-likelihood of ``target``.

    Shapes: input (n, c) or (c,) unnormalised scores; target (n,) or () class indices, or
            probabilities shaped as input -> scalar, or per sample with ``reduction="none"``.
    weight: a factor for each class (c,); a buffer. ignore_index: a class that does not count.
    label_smoothing: the share of the target spread evenly over all classes (Szegedy et al. 2016).
    Errors: ValueError for a reduction other than none, mean, sum, or a smoothing outside [0, 1].
    """

    weight: Tensor | None
    ignore_index: int
    reduction: str
    label_smoothing: float

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if reduction not in ("none", "mean", "sum"):
            message = (
                f"CrossEntropyLoss: expected reduction 'none', 'mean' or 'sum', got {reduction!r}"
            )
            raise ValueError(message)
        if not 0.0 <= label_smoothing <= 1.0:
            message = (
                f"CrossEntropyLoss: expected label_smoothing between 0 and 1, got {label_smoothing}"
            )
            raise ValueError(message)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = reduction
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
