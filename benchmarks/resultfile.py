# SPDX-License-Identifier: BSD-3-Clause
"""Reads the result files of check, and refuses what is not one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import targets
from fastnn.cli.bench.peers import OWN

FORMAT = 2
_SUMMARY = ("median", "q1", "q3")
_LARGEST = 1e300  # of numbers that can be divided by each other


class NotComparable(ValueError):
    """The files are from different machines, or not result files."""


def read(path: Path) -> dict[str, Any]:
    """A result file."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        message = f"{path}: not a result file: {error}; measure again"
        raise NotComparable(message) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        message = f"{path}: expected a result file of format {FORMAT}; measure again"
        raise NotComparable(message)
    if problem := _problem(content):
        message = f"{path}: not a whole result file: {problem}; measure again"
        raise NotComparable(message)
    return content


def _problem(content: Mapping[str, Any]) -> str:
    """What a result file lacks."""
    machine, versions, rows = (content.get(key) for key in ("machine", "versions", "rows"))
    if not isinstance(machine, dict) or not {"cpu", "cores"} <= set(machine):
        return "expected the machine's cpu and cores"
    if not isinstance(versions, dict) or not isinstance(versions.get(OWN), dict):
        return f"expected the versions of {OWN} and its peers"
    if not all(isinstance(about, dict) for about in versions.values()):
        return "expected a table of the versions of each library"
    if not all(isinstance(text, str) for about in versions.values() for text in about.values()):
        return "expected versions as texts"
    if not isinstance(content.get("date"), str) or not isinstance(content.get("commit", 0), _TEXT):
        return "expected its date and commit"
    if not isinstance(rows, list) or not rows:
        return "expected rows"
    names = [str(row.get("name")) for row in rows if isinstance(row, dict) and _is_named(row)]
    if len(names) != len(rows):
        return "expected rows with names"
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        return f"expected one row of a name, got more of {', '.join(twice)}"
    found = ((row["name"], _problem_of(row)) for row in rows)
    return next((f"{name}: {problem}" for name, problem in found if problem), "")


def _is_named(row: Mapping[str, Any]) -> bool:
    return isinstance(row.get("name"), str) and bool(row["name"])


_TEXT = (str, type(None))
_OPTIONAL: dict[str, type | tuple[type, ...]] = {
    "reason": str, "best_peer": _TEXT, "without": dict, "ceiling": str, "isa": str,
}  # fmt: skip


def _problem_of(row: Mapping[str, Any]) -> str:
    """What a row lacks, of what is read from it."""
    kind, value = row.get("kind"), row.get("value")
    disturbed, limit = row.get("disturbed"), row.get("limit")
    limited = value is not None and row.get("status") != "reported"
    times, ratios = row.get("times_us", {}), row.get("ratios", {})
    if kind not in targets.KINDS or row.get("status") not in targets.STATUSES:
        return f"expected its kind and status, got {kind!r} and {row.get('status')!r}"
    if not isinstance(row.get("verdict"), str):
        return "expected a verdict"
    if not isinstance(disturbed, list) or not all(isinstance(text, str) for text in disturbed):
        return "expected what disturbed it as a list of texts"
    given = {k: types for k, types in _OPTIONAL.items() if k in row}
    if wrong := [k for k, types in given.items() if not isinstance(row[k], types)]:
        return f"expected another type of {', '.join(wrong)}"
    numbers = [row[k] for k in ("may_rise", "floor_us", "limit") if row.get(k) is not None]
    if not all(map(_positive, numbers)) or (limited and limit is None):
        return "expected a positive number in may_rise and floor_us, and the limit of its status"
    # The difference of two imports may be zero or less.
    if value is not None and not _is_summary(value, signed=kind == "import"):
        return "expected median and quartiles as its value"
    if "share_of_ceiling" in row and not _is_summary(row["share_of_ceiling"]):
        return "expected median and quartiles as its share"
    if not isinstance(times, dict) or not isinstance(ratios, dict):
        return "expected tables of times and ratios"
    if not all(map(_is_summary, (*times.values(), *ratios.values()))):
        return "expected median and quartiles for each of its times and ratios"
    used = {*ratios, *([row["best_peer"]] if row.get("best_peer") else [])}
    if not used <= set(times) or (times and OWN not in times):
        return f"expected times of {OWN} and of the peers of its ratios"
    if kind == "ratio" and limited and not row.get("best_peer"):
        return "expected the best peer"
    return ""


def _is_number(x: object) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < _LARGEST


def _positive(x: Any) -> bool:
    return _is_number(x) and bool(x > 1 / _LARGEST)


def _is_summary(summary: object, signed: bool = False) -> bool:
    """Whether it has the figures that are read from it; of a time or a share they are positive."""
    if not isinstance(summary, dict):
        return False
    return all(map(_is_number if signed else _positive, map(summary.get, _SUMMARY)))
