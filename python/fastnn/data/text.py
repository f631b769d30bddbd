# SPDX-License-Identifier: BSD-3-Clause
"""A text as numbers: one per character, by a vocabulary that the text itself gives."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastnn._system import physical_memory
from fastnn.data.errors import DataFileError

__all__ = ["Vocabulary", "read_text"]


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
# A byte takes at least this many: itself, its share of a character (ASCII 1, four-byte characters
# 1) and of the number that the character becomes (ASCII 8, four-byte characters 2).
_MEMORY_PER_BYTE = 4


def _check_size(where: Path) -> None:
    """Refuse, without opening it, what has no end, makes the reader wait, or cannot fit in memory.

    Raises: OSError, DataFileError.
    """
    about = where.stat()
    if not stat.S_ISREG(about.st_mode):
        message = (
            f"read_text: expected a regular file, got {where}, which is "
            f"{_KINDS.get(stat.S_IFMT(about.st_mode), 'something else')}; name a file with the text"
        )
        raise DataFileError(message)
    there, needed = physical_memory(), _MEMORY_PER_BYTE * about.st_size
    if there is not None and needed > there:
        message = (
            f"read_text: expected a text for {there / 2**30:,.0f} GiB of memory, got {where}, of "
            f"{about.st_size / 2**30:,.0f} GiB, which needs at least {needed / 2**30:,.0f} GiB as "
            "numbers; take a part of it"
        )
        raise DataFileError(message)


def read_text(path: str | Path) -> str:
    """The characters of a UTF-8 file.

    Raises: DataFileError if it is not a regular file, cannot be read, is too large for the memory
            of this machine, is empty, or is not UTF-8.
    """
    where = Path(path)
    try:
        _check_size(where)
        content = where.read_bytes()
        text = content.decode("utf-8")
    except OSError as error:
        message = (
            f"read_text: expected a file, got {where}, which cannot be read: "
            f"{error.strerror or error}; check its name and its permissions"
        )
        raise DataFileError(message) from None
    except UnicodeDecodeError as error:
        message = (
            f"read_text: expected UTF-8 in {where}, got byte {content[error.start]:#04x} at "
            f"position {error.start}; convert the file"
        )
        raise DataFileError(message) from None
    if not text:
        message = (
            f"read_text: expected text, got none in {where}: the file is empty; name another file"
        )
        raise DataFileError(message)
    return text


@dataclass(frozen=True)
class Vocabulary:
    """The characters of a text in the order of their code points; number i is characters[i]."""

    characters: str

    @classmethod
    def of(cls, text: str) -> Vocabulary:
        """The vocabulary of a text."""
        return cls("".join(sorted(set(text))))

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> npt.NDArray[np.int64]:
        """Numbers (n,), int64. Raises: ValueError naming a character that is not in it."""
        numbers = {character: i for i, character in enumerate(self.characters)}
        try:
            return np.array([numbers[character] for character in text], dtype=np.int64)
        except KeyError as error:
            message = (
                f"Vocabulary.encode: expected characters of the vocabulary, got {error}; leave it"
                " out, or make the vocabulary of all texts"
            )
            raise ValueError(message) from None

    def decode(self, numbers: npt.ArrayLike) -> str:
        """The text of some numbers. Raises: IndexError for numbers outside of the vocabulary."""
        flat = np.asarray(numbers, dtype=np.int64).ravel().tolist()
        return "".join(self.characters[i] for i in flat)
