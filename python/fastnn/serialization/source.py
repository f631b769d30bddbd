# SPDX-License-Identifier: BSD-3-Clause
"""Bytes that are read and not trusted: a file by its path, or what an open file gives."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Malformed", "Source", "TensorFileError", "opened", "refuse"]

_Array = npt.NDArray[Any]
Mapped = Literal["r", "c"] | None  # read-only, copied when written to, or read


class TensorFileError(ValueError):
    """The file is damaged, cut off, or holds what fastnn does not read."""


class Malformed(Exception):
    """What is wrong, without the name of the file."""


def refuse(condition: object, problem: str) -> None:
    """Raise Malformed if the condition holds."""
    if condition:
        raise Malformed(problem)


class Source:
    """A file of ``size`` bytes, of which any part can be read.

    ``mapped``: arrays are the file's pages, loaded when they are touched.
    """

    def __init__(self, name: str, file: BinaryIO, size: int, path: Path | None, mapped: Mapped):
        self.name = name
        self.file = file
        self.size = size
        self._path = path
        self._mapped = mapped

    @property
    def mapped(self) -> bool:
        """Whether arrays are pages of the file."""
        return self._mapped is not None

    def bytes(self, start: int, length: int) -> bytes:
        """A few bytes. Raises Malformed if the file ends before."""
        refuse(start < 0, f"it has a part at byte {start}")
        refuse(start + length > self.size, f"it is cut off at byte {self.size}")
        self.file.seek(start)
        found = self.file.read(length)
        refuse(len(found) != length, "it changes while it is read")
        return found

    def array(self, start: int, length: int) -> _Array:
        """Bytes as an array of their own, aligned for every type unless it is mapped.

        Raises Malformed if the file ends before, or they are more than there is memory.
        """
        refuse(start + length > self.size, f"it is cut off at byte {self.size}")
        if not length:
            return np.empty(0, np.uint8)
        try:
            if self._mapped is not None and self._path is not None:
                return np.memmap(self._path, np.uint8, self._mapped, start, (length,))
            self.file.seek(start)
            if self._path is None:
                return np.frombuffer(bytearray(self.file.read(length)), np.uint8)
            found = np.fromfile(self.file, np.uint8, length)
        except MemoryError:
            problem = f"it has {self.size} bytes, more than there is memory"
            raise Malformed(problem) from None
        refuse(found.size != length, "it changes while it is read")
        return found


@contextlib.contextmanager
def opened(op: str, given: Any, mapped: Mapped = None) -> Iterator[Source]:
    """A source for a path, or for an open binary file from its position on, which is read whole."""
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        with path.open("rb") as file:
            yield Source(str(given), file, os.fstat(file.fileno()).st_size, path, mapped)
        return
    content = given.read() if hasattr(given, "read") else None
    if not isinstance(content, bytes | bytearray | memoryview):
        what = type(given if content is None else content).__name__
        message = (
            f"{op}: expected a path or a file opened with mode 'rb', got {what}; write "
            f"{op}('name') or open('name', 'rb')"
        )
        raise TypeError(message)
    if mapped is not None:
        message = (
            f"{op}: expected a path with mmap=True, got {type(given).__name__}; only a file that "
            "has a name can be mapped: leave mmap out"
        )
        raise ValueError(message)
    name = getattr(given, "name", None)
    yield Source(
        name if isinstance(name, str) else f"the {type(given).__name__}",
        io.BytesIO(content),
        len(content),
        None,
        None,
    )
