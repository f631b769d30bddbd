# SPDX-License-Identifier: BSD-3-Clause
"""A text as numbers: one per character, by a vocabulary that the text itself gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastnn.data.errors import DataFileError

__all__ = ["Vocabulary", "read_text"]


def read_text(path: str | Path) -> str:
    """The characters of a UTF-8 file.

    Raises: DataFileError if it cannot be read, is empty, or is not UTF-8.
    """
    where = Path(path)
    try:
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
