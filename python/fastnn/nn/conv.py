# SPDX-License-Identifier: BSD-3-Clause
"""``Conv1d``, ``Conv2d``, ``ConvTranspose1d``, ``ConvTranspose2d``."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from fastnn import ops
from fastnn.nn import init
from fastnn.nn._calls import F
from fastnn.nn.module import Module
from fastnn.nn.parameter import Parameter
from fastnn.ops import empty
from fastnn.ops._common import integer
from fastnn.tensor import Tensor

__all__ = ["Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d"]

_MODES = ("zeros", "reflect", "replicate", "circular")
Sizes = int | tuple[int, ...]


def _tuple(name: str, key: str, value: Any, n: int) -> tuple[int, ...]:
    """One int for each direction; given as they are, or repeated."""
    values = value if isinstance(value, tuple | list) else (value,) * n
    return tuple([integer(name, key, v) for v in values])


class _Conv(Module):
    """What the layers share: attributes, initial values, representation."""

    directions: ClassVar[int]
    transposed: ClassVar[bool] = False
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    output_padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    padding_mode: str
    weight: Parameter
    bias: Parameter | None

    def _set_up(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any,
        output_padding: Any, dilation: Any, groups: int, bias: bool, padding_mode: str,
        device: Any, dtype: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        name, n = type(self).__name__, self.directions
        in_channels = integer(name, "in_channels", in_channels)
        out_channels = integer(name, "out_channels", out_channels)
        groups = integer(name, "groups", groups)
        if groups <= 0 or in_channels % groups or out_channels % groups:
            message = (
                f"{name}: expected groups of at least 1 that divides in_channels and out_channels,"
                f" got {groups} for {in_channels} and {out_channels}; 1 divides all"
            )
            raise ValueError(message)
        known = ("zeros",) if self.transposed else _MODES
        if not isinstance(padding_mode, str) or padding_mode not in known:
            message = (
                f"{name}: expected padding_mode one of {known}, got {padding_mode!r}; for another"
                " padding call F.pad on the input first"
            )
            raise ValueError(message)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = _tuple(name, "kernel_size", kernel_size, n)
        self.stride = _tuple(name, "stride", stride, n)
        self.dilation = _tuple(name, "dilation", dilation, n)
        words = isinstance(padding, str)
        self.padding = padding if words else _tuple(name, "padding", padding, n)
        self.output_padding = _tuple(name, "output_padding", output_padding, n)
        self.padding_mode = padding_mode
        if isinstance(self.padding, str) and self.padding not in ("same", "valid"):
            message = (
                f"{name}: expected padding 'same', 'valid' or ints, got {padding!r}; 'same' keeps"
                " the size, 'valid' is 0"
            )
            raise ValueError(message)
        if self.padding == "same" and max(self.stride) > 1:
            message = (
                f"{name}: expected a stride of 1 with padding='same', got {self.stride}; give the"
                " padding as ints, such as kernel_size // 2"
            )
            raise ValueError(message)
        rows, columns = (
            (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        )
        shape = (rows, columns // groups, *self.kernel_size)
        self.weight = Parameter(empty(*shape, dtype=dtype, device=device))
        if bias:
            self.bias = Parameter(empty(out_channels, dtype=dtype, device=device))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values from the default generator."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        fan_in = math.prod(self.weight.shape[1:])
        if self.bias is not None and fan_in > 0:
            bound = 1 / math.sqrt(fan_in)
            init.uniform_(self.bias, -bound, bound)

    def _around(self) -> list[int]:
        """The padding as `functional.pad` takes it: the last direction first, both sides each."""
        around: list[int] = []
        for i in reversed(range(self.directions)):
            if isinstance(self.padding, str):
                both = self.dilation[i] * (self.kernel_size[i] - 1) * (self.padding == "same")
                around += [both // 2, both - both // 2]
            else:
                around += [self.padding[i]] * 2
        return around

    def _convolve(self, convolution: Any, input: Tensor) -> Tensor:
        if self.padding_mode == "zeros":
            return convolution(  # type: ignore[no-any-return]
                input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
            )
        pad: Any = ops.pad  # type: ignore[attr-defined, unused-ignore]
        padded = pad(input, self._around(), mode=self.padding_mode)
        return convolution(  # type: ignore[no-any-return]
            padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        n = self.directions
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        if self.padding != (0,) * n:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * n:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * n:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text + (
            f", padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else ""
        )


class Conv1d(_Conv):
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


class Conv2d(_Conv):
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


class _ConvTranspose(_Conv):
    transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1,
        padding: Sizes = 0, output_padding: Sizes = 0, groups: int = 1, bias: bool = True,
        dilation: Sizes = 1, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        self._set_up(
            in_channels, out_channels, kernel_size, stride, padding, output_padding, dilation,
            groups, bias, padding_mode, device, dtype,
        )  # fmt: skip

    def _transpose(self, convolution: Any, input: Tensor, output_size: Any) -> Tensor:
        extra = self.output_padding
        if output_size is not None:
            extra = self._extra(input, list(output_size))
        return convolution(  # type: ignore[no-any-return]
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups,
            self.dilation,
        )  # fmt: skip

    def _extra(self, input: Tensor, wanted: list[int]) -> tuple[int, ...]:
        """The output padding with which the output has the size wanted."""
        n, name = self.directions, type(self).__name__
        if len(wanted) not in (n, input.ndim):
            message = (
                f"{name}: expected output_size of {n} or {input.ndim} elements for an input of"
                f" {input.ndim} dimensions, got {len(wanted)}; give the sizes of the spatial"
                " axes, or the whole shape"
            )
            raise ValueError(message)
        assert not isinstance(self.padding, str)
        of = zip(
            input.shape[-n:],
            self.stride,
            self.padding,
            self.dilation,
            self.kernel_size,
            strict=True,
        )
        least = [(i - 1) * s - 2 * p + d * (k - 1) + 1 for i, s, p, d, k in of]
        extra = tuple([w - m for w, m in zip(wanted[-n:], least, strict=True)])
        if any(not 0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            most = [m + s - 1 for m, s in zip(least, self.stride, strict=True)]
            message = (
                f"{name}: expected output_size from {least} to {most} for an input of"
                f" {input.shape}, got {tuple(wanted)}; choose a size between, or another stride or"
                " padding"
            )
            raise ValueError(message)
        return extra


class ConvTranspose1d(_ConvTranspose):
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
        return self._transpose(F.conv_transpose1d, input, output_size)


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution of images: `ConvTranspose1d` in two directions.

    Shapes: x (n, in_channels, h, w) or (in_channels, h, w); weight (in_channels, out_channels /
            groups, kh, kw); bias (out_channels,) -> y (n, out_channels, oh, ow) or (out_channels,
            oh, ow). Sizes are ints or pairs for height and width.
    """

    directions = 2

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return self._transpose(F.conv_transpose2d, input, output_size)
