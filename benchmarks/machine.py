# SPDX-License-Identifier: BSD-3-Clause
"""What the figures belong to: the machine, the versions, the commit. And whether it is quiet."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.workers import Probe

ROOT = Path(__file__).resolve().parent.parent

# Two free cores give 1.9 to 2 times the rate of one; two threads of one core give 1.0 to 1.3.
MIN_SCALING = 1.7
# Below this share of the best rate seen in the run, something else had the core.
MIN_RATE = 0.85
# Share of a sample that a thread may spend waiting for a core.
MAX_DELAY = 0.05


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


def _caches() -> dict[str, str]:
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
        "cores": len(os.sched_getaffinity(0)),
        "caches": _caches(),
        "memory_gb": round(int(memory[0].split()[1]) / 2**20, 1) if memory else None,
        "system": f"{platform.system()} {release} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
    }


def slug() -> str:
    """The processor's name as part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((R|TM)\)", "", cpu_model()).lower()).strip("-")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def commit() -> dict[str, Any]:
    """The checkout's commit, and whether tracked files differ from it; None outside of git."""
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "commit": _git("rev-parse", "HEAD"),
        "changed": None if changes is None else bool(changes),
    }


@dataclasses.dataclass(frozen=True)
class Reading:
    """Rates of one and of several threads, in GFLOP/s, taken one after the other."""

    one: float
    many: float
    threads: int


class Watch:
    """Readings of the probe through a run, and what they say about a stretch of it."""

    def __init__(self, probe: Probe, threads: int) -> None:
        self._probe = probe
        self._threads = threads
        self.best_one = 0.0
        self.best_many = 0.0

    def read(self) -> Reading:
        """A reading now; a few milliseconds."""
        one = self._probe.rate(1)
        many = one if self._threads == 1 else self._probe.rate(self._threads)
        self.best_one = max(self.best_one, one)
        self.best_many = max(self.best_many, many)
        return Reading(one, many, self._threads)

    def complaint(self, reading: Reading) -> str | None:
        """Why the machine was not quiet at a reading; None if it was."""
        return judge(reading, self.best_one, len(os.sched_getaffinity(0)))


def judge(reading: Reading, best_one: float, cores: int) -> str | None:
    """Why a reading is not one of a quiet machine; None if it is."""
    if reading.one < MIN_RATE * best_one:
        return f"one thread ran at {reading.one / best_one:.0%} of the best rate of the run"
    wanted = min(reading.threads, cores) * MIN_SCALING / 2
    if reading.threads > 1 and cores > 1 and reading.many < wanted * reading.one:
        return f"{reading.threads} threads gave {reading.many / reading.one:.2f} times one's rate"
    return None


def waited(delay_ns: float, wall_ns: float, threads: int) -> str | None:
    """Why a sample is not one of a quiet machine, by the time its threads waited for a core."""
    share = delay_ns / (wall_ns * threads)
    return f"threads waited {share:.0%} of the time for a core" if share > MAX_DELAY else None
