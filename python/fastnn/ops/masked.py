# SPDX-License-Identifier: BSD-3-Clause
"""Rows where a mask is true, taken and put: what ``t[mask]`` is made of, and masked_select.

    take: y[..., k, ...] = x[..., p_k, ...]      put: x[..., p_k, ...] = y[..., k, ...]

p_k is the place of the k-th true element of the mask. The mask is counted block by block, so that
each block knows where its rows go; no list of places is made.

Shapes:   x (..., n, ...), mask (n) with m true elements -> (..., m, ...).
Backward: of taking: zeros with the gradient put;  of putting into zeros: taking.
Saved:    a copy of the mask.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops.view import expand, reshape
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

_BLOCK = 65536  # elements of x for each block of the mask


def _checked(kernel: str, mask: Any, starts: Any, count: int, block: int) -> Any:
    """The kernels' own check; the mask as bools."""
    blocks = -(-mask.size // block) if block > 0 else -1
    if starts.size != blocks + 1 or (count >= 0 and int(mask.sum()) != count):
        message = f"{kernel}: an argument has a value outside its range"
        raise ValueError(message)
    return mask


@reference
def true_starts(mask: Any, starts: Any, block: int) -> None:
    """starts[b] = how many of the first b blocks' elements of mask (n) are true."""
    _checked("true_starts", mask, starts, -1, block)
    starts[0] = 0
    for b in range(starts.size - 1):
        starts[b + 1] = starts[b] + mask[b * block : (b + 1) * block].sum()


@reference
def true_places(mask: Any, starts: Any, out: Any, block: int) -> None:
    """out (m) = the places of the true elements of mask (n), in order."""
    (out[...],) = _checked("true_places", mask, starts, out.size, block).nonzero()


@reference
def take_true(x: Any, mask: Any, starts: Any, y: Any, block: int) -> None:
    """y (o, m, i) = the rows of x (o, n, i) where mask (n) is true."""
    y[...] = x[:, _checked("take_true", mask, starts, y.shape[1], block)]


@reference
def put_true(y: Any, mask: Any, starts: Any, x: Any, block: int) -> None:
    """The rows of x (o, n, i) where mask (n) is true = those of y (o, m, i); others stay."""
    x[:, _checked("put_true", mask, starts, y.shape[1], block)] = y


@dataclasses.dataclass
class Kept:
    """A mask and how many of its elements are true, before each of its blocks and in all.

    mask: flat and contiguous;   shape: what it had.
    """

    mask: Any
    shape: tuple[int, ...]
    starts: Any
    block: int
    count: int

    def places(self, table: Any) -> Any:
        """The places of the true elements."""
        out = table.empty((self.count,), _dtypes.int64.numpy)
        table.true_places(self.mask, self.starts, out, self.block)
        return out

    def take(self, table: Any, x: Any) -> Any:
        """The rows of x (o, n, i) as (o, m, i)."""
        out = table.empty((x.shape[0], self.count, x.shape[2]), x.dtype)
        table.take_true(x, self.mask, self.starts, out, self.block)
        return out

    def put(self, table: Any, y: Any, x: Any) -> None:
        """Puts the rows of y (o, m, i) into x (o, n, i)."""
        table.put_true(y, self.mask, self.starts, x, self.block)

    def own(self, table: Any) -> Kept:
        """The same with a mask that nobody else can change."""
        copy = table.empty(self.mask.shape, self.mask.dtype)
        table.copy(self.mask, copy)
        return dataclasses.replace(self, mask=copy)


def counted(table: Any, mask: Any, inner: int = 1) -> Kept:
    """A mask with its counts, for rows of ``inner`` elements. The count is read on the host."""
    flat = _common.reshaped(table, mask, (mask.size,))
    block = max(64, _BLOCK // max(1, inner))
    block = max(1, min(block, flat.size))
    starts = table.empty((-(-flat.size // block) + 1,), _dtypes.int64.numpy)
    table.true_starts(flat, starts, block)
    return Kept(flat, mask.shape, starts, block, int(starts[-1]))


class TakeTrue(Op):
    """Rows (o, n, i) where a mask is true."""

    name = "indexing"

    def forward(self, x: Any, kept: Kept) -> Any:
        self.shape = x.shape
        self.kept = kept.own(self.kernels) if self.needs[0] else kept
        return kept.take(self.kernels, _common.contiguous_array(self.kernels, x))

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (_placed(self.kernels, g, self.kept, self.shape),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (PutTrue.apply((g,), self.kept, self.shape),)


class PutTrue(Op):
    """The transpose of `TakeTrue`: rows put where a mask is true, zeros elsewhere."""

    name = "indexing backward"

    def forward(self, y: Any, kept: Kept, shape: Any) -> Any:
        self.kept = kept
        return _placed(self.kernels, y, kept, shape)

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (self.kept.take(self.kernels, _common.contiguous_array(self.kernels, g)),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (TakeTrue.apply((g,), self.kept),)


def _placed(table: Any, y: Any, kept: Kept, shape: Any) -> Any:
    out = table.empty(shape, y.dtype)
    table.fill(table.xp.zeros(1, y.dtype), out)
    kept.put(table, _common.contiguous_array(table, y), out)
    return out


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask holds, in order, as torch.masked_select.

    Shapes: input (...) and mask (...) of bool broadcast together -> (m). Their number is read on
    the host. Raises RuntimeError for a mask of another type or shapes that do not broadcast.
    """
    _common.require_tensor("masked_select", "input", input)
    _common.require_tensor("masked_select", "mask", mask)
    if mask.array.dtype.kind != "b":
        message = f"masked_select: expected a mask of type bool, got {mask.dtype}; use .bool()"
        raise RuntimeError(message)
    shape = _common.broadcast_shape("masked_select", input.shape, mask.shape)
    table = _common.table_of(input, mask, op="masked_select")
    kept = counted(table, _common.broadcast_array(table, mask.array, shape))
    wide = reshape(expand(input, shape), 1, kept.mask.size, 1)
    return reshape(TakeTrue.apply((wide,), kept), kept.count)


def _plain(x: Any, mask: Any) -> Any:
    both = array_module(x).broadcast_arrays(x, mask)
    return both[0][both[1]]


CASES = [
    OpCase(masked_select, "masked_select", [a, ("bool", b)], ref=_plain)
    for a, b in (
        ((3, 4), (3, 4)),
        ((3, 1), (4,)),
        ((70, 1000), (70, 1000)),
        ((5,), (2, 1)),
        ((), (3,)),
        ((0, 3), (0, 3)),
    )
]
_BAD: list[tuple[list[Any], type[Exception], str]] = [
    ([(3,), (3,)], RuntimeError, "a mask of type bool"),
    ([(3,), ("bool", (4,))], RuntimeError, "that broadcast"),
    ([[1.0], ("bool", (4,))], TypeError, "input as a Tensor"),
]
ERRORS = [ErrorCase(masked_select, "masked_select", *bad) for bad in _BAD]
