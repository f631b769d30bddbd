# SPDX-License-Identifier: BSD-3-Clause
"""The rows that are no time of a kernel or step: the import, the wheel, a process's memory."""

from __future__ import annotations

import compileall
import dataclasses
import importlib.metadata
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.checkout import ROOT
from fastnn.cli.bench.measure import rounds
from fastnn.cli.bench.peers import OWN, PEERS, environment
from fastnn.cli.bench.programs import PROGRAMS
from fastnn.cli.bench.session import Session
from fastnn.cli.bench.stats import Summary
from fastnn.cli.bench.workers import WorkerError

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


def _import_time(module: str, flags: Sequence[str], env: dict[str, str]) -> tuple[float, float]:
    """Nanoseconds of an import in a fresh process, and the time that it waited for a core."""
    command = [sys.executable, "-P", *flags, "-c", _IMPORT.format(module=module)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        message = f"import {module} failed:\n{done.stderr}"
        raise WorkerError(message)
    spent, delay = done.stdout.split()
    return float(spent), float(delay)


def _is_editable() -> bool:
    try:
        text = importlib.metadata.distribution("fastnn-native").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return False
    return bool(json.loads(text or "{}").get("dir_info", {}).get("editable", False))


def _unpacked(wheel: Path, folder: Path) -> dict[str, str]:
    """Variables with which ``python -S`` imports the wheel's fastnn, and NumPy as ever.

    Compiled to bytecode, as installers do.
    """
    target = folder / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    compileall.compile_dir(target, quiet=2)
    site = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    return {"PYTHONPATH": os.pathsep.join([str(target), *dict.fromkeys(site)])}


def import_time(session: Session, given: Sequence[Path]) -> dict[str, Any]:
    """Milliseconds that ``import fastnn`` takes longer than ``import numpy``, in pairs.

    An editable install looks for its files at every import, and its bytecode may be missing: there,
    what is timed is a wheel. One pair before the others fills the page cache.
    """
    env, flags, notes = environment(PEERS[OWN], 2), [], []
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    if _is_editable():
        wheel = _wheels(session, given)[0]
        env |= _unpacked(wheel, session.folder)
        flags = ["-S"]  # the editable install's hook is a matter of site
        notes = [f"the install is editable, so {wheel.name} was imported"]
    for module in ("numpy", OWN):
        _import_time(module, flags, env)
    effort = dataclasses.replace(session.effort, rounds=session.effort.pairs)

    def take(index: int) -> tuple[dict[str, float], dict[str, float]]:
        times, waits = {}, {}
        for module in ("numpy", OWN) if index % 2 == 0 else (OWN, "numpy"):
            spent, delay = _import_time(module, flags, env)
            times[module] = spent
            waits[f"import {module}"] = delay / spent
        return times, waits

    level = session.worker(OWN, 2).about["isa"]
    kept, disturbed = rounds(take, session.watch(level, 2), effort)
    return {
        "value": Summary.of([(t[OWN] - t["numpy"]) / 1e6 for t in kept]).as_dict(),
        "times_us": {n: Summary.of([t[n] / 1e3 for t in kept]).as_dict() for n in (OWN, "numpy")},
        "disturbed": disturbed,
        "notes": notes,
    }


def _wheels(session: Session, given: Sequence[Path]) -> list[Path]:
    """The given wheels, or one that is built at the first call."""
    if given:
        return list(given)
    return sorted((session.folder / "wheel").glob("*.whl")) or [_build(session.folder / "wheel")]


def _build(target: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", str(target), str(ROOT)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    found = sorted(target.glob("*.whl"))
    if done.returncode or len(found) != 1:
        tail = "\n  ".join((done.stdout + done.stderr).splitlines()[-12:])
        message = f"pip wheel failed:\n  {tail}"
        raise WorkerError(message)
    return found[0]


def wheel_size(session: Session, given: Sequence[Path]) -> dict[str, Any]:
    """Megabytes of the largest of the given wheels, or of one that is built here."""
    wheels = _wheels(session, given)
    sizes = [path.stat().st_size / 1e6 for path in wheels]
    return {
        "value": Summary.of([max(sizes)]).as_dict(),
        "disturbed": [],
        "notes": [f"{p.name}: {size:.2f} MB" for p, size in zip(wheels, sizes, strict=True)],
    }


# The peak resident memory of a process that imports fastnn and trains; no more in it than that.
# Not ru_maxrss, which starts from that of the process that called fork.
_TRAIN = """
import sys
import numpy as np
import fastnn
from fastnn import nn, optim
x, target = (fastnn.tensor(np.load(f"{sys.argv[1]}/{name}.npy")) for name in ("x", "target"))
model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = optim.SGD(model.parameters(), lr=0.01)
for _ in range(200):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), target)
    loss.backward()
    optimizer.step()
assert loss.item() < 2.5
with open("/proc/self/status") as file:
    print(*(line.split()[1] for line in file if line.startswith("VmHWM")))
"""


def training_memory(session: Session) -> dict[str, Any]:
    """Peak megabytes of a process that trains the program mlp_small, of three processes each."""
    with tempfile.TemporaryDirectory(dir=session.folder) as folder:
        for name, array in PROGRAMS["mlp_small"].make().items():
            np.save(Path(folder) / f"{name}.npy", array)
        command = [sys.executable, "-P", "-c", _TRAIN, folder]
        peaks = []
        for _ in range(3):
            env = environment(PEERS[OWN], 2)
            done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
            if done.returncode:
                message = f"training failed:\n{done.stderr}"
                raise WorkerError(message)
            peaks.append(int(done.stdout) * 1024 / 1e6)
    return {"value": Summary.of(peaks).as_dict(), "disturbed": [], "notes": []}
