# SPDX-License-Identifier: BSD-3-Clause
"""``LocalResponseNorm``: channels in competition with their neighbours."""

from __future__ import annotations

from fastnn.nn._calls import F
from fastnn.nn.module import Module
from fastnn.tensor import Tensor

__all__ = ["LocalResponseNorm"]


class LocalResponseNorm(Module):
    """Channels divided by a power of the mean square of their ``size`` neighbours.

        y[n, c] = x[n, c] / (k + alpha / size * sum of the neighbours' squares)^beta

    Shapes: x (n, c, ...) of three dimensions or more -> the same.
    Errors: ``forward`` names what does not fit.
    Source: Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural
    networks", 2012.
    """

    size: int
    alpha: float
    beta: float
    k: float

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
