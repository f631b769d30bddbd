# SPDX-License-Identifier: BSD-3-Clause
"""A result file as the README's table: ``python -m benchmarks.table [RESULT.json]``.

Without RESULT.json it is the newest file of benchmarks/results that was measured at full effort,
has every whole step beside all its peers, and was not taken on a busy machine; if there is none,
the text says so. With ``--readme FILE`` the text
replaces what stands between the lines ``<!-- speed -->`` and ``<!-- end of speed -->`` of that
file; without, it goes to standard output. Exit status: 0 written; 2 not a result file, one from a
busy machine, or a file without those lines.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import targets, verdicts
from benchmarks.compare import NotComparable, read
from fastnn.cli.bench.peers import OWN
from fastnn.cli.bench.report import duration

RESULTS = Path(__file__).with_name("results")
BEGIN, END = "<!-- speed -->", "<!-- end of speed -->"
NOTHING = (
    "No result that has every whole step and is from a quiet machine is in `benchmarks/results` "
    "yet: `python -m benchmarks.check` measures one."
)
_HEAD = ("work", "fastnn", "best peer", "ratio", "at most", "floor", "reached", "")
_ALIGN = "|---|--:|--:|--:|--:|--:|--:|---|"
# OpenBLAS's names of processors whose kernels use AVX-512.
_AVX512_CORES = ("SkylakeX", "Cooperlake", "SapphireRapids")


def _limited(content: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    """The rows of a kind that have a limit and a value."""
    return [
        row
        for row in content["rows"]
        if row["kind"] == kind and row["status"] != "reported" and row.get("value")
    ]


def _is_behind(row: Mapping[str, Any]) -> bool:
    return bool(row["value"]["median"] > 1)


def _remarks(row: Mapping[str, Any]) -> str:
    close = row["value"]["q1"] <= 1 and row["kind"] == "ratio"
    behind = "behind, within the spread" if close else "behind"
    without = "without " + ", ".join(row.get("without", {}))
    found = [(behind, _is_behind(row)), ("misses its target", row["verdict"] == verdicts.MISSED)]
    found += [(without, bool(row.get("without"))), ("disturbed", bool(row["disturbed"]))]
    return ", ".join(word for word, holds in found if holds)


def _names(text: str, rows: Sequence[Mapping[str, Any]], of: str = "") -> str:
    """A sentence that counts rows and names them."""
    behind = [row["name"].removeprefix(of) for row in rows if _is_behind(row)]
    return f"{text} {len(behind)} of {len(rows)} rows" + (
        f": {', '.join(behind)}" if behind else ""
    )


def _others(content: Mapping[str, Any]) -> str:
    """The rows that are neither ratios nor shares: memory, import, size."""
    rows = [row for kind in ("memory", "import", "size") for row in _limited(content, kind)]
    words = [
        f"{row['name']} {row['value']['median']:.3g} {row['unit']} (at most {row['limit']:g}"
        + (", **missed**" if row["verdict"] == verdicts.MISSED else "")
        + (", disturbed" if row["disturbed"] else "")
        + ")"
        for row in rows
    ]
    return f"Also: {'; '.join(words)}." if words else ""


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    times, peer, share = row.get("times_us"), row.get("best_peer"), row.get("share_of_ceiling")
    return (
        row["name"],
        duration(times[OWN]["median"]) if times else "",
        f"{peer}, {duration(times[peer]['median'])}" if times else "",
        f"{row['value']['median']:.2f}",
        f"{row['limit']:.2f}",
        duration(row["floor_us"]) if "floor_us" in row else "",
        f"{100 * share['median']:.0f} %" if share else "",
        _remarks(row),
    )


def _share(row: Mapping[str, Any]) -> str:
    """A row of kind ceiling, in words."""
    of = "FMA peak" if row["ceiling"] == "fma" else "copy bandwidth"
    text = f"{row['name']} {100 * row['value']['median']:.0f} % of the {of}"
    missed = ", **missed**" if row["verdict"] == verdicts.MISSED else ""
    disturbed = ", disturbed" if row["disturbed"] else ""
    return f"{text} (at least {100 * row['limit']:.0f} %{missed}{disturbed})"


def kernels(content: Mapping[str, Any]) -> str:
    """Which kernels MKL and OpenBLAS choose on the machine of a result, if it has AVX-512.

    MKL keeps to AVX2 on processors that are not Intel's; OpenBLAS says what it chose.
    """
    versions = content["versions"]
    if versions[OWN].get("isa") != "x86_v4":
        return ""
    mkl = "AVX-512" if content["machine"].get("vendor") == "GenuineIntel" else "AVX2"
    core = versions.get("numpy", {}).get("blas", "").split()[2:]
    blas = "AVX-512" if core and core[0] in _AVX512_CORES else "AVX2"
    chosen = [f"MKL, in `torch`, runs {mkl} kernels"]
    chosen += [f"OpenBLAS, in `numpy`, {blas} ones ({core[0]})"] if core else []
    held = [("`torch`", mkl), ("`numpy`", blas if core else "")]
    behind = [name for name, level in held if level == "AVX2"]
    text = f"By default {' and '.join(chosen)} on this processor"
    if behind:
        tuned = "; `torch-tuned` has MKL run AVX-512" if mkl == "AVX2" else ""
        return f"{text}: a lead over {' and '.join(behind)} is partly that{tuned}."
    return f"{text}; on AMD processors with AVX-512, MKL and OpenBLAS run AVX2 ones."


def _absent(content: Mapping[str, Any]) -> list[str]:
    """What targets.toml limits and the file has no value for."""
    has = {row["name"] for row in content["rows"] if row.get("value")}
    return [row.name for row in targets.load() if row.limit is not None and row.name not in has]


def table(content: Mapping[str, Any]) -> str:
    """The rows with a limit, in which of them fastnn is behind, what they were measured on."""
    timed = _limited(content, "ratio")
    held = [row for row in timed if row.get("isa") == "x86_v3" and row["name"].startswith("avx2/")]
    rows = [row for row in timed if row not in held]
    where, versions = content["machine"], content["versions"]
    libraries = [f"{name} {about[name]}" for name, about in versions.items() if name in about]
    changes = " with changes" if content.get("changed") else ""
    quick = "" if content.get("effort") == "full" else "**A quick run: few and short samples.** "
    parts = [
        f"{where['cpu']}, {where['cores']} cores, {versions[OWN]['isa']}; {', '.join(libraries)}; "
        f"{content['date'][:10]}, commit {(content['commit'] or 'unknown')[:10]}{changes}. {quick}"
        "Times are medians, two threads unless the name says one; the ratio is fastnn's time over "
        "that of the best peer of the same run, and fastnn is behind where it is above 1. The "
        "floor is the least time that the operations, by the method that fastnn has for them, and "
        "bytes of the work take at the machine's measured ceilings.",
        f"**{_names('fastnn is behind in', rows)}.**",
        kernels(content),
    ]
    shown = [*rows, *_limited(content, "geomean")]
    lines = [f"| {' | '.join(_HEAD)} |", _ALIGN]
    parts.append("\n".join([*lines, *(f"| {' | '.join(_cells(row))} |" for row in shown)]))
    if shares := _limited(content, "ceiling"):
        parts.append(f"Shares of ceilings: {'; '.join(map(_share, shares))}.")
    parts.append(_others(content))
    if held:
        text = "At the AVX2 level, beside NumPy and torch held to AVX2, fastnn is behind in"
        parts.append(f"{_names(text, held, 'avx2/')}.")
    free = [r for r in content["rows"] if r["status"] == "reported" and r["kind"] == "ratio"]
    if timed_free := [row for row in free if row.get("value")]:
        text = "Of what is timed without a target, fastnn is behind in"
        parts.append(f"{_names(text, timed_free)}.")
    refused = [
        r["name"] for r in content["rows"] if r["verdict"] in (verdicts.WRONG, verdicts.FAILED)
    ]
    if refused:
        parts.append(f"**Failed, or not equal to a peer's result: {', '.join(refused)}.**")
    if absent := [name for name in _absent(content) if name not in refused]:
        parts.append(f"Not measured in this result: {', '.join(absent)}.")
    return "\n\n".join(part for part in parts if part)


def is_busy(content: Mapping[str, Any]) -> bool:
    """Whether more than half of the timed rows were disturbed."""
    rows = _limited(content, "ratio")
    return 2 * sum(bool(row["disturbed"]) for row in rows) > len(rows)


def newest(folder: Path = RESULTS) -> dict[str, Any] | None:
    """The newest result of full effort with every whole step that is not from a busy machine."""
    wanted = {row.name for row in targets.load() if row.name.startswith("step/")}
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            content = read(path)
        except NotComparable:
            continue  # of an earlier format
        has = {r["name"] for r in _limited(content, "ratio") if r["verdict"] != verdicts.NO_PEER}
        if content.get("effort") == "full" and wanted <= has and not is_busy(content):
            found.append(content)
    return max(found, key=lambda content: str(content["date"]), default=None)


def section(folder: Path = RESULTS) -> str:
    """What stands between the README's lines."""
    content = newest(folder)
    return NOTHING if content is None else table(content)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("result", type=Path, nargs="?")
    parser.add_argument("--readme", type=Path, metavar="FILE")
    arguments = parser.parse_args(argv)
    if arguments.result is None:
        text = section()
    else:
        try:
            content = read(arguments.result)
        except NotComparable as error:
            print(error, file=sys.stderr)
            return 2
        if is_busy(content):
            print(f"{arguments.result}: taken on a busy machine; measure again", file=sys.stderr)
            return 2
        text = table(content)
    if arguments.readme is None:
        print(text)
        return 0
    try:
        before = arguments.readme.read_text("utf-8")
    except (OSError, ValueError) as error:
        print(f"{arguments.readme}: expected the README's text: {error}", file=sys.stderr)
        return 2
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    after, count = pattern.subn(lambda _: f"{BEGIN}\n{text}\n{END}", before)
    if count != 1:
        message = f"{arguments.readme}: expected one {BEGIN} ... {END}, got {count}; add the lines"
        print(message, file=sys.stderr)
        return 2
    arguments.readme.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
