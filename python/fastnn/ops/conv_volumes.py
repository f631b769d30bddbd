# SPDX-License-Identifier: BSD-3-Clause
"""Convolution and transposed convolution of volumes.

    y[n, o, p] = bias[o] + sum_{c, t} weight[o, c, t] x[n, c, p stride - padding + t dilation]

p and t run over depth, height and width. Formulas, gradients and sizes are those of signals and
images (`ops/conv.py`, `ops/conv_transpose.py`), and so are the kernels, which have three directions
for all of them: parts of the columns are packed where the matrix product wants them, and never
stand in memory as a whole.

Shapes:   x (n, c, d, h, w) or (c, d, h, w), weight (o, c / groups, kd, kh, kw), bias (o)
          -> y (n, o, od, oh, ow) or (o, od, oh, ow).
Backward: see ops/_convolution.py.
Saved:    x, weight.      Cost: 2 n o od oh ow c / groups kd kh kw flop.
Source:   Ji, Xu, Yang and Yu, "3D convolutional neural networks for human action recognition",
          2010; Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn.ops.conv import convolve, plain_convolution
from fastnn.ops.conv_transpose import plain_transposed, transposed
from fastnn.testing import ErrorCase, OpCase

if TYPE_CHECKING:
    from fastnn.ops.conv import Sizes
    from fastnn.tensor import Tensor


def conv3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1,
    padding: Sizes | str = 0, dilation: Sizes = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """The convolution of volumes, as torch.nn.functional.conv3d:

        y[n, o, p] = bias[o] + sum_{c, t} weight[o, c, t] x[n, c, p stride - padding + t dilation]

    input (n, c, d, h, w) or (c, d, h, w), weight (o, c / groups, kd, kh, kw), bias (o) or None ->
    (n, o, od, oh, ow) or (o, od, oh, ow) with, in each direction, out = floor((size + 2 padding -
    dilation (kernel - 1) - 1) / stride) + 1. Options are ints or three of them, for depth, height
    and width. padding: a number of zeros on both sides, 'valid' for none, or 'same' for an output
    as large as the input (one more behind than in front if their number is odd; stride 1 only).

    Raises RuntimeError where sizes or types do not go together, TypeError for what is no tensor.
    """
    return convolve("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)  # type: ignore[no-any-return]


def conv_transpose3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1,
    padding: Sizes = 0, output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1,
) -> Tensor:  # fmt: skip
    """The transposed convolution of volumes, as torch.nn.functional.conv_transpose3d:

        y[n, o, p stride - padding + t dilation] += weight[c, o, t] x[n, c, p], from bias[o] on

    input (n, c, d, h, w) or (c, d, h, w), weight (c, o / groups, kd, kh, kw), bias (o) or None ->
    (n, o, od, oh, ow) or (o, od, oh, ow) with, in each direction, out = (size - 1) stride -
    2 padding + dilation (kernel - 1) + output_padding + 1. Options are ints or three of them.
    padding: what is left out on both sides of the output. output_padding: how many elements more
    at the end, to choose among the sizes that a convolution maps to the same one.

    Raises RuntimeError where sizes or types do not go together, TypeError for what is no tensor.
    """
    return transposed(  # type: ignore[no-any-return]
        "conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups,
        dilation,
    )  # fmt: skip


def _case(x: Any, w: Any, bias: bool = True, **kwargs: Any) -> OpCase:
    arguments = [x, w, (w[0],) if bias else None]
    return OpCase(conv3d, "conv3d", arguments, kwargs, ref=plain_convolution)


def _transposed_case(x: Any, w: Any, bias: bool = True, **kwargs: Any) -> OpCase:
    arguments = [x, w, (w[1] * kwargs.get("groups", 1),) if bias else None]
    return OpCase(conv_transpose3d, "conv_transpose3d", arguments, kwargs, ref=plain_transposed)


CASES = [
    _case((2, 3, 4, 5, 6), (4, 3, 3, 3, 3), padding=1),
    _case((3, 4, 5, 6), (4, 3, 2, 3, 2), padding=(1, 0, 2), stride=[1, 2, 1], bias=False),
    _case((2, 4, 5, 6, 5), (6, 2, 3, 2, 2), stride=2, padding=2, dilation=(1, 2, 3), groups=2),
    _case((0, 3, 4, 4, 4), (4, 3, 3, 3, 3)),
    _case((1, 16, 4, 8, 8), (16, 16, 1, 1, 1)),
    _case((2, 4, 5, 4, 3), (6, 4, 1, 1, 1), stride=(2, 1, 2), padding=(0, 1, 0)),
    _case((2, 2, 4, 5, 5), (3, 2, 2, 3, 4), padding="same", dilation=(1, 2, 1)),
    _case((1, 2, 4, 3, 5), (3, 2, 4, 1, 2), padding="valid"),
    _case((2, 3, 1, 2, 1), (2, 3, 3, 3, 3), padding=1),
    _case((2, 4, 3, 6, 9), (4, 1, 3, 3, 3), groups=4, padding=1),
    _case((1, 2, 6, 4, 7), (6, 1, 2, 3, 2), groups=2, stride=3, padding=(1, 1, 0)),
    _case((2, 5, 3, 4, 6), (19, 5, 2, 3, 3), padding=(0, 1, 1)),
    _transposed_case((2, 3, 3, 4, 5), (3, 4, 3, 3, 3), padding=1),
    _transposed_case((3, 2, 3, 4), (3, 4, 2, 3, 2), stride=(2, 1, 2), padding=(1, 0, 0)),
    _transposed_case((0, 3, 2, 2, 2), (3, 2, 3, 3, 3)),
    _transposed_case((2, 3, 2, 3, 4), (3, 5, 1, 1, 1)),
    _transposed_case((2, 4, 2, 3, 4), (4, 3, 4, 4, 4), stride=2, padding=1),
    _transposed_case(
        (2, 4, 3, 2, 3), (4, 3, 2, 2, 3), stride=(2, 3, 2), dilation=(3, 2, 1),
        output_padding=(2, 1, 1), groups=2,
    ),
    _transposed_case((1, 2, 2, 3, 2), (2, 3, 2, 2, 2), stride=3, bias=False),
    _transposed_case((2, 4, 3, 3, 6), (4, 1, 3, 3, 3), stride=2, padding=1, groups=4),
    _transposed_case((1, 6, 2, 3, 4), (6, 18, 3, 2, 3), padding=(1, 0, 1)),
]  # fmt: skip
_X, _W, _V = (2, 4, 5, 6, 7), (6, 4, 3, 3, 3), (4, 3, 3, 3, 3)
ERRORS = [
    ErrorCase(conv3d, "conv3d", [(2, 3, 5, 6, 7), _W], RuntimeError, "with 4 channels"),
    ErrorCase(conv3d, "conv3d", [_X, _W, (5,)], RuntimeError, "expected bias (6,), got (5,)"),
    ErrorCase(conv3d, "conv3d", [(5, 6, 7), _W], RuntimeError, "input to (n, c, d, h, w)"),
    ErrorCase(conv3d, "conv3d", [_X, (6, 4, 3, 3)], RuntimeError, "and weight of 5"),
    ErrorCase(conv3d, "conv3d", [_X, _W], RuntimeError, "an int or 3 ints", {"stride": (1, 2)}),
    ErrorCase(conv3d, "conv3d", [_X, _W], RuntimeError, "as large as the kernel", {"dilation": 3}),
    ErrorCase(
        conv3d, "conv3d", [_X, _W], RuntimeError, "stride of 1",
        {"padding": "same", "stride": (2, 1, 1)},
    ),
    ErrorCase(conv3d, "conv3d", [_X, 1.0], TypeError, "weight as a Tensor"),
    ErrorCase(
        conv_transpose3d, "conv_transpose3d", [(2, 5, 4, 4, 4), _V], RuntimeError, "4 channels"
    ),
    ErrorCase(conv_transpose3d, "conv_transpose3d", [_X, (4, 3, 3)], RuntimeError, "weight of 5"),
    ErrorCase(
        conv_transpose3d, "conv_transpose3d", [_X, _V], RuntimeError, "output_padding below",
        {"stride": (2, 2, 1), "output_padding": 1},
    ),
    ErrorCase(
        conv_transpose3d, "conv_transpose3d", [_X, _V], RuntimeError, "less padding",
        {"padding": 5},
    ),
    ErrorCase(
        conv_transpose3d, "conv_transpose3d", [_X, _V], TypeError, "padding as an",
        {"padding": "same"},
    ),
]  # fmt: skip
