# SPDX-License-Identifier: BSD-3-Clause
"""Padding as modules."""

from __future__ import annotations

from typing import Any, ClassVar

from fastnn.nn._calls import F
from fastnn.nn.module import Module
from fastnn.tensor import Tensor

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _Pad(Module):
    """x (..., n, ...) padded on both sides of its last dimensions: see `F.pad`."""

    dims: ClassVar[int]
    mode: ClassVar[str]
    padding: tuple[int, ...]

    def __init__(self, padding: Any) -> None:
        super().__init__()
        given = tuple(padding) if isinstance(padding, tuple | list) else (padding,) * 2 * self.dims
        if len(given) != 2 * self.dims:
            message = (
                f"{type(self).__name__}: expected padding as an int or {2 * self.dims} ints, got "
                f"{padding!r}; give two for every axis, the last axis first"
            )
            raise ValueError(message)
        self.padding = given

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    """The same with a value around."""

    mode = "constant"
    value: float

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """``value`` around the last dimension. padding: an int, or (front, behind)."""

    dims = 1


class ConstantPad2d(_ConstantPad):
    """``value`` around the last two dimensions. padding: an int, or (left, right, top, bottom)."""

    dims = 2


class ConstantPad3d(_ConstantPad):
    """``value`` around the last three dimensions. padding: an int, or (left, right, top, bottom,
    front, behind)."""

    dims = 3


class ZeroPad1d(ConstantPad1d):
    """Zeros around the last dimension. padding: an int, or (front, behind)."""

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(ConstantPad2d):
    """Zeros around the last two dimensions. padding: an int, or (left, right, top, bottom)."""

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad3d(ConstantPad3d):
    """Zeros around the last three dimensions. padding: an int, or (left, right, top, bottom, front,
    behind)."""

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ReflectionPad1d(_Pad):
    """The input mirrored at the ends of the last dimension, which are not repeated."""

    dims, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """The input mirrored at the ends of the last two dimensions, which are not repeated."""

    dims, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """The input mirrored at the ends of the last three dimensions, which are not repeated."""

    dims, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """The first and the last element of the last dimension repeated around it."""

    dims, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The edge of the last two dimensions repeated around it."""

    dims, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """The edge of the last three dimensions repeated around it."""

    dims, mode = 3, "replicate"


class _CircularPad(_Pad):
    """The input repeated around its last dimensions."""

    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (self.dims + 1, self.dims + 2):
            message = (
                f"{type(self).__name__}: expected an input of {self.dims + 1} or {self.dims + 2} "
                f"dimensions, got {input.shape}; unsqueeze(0) adds one"
            )
            raise ValueError(message)
        return super().forward(input)


class CircularPad1d(_CircularPad):
    """The input repeated around its last dimension."""

    dims = 1


class CircularPad2d(_CircularPad):
    """The input repeated around its last two dimensions."""

    dims = 2


class CircularPad3d(_CircularPad):
    """The input repeated around its last three dimensions."""

    dims = 3
