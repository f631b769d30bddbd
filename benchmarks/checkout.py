# SPDX-License-Identifier: BSD-3-Clause
"""The commit that is measured: of the checkout, if the fastnn that runs is its own."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import fastnn

ROOT = Path(__file__).resolve().parent.parent
# What a result depends on; results of earlier runs are not among it.
_SOURCES = ("CMakeLists.txt", "pyproject.toml", "csrc", "cuda", "python", "benchmarks")
_RESULTS = ":(exclude)benchmarks/results"


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def commit() -> dict[str, Any]:
    """The checkout's commit, and whether its sources differ from it.

    Both are None outside of git, in a tree that is a part of another checkout, and where the fastnn
    that is imported is installed elsewhere: then the commit would not be what was measured.
    """
    top = _git("rev-parse", "--show-toplevel")
    own = top is not None and Path(top).resolve() == ROOT
    if not own or ROOT not in Path(fastnn.__file__).resolve().parents:
        return {"commit": None, "changed": None}
    changes = _git("status", "--porcelain", "--", *_SOURCES, _RESULTS)
    return {
        "commit": _git("rev-parse", "HEAD"),
        "changed": None if changes is None else bool(changes),
    }
