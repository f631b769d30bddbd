# SPDX-License-Identifier: BSD-3-Clause
"""Activations along a dimension, and those with parameters, as modules."""

from __future__ import annotations

from typing import Any

from fastnn.nn._calls import F
from fastnn.nn.linear import Linear
from fastnn.nn.module import Module
from fastnn.nn.parameter import Parameter
from fastnn.ops import full, maxout
from fastnn.ops._common import integer
from fastnn.ops._elementwise import number
from fastnn.tensor import Tensor

__all__ = ["GLU", "LogSoftmax", "Maxout", "PReLU", "RReLU", "Softmax", "Softmax2d", "Softmin"]


class _Along(Module):
    """A function along ``dim``."""

    dim: int | None

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_Along):
    """y = exp(x) / sum(exp(x)) along ``dim``. Shapes: x (...) -> y (...)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim)


class LogSoftmax(_Along):
    """y = x - log(sum(exp(x))) along ``dim``. Shapes: x (...) -> y (...)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim)


class Softmin(_Along):
    """y = exp(-x) / sum(exp(-x)) along ``dim``. Shapes: x (...) -> y (...)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.softmin(input, self.dim)


class Softmax2d(Module):
    """Softmax over the channels of every pixel. Shapes: x (n, c, h, w) or (c, h, w) -> the same."""

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (3, 4):
            message = (
                f"Softmax2d: expected (n, c, h, w) or (c, h, w), got {input.ndim} dimensions; "
                "use Softmax(dim=1)"
            )
            raise ValueError(message)
        return F.softmax(input, -3)


class GLU(_Along):
    """y = a sigmoid(b), x = (a, b) halved along ``dim``.

    Shapes: x (..., 2 h, ...) -> y (..., h, ...).
    """

    dim: int

    def __init__(self, dim: int = -1) -> None:
        super().__init__(dim)

    def forward(self, input: Tensor) -> Tensor:
        return F.glu(input, self.dim)


class PReLU(Module):
    """y = x where x > 0, else weight x; the slope is learned, one for all or one for each channel.

    Shapes: x (n, num_parameters, ...), weight (num_parameters,) -> y like x.
    Initial values: ``init``.
    """

    num_parameters: int
    weight: Parameter

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        num_parameters = integer("PReLU", "num_parameters", num_parameters)
        start = number("PReLU", "init", init)
        if num_parameters < 1:
            message = (
                f"PReLU: expected num_parameters >= 1, got {num_parameters}; give 1, or the number"
                " of channels"
            )
            raise ValueError(message)
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(full((num_parameters,), start, dtype=dtype, device=device))

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class RReLU(Module):
    """y = x where x > 0, else s x; s is drawn for every element, uniform in [lower, upper), while
    training, and their mean otherwise. Shapes: x (...) -> y (...). Xu et al. 2015."""

    def __init__(self, lower: float = 0.125, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        end = ", inplace=True" if self.inplace else ""
        return f"lower={self.lower}, upper={self.upper}{end}"


class Maxout(Module):
    """A linear layer of which every output is the largest of several.

        y_j = max_p (x W_jp^T + b_jp)


    Shapes: x (..., in_features) -> y (..., out_features); the layer's weight is
            (out_features pieces, in_features), the pieces of an output beside each other.
    Initial values: those of `Linear`.
    Source: Goodfellow, Warde-Farley, Mirza, Courville and Bengio, "Maxout networks", 2013.
    """

    in_features: int
    out_features: int
    pieces: int

    def __init__(
        self,
        in_features: int,
        out_features: int,
        pieces: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        out_features = integer("Maxout", "out_features", out_features)
        pieces = integer("Maxout", "pieces", pieces)
        if pieces < 1:
            message = f"Maxout: expected pieces >= 1, got {pieces}; choose 2 or more"
            raise ValueError(message)
        self.in_features, self.out_features, self.pieces = in_features, out_features, pieces
        self.linear = Linear(in_features, out_features * pieces, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return maxout(self.linear(input), self.pieces)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"pieces={self.pieces}"
        )
