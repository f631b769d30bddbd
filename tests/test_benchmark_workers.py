# SPDX-License-Identifier: BSD-3-Clause
"""The processes of benchmarks/: workers and their protocol, the probe, and check from end to end.

No time is asserted: how fast something is, is what ``python -m benchmarks.check`` says.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn import testing
from fastnn.cli.bench import peers, worker

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # benchmarks/ is no part of the installed package

from benchmarks import check, compare, measure, native  # noqa: E402
from benchmarks.workers import (  # noqa: E402
    LineProcess,
    NotInstalled,
    Unsupported,
    Worker,
    WorkerError,
)

CASES = {case.id: case for case in testing.all_cases()}
TINY = CASES["mm-3x4-4x2"]
needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler"
)


@pytest.fixture
def numpy_worker(tmp_path: Path) -> Iterator[Worker]:
    process = Worker("numpy", 1, tmp_path)
    yield process
    process.close()


def order(case: testing.OpCase, folder: Path, direction: str = "forward") -> dict[str, Any]:
    described = measure.describe_case(case, "float32", folder / "in.npz")
    files = {"inputs": str(folder / "in.npz"), "outputs": str(folder / "out.npz")}
    return {"do": "prepare", "case": described, "pass": direction, **files}


def test_a_worker_computes_the_case_and_times_it(numpy_worker: Worker, tmp_path: Path) -> None:
    assert numpy_worker.about["numpy"]
    assert numpy_worker.ask(**order(TINY, tmp_path)) == {"outputs": 1}
    a, b = testing.make_arrays(TINY, np.float32)
    with np.load(tmp_path / "out.npz") as stored:
        np.testing.assert_allclose(stored["0"], a @ b, rtol=1e-6)
    answer = numpy_worker.ask(do="sample", repeats=3)
    assert answer["ns"] > 0
    assert answer["delay_ns"] >= 0
    numpy_worker.send('{"do": "quit"}')
    with pytest.raises(WorkerError, match="ended"):
        numpy_worker.receive()


def test_a_worker_says_what_it_cannot_do(numpy_worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="expected prepare"):
        numpy_worker.ask(do="sample", repeats=1)
    with pytest.raises(Unsupported, match="no gradients"):
        numpy_worker.ask(**order(TINY, tmp_path, "forward_backward"))
    with pytest.raises(Unsupported, match="no NumPy version"):
        numpy_worker.ask(**order(CASES["mm a^T b-70x33-70x65"], tmp_path))


def test_a_library_that_is_missing_is_told_from_one_that_fails(tmp_path: Path) -> None:
    # An interpreter without site-packages has no NumPy, but runs the worker.
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "$@"\n', encoding="utf-8")
    bare.chmod(0o755)
    with pytest.raises(NotInstalled, match="numpy"):
        Worker("numpy", 1, tmp_path, {"numpy": str(bare)})
    with pytest.raises(WorkerError, match="cannot be started"):
        Worker("numpy", 1, tmp_path, {"numpy": str(tmp_path / "none")})
    failing = LineProcess([sys.executable, "-c", "raise SystemExit('gone wrong')"])
    with pytest.raises(WorkerError, match="gone wrong"):
        failing.receive()
    failing.close()


def test_fastnn_and_numpy_agree_on_every_case_that_both_are_timed_on(tmp_path: Path) -> None:
    fastnn, numpy = (Worker(name, 1, tmp_path) for name in ("fastnn", "numpy"))
    compared = set()
    try:
        for case in CASES.values():
            if not case.bench:
                continue
            arrays = []
            for process in (numpy, fastnn):
                try:
                    process.ask(**order(case, tmp_path))
                except Unsupported:
                    assert process is numpy, case.id
                    break
                with np.load(tmp_path / "out.npz") as stored:
                    arrays.append([stored[str(i)] for i in range(len(stored.files))])
            if arrays:
                assert measure.disagreement(*arrays, seeded=case.seeded) is None, case.id
                compared.add(case.name)
        assert compared >= {"add", "cross_entropy", "dropout", "linear", "mm", "softmax", "sum"}
        assert fastnn.ask(**order(TINY, tmp_path, "forward_backward")) == {"outputs": 3}
    finally:
        fastnn.close()
        numpy.close()


def test_wrong_results_are_noticed() -> None:
    x = np.linspace(-1, 1, 100, dtype=np.float32)
    assert measure.disagreement([x], [x + np.float32(1e-5)], seeded=False) is None
    assert "differs" in (measure.disagreement([x], [x + np.float32(1e-2)], seeded=False) or "")
    assert "differs" in (measure.disagreement([x], [x * np.float32(math.nan)], seeded=False) or "")
    assert "float64" in (measure.disagreement([x], [x.astype(np.float64)], seeded=False) or "")
    assert "2 arrays" in (measure.disagreement([x], [x, x], seeded=False) or "")
    assert measure.disagreement([x], [x[::-1]], seeded=True) is None
    assert "differs" in (measure.disagreement([x], [2 * x], seeded=True) or "")


def test_a_peer_starts_with_its_own_settings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.setenv("LD_PRELOAD", "other.so")
    monkeypatch.setenv("FASTNN_DEBUG", "poison")
    monkeypatch.setenv("FASTNN_ISA", "x86_v2")
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
    assert check.pythons(["torch=/a"]) == {"torch": "/a"}
    with pytest.raises(ValueError, match="peer python"):
        check.pythons(["/a"])


def test_run_delay_is_read_without_failing() -> None:
    assert worker.run_delay_ns() >= 0


# ------------------------------------------------------------------------------- native


@needs_compiler
@pytest.mark.parametrize("level", ["x86_v2", "x86_v3", "x86_v4"])
def test_the_probe_computes_in_registers(level: str, tmp_path: Path) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("not x86-64")
    flags = [*native.LEVEL_FLAGS[level], "-O2", "-ffp-contract=fast", "-S"]
    output = tmp_path / "probe.s"
    subprocess.run([*native.compiler(), *flags, str(native.PROBE), "-o", str(output)], check=True)
    steps = re.findall(r"^\s+(?:vfmadd\d+ps|mulps)\s.*$", output.read_text(), re.MULTILINE)
    assert len(steps) == 12, "the chains were folded, or the loop was copied"
    assert not [step for step in steps if "(" in step], "a chain lives in memory"


@needs_compiler
def test_check_runs_from_the_command_line(tmp_path: Path) -> None:
    """One row with a peer and one without, whatever the verdicts."""
    wheel = tmp_path / "made-up.whl"
    wheel.write_bytes(b"0" * 1_000_000)
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
    assert size["value"]["median"] == pytest.approx(1.0)
    assert size["verdict"] == "met"
    assert report["machine"]["cpu"]
    assert report["versions"]["fastnn"]["backend"]
    assert compare.main([str(tmp_path / "a.json")] * 2) == 0
