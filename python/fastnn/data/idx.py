# SPDX-License-Identifier: BSD-3-Clause
"""IDX files, the format of MNIST: a magic number, the sizes, the elements, all big-endian.

Format: Y. LeCun, http://yann.lecun.com/exdb/mnist/. Two zero bytes, one for the type (8: uint8, the
only one here), one for the number of dimensions; then a uint32 for each; then the elements.
"""

from __future__ import annotations

import gzip
import math
import stat
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from fastnn.data.errors import DataFileError

__all__ = ["read_idx"]

_UINT8 = 8
_GZIP = b"\x1f\x8b"
_MAX_BYTES = 2**31  # more than any known file has; what a header claims is not believed beyond it
_CHUNK = 2**20


def _exactly(file: BinaryIO | gzip.GzipFile, count: int) -> bytes:
    """``count`` bytes, or fewer if the file ends; memory grows with what is there, not with what
    was asked for."""
    parts, missing = [], count
    while missing and (part := file.read(min(missing, _CHUNK))):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _parse(file: BinaryIO | gzip.GzipFile, dimensions: int) -> tuple[bytes, bytes, tuple[int, ...]]:
    start = _exactly(file, 4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] != _UINT8:
        problem = (
            f"expected an IDX file of uint8, which starts with 00 00 08, got {start.hex(' ')!r}; is"
            " it the right file?"
        )
        raise DataFileError(problem)
    if start[3] != dimensions:
        problem = f"expected {dimensions} dimensions, got {start[3]}; is it the right file?"
        raise DataFileError(problem)
    sizes = _exactly(file, 4 * dimensions)
    if len(sizes) < 4 * dimensions:
        problem = "it is cut off inside its header; fetch it again"
        raise DataFileError(problem)
    shape = struct.unpack(f">{dimensions}I", sizes)
    count = math.prod(shape)
    if count > _MAX_BYTES:
        problem = (
            f"its header claims the shape {shape}, {count:,} bytes, expected at most "
            f"{_MAX_BYTES:,}; fetch it again"
        )
        raise DataFileError(problem)
    content = _exactly(file, count)
    if len(content) < count:
        problem = (
            f"it is cut off: the shape {shape} needs {count:,} bytes, got {len(content):,}; fetch"
            " it again"
        )
        raise DataFileError(problem)
    if file.read(1):
        problem = f"more bytes follow than the shape {shape} in its header needs; fetch it again"
        raise DataFileError(problem)
    return start + sizes, content, shape


def read_idx(path: Path, dimensions: int) -> tuple[npt.NDArray[np.uint8], bytes]:
    """A uint8 array from an IDX file, gzipped or not (its first bytes tell), and its header.

    Shapes:   any of ``dimensions`` dimensions, read-only; header and array are, one behind the
              other, the decompressed file.
    Raises:   DataFileError for a file that is missing, cut off, not IDX, of other dimensions, or
              whose sizes are not those of its content.
    """
    try:
        about = path.stat()
        if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
            problem = "expected a regular file, got a pipe or a device; name a file with the data"
            raise DataFileError(problem)
        with path.open("rb") as raw:
            zipped = raw.read(2) == _GZIP
            raw.seek(0)
            if zipped:
                with gzip.GzipFile(fileobj=raw) as file:
                    header, content, shape = _parse(file, dimensions)
            else:
                header, content, shape = _parse(raw, dimensions)
    except DataFileError as error:
        message = f"read_idx: {path}: {error}"
        raise DataFileError(message) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        message = (
            f"read_idx: expected a whole file, got {path}: its gzip wrapper is damaged or cut off "
            f"({error}); fetch it again"
        )
        raise DataFileError(message) from None
    except OSError as error:
        message = (
            f"read_idx: expected a file, got {path}: cannot be read: {error.strerror or error}; "
            "check its name and its permissions"
        )
        raise DataFileError(message) from None
    array: npt.NDArray[Any] = np.frombuffer(content, dtype=np.uint8)
    return array.reshape(shape), header
