# SPDX-License-Identifier: BSD-3-Clause
"""``Flatten`` and ``Unflatten``."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable

from fastnn.nn.module import Module
from fastnn.ops import flatten
from fastnn.ops._common import require_tensor
from fastnn.tensor import Tensor

__all__ = ["Flatten", "Unflatten"]


class Flatten(Module):
    """Join the axes ``start_dim`` to ``end_dim`` into one; by default all but the first.

    Shapes: x (n, a, b, ...) -> y (n, a*b*...).
    """

    start_dim: int
    end_dim: int

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Split the axis ``dim`` into axes of the sizes ``unflattened_size``, one of which may be -1.

    Shapes: x (..., a*b, ...) -> y (..., a, b, ...).
    Errors: TypeError unless the sizes are integers; RuntimeError if their product is not the
            axis', IndexError if there is no such axis.
    """

    dim: int
    unflattened_size: tuple[int, ...]

    def __init__(self, dim: int, unflattened_size: Iterable[int]) -> None:
        super().__init__()
        try:
            self.dim = operator.index(dim)
            self.unflattened_size = tuple([operator.index(size) for size in unflattened_size])
        except TypeError:
            message = (
                "Unflatten: expected dim as an int and unflattened_size as a sequence of ints,"
                f" got {dim!r} and {unflattened_size!r}; pass for example 1 and (2, 5)"
            )
            raise TypeError(message) from None

    def forward(self, input: Tensor) -> Tensor:
        require_tensor("Unflatten", "input", input)
        if not -input.ndim <= self.dim < input.ndim:
            message = (
                f"Unflatten: expected an input with an axis {self.dim}, got {input.shape}; choose"
                " dim among the input's axes"
            )
            raise IndexError(message)
        axis, sizes = self.dim % input.ndim, self.unflattened_size
        known = math.prod(s for s in sizes if s != -1)
        size = input.shape[axis]
        free = sizes.count(-1)
        fits = known == size if free == 0 else free == 1 and known > 0 and size % known == 0
        if not fits or any(s < -1 for s in sizes):
            message = (
                f"Unflatten: expected sizes whose product is {size}, the size of axis {self.dim} of"
                f" an input {input.shape}, got {sizes}; at most one of them may be -1"
            )
            raise RuntimeError(message)
        whole = tuple([size // known if s == -1 else s for s in sizes])
        return input.reshape(*input.shape[:axis], *whole, *input.shape[axis + 1 :])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
