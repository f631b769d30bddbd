# SPDX-License-Identifier: BSD-3-Clause
"""``Unfold`` and ``Fold``."""

from __future__ import annotations

from fastnn.nn._calls import F
from fastnn.nn.module import Module
from fastnn.tensor import Tensor

__all__ = ["Fold", "Unfold"]

Sizes = int | tuple[int, ...]


class Unfold(Module):
    """Sliding blocks of images as columns.

    Shapes: x (n, c, h, w) or (c, h, w) -> (n, c kh kw, oh ow) or (c kh kw, oh ow), oh and ow being
            the sizes that a convolution with these options would give.
    """

    def __init__(
        self, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding},"
            f" stride={self.stride}"
        )


class Fold(Module):
    """Columns added up where their elements stand in the images: the transpose of `Unfold`.

    Shapes: x (n, c kh kw, oh ow) or (c kh kw, oh ow) -> (n, c, *output_size) or (c, *output_size).
    """

    def __init__(
        self,
        output_size: Sizes,
        kernel_size: Sizes,
        dilation: Sizes = 1,
        padding: Sizes = 0,
        stride: Sizes = 1,
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return F.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size},"
            f" dilation={self.dilation}, padding={self.padding}, stride={self.stride}"
        )
