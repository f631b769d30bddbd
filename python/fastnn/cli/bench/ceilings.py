# SPDX-License-Identifier: BSD-3-Clause
"""What the machine can do at most, and whether it is quiet while something is timed."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import time
from typing import TYPE_CHECKING

import numpy as np

from fastnn.cli.bench.machine import caches
from fastnn.cli.bench.worker import MAX_DELAY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastnn.cli.bench.workers import Probe

__all__ = ["Bandwidth", "Ceilings", "Cost", "Reading", "Watch", "falling", "judge", "waited"]

# Two free cores give 1.9 to 2 times the rate of one; two threads of one core give 1.0 to 1.3.
MIN_SCALING = 1.7
# Below this share of the best rate seen in the run, something else had the core.
MIN_RATE = 0.85
# Of a reading that shows a disturbance, and at the start of a run, of one that does not.
READINGS, FIRST_READINGS = 3, 5

_KINDS = ("copy", "stream", "read")  # of memory rates

# A last-level cache above this is a large server's, shared with others, of which little is ours.
_LARGE_CACHE = 64 * 1024


def _sizes() -> tuple[int, ...]:
    """Working sets at which memory is measured: from half an L2 to far beyond the last cache."""
    kilobytes = [int(t[:-1]) for t in caches().values() if t[:-1].isdigit() and t[-1] == "K"]
    large = max(kilobytes, default=0) > _LARGE_CACHE
    exponents = (*range(17, 25), 26, 28, *((30,) if large else ()))
    return tuple(2**n for n in exponents)


@dataclasses.dataclass(frozen=True)
class Reading:
    """Rates of one and of several threads, in GFLOP/s, taken one after the other."""

    one: float
    many: float
    threads: int


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one run has to do at least: operations, bytes moved, bytes of all its arrays.

    parts: its operations and its traffic are those of different parts, one after the other.
    read: the part of the traffic that is read beyond as many bytes as are written.
    least_flops: operations of the method that there is, if it needs fewer than the definition.
    """

    flops: float | None
    traffic: float | None
    working_set: float
    parts: bool = False
    read: float = 0.0
    least_flops: float | None = None

    @property
    def needed(self) -> float | None:
        """Operations of the method that there is."""
        return self.least_flops or self.flops


@dataclasses.dataclass(frozen=True)
class Bandwidth:
    """GB/s at one size of the working set: of the better of the two copies, and of reading."""

    copy: float
    read: float

    def rate(self, cost: Cost) -> float:
        """GB/s of the work's mix: as many bytes read as are written are a copy, and what is read
        beyond them is held against the better of the two rates."""
        share = cost.read / cost.traffic if cost.traffic else 0.0
        return 1 / ((1 - share) / self.copy + share / max(self.read, self.copy))


class Watch:
    """Readings of the probe through a run, and what they say about a stretch of it.

    Without a probe (there is no native module) every reading is a quiet one: then only the time
    that threads waited for a core tells of disturbance.
    """

    def __init__(self, probe: Probe | None, threads: int) -> None:
        self._probe = probe
        self._threads = threads
        self.best_one = 0.0
        self.best_many = 0.0
        self.best_beside = 0.0  # of the threads together, since `begin`

    def begin(self) -> None:
        """A row begins: a share is one of what the machine can do beside it, for clocks drift."""
        self.best_beside = 0.0

    def read(self) -> Reading:
        """A reading now; a few milliseconds. A disturbance lasts: one reading of it may be chance,
        so it is taken again before it counts."""
        for _ in range(READINGS):
            reading = self._take()
            if self.complaint(reading) is None:
                break
        return reading

    def _take(self) -> Reading:
        if self._probe is None:
            return Reading(0.0, 0.0, self._threads)
        one = self._probe.fma(1)
        many = one if self._threads == 1 else self._probe.fma(self._threads)
        self.best_one = max(self.best_one, one)
        self.best_many = max(self.best_many, many)
        self.best_beside = max(self.best_beside, many)
        return Reading(one, many, self._threads)

    def settle(self, seconds: float) -> None:
        """Readings until the machine is quiet, for ``seconds`` at most; the first ones wake the
        probe's threads."""
        end = time.monotonic() + seconds
        for count in itertools.count(1):
            quiet = self.complaint(self.read()) is None
            if (quiet and count >= FIRST_READINGS) or time.monotonic() > end:
                return

    def complaint(self, reading: Reading) -> str | None:
        """Why the machine was not quiet at a reading; None if it was."""
        cores = len(os.sched_getaffinity(0))
        return judge(reading, self.best_one, cores, self.best_many)


class Ceilings:
    """The ceilings of a number of threads at an instruction-set level: the most that was seen.

    takes: how often each memory rate is measured.
    """

    def __init__(self, probe: Probe | None, watch: Watch, threads: int, takes: int = 3) -> None:
        self._takes = takes
        self._probe = probe
        self._watch = watch
        self._threads = threads
        self._memory: dict[int, Bandwidth] = {}

    @property
    def fma(self) -> float | None:
        """Multiply-adds in registers, GFLOP/s; None where it cannot be measured."""
        return self._watch.best_many or None

    @property
    def fma_beside(self) -> float | None:
        """The same by the readings of the present row alone."""
        return self._watch.best_beside or self.fma

    def look(self, size: float) -> Bandwidth | None:
        """The rates at that size of the working set now; None where they cannot be measured."""
        if self._probe is None:
            return None
        copy, stream, read = (self._probe.memory(kind, self._threads, int(size)) for kind in _KINDS)
        return Bandwidth(max(copy, stream), read)

    def _curve(self) -> Mapping[int, Bandwidth]:
        """The best of several looks at every size; measured once."""
        if not self._memory:
            for _ in range(self._takes):
                for size in _sizes():
                    if seen := self.look(size):
                        old = self._memory.get(size)
                        self._memory[size] = best([old, seen]) if old else seen
        return self._memory

    @property
    def memory(self) -> dict[int, float]:
        """GB/s of the better of the two copies, by bytes of the working set; measured once."""
        return {size: rates.copy for size, rates in self._curve().items()}

    @property
    def dram(self) -> float | None:
        """GB/s of a copy at the largest working set."""
        return list(self.memory.values())[-1] if self.memory else None

    def bandwidth(self, cost: Cost, seen: Sequence[Bandwidth] = ()) -> float | None:
        """GB/s of the work's mix of reading and writing at its working set.

        From the best of what was ``seen`` beside it, else from the curve, between its sizes: there
        a larger set is never taken to be faster than a smaller one was.
        """
        if seen:
            return best(seen).rate(cost)
        if not (curve := self._curve()):
            return None
        places = [*map(math.log, curve)]
        copy, read = (
            float(np.interp(math.log(max(cost.working_set, 1.0)), places, falling(rates)))
            for rates in ([b.copy for b in curve.values()], [b.read for b in curve.values()])
        )
        return Bandwidth(copy, read).rate(cost)

    def time_us(self, cost: Cost, seen: Sequence[Bandwidth] = ()) -> float | None:
        """The least time that the work can take: the roofline, as a time.

        The larger of its operations at the multiply-add rate, and of its traffic at the rate of
        its working set (Williams, Waterman, Patterson 2009); of a whole step, the sum of the two.
        """
        parts = []
        if cost.needed and (peak := self.fma_beside):
            parts.append(cost.needed / peak * 1e-3)
        if cost.traffic and (rate := self.bandwidth(cost, seen)):
            parts.append(cost.traffic / rate * 1e-3)
        return (sum(parts) if cost.parts else max(parts)) if parts else None


def best(seen: Sequence[Bandwidth]) -> Bandwidth:
    """The largest of each rate."""
    return Bandwidth(max(b.copy for b in seen), max(b.read for b in seen))


def falling(rates: Sequence[float]) -> list[float]:
    """Rates of working sets of rising size, each at least that of every larger one."""
    return [max(rates[i:]) for i in range(len(rates))]


def judge(reading: Reading, best_one: float, cores: int, best_many: float = 0.0) -> str | None:
    """Why a reading is not one of a quiet machine; None if it is.

    Several threads are judged by the best rate of as many in this run: how much faster than one
    they are is the processor's own affair, where one alone has a higher clock or two share a core.
    Two must also be nearly twice as fast as one, for a neighbour may stay for the whole run.
    """
    if reading.one < MIN_RATE * best_one:
        return f"one thread ran at {reading.one / best_one:.0%} of the best rate of the run"
    if reading.threads > 1 and reading.many < MIN_RATE * best_many:
        share = reading.many / best_many
        return f"{reading.threads} threads ran at {share:.0%} of the best rate of the run"
    if reading.threads == 2 and cores > 1 and reading.many < MIN_SCALING * reading.one:
        return f"2 threads gave {reading.many / reading.one:.2f} times one's rate"
    return None


def waited(share: float, name: str, usual: float = 0.0) -> str | None:
    """Why a sample is not one of a quiet machine, by the share of its time that its threads waited
    for a core, beyond the usual; None if it is."""
    if share <= usual + MAX_DELAY:  # of a sample
        return None
    return f"{name}: threads waited {share:.0%} of the time for a core"
