# SPDX-License-Identifier: BSD-3-Clause
"""``fastnn info``: versions, the backend in use and why not the others, kernels, the build log."""

from __future__ import annotations

import argparse
import platform
import sys
import textwrap
from importlib import metadata

import numpy as np

from fastnn import _config
from fastnn.cli._environment import build_log_tail, environment_lines

__all__ = ["add_arguments", "run"]

_LOG_LINES = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none."""
    del parser


def _optional(name: str) -> str:
    """The version of an optional dependency, looked up without importing it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _kernel_lines(title: str, names: list[str]) -> list[str]:
    if not names:
        return [f"{title}: none"]
    text = f"{title} ({len(names)}): {', '.join(names)}"
    return textwrap.wrap(text, 100, subsequent_indent="  ", break_on_hyphens=False)


def run(arguments: argparse.Namespace) -> int:
    """Write the report to standard output."""
    del arguments
    about = _config.describe()
    lines = environment_lines()
    lines.append(f"Python {platform.python_version()} on {platform.platform()}")
    lines.append(f"NumPy {np.__version__}, safetensors {_optional('safetensors')}")
    lines.append(f"rich {_optional('rich')}, matplotlib {_optional('matplotlib')} (optional)")
    native, rest = len(about["native_kernels"]), len(about["reference_kernels"])
    lines.append(f"kernels: {native} of {native + rest} native")
    lines += _kernel_lines("without native code in this backend", about["reference_kernels"])
    if about["backend"] == "cuda":  # otherwise no CUDA kernels were looked for
        lines += _kernel_lines("without a CUDA kernel", about["no_cuda_kernel"])
    log = build_log_tail(_LOG_LINES)
    if log:
        lines.append("last lines of the build that left no native module:")
        lines += ["  | " + line for line in log]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
