# SPDX-License-Identifier: BSD-3-Clause
"""What runs here and why nothing else does, in lines for people."""

from __future__ import annotations

import os
from typing import Any

import fastnn
from fastnn import _backend, _config

__all__ = ["build_log_tail", "environment_lines"]

_X86_LEVELS = ("x86_v2", "x86_v3", "x86_v4")


def _heading(about: dict[str, Any]) -> str:
    if about["backend"] == "numpy":
        what = f"NumPy {about['numpy']} (backend numpy), not on native kernels"
        return f"fastnn {fastnn.__version__}: runs on {what}: {about['reasons']['cpu']}"
    if about["backend"] == "cuda":
        return f"fastnn {fastnn.__version__}: runs on CUDA kernels (backend cuda)"
    threads = f"{about['threads']} thread{'s' if about['threads'] != 1 else ''}"
    what = f"native kernels for {about['isa']}, {threads}"
    return f"fastnn {fastnn.__version__}: runs on {what} (backend cpu)"


def _level_lines(about: dict[str, Any]) -> list[str]:
    """Why each other instruction-set level is not the one in use."""
    if about["backend"] != "cpu":
        return []
    isa, usable = about["isa"], about["isa_levels"]
    lines = [str(about["isa_problem"])] if about["isa_problem"] else []
    known = _X86_LEVELS if isa in _X86_LEVELS else tuple(usable)
    for level in known:
        if level == isa:
            continue
        if level not in usable:
            why = "this processor or operating system does not offer it"
        elif known.index(level) < known.index(isa):
            why = f"{isa} is better"
        else:
            why = f"FASTNN_ISA={os.environ.get('FASTNN_ISA', '')} asks for a lower one"
        lines.append(f"not {level}: {why}")
    return lines


def environment_lines() -> list[str]:
    """The first says what runs; the others, indented, why not something else."""
    about = _config.describe()
    others = dict(about["reasons"])
    if about["backend"] == "numpy":
        del others["cpu"]  # the heading has it
    lines = [f"not {name}: {why}" for name, why in others.items()]
    return [_heading(about), *("  " + line for line in lines + _level_lines(about))]


def build_log_tail(count: int) -> list[str]:
    """The last lines of the build that left no native module; empty if one is there.

    The log's first line is the reason, which environment_lines() has already given.
    """
    if _backend.cpu is not None:
        return []
    return _backend.build_log().splitlines()[1:][-count:]
