# SPDX-License-Identifier: BSD-3-Clause
"""The rows that are no kernel: what the import costs, and the size of the wheel."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.measure import Session, rounds
from benchmarks.stats import Summary
from benchmarks.workers import WorkerError
from fastnn.cli.bench.peers import OWN, PEERS, environment

_IMPORT = """
import time
start = time.perf_counter_ns()
import {module}
end = time.perf_counter_ns()
try:
    with open("/proc/self/schedstat") as file:
        delay = int(file.read().split()[1])
except OSError:
    delay = 0
print(end - start, delay)
"""


def _import_time(module: str, folder: Path) -> tuple[float, float]:
    """Nanoseconds of an import in a fresh process, and the time that it waited for a core."""
    command = [sys.executable, "-P", "-c", _IMPORT.format(module=module)]
    env = environment(PEERS[OWN], 2)
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, check=False)
    if done.returncode:
        message = f"import {module} failed:\n{done.stderr}"
        raise WorkerError(message)
    spent, delay = done.stdout.split()
    return float(spent), float(delay)


def import_time(session: Session) -> dict[str, Any]:
    """Milliseconds that ``import fastnn`` takes longer than ``import numpy``, in pairs.

    One pair before the others fills the page cache and writes the compiled files.
    """
    for module in ("numpy", OWN):
        _import_time(module, session.folder)
    effort = dataclasses.replace(session.effort, rounds=session.effort.pairs)

    def take(index: int) -> tuple[dict[str, float], list[str]]:
        times, complaints = {}, []
        for module in ("numpy", OWN) if index % 2 == 0 else (OWN, "numpy"):
            spent, delay = _import_time(module, session.folder)
            times[module] = spent
            if why := machine.waited(delay, spent, 1):
                complaints.append(f"import {module}: {why}")
        return times, complaints

    level = session.worker(OWN, 2).about["isa"]
    kept, disturbed = rounds(take, session.watch(level, 2), effort)
    return {
        "value": Summary.of([(t[OWN] - t["numpy"]) / 1e6 for t in kept]).as_dict(),
        "times_us": {n: Summary.of([t[n] / 1e3 for t in kept]).as_dict() for n in (OWN, "numpy")},
        "disturbed": disturbed,
        "notes": [_installed_as()],
    }


def _installed_as() -> str:
    """An editable install looks for its files at every import and is slower than a wheel."""
    import importlib.metadata  # noqa: PLC0415

    try:
        text = importlib.metadata.distribution("fastnn-native").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return "fastnn is not installed: found on the path"
    editable = bool(text) and json.loads(text or "{}").get("dir_info", {}).get("editable", False)
    return "editable install" if editable else "installed from a wheel"


def _build_wheel(folder: Path) -> Path:
    target = folder / "wheel"
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", str(target), str(machine.ROOT)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    found = sorted(target.glob("*.whl"))
    if done.returncode or len(found) != 1:
        tail = "\n  ".join((done.stdout + done.stderr).splitlines()[-12:])
        message = f"pip wheel failed:\n  {tail}"
        raise WorkerError(message)
    return found[0]


def wheel_size(session: Session, given: Sequence[Path]) -> dict[str, Any]:
    """Megabytes of the largest of the given wheels, or of one that is built here."""
    wheels = list(given) or [_build_wheel(session.folder)]
    sizes = [path.stat().st_size / 1e6 for path in wheels]
    return {
        "value": Summary.of([max(sizes)]).as_dict(),
        "disturbed": [],
        "notes": [f"{p.name}: {size:.2f} MB" for p, size in zip(wheels, sizes, strict=True)],
    }
