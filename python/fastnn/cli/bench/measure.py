# SPDX-License-Identifier: BSD-3-Clause
"""Times a subject by fastnn and its peers, each in its own process, sample by sample in turn."""

from __future__ import annotations

import dataclasses
import re
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.cli.bench import ceilings
from fastnn.cli.bench.cases import Subject, disagreement, results
from fastnn.cli.bench.peers import OWN, PEERS
from fastnn.cli.bench.stats import Summary
from fastnn.cli.bench.workers import NotInstalled, Unsupported, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from fastnn.cli.bench.session import Effort, Session

__all__ = ["Disagreement", "measure", "rounds"]

# A pause before every sample, in which the last one's threads stop spinning.
_SETTLE = 0.002
_MAX_REPEATS = 100_000


class Disagreement(RuntimeError):
    """A peer computes something else than fastnn."""


def _prepare(
    session: Session,
    subject: Subject,
    peers: Sequence[str],
    threads: int,
    isa: str | None,
    without: dict[str, str],
) -> tuple[dict[str, Worker], ceilings.Cost]:
    """The workers that can run the subject, with equal results; fastnn's is the first.

    ``without`` gets the peers that cannot, and why.
    """
    order = subject.order(session.folder)
    own = session.worker(OWN, threads, isa)
    own.ask(**order)
    ours = results(order["outputs"])
    ready = {OWN: own}
    for peer in peers:
        try:
            worker = session.worker(peer, threads, isa)
            worker.ask(**order)
        except (NotInstalled, Unsupported) as reason:
            without[peer] = str(reason).removeprefix(f"{peer}: ")
            continue
        if not PEERS[peer].options.get("plain"):  # computes another thing on purpose
            seeded = subject.case is not None and subject.case.seeded
            tolerance = 1e-4 if subject.program is None else subject.program.tolerance
            difference = disagreement(
                ours, results(order["outputs"]), seeded=seeded, tolerance=tolerance
            )
            if difference:
                message = (
                    f"{peer}: expected fastnn's results of {subject.label}, got others: "
                    f"{difference}; report it, and leave the peer out with --peers"
                )
                raise Disagreement(message)
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


def _shares(
    result: dict[str, Any], kept: list[dict[str, float]], cost: ceilings.Cost, top: Any
) -> None:
    """Adds rates and shares of the machine's ceilings to a result."""
    medians = {n: np.median([t[n] for t in kept]).item() for n in kept[0]}  # ns
    result["cost"] = {
        "flops": cost.flops, "traffic": cost.traffic, "working_set": cost.working_set,
    }  # fmt: skip
    if cost.flops:
        result["gflops"] = {n: cost.flops / t for n, t in medians.items()}
        result["fma_peak_gflops"] = top.fma
        if top.fma:
            shares = [cost.flops / t[OWN] / top.fma for t in kept]
            result["share_of_fma_peak"] = Summary.of(shares).as_dict()
    if cost.traffic:
        result["gb_per_s"] = {n: cost.traffic / t for n, t in medians.items()}
        if rate := top.bandwidth(cost.working_set):
            result["bandwidth_gb_per_s"] = rate
            shares = [cost.traffic / t[OWN] / rate for t in kept]
            result["share_of_bandwidth"] = Summary.of(shares).as_dict()
    if (floor := top.time_us(cost)) is not None:
        result["floor_us"] = floor
        shares = [1e3 * floor / t[OWN] for t in kept]
        result["share_of_ceiling"] = Summary.of(shares).as_dict()
    if result.get("share_of_fma_peak", {}).get("median", 0) > 1:
        what = "faster than the ceiling: the probe was never alone on the cores"
        result["disturbed"].append(what)


def measure(
    session: Session,
    subject: Subject,
    peers: Sequence[str],
    threads: int,
    isa: str | None = None,
) -> dict[str, Any]:
    """Everything about a subject, ready for a result file."""
    without: dict[str, str] = {}
    ready, cost = _prepare(session, subject, peers, threads, isa, without)
    repeats = {name: _repeats(worker, session.effort.sample_ms) for name, worker in ready.items()}
    level = ready[OWN].about["isa"]
    watch = session.watch(level, threads)
    names = list(ready)

    def take(index: int) -> tuple[dict[str, float], dict[str, float]]:
        shift = index % len(names)  # nobody always runs after the same neighbour
        times, waits = {}, {}
        for name in names[shift:] + names[:shift]:
            time.sleep(_SETTLE)
            got = ready[name].ask(do="sample", repeats=repeats[name])
            times[name] = got["ns"] / repeats[name]
            waits[name] = got["delay_ns"] / (got["ns"] * threads)
        return times, waits

    kept, disturbed = rounds(take, watch, session.effort, [n for n in names if n != OWN])
    result: dict[str, Any] = {
        "isa": level,
        "times_us": {n: Summary.of([t[n] / 1e3 for t in kept]).as_dict() for n in names},
        "ratios": {
            n: Summary.of([t[OWN] / t[n] for t in kept]).as_dict() for n in names if n != OWN
        },
        "disturbed": disturbed,
        "without": without,
        "notes": [],
    }
    _shares(result, kept, cost, session.ceilings(level, threads))
    return result
