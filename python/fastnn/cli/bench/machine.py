# SPDX-License-Identifier: BSD-3-Clause
"""What the figures belong to: the processor, its caches, the system."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

__all__ = ["caches", "cpu_model", "describe", "vendor"]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8").splitlines()
    except OSError:
        return []


def cpu_model() -> str:
    """The processor's name, with family and model where the name says little (virtual ones)."""
    fields = dict(
        re.split(r"\s*:\s*", line, maxsplit=1)
        for line in _lines("/proc/cpuinfo")[:40]
        if ":" in line
    )
    name = fields.get("model name") or platform.processor() or platform.machine()
    place = [f"{k.split()[-1]} {fields[k]}" for k in ("cpu family", "model") if k in fields]
    return f"{name} ({', '.join(place)})" if place else name


def vendor() -> str:
    """Who made the processor, in its own letters: GenuineIntel, AuthenticAMD; else empty."""
    lines = [line for line in _lines("/proc/cpuinfo") if line.startswith("vendor_id")]
    return lines[0].partition(":")[2].strip() if lines else ""


def caches() -> dict[str, str]:
    """Sizes of the data caches of the first core, as the system writes them: ``48K``."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ("".join(_lines(str(index / n))) for n in ("level", "type", "size"))
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found


def describe() -> dict[str, Any]:
    """The machine, without its name or its user's."""
    memory = [line for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    release = ".".join(platform.release().split(".")[:2])
    return {
        "cpu": cpu_model(),
        "vendor": vendor(),
        "cores": len(os.sched_getaffinity(0)),
        "caches": caches(),
        "memory_gb": round(int(memory[0].split()[1]) / 2**20, 1) if memory else None,
        "system": f"{platform.system()} {release} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
    }
