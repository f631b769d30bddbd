# SPDX-License-Identifier: BSD-3-Clause
"""Times a case by fastnn and its peers, each in its own process, sample by sample in turn."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.stats import Summary
from benchmarks.targets import Row
from benchmarks.workers import NotInstalled, Probe, Unsupported, Worker
from fastnn import testing
from fastnn.cli.bench.peers import OWN


@dataclasses.dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int  # undisturbed rounds wanted, of one sample each of everyone
    sample_ms: float  # length of a sample
    row_seconds: float  # after which a row's disturbed rounds are not retaken any more
    pairs: int  # of processes, for the import time


FULL = Effort(rounds=21, sample_ms=20.0, row_seconds=12.0, pairs=9)
QUICK = Effort(rounds=5, sample_ms=4.0, row_seconds=1.0, pairs=9)

# A pause before every sample, in which the last one's threads stop spinning.
_SETTLE = 0.002
_MAX_REPEATS = 100_000


class Disagreement(RuntimeError):
    """A peer computes something else than fastnn."""


class Session:
    """The processes and files of one run."""

    def __init__(self, folder: Path, effort: Effort, pythons: Mapping[str, str]) -> None:
        self.folder = folder
        self.effort = effort
        self.versions: dict[str, dict[str, Any]] = {}
        self.missing: dict[str, str] = {}
        self._pythons = pythons
        self._cases = {case.id: case for case in testing.all_cases()}
        self._workers: dict[tuple[str, int, str | None], Worker] = {}
        self._watches: dict[tuple[str | None, int], machine.Watch] = {}
        self._probes: dict[str | None, Probe] = {}

    def worker(self, peer: str, threads: int, isa: str | None = None) -> Worker:
        """The process of a peer; started at first use. NotInstalled where it has no library."""
        if peer in self.missing:
            raise NotInstalled(self.missing[peer])
        key = (peer, threads, isa if peer == OWN else None)
        if key in self._workers and not self._workers[key].alive:
            self._workers.pop(key).close()  # it failed on an earlier row
        if key not in self._workers:
            try:
                self._workers[key] = Worker(peer, threads, self.folder, self._pythons, key[2])
            except NotInstalled as error:
                self.missing[peer] = str(error)
                raise
            about = {k: v for k, v in self._workers[key].about.items() if k != "threads"}
            self.versions[peer if key[2] is None else f"{peer} {isa}"] = about
        return self._workers[key]

    def watch(self, level: str | None, threads: int) -> machine.Watch:
        """The watch at an instruction-set level."""
        if level not in self._probes:
            self._probes[level] = Probe(level, self.folder)
        key = (level, threads)
        if key not in self._watches:
            self._watches[key] = machine.Watch(self._probes[level], threads)
        return self._watches[key]

    def case(self, row: Row) -> testing.OpCase:
        """The case of a row."""
        assert row.case is not None
        return self._cases[row.case]

    def close(self) -> None:
        """End all processes."""
        for process in (*self._workers.values(), *self._probes.values()):
            process.close()
        self._workers.clear()
        self._probes.clear()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def describe_case(case: testing.OpCase, dtype: str, inputs: Path) -> dict[str, Any]:
    """A case for another process: its arrays in a file, everything else as JSON."""
    arrays: dict[str, Any] = {}
    arguments: list[dict[str, Any]] = []
    for i, value in enumerate(testing.make_arrays(case, np.dtype(dtype))):
        if isinstance(value, np.ndarray):
            arrays[str(i)] = value
            arguments.append({"array": str(i)})
        else:
            arguments.append({"value": value})
    np.savez(inputs, **arrays)
    described = {"id": case.id, "name": case.name, "kwargs": case.kwargs, "arguments": arguments}
    try:
        json.dumps(described)
    except TypeError as error:
        message = f"{case.id}: an argument cannot be given to another process: {error}"
        raise Unsupported(message) from error
    return described


def disagreement(ours: list[Any], theirs: list[Any], seeded: bool) -> str | None:
    """How results differ by more than rounding; None if they do not.

    The case table bounds fastnn's own error; here a peer must only have computed the same thing:
    within 1e-4 of the largest value of each array. Where random numbers are drawn, the mean size
    of the values within 5 %.
    """
    if len(ours) != len(theirs):
        return f"{len(theirs)} arrays, not {len(ours)}"
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"array {i} is {b.dtype} {b.shape}, not {a.dtype} {a.shape}"
        x, y = a.astype(np.float64), b.astype(np.float64)
        if seeded:
            x, y = np.abs(x).mean(), np.abs(y).mean()
        bound = (0.05 if seeded else 1e-4) * np.abs(x).max(initial=0.0)
        difference = np.abs(x - y).max(initial=0.0)
        if not difference <= bound:
            return f"array {i} differs by {difference:.3g}, at most {bound:.3g} is rounding"
    return None


def _results(path: Path) -> list[Any]:
    with np.load(path) as stored:
        return [stored[str(i)] for i in range(len(stored.files))]


def _prepare(session: Session, row: Row, notes: list[str]) -> dict[str, Worker]:
    """The workers that can run the row's case, with equal results; fastnn's is the first."""
    case = session.case(row)
    inputs, outputs = session.folder / "inputs.npz", session.folder / "outputs.npz"
    order = {
        "do": "prepare",
        "case": describe_case(case, row.dtype, inputs),
        "pass": row.pass_,
        "inputs": str(inputs),
        "outputs": str(outputs),
    }
    own = session.worker(OWN, row.threads, row.isa)
    own.ask(**order)
    ours = _results(outputs)
    ready = {OWN: own}
    for peer in row.peers:
        try:
            worker = session.worker(peer, row.threads)
            worker.ask(**order)
        except (NotInstalled, Unsupported) as reason:
            notes.append(str(reason))
            continue
        if difference := disagreement(ours, _results(outputs), case.seeded):
            message = f"{peer} and fastnn disagree on {case.id}, {row.pass_}: {difference}"
            raise Disagreement(message)
        ready[peer] = worker
    return ready


def _repeats(worker: Worker, sample_ms: float) -> int:
    """Runs per sample, from two trials; the first also warms caches and allocators."""
    count = 1
    for _ in range(2):
        time.sleep(_SETTLE)
        each = max(worker.ask(do="sample", repeats=count)["ns"] / count, 1.0)
        count = min(max(round(sample_ms * 1e6 / each), 1), _MAX_REPEATS)
    return count


def rounds(
    take: Callable[[int], tuple[dict[str, float], list[str]]],
    watch: machine.Watch,
    effort: Effort,
) -> tuple[list[dict[str, float]], list[str]]:
    """Rounds of samples, disturbed ones taken again while there is time.

    ``take(i)`` gives one time per participant and what disturbed the samples. Returns the quiet
    rounds and nothing else, or, if there were too few of them, all rounds and why.
    """
    taken: list[tuple[dict[str, float], machine.Reading, machine.Reading, list[str]]] = []
    end = time.monotonic() + effort.row_seconds
    before = watch.read()
    while True:
        times, complaints = take(len(taken))
        after = watch.read()
        taken.append((times, before, after, complaints))
        before = after
        # Judged anew each time: the best rate of the run may have risen since.
        found = [
            [*c, *filter(None, map(watch.complaint, dict.fromkeys((b, a))))] for _, b, a, c in taken
        ]
        quiet = [times for (times, *_), why in zip(taken, found, strict=True) if not why]
        if len(quiet) >= effort.rounds:
            return quiet, []
        if len(taken) >= effort.rounds and time.monotonic() > end:
            break
    if 2 * len(quiet) >= effort.rounds:
        return quiet, []
    reasons = [f"{len(taken) - len(quiet)} of {len(taken)} rounds disturbed"]
    # One example of each kind: without its figures a complaint is its kind.
    kinds = {re.sub(r"\d[\d.]*", "", text): text for why in found for text in why}
    reasons += list(kinds.values())[:4]
    return [times for times, *_ in taken], reasons


def measure(session: Session, row: Row) -> dict[str, Any]:
    """Everything about a row of kind ratio or ceiling, ready for a result file."""
    notes: list[str] = []
    ready = _prepare(session, row, notes)
    repeats = {name: _repeats(worker, session.effort.sample_ms) for name, worker in ready.items()}
    level = ready[OWN].about["isa"]
    watch = session.watch(level, row.threads)
    names = list(ready)

    def take(index: int) -> tuple[dict[str, float], list[str]]:
        shift = index % len(names)  # nobody always runs after the same neighbour
        times, complaints = {}, []
        for name in names[shift:] + names[:shift]:
            time.sleep(_SETTLE)
            got = ready[name].ask(do="sample", repeats=repeats[name])
            times[name] = got["ns"] / repeats[name]
            if why := machine.waited(got["delay_ns"], got["ns"], row.threads):
                complaints.append(f"{name}: {why}")
        return times, complaints

    kept, disturbed = rounds(take, watch, session.effort)
    result: dict[str, Any] = {
        "isa": level,
        "times_us": {n: Summary.of([t[n] / 1e3 for t in kept]).as_dict() for n in names},
        "ratios": {
            n: Summary.of([t[OWN] / t[n] for t in kept]).as_dict() for n in names if n != OWN
        },
        "disturbed": disturbed,
        "notes": notes,
    }
    flops = session.case(row).flops if row.pass_ == "forward" else None
    if flops is not None:
        peak = watch.best_many  # a ceiling is the most that was seen
        shares = [flops / t[OWN] / peak for t in kept]
        result["gflops"] = {n: flops / np.median([t[n] for t in kept]).item() for n in names}
        result["fma_peak_gflops"] = peak
        result["share_of_fma_peak"] = Summary.of(shares).as_dict()
        if np.median(shares) > 1:
            disturbed.append("faster than the ceiling: the probe was never alone on the cores")
    return result
