# SPDX-License-Identifier: BSD-3-Clause
"""Compiles the library that has MKL use AVX-512 on processors of every maker.

MKL takes AVX2 on processors that are not Intel's, whatever its variables say; it asks this one
function, which a preloaded library can answer in its place.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from fastnn.cli.bench import machine

__all__ = ["NoCompiler", "build", "is_needed"]

_SOURCE = "int mkl_serv_intel_cpu_true(void) { return 1; }\n"


class NoCompiler(RuntimeError):
    """There is no C compiler, or it failed; the text says which."""


def is_needed() -> bool:
    """Whether this processor is one that MKL would hold back: x86-64 and not Intel's."""
    return machine.vendor() not in ("", "GenuineIntel")


def _compiler() -> list[str]:
    if given := os.environ.get("CC"):
        return shlex.split(given)
    for name in ("cc", "gcc", "clang"):
        if path := shutil.which(name):
            return [path]
    message = (
        "preload: expected a C compiler, for the library without which MKL keeps to AVX2 on this "
        "processor, got none; put cc, gcc or clang on the PATH, or set CC"
    )
    raise NoCompiler(message)


def build(folder: Path) -> Path:
    """The library, compiled into a folder at the first call."""
    output = folder / "preload.so"
    if output.exists():  # made earlier in this run, and perhaps in use
        return output
    source = folder / "preload.c"
    source.write_text(_SOURCE, encoding="utf-8")
    command = [*_compiler(), "-O2", "-shared", "-fPIC", str(source), "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = (
            f"preload: expected {shlex.join(command)} to work, got exit status {done.returncode}; "
            f"set CC to a C compiler that works:\n{done.stderr}"
        )
        raise NoCompiler(message)
    return output
