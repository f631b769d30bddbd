# SPDX-License-Identifier: BSD-3-Clause
"""Convolution (cross-correlation, as in torch) of signals and images; conv_volumes.py: volumes.

    y[n, o, p] = bias[o] + sum_{c, t} weight[o, c, t] x[n, c, p stride - padding + t dilation]

p and t run over one or two directions, x is zero outside. An output sees its group's channels.

Shapes:   x (n, c, *size) or (c, *size), weight (o, c / groups, *kernel), bias (o)
          -> y (n, o, *out) or (o, *out),
          out = floor((size + both paddings - dilation (kernel - 1) - 1) / stride) + 1.
Backward: dx is the transposed convolution of dy, dweight a convolution of x and dy, dbias the sum
          of dy over all but the channels; see ops/_convolution.py.
Saved:    x, weight.      Cost: 2 n o out c / groups kernel flop; the columns are never in memory.
Source:   Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._convolution import Convolution, Geometry, geometry
from fastnn.ops._windows import too_small, wrong_count
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

Sizes = int | tuple[int, ...] | list[int]


def per_direction(op: str, name: str, value: Any, n: int, least: int) -> tuple[int, ...]:
    """One int for all directions, or one for each: n ints, none below ``least``."""
    values = tuple(value) if isinstance(value, tuple | list) else (value,)
    if len(values) == 1:
        values *= n
    try:
        numbers = tuple([int(v.__index__()) for v in values])
    except (AttributeError, TypeError):
        raise wrong_count(op, name, n, value, TypeError) from None
    if len(numbers) != n:
        raise wrong_count(op, name, n, value, RuntimeError)
    if min(numbers) < least:
        raise too_small(op, name, least, value)
    return numbers


def check_operands(op: str, n: int, input: Any, weight: Any, bias: Any) -> None:
    """Tensors of one type of numbers with the right numbers of dimensions."""
    if _common.are_floats(input, weight, bias) and input.ndim == weight.ndim == n + 2:
        return
    _common.require_tensor(op, "input", input)
    _common.require_tensor(op, "weight", weight)
    _common.require_numbers(op, "input", input)
    if bias is not None:
        _common.require_tensor(op, "bias", bias)
    if input.ndim not in (n + 1, n + 2) or weight.ndim != n + 2:
        message = (
            f"{op}: expected input of {n + 1} dimensions (unbatched) or {n + 2} (batched) and "
            f"weight of {n + 2}, got {input.shape} and {weight.shape}; reshape input to (n, c, "
            f"{', '.join('dhw'[3 - n :])})"
        )
        raise RuntimeError(message)
    for name, other in (("weight", weight), ("bias", bias)):
        if other is not None and other.array.dtype != input.array.dtype:
            message = (
                f"{op}: expected input, weight and bias of one type, got input {input.dtype} and "
                f"{name} {other.dtype}; convert with .to(...)"
            )
            raise RuntimeError(message)


def check_channels(
    op: str, groups: int, channels: int, wanted: int, shapes: tuple[Any, ...], rows: int
) -> None:
    """Whether channels, weight and groups go together; ``rows`` is the weight's first size."""
    if rows < groups or rows % groups:
        message = (
            f"{op}: expected weight with a multiple of groups = {groups} at dimension 0, got "
            f"{shapes[1]}; choose groups that divide it"
        )
        raise RuntimeError(message)
    if channels != wanted:
        message = (
            f"{op}: expected input with {wanted} channels for weight {shapes[1]} and groups = "
            f"{groups}, got {channels} in {shapes[0]}; in torch's order, (n, c, ...), channels "
            "come second"
        )
        raise RuntimeError(message)


def check_bias(op: str, bias: Tensor | None, channels: int) -> None:
    """Whether a bias has one element for each channel of the output."""
    if bias is not None and bias.shape != (channels,):
        message = (
            f"{op}: expected bias ({channels},), got {bias.shape}; it has one number for each "
            "output channel"
        )
        raise RuntimeError(message)


def _paddings(
    op: str, padding: Any, kernel: tuple[int, ...], stride: Any, dilation: Any
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What stands in front and behind, in each direction."""
    if not isinstance(padding, str):
        front = per_direction(op, "padding", padding, len(kernel), 0)
        return front, front
    if padding == "valid":
        return (0,) * len(kernel), (0,) * len(kernel)
    if padding != "same":
        message = (
            f"{op}: expected padding 'same', 'valid' or ints, got {padding!r}; an int pads both "
            "sides alike"
        )
        raise RuntimeError(message)
    if max(stride) > 1:
        message = (
            f"{op}: expected a stride of 1 with padding='same', got {stride}; give the padding in "
            "ints"
        )
        raise RuntimeError(message)
    both = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return tuple([b // 2 for b in both]), tuple([b - b // 2 for b in both])


@functools.lru_cache(maxsize=4096, typed=True)
def _plan(
    op: str, shape: Any, weight: Any, stride: Any, padding: Any, dilation: Any, groups: Any
) -> tuple[Geometry, tuple[int, ...]]:
    """The geometry and the output's sizes. Raises where they do not go together."""
    n = len(weight) - 2
    steps = per_direction(op, "stride", stride, n, 1)
    spread = per_direction(op, "dilation", dilation, n, 1)
    (one,) = per_direction(op, "groups", groups, 1, 1)
    check_channels(op, one, shape[-n - 1], weight[1] * one, (shape, weight), weight[0])
    kernel, size = weight[2:], shape[-n:]
    front, back = _paddings(op, padding, kernel, steps, spread)
    padded = tuple([s + f + b for s, f, b in zip(size, front, back, strict=True)])
    reach = tuple([d * (k - 1) + 1 for d, k in zip(spread, kernel, strict=True)])
    if min(kernel) < 1 or any(p < r for p, r in zip(padded, reach, strict=True)):
        message = (
            f"{op}: expected an input at least as large as the kernel, got {size} with padding "
            f"{padded} and kernel {kernel} with dilation {reach}; pad more or use a smaller kernel"
        )
        raise RuntimeError(message)
    out = tuple([(p - r) // s + 1 for p, r, s in zip(padded, reach, steps, strict=True)])
    _common.check_extent(op, (shape[0] if len(shape) == n + 2 else 1, weight[0], *out))
    return geometry(op, steps, front, spread, one, out, kernel), out


def as_key(value: Any) -> Any:
    """A list as a tuple, so that arguments can be the key of a cache."""
    return value if type(value) in (int, tuple, str) else _common.hashed(value)


def convolve(
    op: str, n: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any,
    groups: Any,
) -> Any:  # fmt: skip
    check_operands(op, n, input, weight, bias)
    geometry, out = _plan(
        op, input.shape, weight.shape, as_key(stride), as_key(padding), as_key(dilation), groups
    )
    check_bias(op, bias, weight.shape[0])
    if input.ndim == n + 2:
        return Convolution.apply((input, weight, bias), geometry, out)
    return Convolution.apply((input.unsqueeze(0), weight, bias), geometry, out).squeeze(0)


def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1,
    padding: Sizes | str = 0, dilation: Sizes = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """y[n, o, p] = bias[o] + sum_{c, t} weight[o, c, t] x[n, c, p stride - padding + t dilation].

    input (n, c, l) or (c, l), weight (o, c / groups, k), bias (o) or None -> (n, o, out) or
    (o, out) with out = floor((l + 2 padding - dilation (k - 1) - 1) / stride) + 1.
    padding: a number of zeros on both sides, 'valid' for none, or 'same' for an output as long as
    the input (one more behind than in front if their number is odd; stride 1 only).

    Raises RuntimeError where sizes or types do not go together.
    """
    return convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)  # type: ignore[no-any-return]


def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1,
    padding: Sizes | str = 0, dilation: Sizes = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """The convolution of images, as torch.nn.functional.conv2d; the formula is `conv1d`'s.

    input (n, c, h, w) or (c, h, w), weight (o, c / groups, kh, kw), bias (o) or None -> (n, o, oh,
    ow) or (o, oh, ow). Options are ints or pairs; padding may be 'valid' or 'same' as well. float32
    taps of 3 x 3, stride 1, over many channels: Winograd, rounding relative to the largest input.

    Raises RuntimeError where sizes or types do not go together.
    """
    return convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)  # type: ignore[no-any-return]


def plain_taps(
    x: Any, w: Any, stride: Any, front: Any, back: Any, dilation: Any, groups: int
) -> Any:
    """The convolution of (n, c, *size) by its formula: one product for every tap."""
    n, xp = w.ndim - 2, array_module(x)
    x = xp.pad(x, [(0, 0), (0, 0), *zip(front, back, strict=True)])
    of = zip(x.shape[2:], w.shape[2:], stride, dilation, strict=True)
    out = [(s - d * (k - 1) - 1) // t + 1 for s, k, t, d in of]
    per, rows = w.shape[1], w.shape[0] // groups
    y = xp.zeros((x.shape[0], w.shape[0], *out), x.dtype)
    for tap in xp.ndindex(*w.shape[2:]):
        at = tuple([slice(tap[i] * dilation[i], None, stride[i]) for i in range(n)])
        part = x[(slice(None), slice(None), *at)][(..., *[slice(o) for o in out])]
        for g in range(groups):
            one = w[(slice(g * rows, (g + 1) * rows), slice(None), *tap)]
            y[:, g * rows : (g + 1) * rows] += xp.einsum(
                "oc,nc...->no...", one, part[:, g * per : (g + 1) * per]
            )
    return y


def plain_convolution(
    x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Any:  # fmt: skip
    n = w.ndim - 2
    s, d = (per_direction("plain", "", v, n, 1) for v in (stride, dilation))
    front, back = _paddings("plain", padding, w.shape[2:], s, d)
    y = plain_taps(x if x.ndim == n + 2 else x[None], w, s, front, back, d, groups)
    y = y if b is None else y + b.reshape(-1, *(1,) * n)
    return y if x.ndim == n + 2 else y[0]


def _case(x: Any, w: Any, bias: bool = True, bench: bool = False, **kwargs: Any) -> OpCase:
    fn = conv1d if len(w) == 3 else conv2d
    case = OpCase(fn, fn.__name__, [x, w, (w[0],) if bias else None], kwargs, ref=plain_convolution)
    if not bench:
        return case
    s, p = kwargs.get("stride", 1), kwargs.get("padding", 0)
    out = math.prod((x[i] + 2 * p - w[i]) // s + 1 for i in range(2, len(w)))
    flops = 2.0 * x[0] * math.prod(w) * out
    fewer = {(3, 1): 4 / 9, (7, 2): 1 / 2}.get((w[-1], s), 1) if w[1] > 1 else 1  # decision 0005
    return dataclasses.replace(case, bench=True, flops=flops, least_flops=fewer * flops)


CASES = [
    _case((2, 3, 7), (4, 3, 3)),
    _case((3, 7), (4, 3, 3), padding=1, bias=False),
    _case((2, 4, 9), (6, 2, 4), stride=2, padding=3, dilation=2, groups=2),
    _case((1, 1, 5), (1, 1, 5)),
    _case((3, 2, 40), (3, 2, 4), padding="same"),
    _case((2, 5, 20, 20), (11, 5, 3, 3), padding=1),
    _case((3, 6, 7), (4, 3, 3, 2), padding=(2, 1), stride=[2, 1]),
    _case((0, 3, 6, 7), (4, 3, 3, 3)),
    _case((3, 8, 12, 4), (17, 8, 1, 1), bias=False), _case((1, 16, 16, 16), (16, 16, 1, 1)),
    _case((2, 4, 6, 6), (6, 2, 1, 1), groups=2, stride=2),
    _case((2, 3, 9, 8), (4, 3, 3, 2), stride=3, padding=2, dilation=(2, 3)),
    _case((2, 2, 5, 5), (3, 2, 4, 3), padding="same", dilation=(1, 2)),
    _case((2, 2, 5, 5), (3, 2, 4, 3), padding="valid"),
    _case((2, 2, 3, 3), (3, 2, 5, 5), padding=2),
    _case((2, 2, 1, 1), (3, 2, 3, 3), padding=1),
    _case((2, 4, 7, 19), (4, 1, 3, 3), groups=4, padding=1),
    _case((2, 3, 8, 33), (6, 1, 3, 5), groups=3, stride=2, padding=2),
    _case((1, 2, 9, 70), (2, 1, 2, 3), groups=2, stride=(1, 3), dilation=2, bias=False),
    _case((2, 6, 5, 5), (4, 3, 3, 3), groups=2, padding=1),
    _case((2, 1, 12, 12), (7, 1, 5, 5)),
    _case((4, 5, 7, 7), (19, 5, 3, 3), padding=1),
    _case((1, 50, 4, 4), (3, 50, 3, 3), padding=1),
    _case((4, 48, 24, 25), (40, 24, 1, 1), groups=2),
    _case((32, 1, 28, 28), (32, 1, 5, 5), padding=2, bench=True),
    _case((32, 32, 14, 14), (64, 32, 3, 3), padding=1, bench=True),
    _case((16, 64, 56, 56), (64, 64, 3, 3), padding=1, bench=True),
    _case((16, 64, 56, 56), (256, 64, 1, 1), bench=True),
    _case((16, 3, 64, 64), (64, 3, 7, 7), stride=2, padding=3, bench=True),
    _case((16, 128, 28, 28), (128, 1, 3, 3), padding=1, groups=128, bench=True),
]  # fmt: skip
_OK = [(2, 4, 8, 8), (6, 4, 3, 3)]
ERRORS = [
    ErrorCase(conv2d, "conv2d", [(2, 3, 8, 8), (6, 4, 3, 3)], RuntimeError, "with 4 channels"),
    ErrorCase(conv2d, "conv2d", [*_OK, (5,)], RuntimeError, "expected bias (6,), got (5,)"),
    ErrorCase(conv2d, "conv2d", [(8, 8), _OK[1]], RuntimeError, "3 dimensions (unbatched)"),
    ErrorCase(conv2d, "conv2d", _OK, RuntimeError, "expected groups >=", {"groups": 0}),
    ErrorCase(conv2d, "conv2d", _OK, RuntimeError, "multiple of groups = 4", {"groups": 4}),
    ErrorCase(conv2d, "conv2d", _OK, RuntimeError, "expected stride >=", {"stride": 0}),
    ErrorCase(conv2d, "conv2d", _OK, RuntimeError, "stride as an int", {"stride": (1, 2, 3)}),
    ErrorCase(conv2d, "conv2d", _OK, TypeError, "stride as an int", {"stride": 1.5}),
    ErrorCase(conv2d, "conv2d", _OK, RuntimeError, "expected padding >=", {"padding": -1}),
    ErrorCase(conv2d, "conv2d", _OK, RuntimeError, "'same', 'valid' or", {"padding": "full"}),
    ErrorCase(conv2d, "conv2d", _OK, RuntimeError, "stride of 1", {"padding": "same", "stride": 2}),
    ErrorCase(conv2d, "conv2d", _OK, RuntimeError, "as large as the kernel", {"dilation": 5}),
    ErrorCase(conv2d, "conv2d", _OK, RuntimeError, "fewer than 2^60", {"padding": 2**62}),
    ErrorCase(conv2d, "conv2d", _OK, RuntimeError, "to 2^27", {"padding": 2**62, "stride": 2**62}),
    ErrorCase(conv2d, "conv2d", [("int", (2, 4, 8, 8), 0, 9), _OK[1]], RuntimeError, "one type"),
    ErrorCase(conv1d, "conv1d", [(2, 4, 8), (6, 4, 9)], RuntimeError, "as large as the kernel"),
    ErrorCase(conv1d, "conv1d", [(2, 4, 8), _OK[1]], RuntimeError, "weight of 3"),
    ErrorCase(conv1d, "conv1d", [(2, 4, 8), [[1.0]]], TypeError, "weight as a Tensor"),
]  # fmt: skip
