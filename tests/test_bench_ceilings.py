# SPDX-License-Identifier: BSD-3-Clause
"""What a bench holds its results against, and when it says that the machine was not quiet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastnn.cli.bench import adapter_jax, measure
from fastnn.cli.bench.ceilings import Bandwidth, Ceilings, Cost, Reading, Watch, judge
from fastnn.cli.bench.session import Effort
from fastnn.cli.bench.shares import add_shares


class Machine:
    """100 GFLOP/s; 10 GB/s until somebody leaves, then 20."""

    def __init__(self) -> None:
        self.looked: list[tuple[str, int]] = []
        self.speed = 10.0

    def fma(self, threads: int) -> float:
        return 100.0 * threads

    def memory(self, kind: str, threads: int, size: int) -> float:
        assert threads == 1
        self.looked.append((kind, size))
        return self.speed


class FixedWorker:
    """A participant whose runs take a millisecond, and whose threads wait for a share of it."""

    def __init__(self, wait: float = 0.0) -> None:
        self.wait = wait

    def ask(self, *, do: str, repeats: int) -> dict[str, float]:
        assert do == "sample"
        return {"ns": 1e6 * repeats, "delay_ns": self.wait * 1e6 * repeats}


def sampling(probe: Any, threads: int = 1, wait: float = 0.0) -> Any:
    top = Ceilings(probe, Watch(probe, threads), threads)
    ready: Any = {"fastnn": FixedWorker(wait)}
    return measure._Sampling(ready, {"fastnn": 1}, threads, 5, lambda: top.look(1e6))


def test_the_memory_is_looked_at_around_and_amid_the_rounds_at_the_size_of_the_work() -> None:
    probe = Machine()
    take = sampling(probe)
    watch: Any = Watch(None, 1)
    effort = Effort(rounds=5, sample_ms=1.0, row_seconds=0.0, pairs=1)
    kept, why = measure.rounds(take, watch, effort)
    probe.speed = 20.0
    take.see()
    assert not why
    assert probe.looked == [(kind, 1_000_000) for kind in ("copy", "stream", "read")] * 3
    assert [look.copy for look in take.seen] == [10.0, 10.0, 20.0]
    assert kept == [{"fastnn": 1e6}] * 5


def shares(milliseconds: float, seen: list[Bandwidth], cost: Cost | None = None) -> dict[str, Any]:
    result: dict[str, Any] = {"disturbed": [], "notes": []}
    top = Ceilings(None, Watch(None, 1), 1)
    add_shares(result, [{"fastnn": 1e6 * milliseconds}], cost or Cost(None, 10e6, 10e6), top, seen)
    return result


def test_rates_count_the_definition_and_shares_what_is_needed() -> None:
    result: dict[str, Any] = {"disturbed": [], "notes": []}
    watch = Watch(None, 1)
    watch.best_many = 100.0
    cost = Cost(9e6, None, 1e6, least_flops=4e6)
    add_shares(result, [{"fastnn": 50e3}], cost, Ceilings(None, watch, 1))
    assert result["gflops"]["fastnn"] == pytest.approx(180.0)
    assert result["share_of_fma_peak"]["median"] == pytest.approx(0.8)
    assert result["floor_us"] == pytest.approx(40.0)
    assert not result["disturbed"]


def test_a_share_of_the_peak_is_one_of_that_beside_the_row() -> None:
    class Drifting(Machine):
        def fma(self, threads: int) -> float:
            self.clock = getattr(self, "clock", 6.0) - 0.5
            return 100.0 * threads * self.clock

    watch = Watch(Drifting(), 2)  # type: ignore[arg-type]
    watch.settle(0.0)
    watch.begin()
    top = Ceilings(None, watch, 2)
    assert top.fma_beside == top.fma == watch.best_many, "before there is a reading beside it"
    watch.read()
    assert watch.best_beside < watch.best_many
    result: dict[str, Any] = {"disturbed": [], "notes": []}
    add_shares(result, [{"fastnn": 50e3}], Cost(9e6, None, 1e6), top)
    assert result["fma_peak_gflops"] == watch.best_beside
    assert result["floor_us"] == pytest.approx(9e3 / watch.best_beside)


def test_shares_are_of_the_best_that_was_seen_beside_the_rounds() -> None:
    result = shares(1.0, [Bandwidth(10.0, 10.0), Bandwidth(20.0, 15.0)])
    assert result["bandwidth_gb_per_s"] == 20.0
    assert result["share_of_bandwidth"]["median"] == pytest.approx(0.5)
    assert result["floor_us"] == pytest.approx(500.0)
    assert result["disturbed"] == result["notes"] == []
    reading = Cost(None, 10e6, 10e6, read=10e6)
    assert shares(1.0, [Bandwidth(10.0, 20.0)], reading)["bandwidth_gb_per_s"] == 20.0
    assert shares(1.0, [Bandwidth(20.0, 10.0)], reading)["bandwidth_gb_per_s"] == 20.0


def test_a_share_above_one_is_never_passed_over() -> None:
    (why,) = shares(0.5, [Bandwidth(10.0, 10.0)])["disturbed"]
    assert why.startswith("200% of the memory's ceiling: the rates read around it were disturbed")
    scatter = shares(0.97, [Bandwidth(10.0, 10.0)])
    assert not scatter["disturbed"]
    assert scatter["notes"][0].startswith("103.1% of the memory's ceiling")
    assert "share_of_bandwidth" not in shares(0.5, [])


def test_many_threads_are_judged_by_the_best_rate_of_the_run() -> None:
    turbo = Reading(100.0, 600.0, 16)  # one thread alone has a higher clock, two share a core
    assert judge(turbo, 100.0, 16, 610.0) is None
    assert "16 threads ran at 50%" in (judge(Reading(100.0, 300.0, 16), 100.0, 16, 600.0) or "")
    assert "2 threads gave 1.20" in (judge(Reading(100.0, 120.0, 2), 100.0, 2, 120.0) or "")
    assert judge(Reading(100.0, 120.0, 2), 100.0, 1, 120.0) is None
    probe: Any = Machine()
    watch = Watch(probe, 16)
    watch.best_many = 2000.0
    assert "16 threads ran at 80%" in (watch.complaint(watch.read()) or "")


@pytest.mark.parametrize(
    ("threads", "wait", "told"), [(4, 2.0, 0.0), (4, 2.4, 0.1), (2, 0.4, 0.2), (1, 0.0, 0.0)]
)
def test_threads_beyond_the_processors_wait_for_each_other(
    monkeypatch: pytest.MonkeyPatch, threads: int, wait: float, told: float
) -> None:
    """Of four threads that are busy on two processors, two are always waiting."""
    monkeypatch.setattr(measure.os, "sched_getaffinity", lambda _: {0, 1})
    _, waits = sampling(None, threads, wait)(0)
    assert waits["fastnn"] == pytest.approx(told)


def test_jax_gets_a_thread_of_every_core_before_it_gets_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cpu, siblings in enumerate(("0-1", "0-1", "2,6", "3,5", None, "3,5", "2,6")):
        if siblings is not None:
            (tmp_path / f"cpu{cpu}/topology").mkdir(parents=True)
            (tmp_path / f"cpu{cpu}/topology/thread_siblings_list").write_text(siblings + "\n")
    monkeypatch.setattr(adapter_jax, "_CPUS", tmp_path)
    assert adapter_jax._apart(range(7)) == [0, 2, 3, 4, 1, 5, 6]
    assert adapter_jax._apart({1, 2, 3}) == [1, 2, 3]
