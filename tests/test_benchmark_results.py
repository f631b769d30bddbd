# SPDX-License-Identifier: BSD-3-Clause
"""What is made of result files: benchmarks.compare, the README's table, the commit they name."""

from __future__ import annotations

import copy
import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import fastnn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # benchmarks/ is no part of the installed package

from benchmarks import check, checkout, compare, sentences, table, targets  # noqa: E402


def value(q1: float, median: float, q3: float) -> dict[str, float]:
    return {"q1": q1, "median": median, "q3": q3, "minimum": q1, "count": 5}


# ---------------------------------------------------------------------- comparing files


def result_file() -> dict[str, Any]:
    times = {"fastnn": value(0.98, 1.0, 1.02), "numpy": value(1.96, 2.0, 2.04)}
    base = {"disturbed": [], "notes": [], "status": "reported", "threads": 2, "dtype": "float32"}
    ratio = {"name": "mm", "kind": "ratio", "case": "mm", "times_us": times, **base}
    ratio |= {"ratios": {"numpy": value(0.49, 0.5, 0.51)}, "value": value(0.49, 0.5, 0.51)}
    share = {
        "name": "gemm",
        "kind": "ceiling",
        "case": "mm",
        "value": value(0.79, 0.8, 0.81),
        **base,
    }
    load = {"name": "import", "kind": "import", "value": value(19.0, 20.0, 21.0), **base}
    for entry in (ratio, share, load):
        entry["verdict"] = "reported"
    return {
        "format": check.FORMAT,
        "date": "2026-01-01T00:00",
        "commit": None,
        "machine": {"cpu": "made up", "cores": 2},
        "versions": {"numpy": {"numpy": "2"}, "fastnn": {"fastnn": "1"}},
        "rows": [ratio, share, load],
    }


def verdict_of(tmp_path: Path, *files: dict[str, Any]) -> int:
    paths = [tmp_path / f"{i}.json" for i in range(2)]
    for path, content in zip(paths, files, strict=True):
        path.write_text(json.dumps(content), encoding="utf-8")
    return compare.main([str(path) for path in paths])


@pytest.mark.parametrize(
    ("which", "quartiles", "status"),
    [
        (0, (0.49, 0.5, 0.51), 0),
        (0, (0.59, 0.6, 0.61), 1),
        (0, (0.50, 0.6, 0.61), 0),  # the ranges overlap
        (0, (0.515, 0.52, 0.53), 0),  # beyond the ranges, but by less than 5 %
        (0, (0.29, 0.3, 0.31), 0),
        (1, (0.69, 0.7, 0.71), 1),  # a smaller share of the ceiling is slower
        (1, (0.89, 0.9, 0.91), 0),
        (2, (22.0, 24.0, 25.0), 0),  # less than 5 ms
        (2, (25.0, 26.0, 27.0), 1),
    ],
)
def test_compare_finds_slow_downs(
    tmp_path: Path, which: int, quartiles: tuple[float, ...], status: int
) -> None:
    before, after = result_file(), result_file()
    changed = after["rows"][which]
    changed["value"] = value(*quartiles)
    if which == 0:
        changed["ratios"] = {"numpy": value(*quartiles)}
    assert verdict_of(tmp_path, before, after) == status
    changed["disturbed"] = ["load"]
    assert verdict_of(tmp_path, before, after) == (3 if status else 0)


def test_compare_prefers_the_ratio_to_a_peer_of_the_same_version(tmp_path: Path) -> None:
    before, after = result_file(), result_file()
    # The whole machine became slower: the ratio is what it was.
    for name, slow in (("fastnn", value(1.96, 2.0, 2.04)), ("numpy", value(3.9, 4.0, 4.1))):
        after["rows"][0]["times_us"][name] = slow
    assert verdict_of(tmp_path, before, after) == 0
    # Without a peer beside it, a time that rose may be the machine's: no more than a hint.
    after["versions"]["numpy"] = {"numpy": "3"}
    assert verdict_of(tmp_path, before, after) == 3


def test_a_row_that_has_no_result_any_more_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = result_file()
    name = after["rows"][0]["name"]
    after["rows"][0] = {
        "name": name, "kind": "ratio", "status": "target", "verdict": "wrong", "disturbed": [],
        "error": "wrong", "value": None,
    }  # fmt: skip
    assert verdict_of(tmp_path, result_file(), after) == 1
    assert f"broken, without a result after: {name}\n" in capsys.readouterr().out
    assert verdict_of(tmp_path, after, result_file()) == 0
    capsys.readouterr()
    del after["rows"][0]
    assert verdict_of(tmp_path, result_file(), after) == 0
    assert f"only before: {name}\n" in capsys.readouterr().out


def test_a_row_may_say_by_how_much_it_may_rise(tmp_path: Path) -> None:
    after = result_file()
    for rise, status in ((0.54, 0), (0.56, 1)):
        for entry in after["rows"][:1]:
            entry |= {"may_rise": 0.1, "ratios": {"numpy": value(rise - 0.005, rise, rise + 0.005)}}
        assert verdict_of(tmp_path, result_file(), after) == status


def test_a_row_that_may_not_rise_is_told_by_its_median(tmp_path: Path) -> None:
    """Small calls scatter so far that quartiles overlap where the median rose by half."""
    before, after = result_file(), result_file()
    for content, quartiles in ((before, (0.3, 0.4, 0.62)), (after, (0.58, 0.6, 0.7))):
        summary = value(*quartiles) | {"count": 60}
        content["rows"][0] |= {"may_rise": 0.1, "ratios": {"numpy": summary}}
    assert verdict_of(tmp_path, before, after) == 1
    assert verdict_of(tmp_path, after, before) == 0
    few = copy.deepcopy(before)
    few["rows"][0]["ratios"]["numpy"]["count"] = 4  # so few may be chance
    assert verdict_of(tmp_path, few, after) == 0


def test_a_mean_over_other_versions_of_peers_is_a_hint(tmp_path: Path) -> None:
    mean = {"name": "mean", "kind": "geomean", "rows": ["mm"], "status": "target", "limit": 1.0}
    mean |= {"disturbed": [], "verdict": "met", "value": value(0.5, 0.5, 0.5)}
    before, after = result_file(), result_file()
    before["rows"].append(mean)
    after["rows"].append(mean | {"value": value(0.6, 0.6, 0.6)})
    assert verdict_of(tmp_path, before, after) == 1
    after["versions"]["numpy"] = {"numpy": "3"}
    assert verdict_of(tmp_path, before, after) == 3


def test_compare_refuses_other_machines_and_other_files(tmp_path: Path) -> None:
    other, empty = result_file(), copy.deepcopy(result_file())
    other["machine"]["cpu"] = "another"
    empty["rows"] = []
    assert verdict_of(tmp_path, result_file(), other) == 2
    assert verdict_of(tmp_path, result_file(), empty) == 2
    assert verdict_of(tmp_path, result_file(), {"format": 99}) == 2
    for part, broken in (
        ("machine", {}), ("versions", {}), ("rows", 1), ("rows", [{"name": "a"}]), ("rows", None),
    ):  # fmt: skip
        assert verdict_of(tmp_path, result_file(), result_file() | {part: broken}) == 2
        assert table.main([str(tmp_path / "1.json")]) == 2
    assert compare.main([str(tmp_path / "none"), str(tmp_path / "none")]) == 2


# ------------------------------------------------------------------------- the README's


def test_the_table_of_a_result_says_where_fastnn_is_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, readme = shown_result(), tmp_path / "README.md"
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert table.main([str(path)]) == 0
    text = capsys.readouterr().out
    assert "| mm | 1 us | numpy, 2 us | 0.50 | 0.90 | 0.8 us | 80 % |  |" in text
    assert "| conv | 1 us | numpy, 2 us | 1.20 | 0.90 |  |  | behind, misses its target |" in text
    assert "| close | 1 us | numpy, 2 us | 1.40 | 0.90 |  |  | behind, within the spread, " in text
    assert "without torch-compile |" in text
    assert "| mean |  |  | 0.75 | 1.00 |  |  | disturbed |" in text
    assert "**fastnn is behind in 2 of 3 rows: conv, close.**" in text
    assert "Also: import 20 ms (at most 10, **missed**)." in text
    assert "**A quick run: few and short samples.**" in text
    assert "timed without a target, fastnn is behind in 1 of 1 rows: slow; " in text
    assert " more were not measured in this result.\n" in text
    assert "**Failed, or not equal to a peer's result: memory.**" in text
    assert "gemm 80 % of the FMA peak (at least 90 %, **missed**)" in text
    assert "above 100 %" not in text
    assert "held to AVX2, fastnn is behind in 1 of 1 rows: conv." in text
    assert "; fastnn 1 (commit abcdef0123), numpy 2; 2026-01-02. " in text
    assert "Not measured in this result: gemm-512, " in text
    readme.write_text("# a\n", encoding="utf-8")
    assert table.main([str(path), "--readme", str(readme)]) == 2
    assert table.main([str(path), "--readme", str(tmp_path / "none" / "README.md")]) == 2
    readme.write_text("# a\n<!-- speed -->\nold\n<!-- end of speed -->\nb\n", encoding="utf-8")
    for _ in range(2):
        assert table.main([str(path), "--readme", str(readme)]) == 0
    written = readme.read_text("utf-8")
    assert "old" not in written
    assert written.count("| conv |") == 1
    assert written.endswith("<!-- end of speed -->\nb\n")
    for row in content["rows"]:
        row["disturbed"] = ["load"]
    path.write_text(json.dumps(content), encoding="utf-8")
    assert table.main([str(path)]) == 2


def shown_result() -> dict[str, Any]:
    """Two rows, one of them at both levels, a mean and a share."""
    content = result_file() | {"date": "2026-01-02T00:00", "commit": "abcdef012345", "changed": 0}
    content["machine"]["vendor"] = "GenuineIntel"
    content["versions"]["fastnn"]["isa"] = "x86_v4"
    first, share, load = content["rows"]
    first |= {"best_peer": "numpy", "status": "target", "verdict": "met", "limit": 0.9}
    behind = {"value": value(1.1, 1.2, 1.3), "verdict": "missed", "status": "missed"}
    second = copy.deepcopy(first) | behind | {"name": "conv"}
    held = copy.deepcopy(second) | {"name": "avx2/conv", "isa": "x86_v3"}
    first |= {"floor_us": 0.8, "share_of_ceiling": value(0.7, 0.8, 0.9)}
    share |= {"status": "target", "verdict": "missed", "ceiling": "fma", "limit": 0.9}
    mean = {"name": "mean", "kind": "geomean", "status": "target", "verdict": "disturbed"}
    mean |= {"value": value(0.7, 0.75, 0.8), "limit": 1.0, "disturbed": ["mm is"]}
    load |= {"status": "target", "verdict": "missed", "limit": 10.0, "unit": "ms"}
    close = copy.deepcopy(second) | {"name": "close", "value": value(0.9, 1.4, 1.5)}
    close["without"] = {"torch-compile": "no compiler"}
    slow = copy.deepcopy(second) | {"name": "slow", "status": "reported", "verdict": "reported"}
    failed = {"name": "memory", "kind": "memory", "status": "target", "limit": 60.0, "value": None}
    failed |= {"verdict": "failed", "disturbed": []}
    content["rows"] = [first, share, load, second, held, mean, close, slow, failed]
    return content


def test_a_share_above_its_ceiling_is_explained() -> None:
    content = shown_result()
    content["rows"][1] |= {"ceiling": "copy", "value": value(1.1, 1.17, 1.2), "verdict": "met"}
    said = "of the copy bandwidth (at least 90 %). Those above 100 %: no copy that was timed beside"
    assert said in table.table(content)


def test_the_table_names_what_of_fastnn_was_measured() -> None:
    content = shown_result()
    content["versions"]["fastnn"]["fastnn"] = table.UNKNOWN
    assert "; fastnn at commit abcdef0123, numpy 2; " in table.table(content)
    content["changed"] = True
    assert "; fastnn at commit abcdef0123 with changes, numpy 2; " in table.table(content)
    content["commit"] = None
    assert "; fastnn at commit unknown with changes, numpy 2; " in table.table(content)


def test_a_source_tree_has_the_version_that_the_table_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert fastnn.__version__ == table.UNKNOWN


@pytest.mark.parametrize(
    ("vendor", "blas", "told"),
    [
        ("GenuineIntel", "b 1 SkylakeX", "AVX-512 ones (SkylakeX) on this processor; on AMD"),
        ("AuthenticAMD", "b 1 Zen", "lead over `torch` and `numpy` is partly that; `torch-tuned`"),
        ("AuthenticAMD", "b 1 SkylakeX", "a lead over `torch` is partly that; `torch-tuned` has"),
        ("GenuineIntel", "b 1 Haswell", "a lead over `numpy` is partly that."),
        ("GenuineIntel", "", "MKL, in `torch`, runs AVX-512 kernels on this processor; on AMD"),
    ],
)
def test_the_table_says_which_kernels_the_blas_of_the_peers_ran(
    vendor: str, blas: str, told: str
) -> None:
    content = shown_result()
    content["machine"]["vendor"] = vendor
    content["versions"]["numpy"]["blas"] = blas
    assert told in sentences.kernels(content)
    assert told in table.table(content)
    content["versions"]["fastnn"]["isa"] = "x86_v3"
    assert sentences.kernels(content) == ""


def test_the_newest_result_with_every_whole_step_is_shown(tmp_path: Path) -> None:
    assert table.section(tmp_path) == table.NOTHING
    steps = [row for row in targets.load() if row.name.startswith("step/")]
    contents = []
    for name, date in (("b", "2026-01-02"), ("a", "2026-01-03"), ("c", "2026-01-04")):
        content = shown_result() | {"date": date, "effort": "full"}
        first = content["rows"][0]
        content["rows"] += [copy.deepcopy(first) | {"name": row.name} for row in steps]
        if name == "c":
            content["rows"].pop()
        contents.append(content)
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "d.json").write_text('{"format": 1}', encoding="utf-8")
    # Newer ones that prove less: a quick run, and one without a peer of a step.
    quick = contents[1] | {"date": "2026-01-05", "effort": "quick"}
    (tmp_path / "e.json").write_text(json.dumps(quick), encoding="utf-8")
    alone = copy.deepcopy(contents[1]) | {"date": "2026-01-06"}
    alone["rows"][-1]["verdict"] = "no peer"
    (tmp_path / "f.json").write_text(json.dumps(alone), encoding="utf-8")
    assert table.newest(tmp_path) == contents[1]
    assert table.section(tmp_path) == table.table(contents[1])


def test_the_readme_has_the_table_of_the_newest_result() -> None:
    readme = ROOT / "README.md"
    if not readme.is_file():
        pytest.skip("not in a source tree")
    _, found, rest = readme.read_text("utf-8").partition(f"{table.BEGIN}\n")
    shown, end, _ = rest.partition(f"\n{table.END}")
    assert found
    assert end
    assert shown == table.section(), "python -m benchmarks.table --readme README.md"


# -------------------------------------------------------------------------- the commit


def test_a_commit_is_named_only_if_the_fastnn_that_runs_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"top": str(checkout.ROOT), "changes": ""}

    def git(*arguments: str) -> str:
        if "--show-toplevel" in arguments:
            return said["top"]
        return said["changes"] if "status" in arguments else "abc"

    monkeypatch.setattr(checkout, "_git", git)
    monkeypatch.setattr(checkout.fastnn, "__file__", str(checkout.ROOT / "python/fastnn/a.py"))
    assert checkout.commit() == {"commit": "abc", "changed": False}
    said["changes"] = "?? csrc/new.cpp"
    assert checkout.commit() == {"commit": "abc", "changed": True}
    nothing = {"commit": None, "changed": None}
    said["top"] = str(tmp_path)
    assert checkout.commit() == nothing
    said["top"] = str(checkout.ROOT)
    monkeypatch.setattr(checkout.fastnn, "__file__", str(tmp_path / "fastnn/__init__.py"))
    assert checkout.commit() == nothing
