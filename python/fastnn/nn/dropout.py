# SPDX-License-Identifier: BSD-3-Clause
"""``Dropout``, of whole channels ``Dropout1d`` to ``Dropout3d``, and ``AlphaDropout``."""

from __future__ import annotations

import numbers

from fastnn.nn._calls import F
from fastnn.nn.module import Module
from fastnn.tensor import Tensor

__all__ = [
    "AlphaDropout",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
]


class _Dropout(Module):
    """What they share: a probability, and whether the input is overwritten."""

    p: float
    inplace: bool

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        given: object = p
        name = type(self).__name__
        if not isinstance(given, numbers.Real):
            message = (
                f"{name}: expected p as a number from 0 to 1, got {p!r}; give the probability of an"
                " element being zeroed, such as 0.5"
            )
            raise TypeError(message)
        if not 0.0 <= p <= 1.0:
            message = (
                f"{name}: expected p, a dropout probability, between 0 and 1, got {p}; divide "
                "percentages by 100"
            )
            raise ValueError(message)
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training, zero each element with probability ``p`` and divide the others by 1 - p, so
    that the mean stays; in evaluation, the identity. Srivastava et al. 2014.

    Shapes: x (...) -> y (...).
    Errors: ValueError unless 0 <= p <= 1.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """Dropout of whole channels. Tompson et al. 2015.

    Shapes: x (n, c, l) or (c, l) -> the same.
    Errors: ValueError unless 0 <= p <= 1.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Dropout of whole channels. Tompson et al. 2015.

    Shapes: x (n, c, h, w) -> the same.
    Errors: ValueError unless 0 <= p <= 1.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """Dropout of whole channels. Tompson et al. 2015.

    Shapes: x (n, c, d, h, w) or (c, d, h, w) -> the same.
    Errors: ValueError unless 0 <= p <= 1.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean 0 and variance 1 of SELU's outputs. Klambauer et al. 2017.

    Shapes: x (...) -> the same.
    Errors: ValueError unless 0 <= p <= 1.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_Dropout):
    """`AlphaDropout` of whole channels.

    Shapes: x (n, c, ...) -> the same.
    Errors: ValueError unless 0 <= p <= 1.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.feature_alpha_dropout(input, self.p, self.training, self.inplace)
