# SPDX-License-Identifier: BSD-3-Clause
"""Initial values, written in place and not seen by autograd. Every function returns its tensor.

A weight is (out, in, *kernel); fan_in = in * prod(kernel) and fan_out = out * prod(kernel) are the
numbers of terms that an output and a gradient are sums of.

Sources: Glorot & Bengio 2010 (xavier), He et al. 2015 (kaiming), Saxe et al. 2014 (orthogonal),
Martens 2010 (sparse), Zagoruyko & Komodakis 2017 (dirac).
"""

from __future__ import annotations

import math
import warnings

from fastnn import ops
from fastnn.autograd import no_grad
from fastnn.nn._old_names import old_name
from fastnn.nn._truncated_normal import truncated_normal
from fastnn.ops._common import require_tensor
from fastnn.ops._elementwise import number
from fastnn.ops._initial import orthogonal as _orthogonal_factor
from fastnn.random import Generator, randperm
from fastnn.tensor import Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_CONVOLUTIONS = [f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)]
_UNIT_GAIN = frozenset(["linear", "sigmoid", *_CONVOLUTIONS])
_GAINS = {"tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which ``nonlinearity`` shrinks a standard deviation, inverted.

    ``param`` is the negative slope for ``leaky_relu`` (0.01 if not given).
    """
    if nonlinearity in _UNIT_GAIN:
        return 1.0
    if nonlinearity in _GAINS:
        return _GAINS[nonlinearity]
    if nonlinearity == "leaky_relu":
        if isinstance(param, bool) or not isinstance(param, int | float | None):
            message = (
                f"calculate_gain: expected the negative slope as a number, got {param!r}; leave it"
                " out for 0.01"
            )
            raise ValueError(message)
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1.0 + slope * slope))
    message = (
        f"calculate_gain: expected tanh, relu, leaky_relu, selu, {', '.join(sorted(_UNIT_GAIN))}, "
        f"got {nonlinearity!r}; take the one most alike"
    )
    raise ValueError(message)


def _calculate_fan_in_and_fan_out(tensor: Tensor, caller: str = "init") -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, *kernel); many scripts call it by torch's name."""
    require_tensor(caller, "tensor", tensor)
    if tensor.ndim < 2:
        message = (
            f"{caller}: expected 2 or more dimensions for fan in and fan out, got shape "
            f"{tuple(tensor.shape)}; use uniform_ or zeros_ for a bias"
        )
        raise ValueError(message)
    receptive = math.prod(tensor.shape[2:])
    return tensor.shape[1] * receptive, tensor.shape[0] * receptive


def _fan(tensor: Tensor, mode: str, caller: str) -> int:
    """The fan that ``mode`` names, 0 for a tensor without elements."""
    require_tensor(caller, "tensor", tensor)
    if mode not in ("fan_in", "fan_out"):
        message = f"{caller}: expected mode 'fan_in' or 'fan_out', got {mode!r}; try 'fan_in'"
        raise ValueError(message)
    if tensor.numel() == 0:
        warnings.warn(f"{caller}: initializing zero-element tensors is a no-op", stacklevel=3)
        return 0
    return _calculate_fan_in_and_fan_out(tensor, caller)[mode == "fan_out"]


def _require_dims(tensor: Tensor, caller: str, *dims: int) -> None:
    require_tensor(caller, "tensor", tensor)
    if tensor.ndim not in dims:
        wanted = " or ".join(map(str, dims))
        got = tuple(tensor.shape)
        message = f"{caller}: expected a tensor of {wanted} dimensions, got {got}; use normal_"
        raise ValueError(message)


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill with values uniform in [a, b)."""
    require_tensor("uniform_", "tensor", tensor)
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill with normally distributed values."""
    require_tensor("normal_", "tensor", tensor)
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Fill with values of the normal distribution under the condition that they are in [a, b].

    Errors: ValueError for a > b and negative std. Source: Robert 1995 (rejection).
    """
    require_tensor("trunc_normal_", "tensor", tensor)
    for key, value in (("mean", mean), ("std", std), ("a", a), ("b", b)):
        number("trunc_normal_", key, value)
    if not a <= b or not std >= 0:
        message = (
            f"trunc_normal_: expected a <= b and std >= 0, got a={a}, b={b}, std={std}; give the"
            " lower bound as a, and std without a sign"
        )
        raise ValueError(message)
    if std == 0 or a == b:
        return constant_(tensor, min(max(mean, a), b))
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "trunc_normal_: the mean is more than 2 std from [a, b]; the distribution is far from"
            " normal",
            stacklevel=2,
        )
    with no_grad():
        return tensor.copy_(truncated_normal(tensor, mean, std, a, b, generator))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with ``val``."""
    require_tensor("constant_", "tensor", tensor)
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with the identity: 1 on the diagonal, 0 elsewhere."""
    _require_dims(tensor, "eye_", 2)
    return _set_ones(tensor, [(i, i) for i in range(min(tensor.shape))])


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill a weight of a convolution (out, in, *kernel) so that it copies its input channels.

    Output channel i of every one of ``groups`` groups is input channel i, as far as both exist.
    """
    _require_dims(tensor, "dirac_", 3, 4, 5)
    if not isinstance(groups, int) or groups < 1 or tensor.shape[0] % groups:
        rows = tensor.shape[0]
        message = f"dirac_: expected groups that divide the {rows} channels, got {groups}; use 1"
        raise ValueError(message)
    each = tensor.shape[0] // groups
    middle = tuple(n // 2 for n in tensor.shape[2:])
    channels = range(min(each, tensor.shape[1]))
    return _set_ones(tensor, [(g * each + i, i, *middle) for g in range(groups) for i in channels])


def _set_ones(tensor: Tensor, places: list[tuple[int, ...]]) -> Tensor:
    with no_grad():
        tensor.zero_()
        for place in places if tensor.numel() else ():
            tensor[place] = 1.0
    return tensor


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform in (-a, a) with a = gain * sqrt(6 / (fan_in + fan_out)); Glorot & Bengio 2010."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor, "xavier_uniform_")
    bound = number("xavier_uniform_", "gain", gain) * math.sqrt(6.0 / max(fan_in + fan_out, 1))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with std = gain * sqrt(2 / (fan_in + fan_out)); Glorot & Bengio 2010."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor, "xavier_normal_")
    std = number("xavier_normal_", "gain", gain) * math.sqrt(2.0 / max(fan_in + fan_out, 1))
    return normal_(tensor, 0.0, std, generator)


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
    fan = _fan(tensor, mode, "kaiming_uniform_")
    if fan == 0:
        return tensor
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / fan)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with std = gain / sqrt(fan); He et al. 2015. Arguments as of `kaiming_uniform_`."""
    fan = _fan(tensor, mode, "kaiming_normal_")
    if fan == 0:
        return tensor
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(fan), generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Rows (or columns, if there are fewer) orthogonal and of length ``gain``; Saxe et al. 2014.

    A tensor of more than two dimensions is a matrix (out, the rest). Uniform over all such.
    """
    require_tensor("orthogonal_", "tensor", tensor)
    number("orthogonal_", "gain", gain)
    if tensor.ndim < 2:
        got = tuple(tensor.shape)
        message = f"orthogonal_: expected 2 or more dimensions, got shape {got}; use normal_"
        raise ValueError(message)
    if tensor.numel() == 0:
        return tensor
    with no_grad():
        matrix = ops.empty_like(tensor).normal_(generator=generator).reshape(tensor.shape[0], -1)
        return tensor.copy_((_orthogonal_factor(matrix) * gain).reshape(tensor.shape))


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """Normal, but a share ``sparsity`` of every column, rounded up, is 0; Martens 2010."""
    _require_dims(tensor, "sparse_", 2)
    if not 0.0 <= number("sparse_", "sparsity", sparsity) <= 1.0:
        message = f"sparse_: expected sparsity between 0 and 1, got {sparsity}; give a share"
        raise ValueError(message)
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    normal_(tensor, 0.0, std, generator)
    with no_grad():
        for j in range(columns if zeros else 0):
            tensor[randperm(rows, generator=generator)[:zeros], j] = 0.0
    return tensor


uniform = old_name(uniform_)
normal = old_name(normal_)
constant = old_name(constant_)
eye = old_name(eye_)
dirac = old_name(dirac_)
xavier_uniform = old_name(xavier_uniform_)
xavier_normal = old_name(xavier_normal_)
kaiming_uniform = old_name(kaiming_uniform_)
kaiming_normal = old_name(kaiming_normal_)
orthogonal = old_name(orthogonal_)
sparse = old_name(sparse_)
