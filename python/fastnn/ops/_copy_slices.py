# SPDX-License-Identifier: BSD-3-Clause
"""The history of a tensor of which a view was changed in place.

    y = x with the elements of view(x) replaced by value:   dx = g with zeros there;
                                                            dvalue = view(g).

A view here is a chain of view operations (class, options), each of which is run again on g.
"""

from __future__ import annotations

from typing import Any

from fastnn import _backend
from fastnn._view_history import check_view
from fastnn.autograd import Op
from fastnn.tensor import Tensor

Chain = tuple[tuple[Any, tuple[Any, ...]], ...]
Order = tuple[int, ...] | None


def memory_order(array: Any) -> Order:
    """The dimensions from the widest stride to the narrowest; None for C's order."""
    if array.flags.c_contiguous:
        return None
    return tuple(sorted(range(array.ndim), key=lambda d: -abs(array.strides[d])))


class CopySlices(Op):
    """A copy of the first input with the second written into a view of it."""

    name = "in-place change of a view"
    chain: Chain
    order: Order

    def forward(self, x: Any, value: Any, chain: Chain, order: Order) -> Any:
        self.chain, self.order = chain, order
        out = self.laid_out(x)
        self.kernels.copy(value, self.written_to(out))
        return out

    @classmethod
    def written(cls, base: Tensor, chain: Chain, value: Tensor) -> CopySlices:
        """The node for a base into whose memory, seen through a chain, a value was written."""
        check_view(cls.name, value)
        node = cls()
        node.kernels = _backend.kernels(base.array)
        node.needs = (base._requires_grad, value._requires_grad)
        node.chain, node.order = chain, memory_order(base.array)
        node.record((base, value), (Tensor._wrap(base.array),))
        return node

    def laid_out(self, x: Any) -> Any:
        """A copy whose dimensions lie in memory as the base's: it has the same views."""
        table = self.kernels
        if self.order is None:
            out = table.empty(x.shape, x.dtype)
        else:
            inverse = sorted(range(x.ndim), key=self.order.__getitem__)
            shape = tuple([x.shape[d] for d in self.order])
            out = table.empty(shape, x.dtype).transpose(inverse)
        table.copy(x, out)
        return out

    def seen(self, x: Any) -> Any:
        """The view of an array."""
        for kind, options in self.chain:
            node = kind()
            node.kernels = self.kernels
            x = node.forward(x, *options)
        return x

    def written_to(self, x: Any) -> Any:
        """The view of an array of our own; what was expanded on the way counts as read-only."""
        place = self.seen(x)
        if not place.flags.writeable:
            place.flags.writeable = True
        return place

    def backward(self, g: Any) -> tuple[Any, ...]:
        table = self.kernels
        if not self.chain:
            return self.zeros(g) if self.needs[0] else None, g
        same = self.order is None and g.flags.c_contiguous
        gx = g if same and not self.needs[0] else self.laid_out(g)
        place = self.seen(gx) if gx is g else self.written_to(gx)
        gv = None
        if self.needs[1]:
            gv = table.empty(place.shape, place.dtype)
            table.copy(place, gv)
        if not self.needs[0]:
            return None, gv
        table.fill(table.xp.zeros(1, gx.dtype), place)
        return gx, gv

    def zeros(self, g: Any) -> Any:
        out = self.kernels.empty(g.shape, g.dtype)
        self.kernels.fill(self.kernels.xp.zeros(1, g.dtype), out)
        return out

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        if not self.chain:
            return Tensor._wrap(self.zeros(g.array)) if self.needs[0] else None, g
        g = g.contiguous() if self.order is None else self.turned(g)
        place = g
        for kind, options in self.chain:
            place = kind.apply((place,), *options)
        gx = None
        if self.needs[0]:
            zero = Tensor._wrap(self.zeros(place.array))
            gx = CopySlices.apply((g, zero), self.chain, self.order)
        return gx, place if self.needs[1] else None

    def turned(self, g: Tensor) -> Tensor:
        """A copy of a tensor that is laid out as the base."""
        order = self.order or ()
        inverse = sorted(range(len(order)), key=order.__getitem__)
        return g.permute(order).clone().permute(inverse)
