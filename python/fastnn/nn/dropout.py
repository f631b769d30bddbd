# SPDX-License-Identifier: BSD-3-Clause
"""``Dropout``."""

from __future__ import annotations

from fastnn.nn import functional as F
from fastnn.nn.module import Module
from fastnn.tensor import Tensor

__all__ = ["Dropout"]


class Dropout(Module):
    """In training, zero each element with probability ``p`` and divide the others by 1 - p, so
    that the mean stays; in evaluation, the identity. Srivastava et al. 2014.

    Shapes: x (...) -> y (...).
    Errors: ValueError unless 0 <= p <= 1.
    """

    p: float
    inplace: bool

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            message = f"dropout probability has to be between 0 and 1, but got {p}"
            raise ValueError(message)
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
