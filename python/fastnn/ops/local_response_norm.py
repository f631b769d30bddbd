# SPDX-License-Identifier: BSD-3-Clause
"""Channels divided by a power of the mean square of their neighbours.

    y[n, c] = x[n, c] / (k + alpha / size * sum of x[n, c']^2)^beta,
    c' from c - size // 2 to c + (size - 1) // 2, as far as there are channels

Shapes:   x (n, c, ...), of three dimensions or more -> the same.
Backward: through the squares, their padded means, the power and the division that it is made of.
Source:   Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional
          neural networks", section 3.3.
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._elementwise import number
from fastnn.ops.avg_pool import avg_pool2d
from fastnn.ops.binary import div_tensors
from fastnn.ops.pad import pad_tensor
from fastnn.ops.power import pow_tensors
from fastnn.ops.view import reshape
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Channels over their neighbours' power, as torch.nn.functional.local_response_norm.

    size: how many neighbouring channels, itself among them, are averaged; channels that are not
    there count as 0.

    Shapes: (n, c, ...) -> (n, c, ...); an input without elements is returned.   Raises TypeError
    for no tensor and for options that are no numbers, ValueError for fewer than three dimensions,
    RuntimeError for bools and size < 1.
    """
    name = "local_response_norm"
    _common.require_tensor(name, "input", input)
    if input.ndim < 3:
        message = (
            f"{name}: expected input of 3 or more dimensions, (n, c, ...), got {input.shape}; "
            "unsqueeze adds a dimension"
        )
        raise ValueError(message)
    _common.require_numbers(name, "input", input)
    if isinstance(size, bool) or not hasattr(size, "__index__"):
        message = f"{name}: expected size as an int, got {type(size).__name__}; convert with int()"
        raise TypeError(message)
    width = size.__index__()
    if width < 1:
        message = f"{name}: expected size >= 1, got {size}; 1 is the channel by itself"
        raise RuntimeError(message)
    factors = [number(name, key, v) for key, v in (("alpha", alpha), ("beta", beta), ("k", k))]
    if input.numel() == 0:
        return input
    n, c = input.shape[:2]
    squares = reshape(input * input, n, 1, c, -1)
    padded = pad_tensor(squares, (0, 0, width // 2, (width - 1) // 2))
    means = reshape(avg_pool2d(padded, (width, 1), 1), *input.shape)
    return div_tensors(input, pow_tensors(means * factors[0] + factors[2], factors[1]))


def _plain(x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    """Channel by channel."""
    xp = array_module(x)
    y = xp.empty_like(x)
    for c in range(x.shape[1]):
        near = x[:, max(c - size // 2, 0) : c + (size - 1) // 2 + 1]
        y[:, c] = x[:, c] / (k + alpha * ((near * near).sum(1) / size)) ** beta
    return y


CASES = [
    *(
        OpCase(local_response_norm, "local_response_norm", [s, size], options, _plain)
        for s, size, options in (
            ((2, 5, 4), 3, {}),
            ((2, 5, 4), 1, {"alpha": 1.0}),
            ((2, 5, 4), 2, {"alpha": 0.7, "beta": 0.5, "k": 2.0}),
            ((2, 3, 4), 9, {"alpha": 1.0}),
            ((1, 1, 1), 4, {"alpha": 1.0}),
            ((2, 6, 3, 4), 4, {"alpha": 1.0, "beta": 1.25}),
            ((2, 3, 2, 1, 2, 2), 2, {"alpha": 1.0}),
            ((0, 3, 4), 2, {}),
            ((2, 3, 0), 2, {}),
        )
    ),
    OpCase(
        local_response_norm, "local_response_norm", [(8, 32, 27, 27), 5], ref=_plain, bench=True
    ),
]
_BAD: list[tuple[list[Any], type[Exception], str]] = [
    ([[1.0], 2], TypeError, "expected input as a Tensor"),
    ([(2, 3), 2], ValueError, "3 or more dimensions"),
    ([("bool", (2, 3, 4)), 2], RuntimeError, "input of numbers"),
    ([(2, 3, 4), 0], RuntimeError, "expected size >= 1, got 0"),
    ([(2, 3, 4), 2.0], TypeError, "expected size as an int, got float"),
    ([(2, 3, 4), 2, "a"], TypeError, "expected alpha as a number"),
    ([(2, 3, 4), 2, 1.0, None], TypeError, "expected beta as a number"),
]
ERRORS = [ErrorCase(local_response_norm, "local_response_norm", *bad) for bad in _BAD]
