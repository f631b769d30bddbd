# SPDX-License-Identifier: BSD-3-Clause
"""``LayerNorm``, ``RMSNorm``, ``GroupNorm``, ``InstanceNorm1d``, ``2d`` and ``3d``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from fastnn.nn import init
from fastnn.nn._calls import F
from fastnn.nn.batchnorm import _NormBase
from fastnn.nn.module import Module
from fastnn.nn.parameter import Parameter
from fastnn.ops import empty
from fastnn.ops._common import integer, shape_argument
from fastnn.tensor import Tensor

__all__ = [
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "RMSNorm",
]


def _shape(name: str, given: Any) -> tuple[int, ...]:
    try:
        sizes = tuple(given)
    except TypeError:  # one size
        sizes = (given,)
    return shape_argument(name, sizes)


class _Affine(Module):
    """Weight 1 and bias 0 of some shape, where they are wanted."""

    weight: Parameter | None
    bias: Parameter | None

    def _make(
        self, shape: tuple[int, ...], weight: bool, bias: bool, device: Any, dtype: Any
    ) -> None:
        for name, wanted in (("weight", weight), ("bias", bias)):
            values = empty(shape, dtype=dtype, device=device) if wanted else None
            self.register_parameter(name, None if values is None else Parameter(values))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1 and bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class LayerNorm(_Affine):
    """The last dimensions to mean 0 and variance 1, then an affine map.

        y = (x - mean) / sqrt(var + eps) weight + bias

    Shapes: x (..., *normalized_shape), weight and bias (normalized_shape) -> the same as x.
    Errors: ``forward`` names the shapes that do not fit.
    Source: Ba, Kiros, Hinton, "Layer Normalization", 2016.
    """

    normalized_shape: tuple[int, ...]
    eps: float
    elementwise_affine: bool

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape("LayerNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        own = elementwise_affine
        self._make(self.normalized_shape, own, own and bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps},"
            f" elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(_Affine):
    """The last dimensions by the root of their mean square.

        y = x / sqrt(mean of x^2 + eps) weight

    eps None: the distance from 1 to the next number of the input's type.
    Shapes: x (..., *normalized_shape), weight (normalized_shape) -> the same as x.
    Errors: ``forward`` names the shapes that do not fit.
    Source: Zhang, Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019.
    """

    normalized_shape: tuple[int, ...]
    eps: float | None
    elementwise_affine: bool

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape("RMSNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._make(self.normalized_shape, elementwise_affine, False, device, dtype)
        del self.bias  # torch's has none, not even None

    def reset_parameters(self) -> None:
        """Weight 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(_Affine):
    """Groups of neighbouring channels of every image to mean 0 and variance 1, then an affine map.

        y = (x - mean) / sqrt(var + eps) weight + bias

    Shapes: x (n, num_channels, ...), weight and bias (num_channels) -> the same as x.
    Errors: ValueError unless num_groups divides num_channels.
    Source: Wu, He, "Group Normalization", ECCV 2018.
    """

    num_groups: int
    num_channels: int
    eps: float
    affine: bool

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        num_groups = integer("GroupNorm", "num_groups", num_groups)
        num_channels = integer("GroupNorm", "num_channels", num_channels)
        if num_groups < 1 or num_channels % num_groups != 0:
            message = (
                f"GroupNorm: expected num_groups that divides num_channels, got {num_groups} and "
                f"{num_channels}: num_channels must be divisible by num_groups; choose "
                "a divisor such as 1"
            )
            raise ValueError(message)
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self._make((num_channels,), affine, affine and bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine},"
            f" bias={self.bias is not None}"
        )


class _InstanceNorm(_NormBase):
    """Every channel of every image to mean 0 and variance 1, then an affine map if ``affine``.

        y = (x - mean) / sqrt(var + eps) weight + bias

    With ``track_running_stats`` training moves running statistics towards the means over the
    images, and evaluation uses them; without, the input's own statistics are always used.

    Errors: ValueError for an input of another number of dimensions or channels, and for one value
            per channel and image.
    Source: Ulyanov, Vedaldi, Lempitsky, "Instance Normalization", 2016.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        batched = input.ndim == self._dims[-1]
        axis = 1 if batched else 0
        if input.shape[axis] != self.num_features:
            message = (
                f"{self._get_name()}: expected {self.num_features} channels (num_features) at "
                f"dimension {axis} of the input, got {input.shape}; make the layer with "
                f"{input.shape[axis]}, or move the axis"
            )
            if self.affine or self.track_running_stats:
                raise ValueError(message)
            warnings.warn(f"{message} (without affine it is not used)", stacklevel=3)
        if self.training and self.track_running_stats:
            self._own_statistics()
        y = F.instance_norm(
            input if batched else input.unsqueeze(0),
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return y if batched else y.squeeze(0)

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        *args: Any,
    ) -> None:
        names = ("running_mean", "running_var")
        stray = [prefix + n for n in names if prefix + n in state_dict]
        # Old files hold the statistics of layers that do not keep any.
        if local_metadata.get("version") is None and not self.track_running_stats and stray:
            error_msgs = args[-1]
            error_msgs.append(
                f"unexpected running statistics {', '.join(stray)} for {self._get_name()} with"
                " track_running_stats=False: remove them from the file, or set"
                " track_running_stats=True"
            )
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


class InstanceNorm1d(_InstanceNorm):
    __doc__ = f"{_InstanceNorm.__doc__}\n    Shapes: x (n, c, l) or (c, l) -> the same."
    _dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    __doc__ = f"{_InstanceNorm.__doc__}\n    Shapes: x (n, c, h, w) or (c, h, w) -> the same."
    _dims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    __doc__ = f"{_InstanceNorm.__doc__}\n    Shapes: x (n, c, d, h, w) or (c, d, h, w) -> the same."
    _dims = (4, 5)
