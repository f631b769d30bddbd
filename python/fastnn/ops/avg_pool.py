# SPDX-License-Identifier: BSD-3-Clause
"""Average pooling.

    y[o] = 1/n sum over k of x[o stride - padding + k],     padding being 0

Shapes:   x (n, c, spatial...), also without n -> y with as many windows; 3-D: ops/pool3d.py.
Backward: dx = the sum of dy[o] / n over the windows o that see the element, in their order.
Saved:    nothing.
Source:   LeCun et al. 1998, "Gradient-based learning applied to document recognition".
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._tied import of_input
from fastnn.ops._windows import check_input, check_volume, planes, spans, windows
from fastnn.ops.softmax import wide
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def _windows_of(x: Any, y: Any, given: Any, include_pad: bool, divisor: int) -> Any:
    """(place of the output, slices of the input, n) of every window, for the references."""
    kernel, stride, padding = given
    ones = (1,) * len(kernel)
    before, after = x.shape[1:], y.shape[1:]
    axes = [spans(before[i], after[i], i, (kernel, stride, padding, ones)) for i in range(3)]
    for place in itertools.product(*(range(n) for n in after)):
        cut = tuple(slice(*a[o]) for a, o in zip(axes, place, strict=True))
        n = divisor
        if not n and (include_pad and kernel):
            n = math.prod(
                min(k, size + p - (o * s - p))
                for k, s, p, o, size in zip(*given, place, before, strict=True)
            )
        elif not n:
            n = math.prod(max(c.stop - c.start, 0) for c in cut)
        yield place, cut, n


@reference
def avg_pool_forward(
    x: Any,
    y: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    count_include_pad: bool,
    divisor: int,
) -> None:
    """The means of the windows; x (p, d, h, w), y (p, od, oh, ow).

    Columns are added up first. The sum is divided by ``divisor`` unless that is 0, else by the
    number of elements, where padding counts if ``count_include_pad``. A window without an element
    gives 0. Empty lists of sizes ask for adaptive windows.
    """
    xp = array_module(x)
    for place, cut, n in _windows_of(x, y, (kernel, stride, padding), count_include_pad, divisor):
        inside = wide(x[:, *cut])
        if not math.prod(inside.shape[1:]):
            y[:, *place] = 0
            continue
        columns = xp.add.reduce(inside, axis=(1, 2))
        y[:, *place] = xp.add.reduce(columns, axis=1) / inside.dtype.type(n)


@reference
def avg_pool_backward(
    grad_y: Any,
    grad_x: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    count_include_pad: bool,
    divisor: int,
) -> None:
    """grad_x = 0, then grad_y / n added to every element of the window."""
    xp, given = array_module(grad_y), (kernel, stride, padding)
    sums = xp.zeros(grad_x.shape, wide(grad_x[:0]).dtype)
    for place, cut, n in _windows_of(grad_x, grad_y, given, count_include_pad, divisor):
        if all(c.start < c.stop for c in cut):
            sums[:, *cut] += (grad_y[:, *place].astype(sums.dtype) / sums.dtype.type(n))[
                :, None, None, None
            ]
    grad_x[...] = sums


class AvgPool(Op):
    """Means of windows."""

    def forward(self, x: Any, n: int, shape: Any, given: Any) -> Any:
        self.n, self.given, self.shapes = n, given, (x.shape, shape)
        return self.pooled(x)

    def pooled(self, x: Any) -> Any:
        """The forward kernel."""
        table, n = self.kernels, self.n
        y = table.empty(self.shapes[1], x.dtype)
        x = planes(_common.contiguous_array(table, x), n)
        size = math.prod(x.shape[1:])
        whole = self.given[0] in ((), x.shape[1:]) and not any(self.given[2])
        if whole and y.size and y.size == x.shape[0] and self.given[-1] == 0:
            # One window over everything is a sum of rows, for which there is a better order.
            table.sum_last(x.reshape(x.shape[0], size), y.reshape(x.shape[0]), 1, float(size))
            return y
        table.avg_pool_forward(x, planes(y, n), *self.given)
        return y

    def spread(self, g: Any) -> Any:
        """The backward kernel."""
        table = self.kernels
        out = table.empty(self.shapes[0], g.dtype)
        g = _common.contiguous_array(table, g)
        table.avg_pool_backward(planes(g, self.n), planes(out, self.n), *self.given)
        return out

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (self.spread(g),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (of_input(self, AvgSpread.apply((g,), self.n, self.shapes, self.given)),)


class AvgSpread(AvgPool):
    """The gradient of `AvgPool`, which is linear: its own gradient is `AvgPool`."""

    name = "avg_pool_backward"

    def forward(self, g: Any, n: int, shapes: Any, given: Any) -> Any:
        self.n, self.shapes, self.given = n, shapes, given
        return self.spread(g)

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (self.pooled(g),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (AvgPool.apply((g,), self.n, self.shapes[1], self.given),)


def mean_pool(
    name: str,
    input: Tensor,
    n: int,
    sizes: tuple[Any, Any, Any],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: Any,
) -> Tensor:
    """The means of windows of n dimensions; sizes: of kernel, stride and padding."""
    check_input(name, input, n)
    if divisor is not None and (not hasattr(divisor, "__index__") or divisor == 0):
        message = (
            f"{name}: expected divisor_override as an int that is not 0, got {divisor!r}; None "
            "divides by the size of the window"
        )
        raise RuntimeError(message)
    shape, given = windows(name, input, n, *sizes, 1, ceil_mode)
    if n == 3:
        check_volume(name, input, given)
    options = (*given[:3], bool(count_include_pad), int(divisor or 0))
    return AvgPool.apply((input,), n, shape, options)  # type: ignore[no-any-return]


def avg_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Means of windows of the last dimension, as torch.nn.functional.avg_pool1d.

    input (n, c, l) or (c, l) -> (n, c, ol), ol = floor((l + 2 padding - kernel_size) / stride) + 1,
    rounded up with ``ceil_mode``; ``stride`` is kernel_size unless given. ``count_include_pad``:
    whether the zeros of the padding count as elements.
    Raises RuntimeError where sizes do not fit, TypeError for what is no tensor or no int.
    """
    sizes = (kernel_size, stride, padding)
    return mean_pool("avg_pool1d", input, 1, sizes, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Means of windows of the last two dimensions, as torch.nn.functional.avg_pool2d.

    input (n, c, h, w) or (c, h, w) -> (n, c, oh, ow), sizes as in `avg_pool1d`. The sum is divided
    by ``divisor_override`` if given.
    Raises RuntimeError where sizes do not fit, TypeError for what is no tensor or no int.
    """
    sizes = (kernel_size, stride, padding)
    return mean_pool("avg_pool2d", input, 2, sizes, ceil_mode, count_include_pad, divisor_override)


def plain_means(n: int) -> Any:
    """Every window from a padded copy; a second copy counts the elements."""

    def formula(
        x: Any, size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> Any:  # fmt: skip
        xp, spatial = array_module(x), x.shape[-n:]
        k, s, p = (v if isinstance(v, list) else [v] * n for v in (size, stride or size, padding))
        inner = [(a, a) for a in p]
        behind = [(0, b) for b in k]
        counted = xp.ones(spatial, x.dtype)
        counted = xp.pad(counted, inner, constant_values=float(count_include_pad))
        counted = xp.pad(counted, behind)
        lead = [(0, 0)] * (x.ndim - n)
        values = xp.pad(xp.pad(x, lead + inner), lead + behind)
        starts = []
        for i in range(n):
            last = spatial[i] + 2 * p[i] - k[i] + (s[i] - 1 if ceil_mode else 0)
            last = min(last, spatial[i] + p[i] - 1) if ceil_mode else last
            starts.append(range(0, last + 1, s[i]))
        y = []
        for place in itertools.product(*starts):
            cut = tuple(slice(a, a + b) for a, b in zip(place, k, strict=True))
            window = values[..., *cut].reshape(*x.shape[:-n], -1)
            y.append(window.sum(axis=-1) / (divisor_override or counted[cut].sum()))
        return xp.stack(y, axis=-1).reshape(*x.shape[:-n], *(len(r) for r in starts))

    return formula


_WINDOWS: list[tuple[Any, str, Any, tuple[int, ...], dict[str, Any]]] = [
    (avg_pool1d, "avg_pool1d", 2, (2, 3, 9), {}),
    (avg_pool1d, "avg_pool1d", 3, (3, 10), {"stride": 2, "padding": 1, "ceil_mode": True}),
    (avg_pool1d, "avg_pool1d", 3, (1, 2, 70), {"stride": 1}),
    (avg_pool2d, "avg_pool2d", 2, (2, 3, 12, 68), {}),
    (avg_pool2d, "avg_pool2d", 3, (2, 2, 9, 37), {"stride": 2, "padding": 1}),
    (avg_pool2d, "avg_pool2d", 3, (2, 9, 20), {"padding": 1, "count_include_pad": False}),
    (avg_pool2d, "avg_pool2d", [3, 2], (2, 2, 9, 20), {"stride": [2, 3], "ceil_mode": True}),
    (avg_pool2d, "avg_pool2d", 4, (3, 1, 4, 4), {}),
    (avg_pool2d, "avg_pool2d", 3, (1, 2, 7, 8), {"divisor_override": 5, "stride": 1}),
    (avg_pool2d, "avg_pool2d", 3, (1, 2, 6, 7), {"stride": 4, "padding": 1, "ceil_mode": True}),
    (avg_pool2d, "avg_pool2d", 3, (2, 1, 9, 70), {"stride": 2, "padding": 1}),
    (avg_pool2d, "avg_pool2d", [2, 5], (1, 2, 8, 67), {"stride": [1, 2], "padding": [0, 2]}),
]
CASES = [
    *(
        OpCase(f, name, [shape, size], kwargs=options, ref=plain_means(int(name[-2])))
        for f, name, size, shape, options in _WINDOWS
    ),
    OpCase(avg_pool2d, "avg_pool2d", [(0, 3, 4, 4), 2], ref=lambda x, _: x[:, :, ::2, ::2]),
    *(
        OpCase(avg_pool2d, "avg_pool2d", [(32, 64, 56, 56), k], options, bench=True)
        for k, options in ((2, {}), (3, {"stride": 2, "padding": 1}))
    ),
]
_BAD: list[tuple[list[Any], type[Exception], str]] = [
    ([[1.0], 2], TypeError, "expected input as a Tensor"),
    ([(3,), 2], RuntimeError, "expected input (n, c,"),
    ([("bool", (2, 4, 4)), 2], RuntimeError, "input of numbers"),
    ([(2, 5, 5), 2, 2, 2], RuntimeError, "at most half of kernel_size"),
    ([(2, 5, 5), 6], RuntimeError, "at least one window"),
    ([(2, 5, 5), 2, -1], RuntimeError, "stride >= 1"),
    ([(2, 5, 5), None], TypeError, "expected kernel_size as an int"),
]
ERRORS = [
    *(
        ErrorCase(f, name, arguments, error, text)
        for f, name in ((avg_pool1d, "avg_pool1d"), (avg_pool2d, "avg_pool2d"))
        for arguments, error, text in _BAD
    ),
    ErrorCase(
        avg_pool2d,
        "avg_pool2d",
        [(2, 5, 5), 2],
        RuntimeError,
        "divisor_override as an int that is not 0",
        {"divisor_override": 0},
    ),
]
