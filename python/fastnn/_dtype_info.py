# SPDX-License-Identifier: BSD-3-Clause
"""What element types can hold: finfo and iinfo, as torch's.

Source: IEEE 754-2019, table 3.5; bfloat16 is float32 without the last 16 bits.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from fastnn import _dtypes

# Digits after the point in base 2, least and largest exponent.
_FORMATS = {
    "bfloat16": (7, -126, 127),
    "float16": (10, -14, 15),
    "float32": (23, -126, 127),
    "float64": (52, -1022, 1023),
}


class _Info:
    """What both have: a type, equality by it, a repr of the numbers."""

    category: ClassVar[int]
    shown: ClassVar[tuple[str, ...]]
    bits: int
    dtype: str

    def __init__(self, type: Any = None) -> None:
        name = self.__class__.__name__
        kind = _dtypes.argument(name, type, _dtypes.get_default_dtype())
        if kind.category != self.category:
            wanted, other = ("an integer", "finfo"), ("a floating-point", "iinfo")
            expected, cure = wanted if self.category == 1 else other
            message = f"{name}: expected {expected} type, got {kind}; {cure} is for others"
            raise TypeError(message)
        self.bits = 8 * kind.itemsize
        self.dtype = kind.name

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.dtype == self.dtype

    def __hash__(self) -> int:
        return hash((type(self), self.dtype))

    def __repr__(self) -> str:
        numbers = [
            f"{k}={v:g}" if isinstance(v := getattr(self, k), float) else f"{k}={v}"
            for k in self.shown
        ]
        return f"{type(self).__name__}({', '.join(numbers)}, dtype={self.dtype})"


class finfo(_Info):
    """The limits of a floating-point type (None: the default one), as torch.finfo.

    bits; eps: from 1 to the next number; max, min: largest and least finite number; tiny and
    smallest_normal: the least positive one of full precision; resolution: 10^-(decimal digits).
    Raises TypeError for other types.
    """

    category = 2
    shown = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")

    def __init__(self, type: Any = None) -> None:
        super().__init__(type)
        digits, low, high = _FORMATS[self.dtype]
        self.eps = 2.0**-digits
        self.max = (2.0 - self.eps) * 2.0**high
        self.min = -self.max
        self.tiny = self.smallest_normal = 2.0**low
        self.resolution = float(f"1e-{math.floor(digits * math.log10(2.0))}")


class iinfo(_Info):
    """The limits of an integer type, as torch.iinfo: bits, min, max; TypeError for others."""

    category = 1
    shown = ("min", "max")

    def __init__(self, type: Any) -> None:
        super().__init__(type)
        signed = self.dtype[0] != "u"
        self.max = 2 ** (self.bits - 1 if signed else self.bits) - 1
        self.min = -self.max - 1 if signed else 0
