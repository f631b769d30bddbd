# SPDX-License-Identifier: BSD-3-Clause
"""Transposed convolution: the gradient of a convolution's input, as an operation of its own.

    y[n, o, i] = bias[o] + sum over c and the (p, t) with p stride - padding + t dilation = i of
                 weight[c, o, t] x[n, c, p]

Shapes:   x (n, c, *size) or (c, *size), weight (c, o / groups, *kernel), bias (o)
          -> y (n, o, *out) or (o, *out),
          out = (size - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1.
Backward: dx is the convolution of dy, dweight a convolution of dy and x; ops/_convolution.py.
Saved:    x, weight.      Cost: 2 n c size o / groups kernel flop; no zeros are inserted.
Source:   Zeiler et al., "Deconvolutional networks", 2010; Dumoulin and Visin, 2016.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

from fastnn._backend import array_module
from fastnn.ops._common import check_extent
from fastnn.ops._convolution import ConvolutionInput, Geometry, geometry
from fastnn.ops.conv import (
    Sizes,
    as_key,
    check_bias,
    check_channels,
    check_operands,
    per_direction,
)
from fastnn.testing import ErrorCase, OpCase

if TYPE_CHECKING:
    from fastnn.tensor import Tensor


@functools.lru_cache(maxsize=4096, typed=True)
def _plan(
    op: str, shape: Any, weight: Any, stride: Any, padding: Any, output_padding: Any, groups: Any,
    dilation: Any,
) -> tuple[Geometry, tuple[int, ...]]:  # fmt: skip
    """The geometry and the output's sizes. Raises where they do not go together."""
    n = len(weight) - 2
    steps = per_direction(op, "stride", stride, n, 1)
    front = per_direction(op, "padding", padding, n, 0)
    extra = per_direction(op, "output_padding", output_padding, n, 0)
    spread = per_direction(op, "dilation", dilation, n, 1)
    (one,) = per_direction(op, "groups", groups, 1, 1)
    check_channels(op, one, shape[-n - 1], weight[0], (shape, weight), weight[0])
    if any(e >= max(s, d) for e, s, d in zip(extra, steps, spread, strict=True)):
        message = (
            f"{op}: expected output_padding below stride or dilation, got output_padding {extra}, "
            f"stride {steps} and dilation {spread}; take less output_padding"
        )
        raise RuntimeError(message)
    of = zip(shape[-n:], weight[2:], steps, front, extra, spread, strict=True)
    out = tuple([(i - 1) * s - 2 * p + d * (k - 1) + e + 1 for i, k, s, p, e, d in of])
    batch = shape[0] if len(shape) == n + 2 else 1
    if min(*shape[-n:], *weight[2:]) < 1 or min(out) < min(batch, 1):
        message = (
            f"{op}: expected sizes of at least 1 and an output of at least 1, got input {shape}, "
            f"weight {weight} and an output of {out}; use less padding"
        )
        raise RuntimeError(message)
    check_extent(op, (batch, weight[1] * one, *out))
    return geometry(op, steps, front, spread, one, shape[-n:], weight[2:]), out


def transposed(
    op: str, n: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any,
    output_padding: Any, groups: Any, dilation: Any,
) -> Any:  # fmt: skip
    check_operands(op, n, input, weight, bias)
    geometry, out = _plan(
        op, input.shape, weight.shape, as_key(stride), as_key(padding), as_key(output_padding),
        groups, as_key(dilation),
    )  # fmt: skip
    check_bias(op, bias, weight.shape[1] * geometry.groups)
    if input.ndim == n + 2:
        return ConvolutionInput.apply((input, weight, bias), geometry, out)
    return ConvolutionInput.apply((input.unsqueeze(0), weight, bias), geometry, out).squeeze(0)


def conv_transpose1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1,
    padding: Sizes = 0, output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1,
) -> Tensor:  # fmt: skip
    """y[n, o, p stride - padding + t dilation] += weight[c, o, t] x[n, c, p], from bias[o] on.

    input (n, c, l) or (c, l), weight (c, o / groups, k), bias (o) or None -> (n, o, out) or
    (o, out) with out = (l - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1.
    padding: what is left out on both sides of the output. output_padding: how many elements more
    at the end, to choose among the sizes that a convolution maps to the same one.

    Raises RuntimeError where sizes or types do not go together, and for an output of size 0, unless
    the batch is of size 0 too (torch: empty or an error, by the batch, the type and the threads).
    """
    return transposed(  # type: ignore[no-any-return]
        "conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups,
        dilation,
    )  # fmt: skip


def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1,
    padding: Sizes = 0, output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1,
) -> Tensor:  # fmt: skip
    """Transposed convolution of images; the formula is `conv_transpose1d`'s.

    input (n, c, h, w) or (c, h, w), weight (c, o / groups, kh, kw), bias (o) or None -> (n, o, oh,
    ow) or (o, oh, ow). stride, padding, output_padding and dilation are ints or pairs.

    Raises RuntimeError where sizes or types do not go together.
    """
    return transposed(  # type: ignore[no-any-return]
        "conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups,
        dilation,
    )  # fmt: skip


def plain_transposed(
    x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> Any:  # fmt: skip
    n, xp = w.ndim - 2, array_module(x)
    s, p, e, d = (
        per_direction("plain", "", v, n, 0) for v in (stride, padding, output_padding, dilation)
    )
    rows = x if x.ndim == n + 2 else x[None]
    of = list(zip(rows.shape[2:], s, d, w.shape[2:], e, strict=True))
    full = [(i - 1) * a + f * (k - 1) + 1 + m for i, a, f, k, m in of]
    y = xp.zeros((rows.shape[0], w.shape[1] * groups, *full), x.dtype)
    inputs, per = w.shape[0] // groups, w.shape[1]
    for tap in xp.ndindex(*w.shape[2:]):
        at = [slice(t * f, t * f + (i - 1) * a + 1, a) for t, (i, a, f, _, _) in zip(tap, of)]  # noqa: B905
        for g in range(groups):
            one = w[(slice(g * inputs, (g + 1) * inputs), slice(None), *tap)]
            part = rows[:, g * inputs : (g + 1) * inputs]
            y[:, g * per : (g + 1) * per, *at] += xp.einsum("co,nc...->no...", one, part)
    inside = [slice(a, size - a) for a, size in zip(p, full, strict=True)]
    y = y[:, :, *inside]
    y = y if b is None else y + b.reshape(-1, *(1,) * n)
    return y if x.ndim == n + 2 else y[0]


def _case(x: Any, w: Any, bias: bool = True, bench: bool = False, **kwargs: Any) -> OpCase:
    fn = conv_transpose1d if len(w) == 3 else conv_transpose2d
    arguments = [x, w, (w[1] * kwargs.get("groups", 1),) if bias else None]
    flops = 2.0 * math.prod(x) * math.prod(w[1:]) if bench else None
    return OpCase(
        fn, fn.__name__, arguments, kwargs, ref=plain_transposed, bench=bench, flops=flops
    )


CASES = [
    _case((2, 3, 7), (3, 4, 3)),
    _case((3, 7), (3, 4, 3), padding=1, bias=False),
    _case((2, 4, 5), (4, 3, 4), stride=3, padding=2, output_padding=1, groups=2),
    _case((1, 2, 4), (2, 1, 2), stride=5, output_padding=4),
    _case((2, 3, 6, 7), (3, 4, 3, 3), padding=1),
    _case((3, 4, 5), (3, 4, 3, 2), stride=(2, 1), padding=(1, 0)),
    _case((0, 3, 4, 4), (3, 2, 3, 3)),
    _case((0, 3, 1, 4), (3, 2, 2, 2), padding=(1, 0)),
    _case((2, 3, 5, 6), (3, 5, 1, 1)),
    _case((2, 4, 5, 5), (4, 6, 4, 4), stride=2, padding=1),
    _case((2, 3, 4, 4), (3, 2, 3, 3), stride=2, padding=1, output_padding=1),
    _case((2, 3, 4, 5), (3, 2, 3, 4), stride=(2, 3), dilation=(3, 2), output_padding=(2, 1)),
    _case((1, 2, 4, 4), (2, 3, 2, 2), stride=4, dilation=6, bias=False),
    _case((2, 4, 6, 20), (4, 1, 3, 3), groups=4, stride=2, padding=1),
    _case((2, 6, 5, 5), (6, 1, 3, 3), groups=3, padding=1),
    _case((2, 6, 4, 4), (6, 2, 3, 3), groups=2, stride=2),
    _case((3, 8, 7, 9), (8, 19, 4, 4), stride=2, padding=1),
    _case((1, 20, 3, 3), (20, 17, 3, 3)),
    _case((2, 24, 4, 5), (24, 16, 3, 3), padding=1),
    _case((3, 16, 3, 4), (16, 12, 3, 3), stride=2, padding=1, output_padding=1),
    _case((7, 11, 2, 3), (11, 2, 4, 4), stride=2, padding=1),
    _case((2, 24, 5), (24, 14, 3), groups=2, dilation=2),
    _case((1, 12, 9), (12, 16, 5), stride=3, dilation=2),
    _case((8, 32, 14, 14), (32, 16, 4, 4), stride=2, padding=1, bench=True),
    _case((16, 64, 14, 14), (64, 32, 4, 4), stride=2, padding=1, bench=True),
]
_OK = [(2, 4, 8, 8), (4, 3, 3, 3)]
ERRORS = [
    ErrorCase(
        conv_transpose2d, "conv_transpose2d", [(2, 5, 8, 8), _OK[1]], RuntimeError, "4 channels"
    ),
    ErrorCase(
        conv_transpose2d, "conv_transpose2d", [*_OK, (4,)], RuntimeError, "expected bias (3,)"
    ),
    ErrorCase(
        conv_transpose2d, "conv_transpose2d", _OK, RuntimeError, "output_padding below",
        {"stride": 2, "output_padding": 2},
    ),
    ErrorCase(
        conv_transpose2d, "conv_transpose2d", _OK, RuntimeError, "use less padding", {"padding": 9}
    ),
    ErrorCase(
        conv_transpose2d, "conv_transpose2d", _OK, RuntimeError, "an output of (10, 0)",
        {"padding": (0, 5)},
    ),
    ErrorCase(
        conv_transpose1d, "conv_transpose1d", [(3, 1), (3, 5, 2)], RuntimeError,
        "an output of (0,)", {"padding": 1},
    ),
    ErrorCase(
        conv_transpose1d, "conv_transpose1d", [(0, 3, 1), (3, 5, 2)], RuntimeError,
        "an output of (-2,)", {"padding": 2},
    ),
    ErrorCase(
        conv_transpose2d, "conv_transpose2d", _OK, RuntimeError, "fewer than 2^60",
        {"stride": 2**62},
    ),
    ErrorCase(
        conv_transpose2d, "conv_transpose2d", _OK, RuntimeError, "up to 2^27",
        {"stride": 2**40, "padding": 7 * 2**39},
    ),
    ErrorCase(
        conv_transpose2d, "conv_transpose2d", [(2, 4, 0, 8), _OK[1]], RuntimeError, "at least 1"
    ),
    ErrorCase(
        conv_transpose2d, "conv_transpose2d", _OK, RuntimeError, "multiple of", {"groups": 3}
    ),
    ErrorCase(
        conv_transpose2d, "conv_transpose2d", _OK, TypeError, "padding as an", {"padding": "same"}
    ),
    ErrorCase(
        conv_transpose1d, "conv_transpose1d", [(2, 4, 8), _OK[1]], RuntimeError, "weight of 3"
    ),
    ErrorCase(
        conv_transpose1d, "conv_transpose1d", [(2, 4, 8), (4, 3, 3)], RuntimeError,
        "expected stride >=", {"stride": -1},
    ),
    ErrorCase(
        conv_transpose1d, "conv_transpose1d", [2.0, (4, 3, 3)], TypeError, "input as a Tensor"
    ),
]  # fmt: skip
