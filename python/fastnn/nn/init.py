# SPDX-License-Identifier: BSD-3-Clause
"""Initial values, written in place and not seen by autograd. Every function returns its tensor.

Sources: Glorot & Bengio 2010 (xavier), He et al. 2015 (kaiming).
"""

from __future__ import annotations

import math

from fastnn.autograd import no_grad
from fastnn.random import Generator
from fastnn.tensor import Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "kaiming_uniform_",
    "ones_",
    "uniform_",
    "xavier_uniform_",
    "zeros_",
]

_CONVOLUTIONS = [f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)]
_UNIT_GAIN = frozenset(["linear", "sigmoid", *_CONVOLUTIONS])


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which ``nonlinearity`` shrinks a standard deviation, inverted.

    ``param`` is the negative slope for ``leaky_relu`` (0.01 if not given).
    """
    if nonlinearity in _UNIT_GAIN:
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3.0
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2.0 / (1.0 + slope * slope))
    if nonlinearity == "selu":
        return 0.75
    message = (
        f"calculate_gain: unsupported nonlinearity {nonlinearity!r}; known are"
        f" {', '.join(sorted(_UNIT_GAIN))}, tanh, relu, leaky_relu and selu"
    )
    raise ValueError(message)


def _fans(tensor: Tensor, caller: str) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, *kernel)."""
    if tensor.ndim < 2:
        message = (
            f"{caller}: fan in and fan out can not be computed for a tensor with fewer than"
            f" 2 dimensions, got shape {tuple(tensor.shape)}; use uniform_ or zeros_ for a bias"
        )
        raise ValueError(message)
    receptive = math.prod(tensor.shape[2:])
    return tensor.shape[1] * receptive, tensor.shape[0] * receptive


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill with values uniform in [a, b)."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with ``val``."""
    with no_grad():
        return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1."""
    return constant_(tensor, 1.0)


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform in (-a, a) with a = gain * sqrt(6 / (fan_in + fan_out)); Glorot & Bengio 2010."""
    fan_in, fan_out = _fans(tensor, "xavier_uniform_")
    bound = gain * math.sqrt(6.0 / max(fan_in + fan_out, 1))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform in (-b, b) with b = gain * sqrt(3 / fan); He et al. 2015.

    a: the negative slope of the leaky ReLU that follows (0 for ReLU).
    mode: ``fan_in`` keeps the variance in the forward pass, ``fan_out`` in the backward pass.
    """
    if mode not in ("fan_in", "fan_out"):
        message = f"kaiming_uniform_: expected mode 'fan_in' or 'fan_out', got {mode!r}"
        raise ValueError(message)
    fan = _fans(tensor, "kaiming_uniform_")[mode == "fan_out"]
    if fan == 0:  # nothing to fill
        return tensor
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / fan)
    return uniform_(tensor, -bound, bound, generator)
