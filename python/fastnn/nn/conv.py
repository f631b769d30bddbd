# SPDX-License-Identifier: BSD-3-Clause
"""``Conv1d`` to ``Conv3d`` and ``ConvTranspose1d`` to ``ConvTranspose3d``."""

from __future__ import annotations

from typing import Any

from fastnn.nn._calls import F
from fastnn.nn._conv_base import Sizes, _ConvNd, _ConvTransposeNd
from fastnn.tensor import Tensor

__all__ = [
    "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d",
]  # fmt: skip


class Conv1d(_ConvNd):
    """Convolution of signals.

        y[n, o, p] = bias[o] + sum_{c, t} weight[o, c, t] x[n, c, p stride - padding + t dilation]

    Shapes: x (n, in_channels, l) or (in_channels, l); weight (out_channels, in_channels / groups,
            kernel_size); bias (out_channels,) -> y (n, out_channels, out) or (out_channels, out),
            out = floor((l + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1.
    padding: an int, 'valid' (none) or 'same' (an output as long as the input).
    padding_mode: 'zeros', 'reflect', 'replicate' or 'circular': what stands outside x.
    Initial values: weight and bias uniform in +-1/sqrt(in_channels / groups kernel_size).
    Errors: ValueError for groups that divide not both numbers of channels and for unknown paddings.
    """

    directions = 1

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1,
        padding: Sizes | str = 0, dilation: Sizes = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        self._set_up(
            in_channels, out_channels, kernel_size, stride, padding, 0, dilation, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        return self._convolve(F.conv1d, input)


class Conv2d(_ConvNd):
    """Convolution of images: `Conv1d` in two directions.

    Shapes: x (n, in_channels, h, w) or (in_channels, h, w); weight (out_channels, in_channels /
            groups, kh, kw); bias (out_channels,) -> y (n, out_channels, oh, ow) or (out_channels,
            oh, ow). Sizes are ints or pairs for height and width.
    Initial values: weight and bias uniform in +-1/sqrt(in_channels / groups kh kw).
    """

    directions = 2

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1,
        padding: Sizes | str = 0, dilation: Sizes = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        self._set_up(
            in_channels, out_channels, kernel_size, stride, padding, 0, dilation, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        return self._convolve(F.conv2d, input)


class Conv3d(_ConvNd):
    """Convolution of volumes: `Conv1d` in three directions.

    Shapes: x (n, in_channels, d, h, w) or (in_channels, d, h, w); weight (out_channels,
            in_channels / groups, kd, kh, kw); bias (out_channels,) -> y (n, out_channels, od, oh,
            ow) or (out_channels, od, oh, ow). Sizes are ints or three of them, for depth, height
            and width.
    Initial values: weight and bias uniform in +-1/sqrt(in_channels / groups kd kh kw).
    """

    directions = 3

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1,
        padding: Sizes | str = 0, dilation: Sizes = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        self._set_up(
            in_channels, out_channels, kernel_size, stride, padding, 0, dilation, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        return self._convolve(F.conv3d, input)


class ConvTranspose1d(_ConvTransposeNd):
    """Transposed convolution of signals: the gradient of `Conv1d`'s input as a layer.

        y[n, o, p stride - padding + t dilation] += weight[c, o, t] x[n, c, p], from bias[o] on

    Shapes: x (n, in_channels, l) or (in_channels, l); weight (in_channels, out_channels / groups,
            kernel_size); bias (out_channels,) -> y (n, out_channels, out) or (out_channels, out),
            out = (l - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1.
    ``forward(x, output_size)`` chooses the output padding.
    Initial values: uniform in +-1/sqrt(out_channels / groups kernel_size).
    Errors: ValueError for an output_size that no output padding gives, and as `Conv1d`.
    """

    directions = 1

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return self._convolve_transposed(F.conv_transpose1d, input, output_size)


class ConvTranspose2d(_ConvTransposeNd):
    """Transposed convolution of images: `ConvTranspose1d` in two directions.

    Shapes: x (n, in_channels, h, w) or (in_channels, h, w); weight (in_channels, out_channels /
            groups, kh, kw); bias (out_channels,) -> y (n, out_channels, oh, ow) or (out_channels,
            oh, ow). Sizes are ints or pairs for height and width.
    """

    directions = 2

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return self._convolve_transposed(F.conv_transpose2d, input, output_size)


class ConvTranspose3d(_ConvTransposeNd):
    """Transposed convolution of volumes: `ConvTranspose1d` in three directions.

    Shapes: x (n, in_channels, d, h, w) or (in_channels, d, h, w); weight (in_channels,
            out_channels / groups, kd, kh, kw); bias (out_channels,) -> y (n, out_channels, od, oh,
            ow) or (out_channels, od, oh, ow). Sizes are ints or three of them, for depth, height
            and width.
    """

    directions = 3

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return self._convolve_transposed(F.conv_transpose3d, input, output_size)
