# SPDX-License-Identifier: BSD-3-Clause
"""What stands between the brackets of ``t[...]``: which expressions are views, which pick rows."""

from __future__ import annotations

from typing import Any

from fastnn.ops.creation import as_tensor
from fastnn.tensor import Tensor


def basic_index(index: Any, ndim: int, shape: tuple[int, ...]) -> tuple[Any, ...] | None:
    """A basic index as a tuple that NumPy takes as a view; None for an advanced one."""
    parts = index if isinstance(index, tuple) else (index,)
    out: list[Any] = []
    used = sum(p is not None and p is not Ellipsis for p in parts)
    if used > ndim:
        message = f"indexing: expected at most {ndim} indices for shape {shape}, got {used}"
        raise IndexError(message)
    for p in parts:
        if p is None or p is Ellipsis or isinstance(p, slice):
            out.append(_plain_slice(p) if isinstance(p, slice) else p)
        elif isinstance(p, bool) or getattr(p, "ndim", 0) > 0:
            return None
        elif hasattr(p, "__index__") and not (
            isinstance(p, Tensor) and (p.ndim or p.array.dtype.kind == "b")
        ):
            out.append(int(p.__index__()))
        else:
            return None
    if Ellipsis not in out:
        out.append(Ellipsis)
    return tuple(out)


def _plain_slice(s: slice) -> slice:
    if s.step is not None and int(s.step) <= 0:
        message = (
            f"indexing: expected a slice step > 0, got {s.step}; negative steps are not torch's"
        )
        raise ValueError(message)
    return slice(*(None if v is None else int(v.__index__()) for v in (s.start, s.stop, s.step)))


def unsupported(index: Any, *, assigning: bool = False) -> TypeError:
    """The error for an expression that is neither."""
    name = "index assignment" if assigning else "indexing"
    message = (
        f"{name}: expected ints, slices, None or ..., or one integer tensor as the whole index, "
        f"got {type(index).__name__}; masks and several index tensors are not there yet"
    )
    return TypeError(message)


def row_numbers(index: Any) -> Tensor | None:
    """An integer tensor from what may stand for one."""
    if isinstance(index, list) or hasattr(index, "__array__"):
        made = index if isinstance(index, Tensor) else as_tensor(index)
        if made.array.dtype.kind in "iu":
            return made
        if made.array.size == 0:
            return Tensor._wrap(made.array.astype("int64"))
    return None
