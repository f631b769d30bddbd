# SPDX-License-Identifier: BSD-3-Clause
"""Maximum pooling that halves an image, for gradients: a byte says which element of a window won.

Windows of 2 by 2, or of 3 by 3 with a padding of 1, and a stride of 2 over an even height and
width. Every window lies in the 3 by 3 elements around (2 j, 2 i); its winner is 3 r + c, with r and
c the row and column of the maximum there.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._common import Shape
from fastnn.ops._tied import of_input
from fastnn.ops._windows import Windows, planes
from fastnn.tensor import Tensor

_GIVEN: dict[int, Windows] = {
    2: ((1, 2, 2), (1, 2, 2), (0, 0, 0), (1, 1, 1)),
    3: ((1, 3, 3), (1, 2, 2), (0, 1, 1), (1, 1, 1)),
}
_MOST_WIDTH = 1 << 13  # csrc/ops/pooling_halves.h


def halving(shape: Shape, out: Shape, given: Windows) -> int:
    """2 or 3, the size of the windows; 0: the kernels below are not for them."""
    if shape[-2] != 2 * out[-2] or shape[-1] != 2 * out[-1] or shape[-1] > _MOST_WIDTH:
        return 0
    if shape[-2] * shape[-1] >= 2**31:  # places are int32
        return 0
    return next((k for k, windows in _GIVEN.items() if windows == given), 0)


def _taps(xp: Any, height: int, width: int, kernel: int) -> Any:
    """(winner, whether it lies inside, its row and column) by output, winners in their order."""
    rows, columns = xp.arange(0, height, 2)[:, None], xp.arange(0, width, 2)
    for r, c in itertools.product(range(3 - kernel, 3), repeat=2):
        row, column = rows + r - 1, columns + c - 1
        yield 3 * r + c, (row >= 0) & (column >= 0), row, column


@reference
def max_pool_halves_forward(x: Any, y: Any, winners: Any, kernel: int) -> None:
    """The maxima of the windows and their winners; x (p, h, w), y and winners (p, h / 2, w / 2).

    The first of equal elements counts, and NaN over numbers (the last of several).
    """
    xp = array_module(x)
    _, height, width = x.shape
    y[...] = -xp.inf
    first = xp.ones(y.shape, bool)
    for winner, inside, row, column in _taps(xp, height, width, kernel):
        value = x[:, row, column]
        better = inside & (first | (value > y) | xp.isnan(value))
        y[better] = value[better]
        winners[better] = winner
        first &= ~inside


@reference
def max_pool_halves_backward(grad_y: Any, winners: Any, grad_x: Any, kernel: int) -> None:
    """grad_x = the sum, in the order of the outputs, of grad_y over those that an element won."""
    xp = array_module(grad_y)
    _, height, width = grad_x.shape
    grad_x[...] = 0
    # Of the outputs that see an element, the first sees it as its last.
    for winner, inside, row, column in reversed(list(_taps(xp, height, width, kernel))):
        won = xp.where(inside & (winners == winner), grad_y, grad_y.dtype.type(0))
        top, left = int(not inside[0, -1]), int(not inside[-1, 0])
        grad_x[:, row[top:], column[left:]] += won[:, top:, left:]


class MaxPoolHalves(Op):
    """Maxima of windows that halve images."""

    name = "maxpool"

    def forward(self, x: Any, shape: Shape, kernel: int) -> Any:
        table = self.kernels
        y, x = table.empty(shape, x.dtype), _common.contiguous_array(table, x)
        self.shape, self.kernel = x.shape, kernel
        if self.needs[0]:
            winners = table.empty(shape, _dtypes.uint8.numpy)
            table.max_pool_halves_forward(_images(x), _images(y), _images(winners), kernel)
            self.save(winners)
        else:
            table.max_pool_forward(planes(x, 2), planes(y, 2), None, *_GIVEN[kernel])
        return y

    def backward(self, g: Any) -> tuple[Any, ...]:
        (winners,) = self.saved  # type: ignore[misc]
        table = self.kernels
        out = table.empty(self.shape, g.dtype)
        g = _common.contiguous_array(table, g)
        table.max_pool_halves_backward(_images(g), _images(winners), _images(out), self.kernel)
        return (out,)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        from fastnn.ops.max_pool import Spread  # noqa: PLC0415

        (winners,) = self.saved_tensors()
        places = _places(winners, self.shape[-1])
        return (of_input(self, Spread.apply((g, places), 2, self.shape)),)


def _images(array: Any) -> Any:
    """A contiguous array as (planes, h, w)."""
    shape = array.shape
    return array.reshape(math.prod(shape[:-2]), shape[-2], shape[-1])


def _places(winners: Tensor, width: int) -> Tensor:
    """The places of the maxima in their planes."""
    from fastnn.ops.creation import arange  # noqa: PLC0415

    numbers, device = winners.int(), winners.device
    height, out = winners.shape[-2:]
    rows = arange(0, 2 * height, 2, dtype=numbers.dtype, device=device).reshape(height, 1)
    columns = arange(0, 2 * out, 2, dtype=numbers.dtype, device=device)
    down = numbers // 3
    return (rows + down - 1) * width + (columns + numbers - 3 * down - 1)
