# SPDX-License-Identifier: BSD-3-Clause
"""The processes of a bench: workers and their protocol, the ceilings, check from end to end.

No time is asserted: how fast something is, is what ``python -m benchmarks.check`` says.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn import _backend, testing
from fastnn.cli.bench import cases, ceilings_worker, machine, peers, preload, worker
from fastnn.cli.bench.workers import (
    LineProcess,
    NotInstalled,
    Probe,
    Unsupported,
    Worker,
    WorkerError,
)

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # benchmarks/ is no part of the installed package

from benchmarks import compare  # noqa: E402

CASES = {case.id: case for case in testing.all_cases()}
TINY = CASES["mm-3x4-4x2"]
needs_native = pytest.mark.skipif(_backend.cpu is None, reason="needs the native module")


@pytest.fixture
def numpy_worker(tmp_path: Path) -> Iterator[Worker]:
    process = Worker("numpy", 1, tmp_path)
    yield process
    process.close()


def order(case: testing.OpCase, folder: Path, direction: str = "forward") -> dict[str, Any]:
    return cases.Subject(case, None, direction).order(folder)


def test_a_worker_computes_the_case_and_times_it(numpy_worker: Worker, tmp_path: Path) -> None:
    assert numpy_worker.about["numpy"]
    assert numpy_worker.ask(**order(TINY, tmp_path)) == {"outputs": 1}
    a, b = testing.make_arrays(TINY, np.float32)
    with np.load(tmp_path / "outputs.npz") as stored:
        np.testing.assert_allclose(stored["0"], a @ b, rtol=1e-6)
    answer = numpy_worker.ask(do="sample", repeats=3)
    assert answer["ns"] > 0
    assert answer["delay_ns"] >= 0
    numpy_worker.send('{"do": "quit"}')
    with pytest.raises(WorkerError, match="numpy: expected an answer, got the end of the process"):
        numpy_worker.receive()


def test_a_worker_says_what_it_cannot_do(numpy_worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="expected prepare"):
        numpy_worker.ask(do="sample", repeats=1)
    with pytest.raises(Unsupported, match="no gradients"):
        numpy_worker.ask(**order(TINY, tmp_path, "forward_backward"))
    with pytest.raises(Unsupported, match="no NumPy version"):
        numpy_worker.ask(**order(next(c for c in CASES.values() if c.name == "softplus"), tmp_path))


def bare_python(folder: Path) -> Path:
    """An interpreter without site-packages has no library, but runs the worker."""
    bare = folder / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "$@"\n', encoding="utf-8")
    bare.chmod(0o755)
    return bare


def test_a_library_that_is_missing_is_told_from_one_that_fails(tmp_path: Path) -> None:
    bare = bare_python(tmp_path)
    with pytest.raises(NotInstalled, match=r"expected numpy in .*; install it there, or name"):
        Worker("numpy", 1, tmp_path, {"numpy": str(bare)})
    with pytest.raises(NotInstalled, match=r"to start, got .*; give another path"):
        Worker("numpy", 1, tmp_path, {"numpy": str(tmp_path / "none")})
    with pytest.raises(NotInstalled, match="numpy: expected device cpu"):
        Worker("numpy", 1, tmp_path, device="cuda")
    failing = LineProcess("failing", [sys.executable, "-c", "raise SystemExit('gone wrong')"])
    with pytest.raises(WorkerError, match="gone wrong"):
        failing.receive()
    failing.close()


def test_fastnn_and_numpy_agree_on_every_operation_that_both_are_timed_on(tmp_path: Path) -> None:
    """On its smallest case: NumPy has one formula for all of an operation's."""
    fastnn, numpy = (Worker(name, 2, tmp_path) for name in ("fastnn", "numpy"))
    smallest: dict[str, testing.OpCase] = {}
    for case in testing.all_cases(bench=True):
        kind = f"{case.name} {case.kwargs}"
        smallest[kind] = min(smallest.get(kind, case), case, key=size_of)
    compared = set()
    try:
        for case in smallest.values():
            arrays = []
            for process in (numpy, fastnn):
                try:
                    process.ask(**order(case, tmp_path))
                except Unsupported:
                    assert process is numpy, case.id
                    break
                with np.load(tmp_path / "outputs.npz") as stored:
                    arrays.append([stored[str(i)] for i in range(len(stored.files))])
            if arrays:
                assert cases.disagreement(*arrays, seeded=case.seeded) is None, case.id
                compared.add(case.name)
        assert compared >= {"add", "cross_entropy", "dropout", "linear", "mm", "softmax", "sum"}
        assert fastnn.ask(**order(TINY, tmp_path, "forward_backward")) == {"outputs": 3}
    finally:
        fastnn.close()
        numpy.close()


def size_of(case: testing.OpCase) -> int:
    return sum(math.prod(s) for s in case.shapes if isinstance(s, tuple) and s[:1] != ("int",))


def test_wrong_results_are_noticed() -> None:
    x = np.linspace(-1, 1, 100, dtype=np.float32)
    assert cases.disagreement([x], [x + np.float32(1e-5)], seeded=False) is None
    assert "differs" in (cases.disagreement([x], [x + np.float32(1e-2)], seeded=False) or "")
    assert "differs" in (cases.disagreement([x], [x * np.float32(math.nan)], seeded=False) or "")
    assert "float64" in (cases.disagreement([x], [x.astype(np.float64)], seeded=False) or "")
    assert "2 arrays" in (cases.disagreement([x], [x, x], seeded=False) or "")
    assert cases.disagreement([x], [x[::-1]], seeded=True) is None
    assert "differs" in (cases.disagreement([x], [2 * x], seeded=True) or "")


def test_a_peer_starts_with_its_own_settings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.setenv("LD_PRELOAD", "other.so")
    monkeypatch.setenv("FASTNN_DEBUG", "poison")
    monkeypatch.setenv("FASTNN_ISA", "x86_v2")
    monkeypatch.setenv("FASTNN_PEER_PYTHON", "jax=/c")
    env = peers.environment(peers.PEERS["torch-tuned"], 3, Path("mkl.so"))
    assert {"OMP_WAIT_POLICY", "FASTNN_DEBUG"}.isdisjoint(env)
    assert env["LD_PRELOAD"] == "mkl.so"
    assert env["OMP_NUM_THREADS"] == env["FASTNN_NUM_THREADS"] == "3"
    assert env["FASTNN_ISA"] == "x86_v2"
    assert "glibc.malloc" in env["GLIBC_TUNABLES"]
    given = {"torch": "/a", "torch-tuned": "/b"}
    found = [peers.interpreter(name, given) for name in ("torch", "torch-tuned", "numpy")]
    assert found == ["/a", "/b", sys.executable]
    assert peers.interpreter("torch-tuned", {"torch": "/a"}) == "/a"
    assert peers.pythons(["torch=/a"]) == {"jax": "/c", "torch": "/a"}
    with pytest.raises(ValueError, match="peer python"):
        peers.pythons(["/a"])


def test_run_delay_is_read_without_failing() -> None:
    assert worker.run_delay_ns() >= 0


@pytest.mark.parametrize(("waiting", "chunks"), [(0, 1), (3, 4), (10**6, 20)])
def test_a_sample_waits_until_the_threads_have_cores(
    monkeypatch: pytest.MonkeyPatch, waiting: int, chunks: int
) -> None:
    """Time stands still but for runs of 5 ms; in the first chunks threads wait for half of it."""
    now = delay = runs = 0

    def run() -> None:
        nonlocal now, delay, runs
        runs += 1
        now += 5_000_000
        delay += 2_500_000 if runs <= waiting else 0

    monkeypatch.setattr(worker.time, "perf_counter_ns", lambda: now)
    monkeypatch.setattr(worker, "run_delay_ns", lambda: delay)
    got = worker.sample(run, 2)
    assert runs == chunks + 2
    assert got == {"ns": 10_000_000, "delay_ns": 5_000_000 if waiting >= runs else 0}


def test_a_ceiling_is_taken_while_threads_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    delays = iter([0, 10**9, 10**9, 10**9])  # before and after each of two tries
    monkeypatch.setattr(ceilings_worker, "run_delay_ns", lambda: next(delays))
    rates = iter([1.0, 2.0, 3.0])
    assert ceilings_worker._alone(lambda: next(rates)) == 2.0


# ----------------------------------------------------------------------------- ceilings


@needs_native
def test_the_ceilings_are_measured_at_every_level() -> None:
    for level in _backend.cpu.usable_levels():
        probe = Probe(level)
        try:
            assert probe.fma(1, 0.001) > 0
            assert probe.fma(2, 0.001) > 0
            for kind in ("read", "copy", "stream"):
                assert probe.memory(kind, 2, 100_000, 0.001) > 0
        finally:
            probe.close()


@needs_native
def test_a_probe_that_ends_is_started_again_for_the_next_row() -> None:
    probe = Probe("x86_v2" if "x86_v2" in _backend.cpu.usable_levels() else None)
    try:
        probe._process.kill()  # between two rows: the next one does not notice
        probe._process.wait()
        assert probe.fma(1, 0.001) > 0
        probe.send(json.dumps({"threads": 1, "seconds": 9.0}))
        probe._process.kill()  # amid a row, which says what to do
        with pytest.raises(WorkerError, match=r"ceilings: .* an answer, .*; measure again"):
            probe.receive()
        assert probe.memory("copy", 1, 100_000, 0.001) > 0
    finally:
        probe.close()


@needs_native
def test_wrong_orders_of_ceilings_are_refused() -> None:
    with pytest.raises(ValueError, match="read, copy or stream"):
        _backend.cpu.ceiling_memory("write", 1, 1024, 0.001)
    for seconds in (0.0, -1.0, math.nan, 11.0):
        with pytest.raises(ValueError, match="0 < seconds <= 10"):
            _backend.cpu.ceiling_fma(1, seconds)
    assert _backend.cpu.ceiling_fma(0, 0.001) < 0
    assert _backend.cpu.ceiling_memory("copy", 2000, 1024, 0.001) < 0
    assert _backend.cpu.ceiling_memory("copy", 1, 2**60, 0.001) < 0
    assert _backend.cpu.ceiling_memory("read", 3, 0, 0.001) > 0


def test_without_a_native_module_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backend, "cpu", None)
    monkeypatch.setitem(_backend.reasons, "cpu", "none was built")
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    assert ceilings_worker.main() == 0
    assert "none was built" in json.loads(out.getvalue())["missing"]


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_the_multiply_adds_stay_in_registers(tmp_path: Path) -> None:
    source = ROOT / "csrc" / "runtime" / "ceilings.cpp"
    if os.uname().machine != "x86_64" or not source.is_file():
        pytest.skip("not x86-64, or not in a source tree")
    output = tmp_path / "ceilings.s"
    flags = ["-std=c++17", "-O3", "-march=x86-64-v2", "-ffp-contract=off", "-DFASTNN_LEVELS_X86=1"]
    command = ["g++", *flags, f"-I{ROOT / 'csrc'}", "-S", str(source), "-o", str(output)]
    subprocess.run(command, check=True)
    steps = re.findall(r"^\s+vfmadd\d+ps\s.*$", output.read_text(), re.MULTILINE)
    for register in ("zmm", "ymm"):
        chains = [step for step in steps if register in step]
        assert len(chains) == 12, "the chains were folded, or the loop was copied"
        assert not [step for step in chains if "(" in step], "a chain lives in memory"


def test_a_library_to_preload_needs_a_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preload, "is_needed", lambda: True)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotInstalled, match="expected a C compiler"):
        Worker("torch-tuned", 1, tmp_path)


def test_check_runs_from_the_command_line(tmp_path: Path) -> None:
    """One row with a peer and one without, whatever the verdicts."""
    wheel = tmp_path / "made-up.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("a", b"0" * 1_000_000)
    rows = ["--only", "wheel-size", "--only", "gemm-512"]
    options = ["--quick", "--wheel", str(wheel), "--json", str(tmp_path / "a.json")]
    command = [sys.executable, "-m", "benchmarks.check", *rows, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1, 3), done.stdout + done.stderr
    report = json.loads((tmp_path / "a.json").read_text("utf-8"))
    gemm, size = report["rows"]
    assert gemm["case"] == "mm-512x512-512x512"
    assert gemm["times_us"]["fastnn"]["minimum"] > 0
    assert gemm["fma_peak_gflops"] > 0
    assert gemm["verdict"] in ("met", "missed", "disturbed")
    assert size["value"]["median"] == pytest.approx(1.0, rel=1e-3)
    assert size["verdict"] == "met"
    assert report["machine"]["cpu"]
    assert report["versions"]["fastnn"]["backend"]
    assert compare.main([str(tmp_path / "a.json")] * 2) == 0


def test_check_exits_with_2_when_a_peer_is_missing(tmp_path: Path) -> None:
    peer = f"torch={bare_python(tmp_path)}"
    options = ["--quick", "--only", "calls/add-8", "--peer-python", peer]
    command = [sys.executable, "-m", "benchmarks.check", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "not installed: torch" in done.stdout


@pytest.mark.parametrize(("kind", "status"), [("GenuineIntel", False), ("AuthenticAMD", True)])
def test_only_processors_that_are_not_intels_need_the_library(
    monkeypatch: pytest.MonkeyPatch, kind: str, status: bool
) -> None:
    monkeypatch.setattr(machine, "_lines", lambda _: ["processor : 0", f"vendor_id\t: {kind}"])
    assert preload.is_needed() == status
    monkeypatch.setattr(machine, "_lines", lambda _: [])  # aarch64, or no /proc
    assert not preload.is_needed()
