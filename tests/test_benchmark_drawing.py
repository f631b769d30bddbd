# SPDX-License-Identifier: BSD-3-Clause
"""benchmarks.drawing: rooflines and bars of a result file."""

from __future__ import annotations

import copy
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # benchmarks/ is no part of the installed package

from benchmarks import drawing, table  # noqa: E402
from benchmarks.resultfile import NotComparable, read  # noqa: E402

PNG = b"\x89PNG\r\n\x1a\n"


def newest() -> Path:
    """The committed result that the README's table is made of."""
    content = table.newest()
    assert content is not None
    return next(
        p for p in table.RESULTS.glob("*.json") if json.loads(p.read_text("utf-8")) == content
    )


@pytest.fixture
def result() -> dict[str, Any]:
    return read(newest())


def test_ceilings_are_the_highest_that_the_rows_were_held_to(result: dict[str, Any]) -> None:
    content = drawing.content_of(result)
    (ceilings,) = content["ceilings"]
    rows = content["rows"]
    peaks = [row["fma_peak_gflops"] for row in rows if "fma_peak_gflops" in row]
    assert ceilings["fma_gflops"] == max(peaks)
    assert all(row["fma_peak_gflops"] <= ceilings["fma_gflops"] for row in rows if "gflops" in row)
    moved = [row for row in rows if row["cost"]["working_set"] and "bandwidth_gb_per_s" in row]
    for row in moved:
        at = ceilings["copy_gb_per_s"][int(row["cost"]["working_set"])]
        assert row["bandwidth_gb_per_s"] <= at
    largest = max(int(row["cost"]["working_set"]) for row in moved)
    assert ceilings["dram_gb_per_s"] == ceilings["copy_gb_per_s"][largest]


def test_rows_of_one_number_of_threads_and_one_level(result: dict[str, Any]) -> None:
    names = {row["name"] for row in drawing.content_of(result)["rows"]}
    assert {"gemm/512", "conv/64k3", "norm/batch-2d", "step/cnn"} <= names
    others = ("avx2/", "one-thread/")
    assert not [name for name in names if name.startswith(others)]
    assert "recurrent/lstm-peephole" not in names  # beside fastnn itself
    assert "gemm-512" not in names  # no peer


def test_without_large_working_sets_there_is_no_rate_of_dram(result: dict[str, Any]) -> None:
    few = copy.deepcopy(result)
    few["rows"] = [row for row in few["rows"] if row["name"] in ("gemm/64", "conv/1k5")]
    (ceilings,) = drawing.content_of(few)["ceilings"]
    assert ceilings["dram_gb_per_s"] == 0
    assert len(ceilings["copy_gb_per_s"]) == 2


def test_no_rows_are_refused(result: dict[str, Any]) -> None:
    result["rows"] = [row for row in result["rows"] if row["kind"] != "ratio"]
    with pytest.raises(NotComparable, match="expected rows at 2 threads"):
        drawing.content_of(result)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "a.png"
    assert drawing.main([str(newest()), str(file)]) == 0
    assert file.read_bytes().startswith(PNG)
    (tmp_path / "b.json").write_text("{}")
    assert drawing.main([str(tmp_path / "b.json"), str(tmp_path / "b.png")]) == 2
    assert "expected a result file" in capsys.readouterr().err
    assert not (tmp_path / "b.png").exists()
    with pytest.raises(SystemExit) as ended:
        drawing.main([str(newest()), str(tmp_path / "a.txt")])
    assert ended.value.code == 2
    assert "expected a name that ends with" in capsys.readouterr().err


def test_readme_shows_the_drawing_of_the_result_of_its_table() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = re.findall(r"!\[[^]]+\]\((benchmarks/results/[^)]+)\)", readme)
    assert shown == [f"benchmarks/results/{newest().stem}.png"]
    assert (ROOT / shown[0]).read_bytes().startswith(PNG)
