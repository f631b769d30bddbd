# SPDX-License-Identifier: BSD-3-Clause
"""Compares two result files of check: ``python -m benchmarks.compare BEFORE.json AFTER.json``.

Or this build with another one, in one run: ``python -m benchmarks.compare --build PYTHON``, an
interpreter that the other is installed for. Programs, small calls and whole steps, are timed by
both in turn; a row is slower if the lower quartile of the ratios of their times is above 1.10, or
above what its ``may_rise`` allows.

Machines drift by 10 % and more between runs, so where both files timed the same version of a peer,
what is compared is fastnn's time as a share of that peer's, else the time itself. A row is slower
if its interquartile ranges do not overlap and the medians differ by more than 5 % (an import: by
more than 5 ms). A row with ``may_rise`` is slower if its medians differ by more than that, and by
more than chance: if their notches do not overlap (McGill, Tukey and Larsen 1978). A row that had a
result before and has none after is broken.

Exit status: 0 nothing slower; 1 something is, or broken; 2 the files cannot be compared; 3
something is slower, but only in rows that were disturbed in one of the runs, or in times that have
no peer beside them.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import builds
from benchmarks.resultfile import NotComparable, read
from fastnn.cli.bench.peers import OWN

_FLOOR = 0.05  # relative, for times, ratios, shares and sizes
_FLOOR_MS = 5.0  # for differences of import times


@dataclasses.dataclass(frozen=True)
class Change:
    """One row in both files: larger is slower."""

    name: str
    basis: str
    before: Mapping[str, float]
    after: Mapping[str, float]
    disturbed: bool
    absolute: bool = False
    may_rise: float | None = None
    alone: bool = (
        False  # without a peer of the same version beside it: the machine may have drifted
    )

    @property
    def ratio(self) -> float:
        """After over before, of the medians."""
        before = self.before["median"]  # of an import it may be 0
        return self.after["median"] / before if before else math.inf

    def _beyond(self, low: Mapping[str, float], high: Mapping[str, float]) -> bool:
        rise = high["median"] - low["median"]
        if self.may_rise is not None:
            apart = rise > _notch(low) + _notch(high)
            return apart and rise > self.may_rise * abs(low["median"])
        floor = _FLOOR_MS if self.absolute else _FLOOR * abs(low["median"])
        return high["q1"] > low["q3"] and rise > floor

    @property
    def word(self) -> str:
        """slower, faster or same."""
        if self._beyond(self.before, self.after):
            return "slower"
        return "faster" if self._beyond(self.after, self.before) else "same"


def _notch(summary: Mapping[str, float]) -> float:
    """Half the width of the interval of the median that a box plot's notch shows."""
    width = summary["q3"] - summary["q1"]
    return 1.57 * width / math.sqrt(max(1.0, summary.get("count", 1.0)))


def _inverse(summary: Mapping[str, float]) -> dict[str, float]:
    """Of a share of a ceiling, so that larger is slower; the quartiles change places."""
    return {"median": 1 / summary["median"], "q1": 1 / summary["q3"], "q3": 1 / summary["q1"]}


def _common_peer(a: Any, b: Any, row_a: Any, row_b: Any) -> str | None:
    """The fastest peer of the first file that the second has timed too, in the same version."""
    common = [
        peer
        for peer in row_a.get("ratios", {})
        if peer in row_b.get("ratios", {}) and a["versions"].get(peer) == b["versions"].get(peer)
    ]
    return min(common, key=lambda p: row_a["times_us"][p]["median"]) if common else None


def _same_peers(a: Any, b: Any) -> bool:
    """Whether the files' peers are the same, so that means of ratios to them can be compared."""
    one, other = ({k: v for k, v in f["versions"].items() if k.split()[0] != OWN} for f in (a, b))
    return one == other


def _change(a: Any, b: Any, row_a: Any, row_b: Any) -> Change | None:
    name, kind = row_a["name"], row_a["kind"]
    disturbed = bool(row_a["disturbed"] or row_b["disturbed"])
    may_rise = row_b.get("may_rise")
    if peer := _common_peer(a, b, row_a, row_b):
        ratios = row_a["ratios"][peer], row_b["ratios"][peer]
        return Change(name, f"time over {peer}'s", *ratios, disturbed, may_rise=may_rise)
    if kind == "ratio":  # no peer in common: the time itself
        before, after = (row.get("times_us", {}).get(OWN) for row in (row_a, row_b))
        basis = "time, us"
    else:
        before, after = row_a.get("value"), row_b.get("value")
        basis = {
            "import": "ms beyond NumPy",
            "size": "MB",
            "memory": "MB",
            "ceiling": "ceiling over rate",
        }.get(kind, kind)
    if before is None or after is None:
        return None
    if kind == "ceiling":
        before, after = _inverse(before), _inverse(after)
    return Change(
        name,
        basis,
        before,
        after,
        disturbed,
        absolute=kind == "import",
        may_rise=may_rise,
        alone=kind == "ratio" or (kind == "geomean" and not _same_peers(a, b)),
    )


def compare(a: dict[str, Any], b: dict[str, Any]) -> list[Change]:
    """The rows that both files have with the same meaning; NotComparable if they cannot be."""
    for key in ("cpu", "cores"):
        one, other = a["machine"][key], b["machine"][key]
        if one != other:
            message = f"different machines: {key} {one} and {other}"
            raise NotComparable(message)
    keys = ("kind", "case", "program", "pass", "dtype", "threads", "isa", "rows")
    later = {row["name"]: row for row in b["rows"]}
    changes = []
    for row in a["rows"]:
        other = later.get(row["name"])
        if other is not None and all(row.get(k) == other.get(k) for k in keys):
            change = _change(a, b, row, other)
            changes += [] if change is None else [change]
    if not changes and not broken(a, b):
        message = "the files have no row in common"
        raise NotComparable(message)
    return changes


def broken(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """The rows that have a result in the first file, and are in the second without one."""
    later = {row["name"]: row for row in b["rows"]}
    had = [row["name"] for row in a["rows"] if row.get("value")]
    return [name for name in had if name in later and not later[name].get("value")]


def exit_status(changes: Sequence[Change], lost: Sequence[str] = ()) -> int:
    """See the module's head. ``lost``: the broken rows."""
    slower = [change for change in changes if change.word == "slower"]
    if lost or any(not (change.disturbed or change.alone) for change in slower):
        return 1
    return 3 if slower else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("before", type=Path, nargs="?")
    parser.add_argument("after", type=Path, nargs="?")
    parser.add_argument("--build", metavar="PYTHON", help="time the fastnn of this interpreter too")
    parser.add_argument("--only", action="append", default=[], metavar="ROW", help="with --build")
    parser.add_argument("--quick", action="store_true", help="with --build: fewer samples")
    arguments = parser.parse_args(argv)
    if arguments.build and arguments.before:
        parser.error("expected no result files beside --build")
    if not arguments.build and (arguments.only or arguments.quick):
        parser.error("expected no --only or --quick without --build: files are compared whole")
    if not arguments.build and arguments.after is None:
        parser.error("expected two result files, or --build PYTHON alone")
    if arguments.build:
        try:
            return builds.run(arguments.build, arguments.only or builds.PATTERNS, arguments.quick)
        except ValueError as error:
            parser.error(str(error))
    try:
        a, b = read(arguments.before), read(arguments.after)
        changes, lost = compare(a, b), broken(a, b)
    except NotComparable as error:
        print(error, file=sys.stderr)
        return 2
    for change in sorted(changes, key=lambda c: -c.ratio):
        mark = " (disturbed)" if change.disturbed else " (no peer beside it)" * change.alone
        medians = f"{change.before['median']:.4g} to {change.after['median']:.4g} {change.basis}"
        print(f"{change.word:<7} {change.ratio:6.2f}  {change.name}: {medians}{mark}")
    shared = {change.name for change in changes}
    names = [{row["name"] for row in content["rows"]} for content in (a, b)]
    for text, left in (
        ("broken, without a result after", set(lost)),
        ("only before", names[0] - names[1]),
        ("only after", names[1] - names[0]),
        ("not comparable", (names[0] & names[1]) - shared - set(lost)),
    ):
        if left:
            print(f"{text}: {', '.join(sorted(left))}")
    for path, own, other in (
        (arguments.before, names[0], names[1]), (arguments.after, names[1], names[0]),
    ):  # fmt: skip
        if lacking := other - own:
            count = f"{len(lacking)} of the {len(other)} rows of the other"
            print(f"{path}: without {count}: interrupted, or measured in part; measure again")
    return exit_status(changes, lost)


if __name__ == "__main__":
    sys.exit(main())
