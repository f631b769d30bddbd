# SPDX-License-Identifier: BSD-3-Clause
"""Channels as finer pixels and back, and channels of groups dealt out in turn.

    pixel_shuffle:    y[c, h r + i, w r + j] = x[c r^2 + i r + j, h, w]
    pixel_unshuffle:  its inverse
    channel_shuffle:  y[k g + i] = x[i (c / g) + k],  0 <= i < g groups

Shapes:   pixel_shuffle (..., c r^2, h, w) -> (..., c, h r, w r);  channel_shuffle (n, c, ...) ->
          the same.
Backward: the inverse.
Source:   Shi et al., "Real-time single image and video super-resolution using an efficient
          sub-pixel convolutional neural network", CVPR 2016; Zhang et al., "ShuffleNet", CVPR 2018.
"""

from __future__ import annotations

from typing import Any

from fastnn.ops import _common
from fastnn.ops.view import permute, reshape
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def _factor(name: str, what: str, value: Any, input: Any, least: int) -> int:
    """A positive whole number, for an input of enough dimensions."""
    _common.require_tensor(name, "input", input)
    if input.ndim < least:
        form = "(..., c, h, w)" if what != "groups" else "(n, c, ...)"
        message = (
            f"{name}: expected input {form} of {least} or more dimensions, got {input.shape}; "
            "unsqueeze(0) adds one"
        )
        raise RuntimeError(message)
    number = _common.integer(name, what, value)
    if number < 1:
        message = f"{name}: expected {what} >= 1, got {number}; 1 changes nothing"
        raise RuntimeError(message)
    return number


def _divisible(name: str, what: str, size: int, by: int, shape: Any) -> int:
    if size % by:
        message = (
            f"{name}: expected {what} divisible by {by}, got {size} in {tuple(shape)}; choose "
            "another factor, or pad() the input"
        )
        raise RuntimeError(message)
    return size // by


def _turned(input: Tensor, split: tuple[int, ...], order: tuple[int, ...], out: Any) -> Tensor:
    """The last dimensions split up, put into another order and joined."""
    lead = input.shape[: input.ndim - 3]
    k = len(lead)
    wide = reshape(input, *lead, *split)
    return reshape(permute(wide, *range(k), *(k + d for d in order)), *lead, *out)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Channels spread over a grid r times as fine, as torch.nn.functional.pixel_shuffle.

    input (..., c r^2, h, w) -> (..., c, h r, w r), r being upscale_factor.
    Raises RuntimeError for fewer than three dimensions, r < 1 and channels not divisible by r^2,
    TypeError for no tensor and no int.
    """
    r = _factor("pixel_shuffle", "upscale_factor", upscale_factor, input, 3)
    h, w = input.shape[-2:]
    c = _divisible("pixel_shuffle", "channels", input.shape[-3], r * r, input.shape)
    return _turned(input, (c, r, r, h, w), (0, 3, 1, 4, 2), (c, h * r, w * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """The inverse of `pixel_shuffle`, as torch.nn.functional.pixel_unshuffle.

    input (..., c, h r, w r) -> (..., c r^2, h, w), r being downscale_factor.
    Raises RuntimeError for fewer than three dimensions, r < 1 and sizes not divisible by r,
    TypeError for no tensor and no int.
    """
    r = _factor("pixel_unshuffle", "downscale_factor", downscale_factor, input, 3)
    c = input.shape[-3]
    h = _divisible("pixel_unshuffle", "a height", input.shape[-2], r, input.shape)
    w = _divisible("pixel_unshuffle", "a width", input.shape[-1], r, input.shape)
    return _turned(input, (c, h, r, w, r), (0, 2, 4, 1, 3), (c * r * r, h, w))


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels in turn from every group, as torch.nn.functional.channel_shuffle.

    input (n, c, ...) of three or more dimensions -> the same shape.
    Raises RuntimeError for fewer dimensions, groups < 1 and channels not divisible by groups,
    TypeError for no tensor and no int.
    """
    g = _factor("channel_shuffle", "groups", groups, input, 3)
    n, c, *rest = input.shape
    k = _divisible("channel_shuffle", "channels", c, g, input.shape)
    wide = reshape(input, n, g, k, *rest)
    return reshape(permute(wide, 0, 2, 1, *range(3, wide.ndim)), *input.shape)


def _plain_shuffle(x: Any, r: int) -> Any:
    """Element by element of the small grid."""
    c = x.shape[-3] // (r * r)
    y = x[..., :c, :1, :1].repeat(x.shape[-2] * r, -2).repeat(x.shape[-1] * r, -1) * 0
    for i in range(r):
        for j in range(r):
            y[..., i::r, j::r] = x[..., i * r + j :: r * r, :, :]
    return y


def _plain_unshuffle(x: Any, r: int) -> Any:
    c = x.shape[-3]
    y = x[..., ::r, ::r].repeat(r * r, -3) * 0
    for k in range(c * r * r):
        y[..., k, :, :] = x[..., k // (r * r), k // r % r :: r, k % r :: r]
    return y


def _plain_channels(x: Any, g: int) -> Any:
    k = x.shape[1] // g
    return x[:, [i % g * k + i // g for i in range(g * k)]]


CASES = [
    *(
        OpCase(f, f.__name__, [shape, n], ref=ref)
        for f, ref, shape, n in (
            (pixel_shuffle, _plain_shuffle, (2, 8, 3, 2), 2),
            (pixel_shuffle, _plain_shuffle, (9, 1, 2), 3),
            (pixel_unshuffle, _plain_unshuffle, (1, 2, 3, 4, 6), 2),
            (pixel_unshuffle, _plain_unshuffle, (2, 3, 3), 3),
            (channel_shuffle, _plain_channels, (2, 6, 2, 3), 3),
            (channel_shuffle, _plain_channels, (2, 4, 5), 1),
        )
    ),
]
_BAD: list[tuple[Any, list[Any], type[Exception], str]] = [
    (pixel_shuffle, [(8, 3), 2], RuntimeError, "of 3 or more dimensions"),
    (pixel_shuffle, [(8, 3, 3), 0], RuntimeError, "expected upscale_factor >= 1, got 0"),
    (pixel_shuffle, [(9, 3, 3), 2], RuntimeError, "channels divisible by 4, got 9"),
    (pixel_shuffle, [(8, 3, 3), 2.0], TypeError, "upscale_factor as an int"),
    (pixel_unshuffle, [(8, 3), 2], RuntimeError, "of 3 or more dimensions"),
    (pixel_unshuffle, [(8, 3, 4), 2], RuntimeError, "a height divisible by 2, got 3"),
    (pixel_unshuffle, [(8, 4, 3), 2], RuntimeError, "a width divisible by 2, got 3"),
    (pixel_unshuffle, [(8, 4, 4), -1], RuntimeError, "expected downscale_factor >= 1, got -1"),
    (channel_shuffle, [(8, 3), 2], RuntimeError, "(n, c, ...) of 3 or more dimensions"),
    (channel_shuffle, [(2, 5, 3), 2], RuntimeError, "channels divisible by 2, got 5"),
    (channel_shuffle, [(2, 4, 3), 0], RuntimeError, "expected groups >= 1, got 0"),
    (channel_shuffle, [[1.0], 1], TypeError, "expected input as a Tensor"),
]
ERRORS = [ErrorCase(f, f.__name__, a, error, text) for f, a, error, text in _BAD]
