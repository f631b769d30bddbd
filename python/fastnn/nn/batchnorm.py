# SPDX-License-Identifier: BSD-3-Clause
"""``BatchNorm1d``, ``BatchNorm2d``, ``BatchNorm3d``, and what they share with instance norm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from fastnn.autograd import no_grad
from fastnn.nn import init
from fastnn.nn._calls import F
from fastnn.nn.module import Module
from fastnn.nn.parameter import Parameter
from fastnn.ops import empty, empty_like, ones, tensor, zeros
from fastnn.ops._common import integer, require_tensor
from fastnn.tensor import Tensor

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d"]


class _NormBase(Module):
    """Weight, bias and running statistics of ``num_features`` channels."""

    _version = 2
    _dims: ClassVar[tuple[int, ...]]  # numbers of dimensions of the input that are taken

    num_features: int
    eps: float
    momentum: float | None
    affine: bool
    track_running_stats: bool
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        num_features = integer(self._get_name(), "num_features", num_features)
        if num_features < 0:
            message = (
                f"{self._get_name()}: expected num_features >= 0, got {num_features}; give the"
                " number of channels"
            )
            raise ValueError(message)
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            values = empty(num_features, dtype=dtype, device=device) if wanted else None
            self.register_parameter(name, None if values is None else Parameter(values))
        kept = track_running_stats
        mean = zeros(num_features, dtype=dtype, device=device) if kept else None
        var = ones(num_features, dtype=dtype, device=device) if kept else None
        self.register_buffer("running_mean", mean)
        self.register_buffer("running_var", var)
        self.register_buffer("num_batches_tracked", tensor(0, device=device) if kept else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batches seen."""
        for buffer, value in (
            (self.running_mean, 0),
            (self.running_var, 1),
            (self.num_batches_tracked, 0),
        ):
            if buffer is not None:
                buffer.fill_(value)

    def reset_parameters(self) -> None:
        """Reset the running statistics; weight 1 and bias 0."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _own_statistics(self) -> None:
        """Gives statistics that lie on read-only memory (a mapped file) a copy that training can
        change, as optimisers do with parameters. Expanded ones are left: they are refused."""
        for buffer in (self.running_mean, self.running_var, self.num_batches_tracked):
            if (
                buffer is not None
                and not getattr(buffer.array.flags, "writeable", True)  # CuPy has none read-only
                and 0 not in buffer.array.strides
            ):
                buffer.data = empty_like(buffer).copy_(buffer.data)

    def _check_input_dim(self, input: Tensor) -> None:
        """ValueError for an input of a number of dimensions that is not taken."""
        try:
            taken = input.ndim in self._dims
        except AttributeError:
            require_tensor(self._get_name(), "input", input)
            raise
        if not taken:
            wanted = " or ".join(f"{d}D" for d in self._dims)
            message = (
                f"{self._get_name()}: expected {wanted} input (got {input.ndim}D input of shape "
                f"{input.shape}); reshape it, or take the BatchNorm of its dimensions"
            )
            raise ValueError(message)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum},"
            f" affine={self.affine}, bias={self.bias is not None},"
            f" track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        *args: Any,
    ) -> None:
        version = local_metadata.get("version")
        key = prefix + "num_batches_tracked"
        # Version 1 had no count: the model keeps its own.
        if (version is None or version < 2) and self.track_running_stats and key not in state_dict:
            state_dict = {**state_dict, key: self.num_batches_tracked}
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


class _BatchNorm(_NormBase):
    """Every channel to mean 0 and variance 1 over the batch, then an affine map.

        y = (x - mean) / sqrt(var + eps) weight + bias

    In training mean and var are those of the batch, and the running statistics are moved towards
    them: r = (1 - momentum) r + momentum s; with momentum None they are the average over all
    batches. In evaluation the running statistics are used, if they are kept.

    Initial values: weight 1, bias 0, running mean 0 and variance 1.
    Errors: ValueError for an input of another number of dimensions, and for training on one value
            per channel; ``forward`` names the shapes that do not fit.
    Source: Ioffe, Szegedy, "Batch Normalization", ICML 2015.
    """

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        factor = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats:
            self._own_statistics()
            if self.num_batches_tracked is not None:
                with no_grad():
                    self.num_batches_tracked.add_(1)
                if self.momentum is None:
                    factor = 1.0 / float(self.num_batches_tracked)
        batch = self.training or (self.running_mean is None and self.running_var is None)
        # In training statistics that are not tracked are not touched, even if they are there.
        use = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if use else None,
            self.running_var if use else None,
            self.weight,
            self.bias,
            batch,
            factor,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    __doc__ = f"{_BatchNorm.__doc__}\n    Shapes: x (n, c) or (n, c, l) -> the same."
    _dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    __doc__ = f"{_BatchNorm.__doc__}\n    Shapes: x (n, c, h, w) -> the same."
    _dims = (4,)


class BatchNorm3d(_BatchNorm):
    __doc__ = f"{_BatchNorm.__doc__}\n    Shapes: x (n, c, d, h, w) -> the same."
    _dims = (5,)
