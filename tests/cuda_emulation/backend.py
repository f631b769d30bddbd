# SPDX-License-Identifier: BSD-3-Clause
"""The emulated CUDA module as a column of kernels on NumPy arrays."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from cuda_emulation import build

# How threads are run: see cuemu_set_order in cuemu.cpp.
FORWARD, REVERSE, RANDOM, GREEDY_FORWARD, GREEDY_REVERSE = ORDERS = range(5)


@cache
def load_path(path: Path) -> ModuleType:
    """Import the module that was built at ``path``.

    The folder is part of the name, because pybind11 gives a second module of one name the contents
    of the first.
    """
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}.{build.MODULE}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def set_order(module: ModuleType, order: int) -> None:
    """Run the threads and blocks of later launches in this order."""
    assert module.__file__ is not None
    ctypes.CDLL(module.__file__).cuemu_set_order(order)


def load(mode: str = "plain", order: int = FORWARD) -> ModuleType:
    """Build (if need be) and import the emulated product module.

    A sanitizer's module loads only in a process that was started in
    `build.sanitizer_environment(mode)`.
    """
    runtime = {"asan": "libasan", "tsan": "libtsan"}.get(mode)
    if runtime and runtime not in os.environ.get("LD_PRELOAD", ""):
        message = f"mode {mode}: expected a process with {runtime} preloaded, got one without it"
        raise RuntimeError(message)
    module = load_path(build.build(mode))
    set_order(module, order)
    return module


def kernel_table(mode: str = "plain", order: int = FORWARD) -> dict[str, Callable[..., Any]]:
    """Return every kernel by name; each is called with NumPy arrays and numbers, outputs last."""
    module = load(mode, order)
    return {name: getattr(module, name) for name in module.kernels()}
