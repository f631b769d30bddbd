# SPDX-License-Identifier: BSD-3-Clause
"""Distances and angles, and the bilinear form, as modules."""

from __future__ import annotations

import math
from typing import Any

from fastnn.nn import init
from fastnn.nn._calls import F
from fastnn.nn.module import Module
from fastnn.nn.parameter import Parameter
from fastnn.ops import empty
from fastnn.ops._common import integer
from fastnn.tensor import Tensor

__all__ = ["Bilinear", "CosineSimilarity", "PairwiseDistance"]


class CosineSimilarity(Module):
    """y = sum x1 x2 / (max(|x1|, eps) max(|x2|, eps)) along ``dim``.

    Shapes: x1 and x2 broadcast -> their shape without dim.
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """y = |x1 - x2 + eps| by the norm of order ``p`` over the last dimension.

    Shapes: x1 and x2 broadcast -> their shape without the last dimension, or 1 with ``keepdim``.
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class Bilinear(Module):
    """A form that is linear in each of two inputs.

        y_o = x1 W_o x2^T + b_o

    Shapes: x1 (..., in1_features), x2 (..., in2_features); weight (out_features, in1_features,
            in2_features), bias (out_features,) -> y (..., out_features).
    Initial values: uniform in (-1/sqrt(in1_features), 1/sqrt(in1_features)).
    Errors: ValueError for in1_features < 1 and other sizes below zero.
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = (out_features, in1_features, in2_features)
        for name, size in zip(("out_features", "in1_features", "in2_features"), sizes, strict=True):
            integer("Bilinear", name, size)
        if in1_features < 1 or min(sizes) < 0:
            message = (
                "Bilinear: expected in1_features >= 1, in2_features >= 0 and out_features >= 0, got"
                f" {in1_features}, {in2_features} and {out_features}; give the sizes of the last"
                " dimensions of both inputs and the output"
            )
            raise ValueError(message)
        self.in1_features, self.in2_features = in1_features, in2_features
        self.out_features = out_features
        self.weight = Parameter(empty(*sizes, dtype=dtype, device=device))
        made = empty(out_features, dtype=dtype, device=device) if bias else None
        self.register_parameter("bias", None if made is None else Parameter(made))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values from the default generator."""
        bound = 1.0 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
