# SPDX-License-Identifier: BSD-3-Clause
"""One part of what stands between the brackets of ``t[...]``: a number, or a tensor that picks.

As in torch: tensors and NumPy arrays of uint8 are masks, tensors of int8 and int16 no indices.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn.ops.copy import to
from fastnn.ops.creation import as_tensor
from fastnn.tensor import Tensor


def is_byte_mask(p: Any) -> bool:
    """Whether a part is a mask of uint8. A NumPy number, which is no array, is an int."""
    array = p.array if isinstance(p, Tensor) else p
    return hasattr(array, "__array__") and hasattr(array, "__setitem__") and array.dtype == "uint8"


def has_byte_mask(index: Any) -> bool:
    """Whether there is a mask of uint8 among the parts of an index."""
    return any(is_byte_mask(p) for p in (index if isinstance(index, tuple) else (index,)))


def _numbers_of(p: Any, name: str = "indexing") -> Tensor:
    """A part as a tensor; masks of uint8 as bools."""
    made = p if isinstance(p, Tensor) else as_tensor(p)
    if is_byte_mask(p):
        return to(made.detach(), _dtypes.bool_)
    if isinstance(p, Tensor) and made.dtype in (_dtypes.int8, _dtypes.int16):
        message = (
            f"{name}: expected index tensors of int64, int32, uint8 or bool, got {made.dtype}; "
            "convert it with .long()"
        )
        raise IndexError(message)
    return made


def is_number(p: Any) -> bool:
    """Whether a part stands for one int; bools and 0-d masks, also of uint8, are masks."""
    if isinstance(p, bool) or not hasattr(p, "__index__") or getattr(p, "ndim", 0) > 0:
        return False
    return not hasattr(p, "dtype") or (_kind(p) in "iu" and not is_byte_mask(p))


def _kind(p: Any) -> str:
    return str(p.array.dtype.kind if isinstance(p, Tensor) else p.dtype.kind)


def row_numbers(index: Any) -> Tensor | None:
    """An integer tensor from what stands for one alone: neither a mask nor part of a tuple."""
    if isinstance(index, list) or hasattr(index, "__array__"):
        made = _numbers_of(index)
        if made.array.dtype.kind in "iu":
            return made
        if made.array.size == 0 and isinstance(index, list):
            return Tensor._wrap(made.array.astype("int64"))
    return None


def unsupported(part: Any, name: str = "indexing") -> TypeError:
    """The error for a part that means nothing."""
    kind = f" of {part.dtype}" if isinstance(part, Tensor) else ""
    message = (
        f"{name}: expected ints, slices, None, ..., or tensors or lists of integers or bools, got "
        f"{type(part).__name__}{kind}; convert it with int() or .long()"
    )
    return TypeError(message)


def as_part(p: Any, name: str) -> Tensor:
    """A part as a tensor of integers or bools."""
    if not isinstance(p, list | tuple | Tensor) and not hasattr(p, "__array__"):
        raise unsupported(p, name)
    made = _numbers_of(p, name)
    if made.array.dtype.kind not in "iub":
        if made.array.size == 0 and isinstance(p, list | tuple):
            return Tensor._wrap(made.array.astype("int64"))
        raise unsupported(made, name)
    return made.detach()
