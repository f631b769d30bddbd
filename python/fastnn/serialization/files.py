# SPDX-License-Identifier: BSD-3-Clause
"""Files that are whole or not there: written under a temporary name, synced, and renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["named", "sync_folder", "temporary_file", "write_atomically"]


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """The errors of writing ``path`` say which file it was."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _opened_for(path: Path, temporary: Path) -> BinaryIO:
    """The file that will be ``path``, with the permissions of the one that it replaces."""
    try:
        file = temporary.open("wb")
    except FileNotFoundError as error:  # its folder: the temporary name means nothing to the user
        raise OSError(error.errno, error.strerror, str(path)) from None
    with contextlib.suppress(OSError, AttributeError):
        os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
    return file


@contextlib.contextmanager
def temporary_file(path: Path, content: bytes) -> Iterator[Path]:
    """A file with ``content``, on the disk, beside ``path``; gone afterwards."""
    own = f"{os.getpid()}-{threading.get_ident()}"  # two threads may end a run
    temporary = path.with_name(f".{path.name}.{own}.tmp")
    try:
        with named(path), _opened_for(path, temporary) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def sync_folder(path: Path) -> None:
    """A new name itself has to reach the disk too."""
    if os.name != "posix":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, or raise, naming it, and leave it as it was.

    What a symbolic link points to is replaced, the link stays. A device or a pipe is written to.
    """
    path = Path(os.path.realpath(path))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        with named(path), path.open("wb") as file:
            file.write(content)
        return
    with temporary_file(path, content) as temporary:
        temporary.replace(path)
    sync_folder(path.parent)
