# SPDX-License-Identifier: BSD-3-Clause
"""How benchmarks.check ends, what it keeps, and which result files the others refuse."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fastnn import testing

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # benchmarks/ is no part of the installed package

from benchmarks import check, compare, sentences, table, targets, verdicts  # noqa: E402

TINY = next(case for case in testing.all_cases() if case.id == "mm-3x4-4x2")


def value(median: float) -> dict[str, float]:
    return {"q1": median, "median": median, "q3": median, "minimum": median, "count": 5}


class NoSession:
    """Where every peer is installed."""

    missing: tuple[str, ...] = ()


def run_row(row: targets.Row, done: dict[str, Any] | None = None) -> dict[str, Any]:
    return check.run_row(NoSession(), row, [], done or {})  # type: ignore[arg-type]


# -------------------------------------------------------------------------------- check


@pytest.mark.parametrize("said", ["met", "missed", "no peer", "disturbed", "failed", "wrong"])
def test_only_a_row_that_is_met_is_to_be_put_right(said: str) -> None:
    row = {"name": "a", "kind": "ratio", "status": "missed", "reason": "why", "verdict": said}
    text = check.line({**row, "unit": "x", "limit": 1.0, "disturbed": [], "notes": []})
    assert ("put it right" in text) == (said == "met")
    assert ("known: why" in text) == (said != "met")


def test_a_mean_follows_the_last_of_its_rows() -> None:
    order = [row.name for row in check.ordered(targets.load())]
    for row in targets.load():
        if row.rows:
            assert order.index(row.name) == 1 + max(map(order.index, row.rows))
    assert sorted(order) == sorted(row.name for row in targets.load())


def test_disturbed_rows_are_taken_once_more_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [targets.Row(name, "ratio", "target", limit=1.0) for name in "abc"]
    rows.append(targets.Row("mean", "geomean", "target", limit=1.0, rows=("a", "b")))
    rows.append(targets.Row("other", "geomean", "target", limit=1.0, rows=("c",)))
    verdicts = {"a": ["met"], "b": ["disturbed", "met"], "c": ["disturbed", "disturbed"]}
    verdicts |= {"mean": ["met", "missed"], "other": ["met"]}
    taken: list[str] = []

    def measured(row: targets.Row) -> dict[str, Any]:
        taken.append(row.name)
        return {"name": row.name, "verdict": verdicts[row.name].pop(0), "n": len(taken)}

    monkeypatch.setattr(check, "line", lambda row: row["name"])
    report: dict[str, Any] = {}
    check.measure_all(rows, measured, {}, report)
    assert taken == ["a", "b", "mean", "c", "other", "b", "mean", "c"]
    found = [(row["name"], row["verdict"], row["n"]) for row in report["rows"]]
    assert found == [
        ("a", "met", 1), ("b", "met", 6), ("c", "disturbed", 4), ("mean", "missed", 7),
        ("other", "met", 5),
    ]  # fmt: skip


def test_one_wrong_peer_does_not_hide_the_others_times(monkeypatch: pytest.MonkeyPatch) -> None:
    got = {"times_us": {"fastnn": value(1.0), "numpy": value(2.0)}, "disturbed": [], "notes": []}
    got |= {"ratios": {"numpy": value(0.5)}, "without": {"torch": "other results"}}
    monkeypatch.setattr(check, "measure", lambda *_: got | {"wrong": ["torch"]})
    row = targets.Row("r", "ratio", "target", case=TINY.id, limit=1.0, peers=("numpy", "torch"))
    done = run_row(row)
    assert (done["verdict"], done["value"]) == ("wrong", None)
    assert "numpy 2.0" in check.line(done)
    assert "without torch: other results" in check.line(done)


@pytest.mark.parametrize("error", [OSError(28, "No space left"), zipfile.BadZipFile("no zip")])
def test_an_error_of_a_file_fails_its_row_only(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(check.extras, "training_memory", fail)
    assert run_row(targets.Row("memory", "memory", "target", limit=1.0))["verdict"] == "failed"


def test_what_was_measured_is_written_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raised: list[BaseException] = [KeyError("a defect"), OSError(28, "No space left")]

    def run(*arguments: Any) -> None:
        arguments[-1].update(rows=[{"name": "a", "verdict": "met"}])
        raise raised.pop(0)

    monkeypatch.setattr(check, "run", run)
    path = tmp_path / "a.json"
    with pytest.raises(KeyError):
        check.main(["--json", str(path)])
    assert json.loads(path.read_text("utf-8"))["rows"]
    path.unlink()
    assert check.main(["--json", str(path)]) == 1
    assert json.loads(path.read_text("utf-8"))["rows"]
    assert "No space left" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_results_that_cannot_be_written_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"name": "a", "verdict": "met"}]
    monkeypatch.setattr(check, "run", lambda *arguments: arguments[-1].update(rows=rows))
    assert check.main(["--json", "/dev/full"]) == 1
    shown = capsys.readouterr()
    assert "1 of " in shown.out
    assert "/dev/full" in shown.err


def test_a_reader_that_goes_away_leaves_the_file(tmp_path: Path) -> None:
    code = """
import sys
from benchmarks import check
def run(*arguments):
    arguments[-1].update(rows=[{"name": "a", "verdict": "met"}])
    sys.stdout.write("x" * 10**6)
    sys.stdout.flush()
check.run = run
sys.exit(check.main(["--json", sys.argv[1]]))
"""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", code, str(tmp_path / "a.json")]
    done = subprocess.run(
        command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
    assert json.loads((tmp_path / "a.json").read_text("utf-8"))["rows"]


@pytest.mark.parametrize("name", ["hostname", "a.whl"])
def test_a_wheel_is_a_zip_file(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text("a machine\n", encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        check.main(["--only", "wheel-size", "--wheel", str(tmp_path / name)])
    assert ended.value.code == 2
    assert "expected a .whl file, a zip archive" in capsys.readouterr().err


# ------------------------------------------------------------------------- result files


def result_file() -> dict[str, Any]:
    times = {"fastnn": value(1.0), "numpy": value(2.0)}
    row = {
        "name": "mm", "kind": "ratio", "status": "target", "verdict": "met", "limit": 1.0,
        "disturbed": [], "times_us": times, "ratios": {"numpy": value(0.5)}, "value": value(0.5),
        "best_peer": "numpy",
    }  # fmt: skip
    share = {"name": "peak", "kind": "ceiling", "status": "target", "verdict": "met", "limit": 0.5}
    share |= {"ceiling": "fma", "disturbed": [], "value": value(0.6)}
    return {
        "format": check.FORMAT, "date": "2026-01-01T00:00", "commit": "abc", "effort": "full",
        "machine": {"cpu": "made up", "cores": 2}, "rows": [row, share],
        "versions": {"fastnn": {"fastnn": "1", "isa": "x86_v4"}, "numpy": {"numpy": "2"}},
    }  # fmt: skip


def text_of(change: str) -> str:
    content = result_file()
    row, share = content["rows"]
    match change:
        case "empty":
            return ""
        case "deep":
            return "[" * 200_000
        case "no date" | "no commit":
            del content[change[3:]]
        case "no limit":
            del row["limit"]
        case "no rows":
            content["rows"] = []
        case "no summary":
            row["ratios"] = {"numpy": {}}
        case "times":
            row["times_us"] = []
        case "a share of 0":
            share["value"] = value(0.0)
        case "a name":
            row["name"] = ["mm"]
        case "nan":
            row["value"] = value(float("nan"))
        case "a long number":
            row["value"]["median"] = 10**400
        case "twice":
            content["rows"].append(row)
    return json.dumps(content)


@pytest.mark.parametrize(
    "change",
    ["empty", "deep", "no date", "no commit", "no limit", "no rows", "no summary", "times",
     "a share of 0", "a name", "nan", "a long number", "twice"],
)  # fmt: skip
def test_a_file_that_is_no_whole_result_is_refused_in_a_line(
    change: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(text_of(""), encoding="utf-8")
    bad.write_text(text_of(change), encoding="utf-8")
    assert compare.main([str(good), str(good)]) == 0
    assert table.main([str(good)]) == 0
    capsys.readouterr()
    for status in (compare.main([str(good), str(bad)]), table.main([str(bad)])):
        assert status == 2
    for line in capsys.readouterr().err.splitlines():
        assert line.startswith(f"{bad}: ")
        assert line.endswith("; measure again")


def test_compare_says_that_a_file_is_of_a_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, part = tmp_path / "whole.json", tmp_path / "part.json"
    content = result_file()
    whole.write_text(json.dumps(content), encoding="utf-8")
    del content["rows"][1]
    part.write_text(json.dumps(content), encoding="utf-8")
    assert compare.main([str(whole), str(part)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"{part}: without 1 of the 2 rows of the other: interrupted")


# ---------------------------------------------------------------------------- the table


def test_reasons_stand_beneath_the_table() -> None:
    content = result_file()
    row, share = content["rows"]
    row |= {
        "verdict": "missed",
        "status": "missed",
        "reason": "bound\nby a | b",
        "value": value(1.2),
    }
    share |= {"name": "peak/512", "verdict": "missed", "value": value(0.4)}
    text = table.table(content)
    assert "\n\nKnown to be missed:\n\n- mm (1.20, at most 1.00): bound by a | b\n" in text
    known = next(r.reason for r in targets.load() if r.name == "peak/512")
    assert ("- peak/512 (40 %, at least 50 %): " in text) == bool(known)
    share |= {"status": "missed", "reason": "bound by a | b"}
    text = table.table(content)
    assert "- mm (1.20, at most 1.00), peak/512 (40 %, at least 50 %): bound by a | b\n" in text
    row["verdict"] = share["verdict"] = "met"
    assert "a | b" not in table.table(content)


def test_a_reason_is_looked_up_in_the_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    known = targets.Row("mm", "ratio", "missed", case=TINY.id, limit=1.0, reason="so it is")
    monkeypatch.setattr(targets, "load", lambda: [known])
    content = result_file()
    content["rows"][0]["verdict"] = "missed"
    assert "- mm (0.50, at most 1.00): so it is" in sentences.reasons(content)


def test_the_table_has_a_mean_whose_rows_were_all_measured() -> None:
    mean = next(row for row in targets.load() if row.name == "gemm-mean")
    content = result_file()
    first = content["rows"][0]
    content["rows"] += [copy.deepcopy(first) | {"name": name} for name in mean.rows]
    assert "| gemm-mean |  |  | 0.50 | 1.00 |" in table.table(content)
    assert "gemm-mean" not in table.table(content).partition("Not measured")[2]
    content["rows"][-1]["verdict"] = verdicts.NO_PEER
    assert "| gemm-mean |" not in table.table(content)


def test_what_an_option_costs_is_not_behind() -> None:
    content = result_file()
    row = content["rows"][0]
    times = {"fastnn": value(2.0), "fastnn-plain": value(1.0)}
    row |= {"times_us": times, "ratios": {"fastnn-plain": value(2.0)}, "value": value(2.0)}
    row["best_peer"] = "fastnn-plain"
    text = table.table(content)
    assert "fastnn is behind in 0 of 0 rows" in text
    assert "| cost of an option |" in text


def test_rows_without_a_target_that_were_not_measured_are_counted() -> None:
    content = result_file()
    free = sum(row.kind == "ratio" and row.limit is None for row in targets.load())
    assert sentences.unlimited(content).startswith(f"None of the {free} rows")
    content["rows"][0]["status"] = "reported"
    text = sentences.unlimited(content)
    assert text.endswith(f"0 of 1 rows; {free} more were not measured in this result.")
