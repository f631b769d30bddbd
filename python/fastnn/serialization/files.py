# SPDX-License-Identifier: BSD-3-Clause
"""Files that are whole or not there: written under a temporary name, synced, and renamed."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

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


@contextlib.contextmanager
def temporary_file(path: Path, content: bytes) -> Iterator[Path]:
    """A file with ``content``, on the disk, beside ``path``; gone afterwards."""
    own = f"{os.getpid()}-{threading.get_ident()}"  # two threads may end a run
    temporary = path.with_name(f".{path.name}.{own}.tmp")
    try:
        with named(path), temporary.open("wb") as file:
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
    """Replace ``path`` by ``content``, or raise, naming it, and leave it as it was."""
    with temporary_file(path, content) as temporary:
        temporary.replace(path)
    sync_folder(path.parent)
