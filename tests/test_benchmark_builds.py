# SPDX-License-Identifier: BSD-3-Clause
"""benchmarks.compare --build: two builds of fastnn in one run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # benchmarks/ is no part of the installed package

from benchmarks import builds, compare  # noqa: E402

from fastnn.cli.bench.peers import BEFORE, OWN, interpreter  # noqa: E402


def planted(q1: float, why: str | None = None) -> Any:
    ratio = {"q1": q1, "median": q1 + 0.02, "q3": q1 + 0.04}
    times = {OWN: {"median": 2.0}, BEFORE: {"median": 1.0}}
    without = {} if why is None else {BEFORE: why}
    result = {"ratios": {BEFORE: ratio}, "times_us": times, "disturbed": [], "without": without}
    return lambda *_: result


@pytest.mark.parametrize(("q1", "status", "word"), [(1.09, 0, "same"), (1.11, 1, "slower")])
def test_a_row_is_slower_by_the_lower_quartile_of_its_ratio(
    q1: float,
    status: int,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(builds, "measure", planted(q1))
    assert compare.main(["--build", sys.executable, "--only", "calls/add-8", "--quick"]) == status
    [found] = [text for text in capsys.readouterr().out.splitlines() if "calls/add-8" in text]
    assert found.startswith(word)


def test_a_row_that_the_other_build_cannot_run_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(builds, "measure", planted(0.5, "no such function"))
    assert compare.main(["--build", sys.executable, "--only", "calls", "--quick"]) == 1
    assert capsys.readouterr().out.count("failed") == 2


def test_both_builds_are_timed(capsys: pytest.CaptureFixture[str]) -> None:
    status = compare.main(["--build", sys.executable, "--only", "step/logreg", "--quick"])
    out = capsys.readouterr().out
    assert status in (0, 1)  # of the same build, but timings are noisy here
    assert "step/logreg [" in out
    assert f"{BEFORE}: " in out  # its versions


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--build", "no/such/python", "--only", "calls"], "no/such/python to start"),
        (["--build", sys.executable, "--only", "nothing"], "no such row"),
        (["--build", sys.executable, "a.json", "b.json"], "no result files beside --build"),
        (["a.json", "b.json", "--only", "step"], "no --only or --quick without --build"),
        (["a.json", "b.json", "--quick"], "no --only or --quick without --build"),
        (["a.json"], "expected two result files, or --build PYTHON alone"),
        ([], "expected two result files, or --build PYTHON alone"),
    ],
)
def test_what_cannot_be_compared_says_why(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: Any = compare.main(words)
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert text in capsys.readouterr().err


def test_only_another_build_of_fastnn_has_another_interpreter() -> None:
    given = {BEFORE: "/opt/before/python", OWN: "/opt/other/python"}
    assert interpreter(BEFORE, given) == "/opt/before/python"
    assert interpreter(OWN, given) == sys.executable
    assert interpreter("fastnn-plain", given) == sys.executable
