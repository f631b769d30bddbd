# SPDX-License-Identifier: BSD-3-Clause
"""A result file as the README's table: ``python -m benchmarks.table [RESULT.json]``.

Without RESULT.json it is the newest file of benchmarks/results that was measured at full effort,
has every whole step beside all its peers, and was not taken on a busy machine; if there is none,
the text says so. With ``--readme FILE`` the text
replaces what stands between the lines ``<!-- speed -->`` and ``<!-- end of speed -->`` of that
file; without, it goes to standard output. Exit status: 0 written; 2 not a result file, one from a
busy machine, or a file without those lines or that cannot be written.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import sentences, targets, verdicts
from benchmarks.resultfile import NotComparable, read
from fastnn.cli.bench.files import write
from fastnn.cli.bench.peers import OWN
from fastnn.cli.bench.report import duration

RESULTS = Path(__file__).with_name("results")
BEGIN, END = "<!-- speed -->", "<!-- end of speed -->"
NOTHING = (
    "No result that has every whole step and is from a quiet machine is in `benchmarks/results` "
    "yet: `python -m benchmarks.check` measures one."
)
UNKNOWN = "0+unknown"  # fastnn's version where it runs from a source tree
_HEAD = ("work", "fastnn", "best peer", "ratio", "at most", "floor", "reached", "")
_ALIGN = "|---|--:|--:|--:|--:|--:|--:|---|"


def _remarks(row: Mapping[str, Any]) -> str:
    close = row["value"]["q1"] <= 1 and row["kind"] == "ratio"
    behind = "behind, within the spread" if close else "behind"
    without = "without " + ", ".join(row.get("without", {}))
    option = sentences.is_option(row)
    found = [("cost of an option", option), (behind, sentences.is_behind(row) and not option)]
    found += [("misses its target", row["verdict"] == verdicts.MISSED)]
    found += [(without, bool(row.get("without"))), ("disturbed", bool(row["disturbed"]))]
    return ", ".join(word for word, holds in found if holds)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    times, peer, share = row.get("times_us"), row.get("best_peer"), row.get("share_of_ceiling")
    return (
        row["name"],
        duration(times[OWN]["median"]) if times else "",
        f"{peer}, {duration(times[peer]['median'])}" if times and peer else "",
        f"{row['value']['median']:.2f}",
        f"{row['limit']:.2f}",
        duration(row["floor_us"]) if "floor_us" in row else "",
        f"{100 * share['median']:.0f} %" if share else "",
        _remarks(row),
    )


def _with_means(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The result with the means that it lacks, where all of their rows are there: those of an
    interrupted run."""
    done = {row["name"]: row for row in content["rows"]}
    made = {
        mean.name: verdicts.finished(mean, verdicts.mean_of(mean.rows, done))
        for mean in sentences.absent(content)
        if mean.kind == "geomean" and set(mean.rows) <= set(done)
    }
    made = {name: row for name, row in made.items() if row["value"]}
    kept = [row for row in content["rows"] if row["name"] not in made]
    return {**content, "rows": [*kept, *made.values()]}


def _measured(content: Mapping[str, Any]) -> str:
    """What of fastnn was measured: its version, which a source tree has not, and its commit."""
    version = content["versions"][OWN].get(OWN, UNKNOWN)
    commit = f"commit {(content['commit'] or 'unknown')[:10]}"
    changes = " with changes" if content.get("changed") else ""
    if version == UNKNOWN:
        return f"{OWN} at {commit}{changes}"
    return f"{OWN} {version} ({commit}{changes})"


def table(content: Mapping[str, Any]) -> str:
    """The rows with a limit, in which of them fastnn is behind, what they were measured on."""
    content = _with_means(content)
    timed = sentences.limited(content, "ratio")
    held = [row for row in timed if row.get("isa") == "x86_v3" and row["name"].startswith("avx2/")]
    rows = [row for row in timed if row not in held]
    where, versions = content["machine"], content["versions"]
    peers = [(name, about) for name, about in versions.items() if name in about and name != OWN]
    libraries = [_measured(content), *(f"{name} {about[name]}" for name, about in peers)]
    quick = "" if content.get("effort") == "full" else "**A quick run: few and short samples.** "
    level = versions[OWN].get("isa", "numpy")
    parts = [
        f"{where['cpu']}, {where['cores']} cores, {level}; {', '.join(libraries)}; "
        f"{content['date'][:10]}. {quick}"
        "Times are medians, two threads unless the name says one; the ratio is fastnn's time over "
        "that of the best peer of the same run, and fastnn is behind where it is above 1; it "
        "misses its target where the lower quartile of its rounds is above that, too. The "
        "floor is the least time that the operations, by the method that fastnn has for them, and "
        "bytes of the work take at the machine's measured ceilings.",
        f"**{sentences.names('fastnn is behind in', rows)}.**",
        sentences.kernels(content),
    ]
    shown = [*rows, *sentences.limited(content, "geomean")]
    lines = [f"| {' | '.join(_HEAD)} |", _ALIGN]
    parts.append("\n".join([*lines, *(f"| {' | '.join(_cells(row))} |" for row in shown)]))
    parts.append(sentences.reasons(content))
    if shares := sentences.limited(content, "ceiling"):
        parts.append(sentences.shares(shares))
    parts.append(sentences.others(content))
    if held:
        text = "At the AVX2 level, beside NumPy and torch held to AVX2, fastnn is behind in"
        parts.append(f"{sentences.names(text, held, 'avx2/')}.")
    parts.append(sentences.unlimited(content))
    refused = [
        r["name"] for r in content["rows"] if r["verdict"] in (verdicts.WRONG, verdicts.FAILED)
    ]
    if refused:
        parts.append(f"**Failed, or not equal to a peer's result: {', '.join(refused)}.**")
    absent = [row.name for row in sentences.absent(content) if row.limit is not None]
    if absent := [name for name in absent if name not in refused]:
        parts.append(f"Not measured in this result: {', '.join(absent)}.")
    return "\n\n".join(part for part in parts if part)


def is_busy(content: Mapping[str, Any]) -> bool:
    """Whether more than half of the timed rows were disturbed."""
    rows = sentences.limited(content, "ratio")
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
        timed = sentences.limited(content, "ratio")
        has = {row["name"] for row in timed if row["verdict"] != verdicts.NO_PEER}
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
    try:
        write(arguments.readme, after.encode())
    except OSError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
