# SPDX-License-Identifier: BSD-3-Clause
"""The convolution kernels in NumPy: columns ("im2col") and matrix products.

Source: Chellapilla, Puri and Simard, "High performance convolutional neural networks for document
processing", 2006.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from fastnn._backend import array_module, reference

if TYPE_CHECKING:
    from collections.abc import Iterator

Three = tuple[int, int, int]
Steps = tuple[Three, Three, Three]


def _taps(size: Any, out: Any, kernel: Any, steps: Steps) -> Iterator[tuple[Any, Any, Any]]:
    """For every tap that reaches the inside: its place, the outputs that it serves, its inputs."""
    for tap in itertools.product(*map(range, kernel)):
        outputs, inputs = [], []
        for i, (t, s, p, d) in enumerate(zip(tap, *steps, strict=True)):
            first = max(0, -((t * d - p) // s))
            last = min(out[i], (size[i] - 1 + p - t * d) // s + 1)
            at = first * s - p + t * d
            outputs.append(slice(first, last))
            inputs.append(slice(at, at + (last - first - 1) * s + 1, s))
            if last <= first:
                break
        else:
            yield tap, tuple(outputs), tuple(inputs)


@reference
def im2col(x: Any, columns: Any, stride: Three, padding: Three, dilation: Three) -> None:
    """columns[n, c, t, p] = x[n, c, p stride - padding + t dilation], zero outside."""
    columns[...] = 0
    kernel, out = columns.shape[2:5], columns.shape[5:]
    for tap, outputs, inputs in _taps(x.shape[2:], out, kernel, (stride, padding, dilation)):
        columns[(slice(None), slice(None), *tap, *outputs)] = x[:, :, *inputs]


@reference
def col2im(columns: Any, x: Any, stride: Three, padding: Three, dilation: Three) -> None:
    """x = the sum of the columns that im2col makes from it: its transpose."""
    x[...] = 0
    kernel, out = columns.shape[2:5], columns.shape[5:]
    for tap, outputs, inputs in _taps(x.shape[2:], out, kernel, (stride, padding, dilation)):
        x[:, :, *inputs] += columns[(slice(None), slice(None), *tap, *outputs)]


def _columns(x: Any, kernel: Any, out: Any, steps: Steps, groups: int) -> Any:
    """The columns as matrices (n, groups, channels of a group times taps, positions)."""
    n, c = x.shape[:2]
    columns = array_module(x).empty((n, c, *kernel, *out), x.dtype)
    im2col(x, columns, *steps)
    return columns.reshape(n, groups, c // groups * math.prod(kernel), math.prod(out))


def _by_group(a: Any, groups: int) -> Any:
    """(n, o, *positions) as (n, groups, o / groups, positions)."""
    n, o, *positions = a.shape
    return a.reshape(n, groups, o // groups, math.prod(positions))


@reference
def conv_forward(
    x: Any, weight: Any, bias: Any, y: Any, stride: Three, padding: Three, dilation: Three,
    groups: int,
) -> None:  # fmt: skip
    """y[n, o, p] = bias[o] + sum_{c, t} weight[o, c, t] x[n, c, p stride - padding + t dilation].

    What is outside takes part as zero: an infinite weight makes NaN of it.
    """
    columns = _columns(x, weight.shape[2:], y.shape[2:], (stride, padding, dilation), groups)
    o = weight.shape[0]
    rows = weight.reshape(groups, o // groups, columns.shape[2])
    array_module(x).matmul(rows, columns, out=_by_group(y, groups))
    if bias is not None:
        y += bias.reshape(o, 1, 1, 1)


def _reach(tap: int, size: int, _: int, stride: int, padding: int, dilation: int) -> Three:
    """The inputs that a tap reaches in one direction: the first, how many, from which output on."""
    first = (tap * dilation - padding) % stride
    return first, max(0, -((first - size) // stride)), (first + padding - tap * dilation) // stride


@reference
def conv_backward_input(
    grad_y: Any, weight: Any, bias: Any, grad_x: Any, stride: Three, padding: Three,
    dilation: Three, groups: int,
) -> None:  # fmt: skip
    """grad_x[n, c, i] = bias[c] + sum_{o, t} weight[o, c, t] grad_y[n, o, (i + p - t d) / s].

    Over the taps for which the quotient is whole; grad_y is zero outside and takes part as that.
    """
    xp = array_module(grad_y)
    n, c, *size = grad_x.shape
    o, _, *kernel = weight.shape
    steps = (stride, padding, dilation)
    reach = [[_reach(t, *of) for t in range(of[1])] for of in zip(size, kernel, *steps)]  # noqa: B905
    front = [max(0, -min(r[2] for r in reach[d])) for d in range(3)]
    back = [max(0, max(r[1] + r[2] for r in reach[d]) - grad_y.shape[2 + d]) for d in range(3)]
    wide = [f + b + s for f, b, s in zip(front, back, grad_y.shape[2:], strict=True)]
    padded = xp.zeros((n, o, *wide), grad_y.dtype)
    inside = [slice(f, f + s) for f, s in zip(front, grad_y.shape[2:], strict=True)]
    padded[:, :, *inside] = grad_y
    rows = weight.reshape(groups, o // groups, c // groups, *kernel)
    grad_x[...] = 0
    for tap in itertools.product(*map(range, kernel)):
        reached = [reach[d][t] for d, t in enumerate(tap)]
        counts = [r[1] for r in reached]
        if 0 in counts:
            continue
        start = [f + r[2] for f, r in zip(front, reached, strict=True)]
        source = padded[:, :, *(slice(s, s + m) for s, m in zip(start, counts, strict=True))]
        one = rows[(slice(None), slice(None), slice(None), *tap)]
        part = xp.matmul(one.swapaxes(1, 2), _by_group(source, groups))
        target = (slice(r[0], None, s) for r, s in zip(reached, stride, strict=True))
        grad_x[:, :, *target] += part.reshape(n, c, *counts)
    if bias is not None:
        grad_x += bias.reshape(c, 1, 1, 1)


@reference
def conv_backward_weight(
    x: Any, grad_y: Any, grad_weight: Any, stride: Three, padding: Three, dilation: Three,
    groups: int, accumulate: bool,
) -> None:  # fmt: skip
    """grad_weight (+)= sum_{n, p} grad_y[n, o, p] x[n, c, p stride - padding + t dilation]."""
    steps = (stride, padding, dilation)
    columns = _columns(x, grad_weight.shape[2:], grad_y.shape[2:], steps, groups)
    products = array_module(x).matmul(_by_group(grad_y, groups), columns.swapaxes(2, 3))
    total = products.sum(axis=0, dtype=x.dtype).reshape(grad_weight.shape)
    if accumulate:
        grad_weight += total
    else:
        grad_weight[...] = total


@reference
def channel_sum(x: Any, y: Any, accumulate: bool) -> None:
    """y[c] (+)= sum_{n, p} x[n, c, p]."""
    total = x.sum(axis=2, dtype=x.dtype).sum(axis=0, dtype=x.dtype)
    if accumulate:
        y += total
    else:
        y[...] = total


@reference
def conv_backward_parameters(
    x: Any, grad_y: Any, grad_weight: Any, grad_bias: Any, stride: Three, padding: Three,
    dilation: Three, groups: int, accumulate: bool, accumulate_bias: bool,
) -> None:  # fmt: skip
    """The gradients of the weight and of the bias, grad_bias[o] (+)= sum_{n, p} grad_y[n, o, p]."""
    conv_backward_weight(x, grad_y, grad_weight, stride, padding, dilation, groups, accumulate)
    rows = grad_y.reshape(*grad_y.shape[:2], math.prod(grad_y.shape[2:]))
    channel_sum(rows, grad_bias, accumulate_bias)


@reference
def conv_backward_pointwise(
    x: Any, grad_y: Any, weight: Any, grad_x: Any, grad_weight: Any, grad_bias: Any, groups: int,
    accumulate: bool, accumulate_bias: bool,
) -> None:  # fmt: skip
    """The three gradients of a convolution of one tap and stride 1; grad_bias may be None."""
    steps = ((1, 1, 1), (0, 0, 0), (1, 1, 1))
    conv_backward_input(grad_y, weight, None, grad_x, *steps, groups)
    conv_backward_weight(x, grad_y, grad_weight, *steps, groups, accumulate)
    if grad_bias is not None:
        rows = grad_y.reshape(*grad_y.shape[:2], math.prod(grad_y.shape[2:]))
        channel_sum(rows, grad_bias, accumulate_bias)
