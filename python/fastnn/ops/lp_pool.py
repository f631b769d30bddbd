# SPDX-License-Identifier: BSD-3-Clause
"""Pooling by a norm: roots of the sums of powers over windows.

    y[o] = |sum of x^p over window o|^(1/p);   p = inf, -inf: the largest, smallest magnitude

with sums below 0 (odd powers) keeping their sign, whose root is NaN unless 1 / p is odd too.

Shapes:   as `avg_pool1d`, `avg_pool2d` and `avg_pool3d` without padding.
Backward: through the operations that it is made of; 0 where a sum is 0.
Source:   Sermanet, Chintala and LeCun, "Convolutional neural networks applied to house numbers
          digit classification", 2012.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._elementwise import number
from fastnn.ops._windows import check_input, check_volume, sizes, windows
from fastnn.ops.activation import relu
from fastnn.ops.avg_pool import avg_pool1d, avg_pool2d
from fastnn.ops.max_pool import max_pool1d, max_pool2d
from fastnn.ops.pool3d import avg_pool3d, max_pool3d
from fastnn.ops.power import pow_tensors
from fastnn.ops.rounding import abs, sign
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def _pooled(
    name: str, n: int, input: Any, norm_type: Any, kernel: Any, stride: Any, ceil_mode: bool
) -> Tensor:
    _common.require_tensor(name, "input", input)
    _common.require_float(name, "input", input)
    order = number(name, "norm_type", norm_type)
    if order == 0.0:
        message = f"{name}: expected norm_type other than 0, got {norm_type}; 2 is the Euclidean"
        raise ZeroDivisionError(message)
    check_input(name, input, n)
    options = (kernel, stride, 0, 1, bool(ceil_mode))
    _, given = windows(name, input, n, *options)  # refuses what does not fit, under this name
    taps = math.prod(sizes(name, "kernel_size", kernel, n, 1))
    if math.isinf(order):
        found = _windowed(n, True, abs(input) if order > 0 else -abs(input), options)
        return found if order > 0 else -found
    if n == 3:
        check_volume(name, input, given)
    means = _windowed(n, False, pow_tensors(input, order), options)
    # relu passes no gradient where the sum is 0 and the root has none.
    return pow_tensors(sign(means) * relu(abs(means)) * taps, 1.0 / order)


def _windowed(n: int, largest: bool, x: Tensor, options: tuple[Any, ...]) -> Tensor:
    """The maxima or means of windows."""
    kernel, stride, padding, dilation, ceil_mode = options
    if largest:
        pools = (max_pool1d, max_pool2d, max_pool3d)
        result: Tensor = pools[n - 1](x, kernel, stride, padding, dilation, ceil_mode)
        return result
    means = (avg_pool1d, avg_pool2d, avg_pool3d)
    return means[n - 1](x, kernel, stride, padding, ceil_mode)


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Norms of order ``norm_type`` of windows of the last dimension, as torch's F.lp_pool1d.

    input (n, c, l) or (c, l) -> (n, c, ol), sizes as in `avg_pool1d`.
    Raises RuntimeError where sizes do not fit, TypeError for what is no tensor, int or number,
    ZeroDivisionError for norm_type 0.
    """
    return _pooled("lp_pool1d", 1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Norms of order ``norm_type`` of windows of the last two dimensions, as torch's F.lp_pool2d.

    input (n, c, h, w) or (c, h, w) -> (n, c, oh, ow), sizes as in `avg_pool2d`. Raises as
    `lp_pool1d`.
    """
    return _pooled("lp_pool2d", 2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Norms of order ``norm_type`` of windows of the last three dimensions, as torch's F.lp_pool3d.

    input (n, c, d, h, w) or (c, d, h, w) -> (n, c, od, oh, ow), sizes as in `avg_pool2d`. Raises as
    `lp_pool1d`.
    """
    return _pooled("lp_pool3d", 3, input, norm_type, kernel_size, stride, ceil_mode)


def _plain(n: int) -> Any:
    """Window by window; one that hangs over the end counts as if its mean were of a whole one."""

    def formula(x: Any, p: float, size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
        xp, spatial = array_module(x), x.shape[-n:]
        k, s = (v if isinstance(v, list) else [v] * n for v in (size, stride or size))
        more = [v - 1 if ceil_mode else 0 for v in s]
        out = [(m - a + e) // b + 1 for m, a, b, e in zip(spatial, k, s, more, strict=True)]
        y = xp.empty((*x.shape[:-n], *out), x.dtype)
        for place in itertools.product(*map(range, out)):
            cut = [slice(o * b, o * b + a) for o, a, b in zip(place, k, s, strict=True)]
            window = x[..., *cut].reshape(*x.shape[:-n], -1)
            if math.isinf(p):
                size_of = (window * window) ** 0.5
                y[..., *place] = size_of.max(-1) if p > 0 else size_of.min(-1)
            else:
                y[..., *place] = ((window**p).mean(-1) * math.prod(k)) ** (1 / p)
        return y

    return formula


_WINDOWS: list[tuple[Any, tuple[int, ...], list[Any]]] = [
    (lp_pool1d, (2, 3, 9), [2.0, 2]),
    (lp_pool1d, (3, 10), [3.0, 3, 2, True]),
    (lp_pool1d, (3, 7), [math.inf, 3, 2]),
    (lp_pool2d, (2, 2, 6, 5), [2.0, 2, 1]),
    (lp_pool2d, (2, 5, 9), [3.0, [2, 3], None, True]),
    (lp_pool2d, (1, 2, 4, 5), [-math.inf, 2]),
    (lp_pool3d, (1, 2, 3, 4, 3), [2.0, [2, 3, 1], None, True]),
    (lp_pool3d, (2, 3, 3, 4), [math.inf, 2, 1]),
    # Maxima may be of windows larger than the input; means, and so other norms, of volumes not.
    (lp_pool3d, (1, 2, 3, 3), [math.inf, 4, 4, True]),
    (lp_pool2d, (1, 3, 3), [2.0, 4, 4, True]),
]
CASES = [
    OpCase(f, f.__name__, [shape, *options], ref=_plain(int(f.__name__[-2])), low=0.1)
    for f, shape, options in _WINDOWS
]
_BAD: list[tuple[list[Any], type[Exception], str]] = [
    ([[1.0], 2.0, 2], TypeError, "expected input as a Tensor"),
    ([(2, 3, 3), "a", 2], TypeError, "expected norm_type as a number"),
    ([(2, 3, 3), 0.0, 2], ZeroDivisionError, "norm_type other than 0"),
    ([(2, 3, 3), 2.0, 9], RuntimeError, "an input of at least one window"),
    ([(2, 3, 3), 2.0, 2, -1], RuntimeError, "expected stride >= 1"),
    ([(3,), 2.0, 2], RuntimeError, "expected input (n, c,"),
]
ERRORS = [ErrorCase(f, f.__name__, *bad) for f in (lp_pool1d, lp_pool2d) for bad in _BAD]
ERRORS += [
    ErrorCase(lp_pool3d, "lp_pool3d", [(2, 3, 3, 3), *bad], error, text)
    for bad, error, text in (
        (["a", 2], TypeError, "expected norm_type as a number"),
        ([2.0, 4], RuntimeError, "an input of at least one window"),
        ([2.0, 4, 4, True], RuntimeError, "at least as large as kernel_size"),
        ([2.0, 2, 0], RuntimeError, "expected stride >= 1"),
    )
]
