# SPDX-License-Identifier: BSD-3-Clause
"""The files of results and drawings: tried before anything is measured, whole or not there."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from pathlib import Path

from fastnn.train.run import named, write_atomically

__all__ = ["drawing", "same", "writable", "write"]


def writable(text: str) -> Path:
    """A file that can be written, tried at once: the results come when all has been measured."""
    path = Path(text)
    try:
        if not path.exists():
            path.open("xb").close()
            path.unlink()
        elif path.is_dir() or not _is_stream(path):
            path.open("ab").close()
            if not os.access(path.resolve().parent, os.W_OK):  # it is replaced, not overwritten
                raise PermissionError(errno.EACCES, "no other file can be made in its folder")
    except OSError as error:
        problem = (
            f"expected a file that can be written, got {text!r:.100}: {error.strerror}; "
            "name one in a folder that is there"
        )
        raise argparse.ArgumentTypeError(problem) from error
    return path


def drawing(text: str) -> Path:
    """A file that matplotlib can draw into."""
    try:
        from fastnn.cli.bench.plots import formats  # noqa: PLC0415 - matplotlib is optional
    except ImportError as error:
        problem = f"expected matplotlib, got {error}; pip install matplotlib, or leave it out"
        raise argparse.ArgumentTypeError(problem) from error
    known = formats()
    if Path(text).suffix.lower() not in known:
        problem = (
            f"expected a name that ends with one of {', '.join(known)}, got {text!r:.100}; "
            "write for example a.png"
        )
        raise argparse.ArgumentTypeError(problem)
    return writable(text)


def same(a: Path, b: Path) -> bool:
    """Whether two names are of one file."""
    return a.resolve() == b.resolve() or (a.exists() and b.exists() and a.samefile(b))


def write(path: Path, content: bytes) -> None:
    """Replaces a file, or raises OSError with its name and leaves it as it was."""
    if not _is_stream(path):
        write_atomically(path.resolve(), content)  # a link stays one
        return
    own = [descriptor for descriptor in (1, 2) if _is_open_as(path, descriptor)]
    for output in (sys.stdout, sys.stderr):
        output.flush()
    with named(path):  # this program's own output goes on behind what is written
        descriptor = os.dup(own[0]) if own else os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(descriptor, left) :]
        finally:
            os.close(descriptor)


def _is_stream(path: Path) -> bool:
    """A device, a pipe (whose name need not resolve to one), or where this program's output goes:
    what is written to, not replaced."""
    if not path.exists():
        return False
    return not path.is_file() or any(_is_open_as(path, descriptor) for descriptor in (1, 2))


def _is_open_as(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:  # closed, or gone
        return False
