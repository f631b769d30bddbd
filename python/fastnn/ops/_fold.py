# SPDX-License-Identifier: BSD-3-Clause
"""Reduced dimensions as the middle one of three, which is what the folding kernels take."""

from __future__ import annotations

import math
from typing import Any

from fastnn.ops import _common
from fastnn.ops._common import Shape


class Fold:
    """An array's shape and the dimensions of it that are reduced, seen as (outer, n, inner).

    Neighbouring dimensions are folded as they lie; others are first brought to the end.
    """

    def __init__(self, shape: Shape, dims: Shape) -> None:
        self.shape, self.dims = shape, dims
        self.kept = tuple(d for d in range(len(shape)) if d not in dims)
        self.n = math.prod(shape[d] for d in dims)
        self.kept_shape = tuple(1 if d in dims else n for d, n in enumerate(shape))
        self.lies = not dims or dims == tuple(range(dims[0], dims[-1] + 1))
        if self.lies and dims:
            self.outer = math.prod(shape[: dims[0]])
            self.inner = math.prod(shape[dims[-1] + 1 :])
        else:
            self.outer = math.prod(shape[d] for d in self.kept)
            self.inner = 1

    @property
    def triple(self) -> tuple[int, int, int]:
        """(outer, n, inner)."""
        return self.outer, self.n, self.inner

    @property
    def pair(self) -> tuple[int, int]:
        """(outer, inner)."""
        return self.outer, self.inner

    def result_shape(self, keepdim: bool) -> Shape:
        """The shape of what is left."""
        return self.kept_shape if keepdim else tuple(self.shape[d] for d in self.kept)

    def fold(self, table: Any, x: Any) -> Any:
        """x as (outer, n, inner), contiguous."""
        if not self.lies:
            x = x.transpose((*self.kept, *self.dims))
        return _common.reshaped(table, x, self.triple)

    def rows(self, table: Any, x: Any) -> Any:
        """x as (outer inner, n), contiguous."""
        x = x.transpose((*self.kept, *self.dims)) if self.dims else x
        return _common.reshaped(table, x, (self.outer * self.inner, self.n))

    def unrows(self, table: Any, a: Any) -> Any:
        """An array (outer inner, n) in the order of x, contiguous."""
        order = (*self.kept, *self.dims)
        a = a.reshape(tuple([self.shape[d] for d in order]))
        inverse = tuple(sorted(range(len(order)), key=order.__getitem__))
        return _common.contiguous_array(table, a.transpose(inverse))

    def unfold(self, table: Any, a: Any) -> Any:
        """An array (outer, n, inner) in the order of x, contiguous."""
        return a.reshape(self.shape) if self.lies else self.unrows(table, a)

    def pairs(self, table: Any, y: Any) -> Any:
        """A result or its gradient as (outer, inner), contiguous."""
        return _common.reshaped(table, y, self.pair)
