# SPDX-License-Identifier: BSD-3-Clause
"""Dropout: each element is set to zero with probability p, the others are scaled by 1 / (1 - p).

Shapes:   x (...) -> y (...).
Backward: dx = dy / (1 - p) where the element was kept, else 0.      Saved: the mask, one byte each.
Source:   Srivastava et al., "Dropout", JMLR 2014 (the scaled, "inverted" form).
"""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._in_place import check_in_place, store_result
from fastnn.ops.copy import clone
from fastnn.ops.random_fill import words
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

if TYPE_CHECKING:
    from fastnn.random import Generator


def _scale(dtype: Any, p: float) -> Any:
    return dtype.type(0.0 if p >= 1.0 else 1.0 / (1.0 - p))


@reference
def dropout_forward(x: Any, y: Any, mask: Any, state: Any, p: float) -> None:
    """mask = word >= p 2^32; y = mask ? x / (1 - p) : 0."""
    xp = array_module(x)
    kept = words(xp, x.size, state).reshape(x.shape) >= xp.uint64(int(p * 4294967296.0))
    xp.copyto(mask, kept)
    xp.copyto(y, xp.where(kept, x * _scale(x.dtype, p), xp.zeros((), x.dtype)))


@reference
def dropout_backward(grad_y: Any, mask: Any, grad_x: Any, p: float) -> None:
    """grad_x = mask ? grad_y / (1 - p) : 0."""
    xp = array_module(grad_y)
    scaled = grad_y * _scale(grad_y.dtype, p)
    xp.copyto(grad_x, xp.where(mask, scaled, xp.zeros((), grad_y.dtype)))


class Dropout(Op):
    """Zeroes elements at random."""

    def forward(self, x: Any, p: float, cell: Any) -> Any:
        table = self.kernels
        x = _common.contiguous_array(table, x)
        y = table.empty(x.shape, x.dtype)
        mask = table.empty(x.shape, _dtypes.bool_.numpy)
        table.dropout_forward(x, y, mask, cell, p)
        self.p = p
        if self.needs[0]:
            self.save(mask)
        return y

    def backward(self, g: Any) -> tuple[Any, ...]:
        (mask,) = self.saved  # type: ignore[misc]
        table = self.kernels
        grad_x = table.empty(mask.shape, g.dtype)
        table.dropout_backward(_common.contiguous_array(table, g), mask, grad_x, self.p)
        return (grad_x,)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (mask,) = self.saved_tensors()
        return (Mask.apply((g, mask), self.p),)


class Mask(Op):
    """x / (1 - p) where a mask is set: dropout with a mask that is given."""

    def forward(self, x: Any, mask: Any, p: float) -> Any:
        table = self.kernels
        self.p = p
        if self.needs[0]:
            self.save(mask)
        y = table.empty(x.shape, x.dtype)
        table.dropout_backward(_common.contiguous_array(table, x), mask, y, p)
        return y

    def backward(self, g: Any) -> tuple[Any, ...]:
        (mask,) = self.saved  # type: ignore[misc]
        table = self.kernels
        grad_x = table.empty(mask.shape, g.dtype)
        table.dropout_backward(_common.contiguous_array(table, g), mask, grad_x, self.p)
        return grad_x, None

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (mask,) = self.saved_tensors()
        return Mask.apply((g, mask), self.p), None


def check_probability(op: str, p: object) -> None:
    """Raises unless p is a number from 0 to 1."""
    if not isinstance(p, numbers.Real):
        message = f"{op}: expected p as a number from 0 to 1, got {p!r}; pass a float such as 0.5"
        raise TypeError(message)
    if not 0.0 <= float(p) <= 1.0:
        message = (
            f"{op}: expected a probability 0 <= p <= 1, got {p}; p is the part that is dropped, "
            "0.1 for 10 per cent"
        )
        raise ValueError(message)


def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Zeroes elements with probability ``p`` while training, as torch.nn.functional.dropout.

    The random numbers come from ``generator`` (None: the default one) and are the same on every
    backend. Raises ValueError unless 0 <= p <= 1.
    """
    from fastnn.random import cell_of  # noqa: PLC0415

    _common.require_tensor("dropout", "input", input)
    check_probability("dropout", p)
    if not training or p == 0.0:
        return input
    _common.require_float("dropout", "input", input)
    cell = cell_of("dropout", generator)
    if not inplace:
        return Dropout.apply((input,), float(p), cell)  # type: ignore[no-any-return]
    source = clone(input) if check_in_place("dropout_", input) else input.detach()
    return store_result("dropout_", input, Dropout.apply((source,), float(p), cell))


def _plain(x: Any, p: float, training: bool = True) -> Any:
    if not training:
        return x
    xp = array_module(x)
    state = xp.asarray([1234, 0])
    kept = words(xp, x.size, state).reshape(x.shape) >= int(p * 2**32)
    return x * kept / x.dtype.type(1 - p) if p < 1 else x * 0


CASES = [
    *(
        OpCase(dropout, "dropout", [s, p], ref=_plain, seeded=True)
        for s, p in (((3, 5), 0.5), ((7, 33), 0.1), ((4,), 1.0), ((), 0.3), ((0, 3), 0.5))
    ),
    OpCase(dropout, "dropout", [(3, 5), 0.5], kwargs={"training": False}, ref=_plain, seeded=True),
    OpCase(dropout, "dropout", [(1024, 1024), 0.5], ref=_plain, seeded=True, bench=True),
]
ERRORS = [
    ErrorCase(dropout, "dropout", [(2, 3), 1.5], ValueError, "expected a probability 0 <= p <= 1"),
    ErrorCase(dropout, "dropout", [(2, 3), -0.1], ValueError, "got -0.1"),
    ErrorCase(dropout, "dropout", [[1.0]], TypeError, "expected input as a Tensor"),
    ErrorCase(dropout, "dropout", [("int", (2,), 0, 9)], RuntimeError, "floating-point type"),
]
