# SPDX-License-Identifier: BSD-3-Clause
"""Compiles the two small C programs that measuring needs: the probe, and what a peer preloads."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

PROBE = Path(__file__).with_name("probe.c")

# What the library's own sources are compiled with, level by level.
LEVEL_FLAGS = {
    "x86_v2": ["-march=x86-64-v2"],
    "x86_v3": ["-march=x86-64-v3"],
    "x86_v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}


class NoCompiler(RuntimeError):
    """There is no C compiler, or it failed; the text says which."""


def compiler() -> list[str]:
    """The C compiler: ``CC``, or the first of cc, gcc and clang."""
    if given := os.environ.get("CC"):
        return shlex.split(given)
    for name in ("cc", "gcc", "clang"):
        if path := shutil.which(name):
            return [path]
    message = "measuring needs a C compiler: expected cc, gcc or clang on the PATH, or CC set"
    raise NoCompiler(message)


def _compile(source: Path, output: Path, flags: list[str]) -> Path:
    if output.exists():  # made earlier in this run, and perhaps in use
        return output
    command = [*compiler(), "-O2", "-Wall", "-Wextra", *flags, str(source), "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{shlex.join(command)} failed:\n{done.stderr}"
        raise NoCompiler(message)
    return output


def build_probe(level: str | None, folder: Path) -> Path:
    """The probe for an instruction-set level (the compiler's baseline for one it does not know)."""
    flags = [*LEVEL_FLAGS.get(level or "", []), "-ffp-contract=fast", "-pthread"]
    return _compile(PROBE, folder / f"probe-{level or 'baseline'}", flags)


def build_preload(text: str, folder: Path) -> Path:
    """A shared library from C source."""
    source = folder / "preload.c"
    source.write_text(text, encoding="utf-8")
    return _compile(source, folder / "preload.so", ["-shared", "-fPIC"])
