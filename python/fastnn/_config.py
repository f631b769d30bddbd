# SPDX-License-Identifier: BSD-3-Clause
"""What runs and why: the report of `show_config`, the number of threads, the memory cache, where
tensors are made."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fastnn import _backend
from fastnn._device import device as Device

_precision = "highest"


def set_num_threads(n: int) -> None:
    """Sets how many threads take part in a native kernel. Results do not depend on it."""
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n < 2**31:
        message = (
            f"set_num_threads: expected an int >= 1 and < 2**31, got {n!r}; 1 computes without "
            "further threads"
        )
        raise ValueError(message)
    if _backend.cpu is not None:
        _backend.cpu.set_num_threads(n)


def get_num_threads() -> int:
    """How many threads take part in a native kernel; 1 on the NumPy backend."""
    return 1 if _backend.cpu is None else int(_backend.cpu.num_threads())


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted and without effect, as torch.use_deterministic_algorithms: every kernel gives the
    same bits on every run and for any number of threads.  Raises TypeError for other than bools."""
    for name, value in (("mode", mode), ("warn_only", warn_only)):
        if not isinstance(value, bool):
            message = (
                f"use_deterministic_algorithms: expected {name} as a bool, got {value!r}; pass True"
            )
            raise TypeError(message)


def are_deterministic_algorithms_enabled() -> bool:
    """True: there are no others."""
    return True


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """False: there is nothing to warn of."""
    return False


def set_float32_matmul_precision(precision: str) -> None:
    """Accepted and without effect, as torch.set_float32_matmul_precision: products of float32 are
    computed in float32.  Raises ValueError for other than 'highest', 'high' and 'medium'."""
    global _precision  # noqa: PLW0603
    if precision not in ("highest", "high", "medium"):
        message = (
            "set_float32_matmul_precision: expected 'highest', 'high' or 'medium', got "
            f"{precision!r}; each of them computes in float32"
        )
        raise ValueError(message)
    _precision = precision


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was last given."""
    return _precision


def get_default_device() -> Device:
    """Where tensors are made: the GPU with FASTNN_BACKEND=cuda, else the CPU."""
    return Device("cuda" if _backend.default_table().name == "cuda" else "cpu")


def set_default_device(device: Any) -> None:
    """Accepts the place where tensors are made already, or None. It is chosen when Python starts:
    RuntimeError for another one."""
    wanted = get_default_device() if device is None else Device(device)
    if wanted.type != get_default_device().type:
        backend = "cuda" if wanted.type == "cuda" else "cpu"
        why = f" ({_backend.reasons['cuda']})" if backend == "cuda" else ""
        message = (
            f"set_default_device: expected {get_default_device()}, where this process makes "
            f"tensors, got {wanted}{why}; start Python with FASTNN_BACKEND={backend}"
        )
        raise RuntimeError(message)


def empty_cache() -> None:
    """Gives memory that is kept for reuse back to the system."""
    if _backend.cpu is not None:
        _backend.cpu.empty_cache()


def describe() -> dict[str, Any]:
    """What runs, and why not the others: what `show_config` and the command line print."""
    used = _backend.name
    own = {"cpu": _backend.native, "cuda": _backend.native_cuda}.get(used, {})
    reasons = _backend.reasons
    return {
        "backend": used,
        "isa": None if _backend.cpu is None else _backend.cpu.isa(),
        "isa_levels": [] if _backend.cpu is None else list(_backend.cpu.usable_levels()),
        "isa_problem": None if _backend.cpu is None else _backend.cpu.isa_problem(),
        "threads": get_num_threads() if used == "cpu" else 1,
        "reasons": {k: reasons[k] for k in _backend.NAMES if k in reasons and k != used},
        "native_kernels": sorted(k for k in _backend.references if k in own),
        "reference_kernels": sorted(k for k in _backend.references if k not in own),
        "no_cuda_kernel": sorted(k for k in _backend.references if k not in _backend.native_cuda),
        "numpy": np.__version__,
        "python": sys.version.split()[0],
    }


def show_config() -> str:
    """A text of a few lines: the backend in use, its instruction set, why not the others."""
    d = describe()
    lines = [f"backend: {d['backend']}"]
    if d["isa"] is not None:
        lines[0] += f" ({d['isa']}, {d['threads']} thread{'s' if d['threads'] != 1 else ''})"
    if d["isa_problem"]:
        lines.append(f"  note: {d['isa_problem']}")
    lines += [f"  not {k}: {why}" for k, why in d["reasons"].items()]
    if d["backend"] != "numpy":
        without = d["reference_kernels"]
        lines.append(f"kernels: {len(d['native_kernels'])} native, {len(without)} by reference")
        if without:
            lines.append("  by reference: " + ", ".join(without))
    if d["backend"] == "cuda":  # otherwise no CUDA kernels were looked for
        lines.append("no CUDA kernel yet: " + ", ".join(d["no_cuda_kernel"]))
    return "\n".join(lines)
