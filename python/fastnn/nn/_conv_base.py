# SPDX-License-Identifier: BSD-3-Clause
"""What the convolution layers share: options, initial values, padding, sizes of the output."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from fastnn import ops
from fastnn.nn import init
from fastnn.nn.module import Module
from fastnn.nn.parameter import Parameter
from fastnn.ops import empty
from fastnn.ops._common import integer
from fastnn.tensor import Tensor

__all__ = ["Sizes", "_ConvNd", "_ConvTransposeNd"]

_MODES = ("zeros", "reflect", "replicate", "circular")
Sizes = int | tuple[int, ...]


def _tuple(name: str, key: str, value: Any, n: int) -> tuple[int, ...]:
    """One int for each direction; given as they are, or repeated."""
    values = value if isinstance(value, tuple | list) else (value,) * n
    return tuple([integer(name, key, v) for v in values])


class _ConvNd(Module):
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


class _ConvTransposeNd(_ConvNd):
    """The same of the transposed ones, whose output may have one of several sizes."""

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

    def _convolve_transposed(self, convolution: Any, input: Tensor, output_size: Any) -> Tensor:
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
