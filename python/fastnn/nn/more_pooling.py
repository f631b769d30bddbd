# SPDX-License-Identifier: BSD-3-Clause
"""Pooling by norms, and maxima put back at their places, as modules."""

from __future__ import annotations

from typing import Any, ClassVar

from fastnn.nn._calls import F
from fastnn.nn.module import Module
from fastnn.tensor import Tensor

__all__ = ["LPPool1d", "LPPool2d", "LPPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d"]


class _LPPool(Module):
    """What the poolings by norms share."""

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def options(self) -> tuple[Any, ...]:
        """The arguments of the function after the input."""
        return float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """Norms of windows. Shapes: x (n, c, l) or (c, l) -> y (n, c, ol), see `F.lp_pool1d`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool1d(input, *self.options())


class LPPool2d(_LPPool):
    """Norms of windows. Shapes: x (n, c, h, w) or (c, h, w) -> y (n, c, oh, ow), see
    `F.lp_pool2d`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool2d(input, *self.options())


class LPPool3d(_LPPool):
    """Norms of windows. Shapes: x (n, c, d, h, w) or (c, d, h, w) -> y (n, c, od, oh, ow), see
    `F.lp_pool3d`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool3d(input, *self.options())


class _MaxUnpool(Module):
    """What putting maxima back shares."""

    dims: ClassVar[int]

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size = self._each(kernel_size)
        self.stride = self._each(kernel_size if stride is None else stride)
        self.padding = self._each(padding)

    def _each(self, value: Any) -> tuple[Any, ...]:
        return tuple(value) if isinstance(value, tuple | list) else (value,) * self.dims

    def options(self) -> tuple[Any, Any, Any]:
        """The arguments of the function after input and indices."""
        return self.kernel_size, self.stride, self.padding

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Values at the places that `MaxPool1d` took them from, zeros elsewhere.

    Shapes: x and indices (n, c, l) or (c, l) -> y (n, c, output_size), see `F.max_unpool1d`.
    """

    dims = 1

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool1d(input, indices, *self.options(), output_size=output_size)


class MaxUnpool2d(_MaxUnpool):
    """Values at the places that `MaxPool2d` took them from, zeros elsewhere.

    Shapes: x and indices (n, c, h, w) or (c, h, w) -> y (n, c, *output_size), see
    `F.max_unpool2d`.
    """

    dims = 2

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool2d(input, indices, *self.options(), output_size=output_size)


class MaxUnpool3d(_MaxUnpool):
    """Values at the places that a pooling took them from, zeros elsewhere.

    Shapes: x and indices (n, c, d, h, w) or (c, d, h, w) -> y (n, c, *output_size), see
    `F.max_unpool3d`.
    """

    dims = 3

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool3d(input, indices, *self.options(), output_size=output_size)
