# SPDX-License-Identifier: BSD-3-Clause
"""torch's names for the order of elements in memory: layouts and memory formats.

A tensor here is strided, and what operations make is contiguous. So every memory format is taken,
as the wish about speed that it is, and changes nothing; other layouts do not exist.
"""

from __future__ import annotations

from typing import Any, Final


class layout:
    """How a tensor's elements are stored: ``fastnn.strided``, the only one."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"fastnn.{self.name}"

    def __reduce__(self) -> str:
        return self.name


class memory_format:
    """In which order dimensions follow one another in memory."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"fastnn.{self.name}"

    def __reduce__(self) -> str:
        return self.name


strided: Final = layout("strided")
preserve_format: Final = memory_format("preserve_format")
contiguous_format: Final = memory_format("contiguous_format")
channels_last: Final = memory_format("channels_last")
channels_last_3d: Final = memory_format("channels_last_3d")
_FORMATS: Final = (preserve_format, contiguous_format, channels_last, channels_last_3d)


def is_contiguous(array: Any, memory_format: Any = None) -> bool:
    """Whether an array's elements follow one another in the order of a memory format."""
    if memory_format is None:
        return bool(array.flags.c_contiguous)
    check_formats("is_contiguous", memory_format=memory_format)
    order = {channels_last: (0, 2, 3, 1), channels_last_3d: (0, 2, 3, 4, 1)}.get(memory_format)
    if order is None:
        return bool(array.flags.c_contiguous)
    return len(order) == array.ndim and bool(array.transpose(order).flags.c_contiguous)


def check_formats(
    op: str, *, layout: Any = None, pin_memory: Any = False, memory_format: Any = None
) -> None:
    """TypeError for what is no layout and no memory format; RuntimeError for memory that is to be
    pinned, which CuPy does by itself."""
    if layout is not None and layout is not strided:
        message = f"{op}: expected layout fastnn.strided, got {layout!r}; leave it out"
        raise TypeError(message)
    if memory_format is not None and not any(memory_format is f for f in _FORMATS):
        message = (
            f"{op}: expected a memory format, got {memory_format!r}; pass "
            "fastnn.contiguous_format, or leave it out"
        )
        raise TypeError(message)
    if pin_memory:
        message = (
            f"{op}: expected pin_memory=False, got {pin_memory!r}: fastnn's tensors are in "
            "ordinary memory; leave it out"
        )
        raise RuntimeError(message)
