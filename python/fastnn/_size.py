# SPDX-License-Identifier: BSD-3-Clause
"""`fastnn.Size`, torch's class of shapes, and torch's constants."""

from __future__ import annotations

import math
from typing import Any, Final, SupportsIndex, overload

e: Final = math.e
inf: Final = math.inf
nan: Final = math.nan
newaxis: Final = None
pi: Final = math.pi


class Size(tuple[int, ...]):
    """A shape: a tuple of ints with `numel`. Parts and sums of shapes are shapes.

    ``tensor.shape`` is a plain tuple of the same numbers, equal to it.
    """

    __slots__ = ()

    def __new__(cls, iterable: Any = ()) -> Size:
        found = tuple(iterable)
        for i, size in enumerate(found):
            if isinstance(size, bool) or not hasattr(size, "__index__"):
                message = (
                    f"Size: expected ints, got {type(size).__name__} at position {i}; convert with "
                    "int()"
                )
                raise TypeError(message)
        return super().__new__(cls, (size.__index__() for size in found))

    def numel(self) -> int:
        """How many elements a tensor of this shape has."""
        return math.prod(self)

    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Size: ...
    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return Size(found) if isinstance(index, slice) else found

    def __add__(self, other: Any) -> Any:
        found = super().__add__(other)
        return found if found is NotImplemented else Size(found)

    def __radd__(self, other: Any) -> Any:
        return Size(other + tuple(self)) if isinstance(other, tuple) else NotImplemented

    def __mul__(self, n: SupportsIndex) -> Size:
        return Size(super().__mul__(n))

    __rmul__ = __mul__

    def __reduce__(self) -> Any:
        return Size, (tuple(self),)

    def __repr__(self) -> str:
        return f"fastnn.Size({list(self)})"
