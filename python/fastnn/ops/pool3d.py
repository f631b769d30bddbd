# SPDX-License-Identifier: BSD-3-Clause
"""Maximum and average pooling of volumes.

    y[o] = max or mean over k of x[o stride - padding + k dilation],     o, k of three dimensions

Shapes:   x (n, c, d, h, w), also without n -> y (n, c, od, oh, ow), the numbers of windows.
Backward: as in ops/max_pool.py and ops/avg_pool.py, whose kernels these are.
Source:   Ji, Xu, Yang and Yu 2013, "3D convolutional neural networks for human action recognition";
          Tran et al. 2015, "Learning spatiotemporal features with 3D convolutional networks".
"""

from __future__ import annotations

from typing import Any

from fastnn.ops._windows import check_input, windows
from fastnn.ops.avg_pool import mean_pool, plain_means
from fastnn.ops.max_pool import MaxPool, plain_maxima
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def max_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maxima of windows of the last three dimensions, as torch.nn.functional.max_pool3d.

    input (n, c, d, h, w) or (c, d, h, w) -> (n, c, od, oh, ow), sizes as in `max_pool1d`; with
    ``return_indices`` also the places (d * h_size + h) * w_size + w of the maxima (int64). The
    first of equal elements counts, and NaN over numbers (the last of several).
    Raises RuntimeError where sizes do not fit, TypeError for what is no tensor or no int.
    """
    check_input("max_pool3d", input, 3)
    fitted = windows("max_pool3d", input, 3, kernel_size, stride, padding, dilation, ceil_mode)
    return MaxPool.apply((input,), 3, *fitted, bool(return_indices))


def avg_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Means of windows of the last three dimensions, as torch.nn.functional.avg_pool3d.

    input (n, c, d, h, w) or (c, d, h, w) -> (n, c, od, oh, ow), sizes and options as in
    `avg_pool2d`. Unlike there, no window may be larger than the input without its padding.
    Raises RuntimeError where sizes do not fit, TypeError for what is no tensor or no int.
    """
    sizes = (kernel_size, stride, padding)
    return mean_pool("avg_pool3d", input, 3, sizes, ceil_mode, count_include_pad, divisor_override)


_MAXIMA: list[tuple[Any, tuple[int, ...], dict[str, Any]]] = [
    (2, (2, 2, 4, 4, 4), {}),
    (3, (2, 5, 6, 7), {"stride": 2, "padding": 1, "return_indices": True}),
    (3, (1, 1, 3, 4, 19), {"stride": 1, "padding": 1, "return_indices": True}),
    ([2, 3, 1], (1, 2, 5, 6, 7), {"stride": [1, 2, 3], "dilation": [2, 1, 1], "ceil_mode": True}),
    # More elements in a window than go by vectors.
    ([5, 6, 5], (1, 1, 5, 6, 7), {"stride": 2, "padding": 2, "return_indices": True}),
    # A window larger than the input.
    (4, (1, 3, 2, 3), {"padding": 1, "ceil_mode": True}),
]
_MEANS: list[tuple[Any, tuple[int, ...], dict[str, Any]]] = [
    (2, (2, 2, 4, 5, 6), {}),
    (3, (1, 2, 5, 4, 19), {"stride": 2, "padding": 1}),
    (3, (2, 4, 5, 6), {"stride": 1, "padding": 1, "count_include_pad": False}),
    ([3, 2, 1], (1, 2, 5, 6, 7), {"stride": [2, 3, 1], "ceil_mode": True}),
    ([2, 1, 3], (2, 3, 3, 4), {"padding": [1, 0, 1], "divisor_override": 5, "ceil_mode": True}),
]
CASES = [
    *(
        OpCase(max_pool3d, "max_pool3d", [shape, size], kwargs=options, ref=plain_maxima(3))
        for size, shape, options in _MAXIMA
    ),
    *(
        OpCase(avg_pool3d, "avg_pool3d", [shape, size], kwargs=options, ref=plain_means(3))
        for size, shape, options in _MEANS
    ),
    # Some windows lie in the padding alone: -inf, and nothing to differentiate.
    OpCase(
        max_pool3d,
        "max_pool3d",
        [(1, 2, 2, 3, 5), 2, [3, 1, 2], 1, [3, 1, 2]],
        ref=plain_maxima(3),
        grad=False,
    ),
    *(
        OpCase(f, f.__name__, [(0, 2, 2, 4, 2), 2], ref=lambda x, _: x[:, :, ::2, ::2, ::2])
        for f in (max_pool3d, avg_pool3d)
    ),
]
_SHAPE = (2, 5, 5, 5)
_BAD: list[tuple[list[Any], type[Exception], str]] = [
    ([[1.0], 2], TypeError, "expected input as a Tensor"),
    ([(5, 5, 5), 2], RuntimeError, "expected input (n, c, d, h, w)"),
    ([(2, 3, 0, 5), 2], RuntimeError, "expected input (n, c, d, h, w)"),
    ([("bool", _SHAPE), 2], RuntimeError, "input of numbers"),
    ([_SHAPE, 2, 2, [0, 0, 2]], RuntimeError, "at most half of kernel_size"),
    ([_SHAPE, [2, 6, 2]], RuntimeError, "at least one window"),
    ([_SHAPE, 2, [1, 0, 1]], RuntimeError, "stride >= 1"),
    ([_SHAPE, [2, 2]], TypeError, "expected kernel_size as an int or 3 ints"),
]
ERRORS = [
    *(ErrorCase(f, f.__name__, *bad) for f in (max_pool3d, avg_pool3d) for bad in _BAD),
    ErrorCase(
        max_pool3d, "max_pool3d", [_SHAPE, 2, 2, 0, -1], RuntimeError, "expected dilation >= 1"
    ),
    *(
        ErrorCase(
            avg_pool3d, "avg_pool3d", [shape, 3, 3, *more], RuntimeError, "at least as large as"
        )
        for shape, more in (
            ((1, 2, 2, 2), [0, True]),
            ((2, 1, 3, 2, 4), [1, True]),
            ((0, 1, 3, 3, 2), [1]),
            ((1, 2, 4, 4), [1]),
        )
    ),
    ErrorCase(
        avg_pool3d,
        "avg_pool3d",
        [_SHAPE, 2],
        RuntimeError,
        "divisor_override as an int that is not 0",
        {"divisor_override": 0},
    ),
]
