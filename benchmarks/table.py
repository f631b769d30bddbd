# SPDX-License-Identifier: BSD-3-Clause
"""A Markdown table of a result file: ``python -m benchmarks.table RESULT.json [--readme FILE]``.

With --readme the table replaces what stands between the lines ``<!-- speed -->`` and
``<!-- end of speed -->`` of that file; without, it goes to standard output. Exit status: 0 written;
2 not a result file, disturbed, or a file without those lines.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare import NotComparable, read
from fastnn.cli.bench.peers import OWN
from fastnn.cli.bench.report import duration

_BEGIN, _END = "<!-- speed -->", "<!-- end of speed -->"
_HEAD = ("work", "fastnn", "best peer", "ratio", "of the ceiling", "")


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    times, peer = row["times_us"], row["best_peer"]
    ratio, share = row["value"]["median"], row.get("share_of_ceiling")
    return (
        row["name"],
        duration(times[OWN]["median"]),
        f"{peer}, {duration(times[peer]['median'])}",
        f"{ratio:.2f}",
        f"{100 * share['median']:.0f} %" if share else "",
        "behind" if row["value"]["q1"] > 1 else "",
    )


def table(content: Mapping[str, Any]) -> str:
    """The rows with a ratio and a limit, and what they were measured on."""
    rows = [
        row
        for row in content["rows"]
        if row["kind"] == "ratio" and row["status"] != "reported" and row.get("value")
    ]
    behind = sum(row["value"]["q1"] > 1 for row in rows)
    where, versions = content["machine"], content["versions"]
    libraries = [f"{name} {about[name]}" for name, about in versions.items() if name in about]
    threads = sorted({row["threads"] for row in rows})
    lines = [
        f"{where['cpu']}, {where['cores']} cores, {versions[OWN]['isa']}; "
        f"{', '.join(map(str, threads))} threads as the rows say; {', '.join(libraries)}; "
        f"{content['date'][:10]}, commit {(content['commit'] or 'unknown')[:10]}. Time of fastnn "
        f"over that of the best peer of the same run; behind in {behind} of {len(rows)}.",
        "",
        f"| {' | '.join(_HEAD)} |",
        "|---|--:|--:|--:|--:|---|",
        *(f"| {' | '.join(_cells(row))} |" for row in rows),
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("result", type=Path)
    parser.add_argument("--readme", type=Path, metavar="FILE")
    arguments = parser.parse_args(argv)
    try:
        content = read(arguments.result)
    except NotComparable as error:
        print(error, file=sys.stderr)
        return 2
    if content["disturbed"]:
        print(f"{arguments.result}: taken on a disturbed machine; measure again", file=sys.stderr)
        return 2
    text = table(content)
    if arguments.readme is None:
        print(text)
        return 0
    before = arguments.readme.read_text("utf-8")
    pattern = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)
    after, count = pattern.subn(lambda _: f"{_BEGIN}\n{text}\n{_END}", before)
    if count != 1:
        message = (
            f"{arguments.readme}: expected one {_BEGIN} ... {_END}, got {count}; add the lines"
        )
        print(message, file=sys.stderr)
        return 2
    arguments.readme.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
