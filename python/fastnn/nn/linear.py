# SPDX-License-Identifier: BSD-3-Clause
"""``Linear`` and ``Identity``."""

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

__all__ = ["Identity", "Linear"]


class Identity(Module):
    """Returns its input. Any arguments are accepted, so that it can stand in for any layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(Module):
    """Affine map of the last axis.

        y = x W^T + b

    Shapes: x (..., in_features); weight (out_features, in_features); bias (out_features,)
            -> y (..., out_features).
    Initial values: weight and bias uniform in (-1/sqrt(in_features), 1/sqrt(in_features)).
    Errors: ValueError for sizes below zero; ``forward`` names the shapes that do not fit.
    """

    in_features: int
    out_features: int
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            integer("Linear", name, size)
        if in_features < 0 or out_features < 0:
            message = (
                "Linear: expected in_features >= 0 and out_features >= 0,"
                f" got {in_features} and {out_features}; give the sizes of the last axis of"
                " input and output"
            )
            raise ValueError(message)
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(empty(out_features, in_features, dtype=dtype, device=device))
        if bias:
            self.bias = Parameter(empty(out_features, dtype=dtype, device=device))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values from the default generator."""
        bound = 1.0 / math.sqrt(self.in_features) if self.in_features > 0 else 0.0
        # kaiming_uniform_ with a = sqrt(5) has gain sqrt(1/3), hence this same bound.
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features},"
            f" bias={self.bias is not None}"
        )
