# SPDX-License-Identifier: BSD-3-Clause
"""What ``fastnn bench`` does when peers, words, files or signals are not as they should be."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastnn.cli import main
from fastnn.cli.bench import ceilings, command, peers
from fastnn.cli.bench.cases import find
from fastnn.cli.bench.report import LiveReport, heading, plain
from fastnn.cli.bench.workers import LineProcess, Worker, WorkerError

QUICK = ["--quick", "--only", "mm-64x64-64x64", "--threads", "1"]


def summary(median: float) -> dict[str, float]:
    return {"median": median, "q1": median, "q3": median, "minimum": median, "count": 5}


def result(name: str = "mm", threads: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "threads": threads,
        "times_us": {"fastnn": summary(10.0), "torch-channels-last": summary(1234.0)},
        "ratios": {"torch-channels-last": summary(0.25)},
        "gb_per_s": {"fastnn": 12.0, "torch-channels-last": 3.0},
        "cost": {"flops": None, "traffic": 120e3, "working_set": 120e3},
        "floor_us": 8.0,
        "share_of_ceiling": summary(0.8),
        "disturbed": [],
        "without": {},
        "notes": [],
    } | changes


@pytest.fixture(autouse=True)
def few_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "_sizes", lambda: (2**17, 2**20))


def status_of(*flags: str) -> int:
    try:
        return main(["bench", *flags])
    except SystemExit as stop:
        return int(stop.code or 0)


def script(folder: Path, text: str) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


# ------------------------------------------------------------------------------------ peers


def test_foreign_text_instead_of_an_answer_ends_the_peer_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chatty = script(tmp_path, "echo Welcome to this Python; sleep 60")
    with pytest.raises(WorkerError, match=r"torch: expected an answer, got 'Welcome to this Pyth"):
        Worker("torch", 1, tmp_path, {"torch": chatty})
    number = LineProcess("number", [sys.executable, "-c", "print(3, flush=True); input()"])
    with pytest.raises(WorkerError, match="number: expected an answer, got '3'"):
        number._hello()
    flags = [*QUICK, "--peers", "torch,numpy", "--peer-python", f"torch={chatty}"]
    assert status_of(*flags) == 1
    out = capsys.readouterr().out
    assert "not timed: torch: expected an answer, got 'Welcome" in out
    assert "of numpy" in out


BREAKING = """
import json, sys
order = {"about": {"numpy": "0"}}
print(json.dumps(order), flush=True)
for line in sys.stdin:
    if json.loads(line)["do"] == BREAK:
        raise ValueError("nobody has thought of this")
    import numpy as np
    order = json.loads(line)
    if order["do"] == "prepare":
        with np.load(order["inputs"]) as stored:
            np.savez(order["outputs"], **{"0": stored["0"] @ stored["1"]})
    print(json.dumps({"ns": 10**6, "delay_ns": 0}), flush=True)
"""


@pytest.mark.parametrize("when", ["prepare", "sample"])
def test_a_peer_that_fails_at_one_case_does_not_take_it_from_the_others(
    when: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "breaking.py"
    program.write_text(BREAKING.replace("BREAK", repr(when)), encoding="utf-8")
    breaking = script(tmp_path, f'exec "{sys.executable}" "{program}"')
    flags = [*QUICK, "--peers", "numpy,torch", "--peer-python", f"torch={breaking}"]
    assert status_of(*flags, "--json", str(tmp_path / "a.json")) == 1
    row = json.loads((tmp_path / "a.json").read_text("utf-8"))["rows"][0]
    assert set(row["times_us"]) == {"fastnn", "numpy"}
    assert row["failed"] == ["torch"]
    assert "nobody has thought of this" in row["without"]["torch"]
    assert "nobody has thought of this" in capsys.readouterr().out


def test_a_peer_that_fails_while_it_is_timed_is_left_out_of_all_rounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "breaking.py"
    later = BREAKING.replace('json.loads(line)["do"] == BREAK', "(count := count + 1) > 5")
    program.write_text(f"count = 0\n{later}", encoding="utf-8")
    breaking = script(tmp_path, f'exec "{sys.executable}" "{program}"')
    flags = [*QUICK, "--peers", "torch", "--peer-python", f"torch={breaking}"]
    assert status_of(*flags, "--json", str(tmp_path / "a.json")) == 1
    row = json.loads((tmp_path / "a.json").read_text("utf-8"))["rows"][0]
    assert set(row["times_us"]) == {"fastnn"}
    assert not row["ratios"]
    assert row["failed"] == ["torch"]
    assert "nobody has thought of this" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        (["--peers", "torch,numpy"], 1),
        (["--peer-python", "torch-tuned=/none"], 1),
        (["--peers", "numpy"], 0),
        ([], 0),
    ],
)
def test_a_peer_that_was_asked_for_must_be_there(
    flags: list[str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure_all(
        arguments: Any, _subjects: Any, _given: Any, content: Any, _report: Any
    ) -> None:
        asked = arguments.peers or peers.SHOWN
        content["missing"] |= {peer: "none" for peer in asked if peer.startswith("torch")}

    monkeypatch.setattr(command, "_measure_all", measure_all)
    assert status_of(*QUICK, *flags) == status


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--peers", ""], "got none; leave --peers out"),
        (["--peers", " , "], "got none; leave --peers out"),
        (["--peer-python", "fastnn=/usr/bin/python3"], "expected one of numpy, torch"),
        (["--only", "logreg", "--only", "resnet_tinny"], "got 'resnet_tinny'; as in"),
        (["--only", "ste*"], "a kind (step, layer, optimizer, calls)"),
    ],
)
def test_wrong_words_are_refused(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(*flags) == 2
    assert message in capsys.readouterr().err


def test_every_kind_can_be_chosen_beside_a_name() -> None:
    assert {s.id for s in find(["calls", "logreg"])} == {"add_8", "chain_20", "logreg"}


def test_variables_that_change_a_peer_are_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = (
        "TORCHDYNAMO_DISABLE", "TORCHINDUCTOR_MAX_AUTOTUNE", "TORCH_LOGS", "PYTORCH_JIT",
        "NPY_DISABLE_CPU_FEATURES", "MALLOC_ARENA_MAX", "ORT_DISABLE_ALL",
        "OMP_PROC_BIND",
    )  # fmt: skip
    kept = ("TORCHINDUCTOR_CACHE_DIR", "PYTHONPATH", "CC", "MALLOCATED")
    for name in (*taken, *kept):
        monkeypatch.setenv(name, "1")
    env = peers.environment(peers.PEERS["torch-compile"], 1)
    assert not set(taken) & set(env)
    assert set(kept) <= set(env)


# ------------------------------------------------------------------------ files and signals


def test_results_and_drawing_need_two_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    for other in ("a.png", "./a.png", "b.png"):
        files = ["--json", str(tmp_path / "a.png"), "--plot", f"{tmp_path}/{other}"]
        assert status_of(*QUICK, *files) == 2
        assert "expected another file than --json's" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_termination_keeps_what_was_measured(tmp_path: Path) -> None:
    flags = ["--quick", "--peers", "numpy", "--threads", "1", "--only", "add_8", "--only", "mm-*"]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "fastnn", "bench", *flags, "--json", "a.json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("add_8"):
            break
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "interrupted" in error
    rows = json.loads((tmp_path / "a.json").read_text("utf-8"))["rows"]
    assert rows[0]["name"] == "add_8"


def test_after_the_command_a_termination_is_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def measure_all(*_: Any) -> None:
        seen.append(signal.getsignal(signal.SIGTERM))

    monkeypatch.setattr(command, "_measure_all", measure_all)
    before = signal.getsignal(signal.SIGTERM)
    assert status_of(*QUICK) == 0
    assert seen == [signal.default_int_handler]
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_interrupt_before_the_first_result_draws_the_threads_that_have_some(
    tmp_path: Path,
) -> None:
    pytest.importorskip("matplotlib")
    from fastnn.cli.bench.plots import save  # noqa: PLC0415

    top = {"isa": "x86_v4", "fma_gflops": 400.0, "dram_gb_per_s": 50.0, "copy_gb_per_s": {}}
    content = {
        "fastnn": "1",
        "machine": {"cpu": "made up"},
        "ceilings": [top | {"threads": 1}, top | {"threads": 2}],
        "rows": [result("mm", 1), {"name": "tanh", "threads": 2, "error": "ended"}],
    }
    save(tmp_path / "a.svg", content)
    drawn = (tmp_path / "a.svg").read_text("utf-8")
    assert "made up, 1 thread " in drawn
    assert "<!-- mm  1 -->" in drawn


# ------------------------------------------------------------------------------------ report


def test_the_heading_says_once_that_there_are_more_threads_than_processors() -> None:
    top = {"threads": 4, "isa": "x86_v4", "fma_gflops": None, "dram_gb_per_s": None}
    content = {
        "machine": {"cpu": "made up", "cores": 2, "caches": {}, "system": "Linux"},
        "effort": "quick", "load": 0.1, "device": "cpu", "versions": {}, "missing": {},
        "ceilings": [top],
    }  # fmt: skip
    assert "4 threads on 2 processors: they wait for each other" in heading(content, "")
    content["ceilings"] = [top | {"threads": 2}]
    assert not any("processors" in line for line in heading(content, ""))


def test_a_failed_peer_and_a_note_are_told() -> None:
    row = result(without={"jax": "got nothing", "numpy": "none"}, failed=["jax"], notes=["a note"])
    assert plain(row).splitlines()[1:] == ["      jax: got nothing", "      a note"]


@pytest.mark.parametrize(("width", "spared"), [(80, True), (120, True), (170, False)])
def test_a_narrow_table_has_fewer_columns_and_whole_numbers(width: int, spared: bool) -> None:
    rich = pytest.importorskip("rich.console")
    out = io.StringIO()
    console = rich.Console(file=out, force_terminal=True, width=width, color_system=None)
    report = LiveReport(console, 1)
    report.summary([result("conv2d-16x64x56x56-64x64x3x3-64-padding=1 + backward")])
    table = out.getvalue()
    for column in ("least", "floor", "rate"):
        assert (column not in table) == spared
    numbers = ["0.25", "[0.25, 0.25]", "10 us ±0 %", "torch-channels-last", "1.23 ms"]
    for number in numbers:
        assert number in table, number
    assert max(map(len, table.splitlines())) <= width
    lines = [line for line in table.splitlines() if line.strip()]
    assert len(lines) <= (6 if spared else 4), "a heading, a rule, a row of two or three lines"
