# SPDX-License-Identifier: BSD-3-Clause
"""The processes and files of one run of measurements."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnn.cli.bench.ceilings import Ceilings, Watch
from fastnn.cli.bench.peers import OWN, PEERS
from fastnn.cli.bench.workers import NotInstalled, Probe, Worker

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FULL", "QUICK", "Effort", "Session"]


@dataclasses.dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int  # undisturbed rounds wanted, of one sample each of everyone
    sample_ms: float  # length of a sample
    row_seconds: float  # after which a row's disturbed rounds are not retaken any more
    pairs: int  # of processes, for the import time
    takes: int = 3  # of the curve of memory rates; every row looks at its own, three times


# For which the first readings of a watch may wait for a quiet machine.
_SETTLE_SECONDS = 1.0

FULL = Effort(rounds=21, sample_ms=20.0, row_seconds=12.0, pairs=9)
QUICK = Effort(rounds=5, sample_ms=4.0, row_seconds=0.5, pairs=9, takes=1)


class Session:
    """Starts every process at its first use, and ends them all."""

    def __init__(
        self, folder: Path, effort: Effort, pythons: Mapping[str, str], device: str = "cpu"
    ) -> None:
        self.folder = folder
        self.effort = effort
        self.device = device
        self.versions: dict[str, dict[str, Any]] = {}
        self.missing: dict[str, str] = {}
        self.no_ceilings = ""  # why there are none
        self._pythons = pythons
        self._workers: dict[tuple[str, int, str | None], Worker] = {}
        self._watches: dict[tuple[str | None, int], Watch] = {}
        self._ceilings: dict[tuple[str | None, int], Ceilings] = {}
        self._probes: dict[str | None, Probe | None] = {}

    def worker(self, peer: str, threads: int, isa: str | None = None) -> Worker:
        """The process of a peer; started at first use. NotInstalled where it has no library."""
        if peer in self.missing:
            raise NotInstalled(self.missing[peer])
        own = PEERS[peer].library == OWN
        key = (peer, threads, isa if own else None)
        if key in self._workers and not self._workers[key].alive:
            self._workers.pop(key).close()  # it failed on an earlier row
        if key not in self._workers:
            try:
                self._workers[key] = Worker(
                    peer, threads, self.folder, self._pythons, key[2], self.device
                )
            except NotInstalled as error:
                self.missing[peer] = str(error)
                raise
            about = {k: v for k, v in self._workers[key].about.items() if k != "threads"}
            self.versions[peer if key[2] is None else f"{peer} {isa}"] = about
        return self._workers[key]

    def _probe(self, level: str | None) -> Probe | None:
        if level not in self._probes:
            try:
                self._probes[level] = Probe(level)
            except NotInstalled as error:
                self._probes[level] = None
                self.no_ceilings = f"no ceilings and no shares of them: {error}"
        return self._probes[level]

    def watch(self, level: str | None, threads: int) -> Watch:
        """The watch at an instruction-set level."""
        key = (level, threads)
        if key not in self._watches:
            self._watches[key] = Watch(self._probe(level), threads)
            self._watches[key].settle(_SETTLE_SECONDS)
        return self._watches[key]

    def ceilings(self, level: str | None, threads: int) -> Ceilings:
        """The ceilings at an instruction-set level; those of a GPU are not known."""
        key = (level, threads)
        if key not in self._ceilings:
            probe = self._probe(level) if self.device == "cpu" else None
            watch = self.watch(level, threads)
            self._ceilings[key] = Ceilings(probe, watch, threads, self.effort.takes)
        return self._ceilings[key]

    def close(self) -> None:
        """End all processes."""
        for process in (*self._workers.values(), *self._probes.values()):
            if process is not None:
                process.close()
        self._workers.clear()
        self._probes.clear()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
