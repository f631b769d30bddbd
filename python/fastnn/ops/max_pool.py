# SPDX-License-Identifier: BSD-3-Clause
"""Maximum pooling.

    y[o] = max over k of x[o stride - padding + k dilation],     padding being -inf

Shapes:   x (n, c, spatial...), also without n -> y with as many windows; 3-D: ops/pool3d.py.
Backward: dx[place of the maximum of o] += dy[o], in the order of o.
Saved:    the places, as int32, or a byte for each (ops/_max_pool_halves.py).
Source:   Weng, Ahuja and Huang 1992, "Cresceptron"; Scherer, Müller and Behnke 2010.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._max_pool_halves import MaxPoolHalves, halving
from fastnn.ops._tied import of_input
from fastnn.ops._windows import check_input, planes, spans, windows
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def max_pool_forward(
    x: Any,
    y: Any,
    indices: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
) -> None:
    """The maxima of the windows and, if asked for, their places in the plane.

    x (p, d, h, w), y and indices (p, od, oh, ow). The first of equal elements counts, and NaN over
    numbers (the last of several); a window without an element gives -inf and -1. Empty lists of
    sizes ask for adaptive windows.
    """
    xp, given = array_module(x), (kernel, stride, padding, dilation)
    _, _, h, w = x.shape
    axes = [spans(x.shape[i + 1], y.shape[i + 1], i, given) for i in range(3)]
    rows = xp.arange(x.shape[0])
    for place in itertools.product(*(range(n) for n in y.shape[1:])):
        cut = tuple(slice(*a[o]) for a, o in zip(axes, place, strict=True))
        inside = x[:, *cut]
        n = math.prod(inside.shape[1:])
        inside = inside.reshape(x.shape[0], n)
        if n == 0:
            y[:, *place] = xp.iinfo(y.dtype).min if y.dtype.kind in "iu" else -xp.inf
            if indices is not None:
                indices[:, *place] = -1
            continue
        nan = xp.isnan(inside)
        at = xp.where(
            nan.any(axis=1), n - 1 - xp.argmax(nan[:, ::-1], axis=1), xp.argmax(inside, axis=1)
        )
        y[:, *place] = inside[rows, at]
        if indices is not None:
            i, j, k = (xp.arange(c.start, c.stop, c.step) for c in cut)
            numbers = (i[:, None, None] * h + j[:, None]) * w + k
            indices[:, *place] = numbers.reshape(-1)[at]


@reference
def max_pool_backward(grad_y: Any, indices: Any, grad_x: Any) -> None:
    """grad_x = 0; grad_x[p, indices[p, o]] += grad_y[p, o], in the order of o; -1 is left out."""
    xp = array_module(grad_y)
    if not grad_x.size:
        return
    flat = grad_x.reshape(grad_x.shape[0], -1)
    places = indices.reshape(flat.shape[0], math.prod(indices.shape[1:]))
    if places.size and (int(places.min()) < -1 or int(places.max()) >= flat.shape[1]):
        message = "max_pool_backward: an index is out of range"
        raise IndexError(message)
    flat[...] = 0
    values = grad_y.reshape(places.shape)
    rows = xp.arange(flat.shape[0])
    for o in range(places.shape[1]):
        used = places[:, o] >= 0
        flat[rows[used], places[used, o]] += values[used, o]


class MaxPool(Op):
    """Maxima of windows, and their places if ``keep``."""

    def forward(self, x: Any, n: int, shape: Any, given: Any, keep: bool) -> Any:
        table = self.kernels
        y, indices = table.empty(shape, x.dtype), None
        if keep or self.needs[0]:
            indices = table.empty(shape, _dtypes.int32.numpy)
        self.n, self.shape = n, x.shape
        x, places = (
            _common.contiguous_array(table, x),
            None if indices is None else planes(indices, n),
        )
        table.max_pool_forward(planes(x, n), planes(y, n), places, *given)
        if self.needs[0]:
            self.save(indices)
        if not keep:
            return y
        out = table.empty(shape, _dtypes.int64.numpy)
        table.cast(indices, out)
        return y, out

    def backward(self, g: Any, *_: Any) -> tuple[Any, ...]:
        (indices,) = self.saved  # type: ignore[misc]
        return (spread(self.kernels, g, indices, self.n, self.shape),)

    def backward_graph(self, g: Tensor, *_: Any) -> tuple[Any, ...]:
        (indices,) = self.saved_tensors()
        return (of_input(self, Spread.apply((g, indices), self.n, self.shape)),)


class Spread(Op):
    """Values added up at their places: the gradient of `MaxPool`, which is linear."""

    name = "max_pool_backward"

    def forward(self, g: Any, indices: Any, n: int, shape: Any) -> Any:
        self.save(indices)
        self.n, self.shape = n, shape
        return spread(self.kernels, g, indices, n, shape)

    def backward(self, g: Any) -> tuple[Any, ...]:
        (indices,) = self.saved  # type: ignore[misc]
        table = self.kernels
        places = planes(indices, self.n)
        places = places.reshape(places.shape[0], places[:1].size, 1)
        numbers = table.empty(places.shape, _dtypes.int64.numpy)
        table.cast(places, numbers)
        values = planes(_common.contiguous_array(table, g), self.n)
        values = values.reshape(values.shape[0], values[:1].size, 1)
        # At the place -1 there is no element: zero.
        none = table.empty(places.shape, _dtypes.bool_.numpy)
        zeros = _common.broadcast_array(table, table.xp.zeros((), numbers.dtype), places.shape)
        table.lt(numbers, zeros, none)
        table.where_forward(none, zeros, numbers, numbers)
        out = table.empty(places.shape, g.dtype)
        table.gather(values, numbers, out)
        zeros = _common.broadcast_array(table, table.xp.zeros((), g.dtype), places.shape)
        table.where_forward(none, zeros, out, out)
        return out.reshape(indices.shape), None

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        from fastnn.ops.gather import gather_elements  # noqa: PLC0415

        (indices,) = self.saved_tensors()
        lead = indices.ndim - self.n
        numbers = indices.long().flatten(lead)
        found = gather_elements(g.flatten(lead), lead, numbers.clamp(min=0))
        return found.masked_fill(numbers < 0, 0.0).reshape(indices.shape), None


def spread(table: Any, g: Any, indices: Any, n: int, shape: Any) -> Any:
    """The backward kernel."""
    out = table.empty(shape, g.dtype)
    g = _common.contiguous_array(table, g)
    table.max_pool_backward(planes(g, n), planes(indices, n), planes(out, n))
    return out


def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maxima of windows of the last dimension, as torch.nn.functional.max_pool1d.

    input (n, c, l) or (c, l) -> (n, c, ol), ol = floor((l + 2 padding - dilation (kernel_size - 1)
    - 1) / stride) + 1, rounded up with ``ceil_mode``; ``stride`` is kernel_size unless given.
    With ``return_indices`` a pair, the second being the places of the maxima (int64). A window in
    the padding alone gives -inf, the place -1 (torch: one beyond the input) and no gradient.
    Raises RuntimeError where sizes do not fit, TypeError for what is no tensor or no int.
    """
    check_input("max_pool1d", input, 1)
    fitted = windows("max_pool1d", input, 1, kernel_size, stride, padding, dilation, ceil_mode)
    return MaxPool.apply((input,), 1, *fitted, bool(return_indices))


def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maxima of windows of the last two dimensions, as torch.nn.functional.max_pool2d.

    input (n, c, h, w) or (c, h, w) -> (n, c, oh, ow), sizes as in `max_pool1d`; with
    ``return_indices`` also the places h * w_size + w of the maxima (int64).
    Raises RuntimeError where sizes do not fit, TypeError for what is no tensor or no int.
    """
    check_input("max_pool2d", input, 2)
    fitted = windows("max_pool2d", input, 2, kernel_size, stride, padding, dilation, ceil_mode)
    if not return_indices and (kernel := halving(input.shape, *fitted)):
        return MaxPoolHalves.apply((input,), fitted[0], kernel)
    return MaxPool.apply((input,), 2, *fitted, bool(return_indices))


def plain_maxima(n: int) -> Any:
    """Every window from a padded copy, found anew from the definition."""

    def formula(
        x: Any, size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False, return_indices: bool = False,
    ) -> Any:  # fmt: skip
        xp, spatial = array_module(x), x.shape[-n:]
        k, s, p, d = (
            v if isinstance(v, list) else [v] * n for v in (size, stride or size, padding, dilation)
        )
        wide = [(0, 0)] * (x.ndim - n) + [(a, a + b * c) for a, b, c in zip(p, k, d, strict=True)]
        values = xp.pad(x, wide, constant_values=-xp.inf)
        places = xp.pad(xp.arange(x[(0,) * (x.ndim - n)].size).reshape(spatial), wide[-n:])
        starts = []
        for i in range(n):
            reach, padded = d[i] * (k[i] - 1) + 1, spatial[i] + 2 * p[i]
            more = s[i] - 1 if ceil_mode else 0
            last = min(padded - reach + more, spatial[i] + p[i] - 1 if ceil_mode else padded)
            starts.append(range(0, last + 1, s[i]))
        y, at = [], []
        for place in itertools.product(*starts):
            cut = tuple(slice(a, a + b * c, c) for a, b, c in zip(place, k, d, strict=True))
            window = values[..., *cut].reshape(*x.shape[:-n], -1)
            y.append(window.max(axis=-1))
            at.append(places[cut].reshape(-1)[window.argmax(axis=-1)])
        shape = (*x.shape[:-n], *(len(r) for r in starts))
        out = [xp.stack(v, axis=-1).reshape(shape) for v in (y, at)]
        return tuple(out) if return_indices else out[0]

    return formula


_WINDOWS: list[tuple[Any, str, Any, tuple[int, ...], dict[str, Any]]] = [
    (max_pool1d, "max_pool1d", 2, (2, 3, 9), {}),
    (max_pool1d, "max_pool1d", 3, (3, 10), {"stride": 2, "padding": 1, "ceil_mode": True}),
    (max_pool1d, "max_pool1d", 3, (1, 2, 70), {"stride": 1, "return_indices": True}),
    (max_pool2d, "max_pool2d", 2, (2, 3, 12, 12), {}),
    (max_pool2d, "max_pool2d", 2, (1, 1, 5, 67), {"return_indices": True}),
    (max_pool2d, "max_pool2d", 3, (2, 2, 9, 37), {"stride": 2, "padding": 1}),
    (max_pool2d, "max_pool2d", 3, (2, 7, 40), {"stride": 1, "padding": 1, "return_indices": True}),
    (max_pool2d, "max_pool2d", [3, 2], (2, 2, 9, 20), {"stride": [2, 3], "dilation": [2, 1]}),
    (max_pool2d, "max_pool2d", 3, (1, 2, 9, 23), {"stride": 2, "dilation": 3, "padding": 1}),
    (max_pool2d, "max_pool2d", [2, 5], (1, 2, 7, 8), {"ceil_mode": True, "padding": [0, 2]}),
    (max_pool2d, "max_pool2d", 3, (1, 2, 6, 6), {"stride": 4, "padding": 1, "ceil_mode": True}),
    (max_pool2d, "max_pool2d", 4, (3, 1, 4, 4), {}),
    (max_pool2d, "max_pool2d", 2, (1, 3, 4, 4), {"stride": 1}),
    (max_pool2d, "max_pool2d", 3, (2, 1, 9, 70), {"stride": 2, "padding": 1}),
    (max_pool2d, "max_pool2d", [2, 5], (1, 2, 8, 67), {"stride": [1, 2], "padding": [0, 2]}),
]
CASES = [
    *(
        OpCase(f, name, [shape, size], kwargs=options, ref=plain_maxima(int(name[-2])))
        for f, name, size, shape, options in _WINDOWS
    ),
    # Some windows, or all, lie in the padding alone: -inf, and nothing to differentiate.
    *(
        OpCase(f, name, [shape, 2, s, 1, d], ref=plain_maxima(int(name[-2])), grad=False)
        for f, name, shape, s, d in (
            (max_pool1d, "max_pool1d", (1, 2, 1), 1, 2),
            (max_pool1d, "max_pool1d", (2, 2, 2), 1, 3),
            (max_pool2d, "max_pool2d", (2, 1, 1), 1, 2),
            (max_pool2d, "max_pool2d", (1, 2, 2, 5), [2, 1], [3, 2]),
        )
    ),
    OpCase(max_pool2d, "max_pool2d", [(0, 3, 4, 4), 2], ref=lambda x, _: x[:, :, ::2, ::2]),
    *(
        OpCase(max_pool2d, "max_pool2d", [(32, 64, 56, 56), k], options, bench=True)
        for k, options in ((2, {}), (3, {"stride": 2, "padding": 1}))
    ),
]
_BAD: list[tuple[list[Any], type[Exception], str]] = [
    ([[1.0], 2], TypeError, "expected input as a Tensor"),
    ([(3,), 2], RuntimeError, "expected input (n, c,"),
    ([(2, 3, 0), 2], RuntimeError, "expected input (n, c,"),
    ([("bool", (2, 4, 4)), 2], RuntimeError, "input of numbers"),
    ([(2, 5, 5), 2, 2, 2], RuntimeError, "at most half of kernel_size"),
    ([(2, 5, 5), 6], RuntimeError, "at least one window"),
    ([(2, 5, 5), 0], RuntimeError, "kernel_size >= 1"),
    ([(2, 5, 5), [2, 2, 2]], TypeError, "expected kernel_size as an int"),
    ([(2, 5, 5), 2.0], TypeError, "expected kernel_size as an int"),
    ([(2, 5, 5), 2**62, 1, 2**61], RuntimeError, "up to 2^20"),
    ([(2, 5, 5), 2**40, 2**39, 2**39], RuntimeError, "up to 2^20"),
]
ERRORS = [
    ErrorCase(f, name, arguments, error, text)
    for f, name in ((max_pool1d, "max_pool1d"), (max_pool2d, "max_pool2d"))
    for arguments, error, text in _BAD
]
