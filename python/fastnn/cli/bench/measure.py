# SPDX-License-Identifier: BSD-3-Clause
"""Times a subject by fastnn and its peers, each in its own process, sample by sample in turn."""

from __future__ import annotations

import dataclasses
import os
import re
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.cli.bench import ceilings
from fastnn.cli.bench.cases import Subject, results
from fastnn.cli.bench.peers import OWN, PEERS
from fastnn.cli.bench.shares import add_shares
from fastnn.cli.bench.stats import Summary
from fastnn.cli.bench.workers import NotInstalled, Unsupported, Worker, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from fastnn.cli.bench.session import Effort, Session

__all__ = ["Disagreement", "measure", "rounds"]

# A pause before every sample, in which the last one's threads stop spinning.
_SETTLE = 0.002
_MAX_REPEATS = 100_000


class Disagreement(WorkerError):
    """A peer computes something else than fastnn."""


@dataclasses.dataclass
class _Absent:
    """The peers that a row goes without, and why; those of ``failed`` had the operation, those of
    ``wrong`` among them ran it and computed something else."""

    why: dict[str, str] = dataclasses.field(default_factory=dict)
    failed: list[str] = dataclasses.field(default_factory=list)
    wrong: list[str] = dataclasses.field(default_factory=list)

    def add(self, peer: str, error: WorkerError) -> None:
        """One more. fastnn itself is none: then there is no row."""
        if peer == OWN:
            raise error
        self.why[peer] = str(error).removeprefix(f"{peer}: ")
        if not isinstance(error, NotInstalled | Unsupported):
            self.failed.append(peer)
        if isinstance(error, Disagreement):
            self.wrong.append(peer)


def _prepare(
    session: Session,
    subject: Subject,
    peers: Sequence[str],
    threads: int,
    isa: str | None,
    absent: _Absent,
) -> tuple[dict[str, Worker], ceilings.Cost]:
    """The workers that can run the subject, with equal results; fastnn's is the first."""
    order = subject.order(session.folder)
    own = session.worker(OWN, threads, isa)
    own.ask(**order)
    ours = results(order["outputs"])
    ready = {OWN: own}
    for peer in peers:
        try:
            worker = session.worker(peer, threads, isa)
            worker.ask(**order)
        except WorkerError as error:
            absent.add(peer, error)
            continue
        plain = PEERS[peer].options.get("plain")  # computes another thing on purpose
        if not plain and (difference := subject.disagreement(ours, results(order["outputs"]))):
            message = (
                f"{peer}: expected fastnn's results of {subject.label}, got others: "
                f"{difference}; report it, and leave the peer out with --peers"
            )
            absent.add(peer, Disagreement(message))
            continue
        ready[peer] = worker
    return ready, subject.cost(ours)


def _repeats(worker: Worker, sample_ms: float) -> int:
    """Runs per sample, from two trials; the first also warms caches and allocators."""
    count = 1
    for _ in range(2):
        time.sleep(_SETTLE)
        each = max(worker.ask(do="sample", repeats=count)["ns"] / count, 1.0)
        count = min(max(round(sample_ms * 1e6 / each), 1), _MAX_REPEATS)
    return count


@dataclasses.dataclass(frozen=True)
class _Round:
    """One sample of everyone: times, shares of them spent waiting for a core, the readings around
    them."""

    times: dict[str, float]
    waits: dict[str, float]
    around: tuple[ceilings.Reading, ceilings.Reading]


def _complaints(
    taken: Sequence[_Round], watch: ceilings.Watch, crowded: Collection[str]
) -> list[list[str]]:
    """What was wrong with each round, judged by all of them."""
    usual = {name: np.median([r.waits[name] for r in taken]).item() for name in crowded}
    found = []
    for r in taken:
        why = [ceilings.waited(wait, name, usual.get(name, 0.0)) for name, wait in r.waits.items()]
        why += [watch.complaint(reading) for reading in dict.fromkeys(r.around)]
        found.append([text for text in why if text])
    return found


def rounds(
    take: Callable[[int], tuple[dict[str, float], dict[str, float]]],
    watch: ceilings.Watch,
    effort: Effort,
    crowded: Collection[str] = (),
) -> tuple[list[dict[str, float]], list[str]]:
    """Rounds of samples, disturbed ones taken again while there is time.

    ``take(i)`` gives one time per participant, and the share of it that its threads waited for a
    core. Those of ``crowded`` may have more threads than cores, which then wait for each other:
    they are judged against what is usual for them. Returns the quiet rounds and nothing else, or,
    if there were too few of them, all rounds and why.
    """
    taken: list[_Round] = []
    end = time.monotonic() + effort.row_seconds
    before = watch.read()
    while True:
        times, waits = take(len(taken))
        after = watch.read()
        taken.append(_Round(times, waits, (before, after)))
        before = after
        # Judged anew each time: the best rate of the run may have risen since.
        found = _complaints(taken, watch, crowded)
        quiet = [r.times for r, why in zip(taken, found, strict=True) if not why]
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
    return [r.times for r in taken], reasons


class _Failed(Exception):
    """A participant failed while it was sampled."""

    def __init__(self, name: str, error: WorkerError) -> None:
        super().__init__(name)
        self.name, self.error = name, error


@dataclasses.dataclass
class _Sampling:
    """Takes rounds of samples, and looks at the memory's rates before, amid and after them."""

    ready: dict[str, Worker]
    repeats: dict[str, int]
    threads: int
    count: int  # of rounds, at least
    look: Callable[[], ceilings.Bandwidth | None]
    seen: list[ceilings.Bandwidth] = dataclasses.field(default_factory=list)

    def see(self) -> None:
        """A look now."""
        if found := self.look():
            self.seen.append(found)

    def __call__(self, index: int) -> tuple[dict[str, float], dict[str, float]]:
        """Nanoseconds of everyone's run, and the share of them that its threads waited."""
        if index in (0, self.count // 2):
            self.see()
        names = list(self.ready)
        # More threads than processors wait for each other, however quiet the machine is.
        usual = max(0.0, 1 - len(os.sched_getaffinity(0)) / self.threads)
        shift = index % len(names)  # nobody always runs after the same neighbour
        times, waits = {}, {}
        for name in names[shift:] + names[:shift]:
            time.sleep(_SETTLE)
            try:
                got = self.ready[name].ask(do="sample", repeats=self.repeats[name])
            except WorkerError as error:
                raise _Failed(name, error) from error
            times[name] = got["ns"] / self.repeats[name]
            waits[name] = max(0.0, got["delay_ns"] / (got["ns"] * self.threads) - usual)
        return times, waits


def measure(
    session: Session,
    subject: Subject,
    peers: Sequence[str],
    threads: int,
    isa: str | None = None,
) -> dict[str, Any]:
    """Everything about a subject, ready for a result file."""
    absent = _Absent()
    ready, cost = _prepare(session, subject, peers, threads, isa, absent)
    repeats = {}
    for name in list(ready):
        try:
            repeats[name] = _repeats(ready[name], session.effort.sample_ms)
        except WorkerError as error:
            absent.add(name, error)
            ready.pop(name)
    level = ready[OWN].about["isa"]
    watch, top = session.watch(level, threads), session.ceilings(level, threads)

    def look() -> ceilings.Bandwidth | None:
        return top.look(cost.working_set) if cost.traffic else None

    watch.begin()
    take = _Sampling(ready, repeats, threads, session.effort.rounds, look)
    while True:
        try:
            peers = [n for n in ready if n != OWN]
            kept, disturbed = rounds(take, watch, session.effort, peers)
            break
        except _Failed as failure:  # the others again, without it
            absent.add(failure.name, failure.error)
            ready.pop(failure.name)
    take.see()
    result: dict[str, Any] = {
        "isa": level,
        "times_us": {n: Summary.of([t[n] / 1e3 for t in kept]).as_dict() for n in ready},
        "ratios": {
            n: Summary.of([t[OWN] / t[n] for t in kept]).as_dict() for n in ready if n != OWN
        },
        "disturbed": disturbed,
        "without": absent.why,
        "failed": absent.failed,
        "wrong": absent.wrong,
        "notes": [],
    }
    add_shares(result, kept, cost, top, take.seen)
    return result
