# SPDX-License-Identifier: BSD-3-Clause
"""Arithmetic of shapes for views: sizes that are left open, and whether strides allow a shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn.ops import _common

if TYPE_CHECKING:
    from fastnn.tensor import Tensor


def fitted(op: str, t: Tensor, sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """A shape argument with -1 worked out."""
    shape = _common.shape_argument(op, sizes)
    known = 1
    for n in shape:
        if n < -1:
            message = (
                f"{op}: expected sizes >= -1, got {shape}; -1 stands for the size to be worked out"
            )
            raise RuntimeError(message)
        known *= n if n != -1 else 1
    size = t.array.size
    if size == 0:
        _common.check_extent(op, tuple(map(abs, shape)))
    unknown = shape.count(-1)
    if unknown == 1 and known > 0 and size % known == 0:
        return tuple(size // known if n == -1 else n for n in shape)
    if unknown == 0 and known == size:
        return shape
    if unknown > 1:
        message = f"{op}: expected at most one -1, got {shape}; write the other sizes out"
    elif unknown == 1 and known == 0:
        message = (
            f"{op}: expected sizes other than 0 beside -1, got {shape}; write the size in the "
            "place of -1"
        )
    else:
        cure = f"-1 needs {known} to divide {size}" if unknown else "-1 for one size works it out"
        message = (
            f"{op}: expected a shape of {size} elements, as {t.shape} has, got {shape}; {cure}"
        )
    raise RuntimeError(message)


def can_view(t: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether some strides describe the same elements in the other shape (without touching data).

    Dimensions of the old shape are merged into runs that are contiguous in themselves; every run
    must be made of whole new dimensions.
    """
    array = t.array
    if array.flags.c_contiguous or array.size == 0:
        return True
    runs: list[int] = []  # sizes of the runs, last first
    expected: int | None = None
    for n, s in zip(reversed(array.shape), reversed(array.strides), strict=True):
        if n == 1:
            continue
        if runs and s == expected:
            runs[-1] *= n
        else:
            runs.append(n)
        expected = s * n
    sizes = [n for n in reversed(shape) if n != 1]
    for run in runs:
        size = 1
        while size < run and sizes:
            size *= sizes.pop(0)
        if size != run:
            return False
    return not sizes
