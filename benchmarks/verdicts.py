# SPDX-License-Identifier: BSD-3-Clause
"""From measurements to verdicts and an exit status."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.targets import Row
from fastnn.cli.bench.stats import geometric_mean

MET, MISSED, DISTURBED, REPORTED = "met", "missed", "disturbed", "reported"
NO_PEER, WRONG, FAILED = "no peer", "wrong", "failed"


def best_peer(result: Mapping[str, Any], own: str) -> str | None:
    """The peer with the smallest median time."""
    times = {k: v["median"] for k, v in result.get("times_us", {}).items() if k != own}
    return min(times, key=times.__getitem__) if times else None


def mean_of(names: Sequence[str], done: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The result of a geomean row from those of its rows, which were measured before it."""
    parts = [done[name] for name in names]
    disturbed = [f"{n} is" for n, p in zip(names, parts, strict=True) if p.get("disturbed")]
    nothing = {"value": None, "disturbed": disturbed}
    # A part without one of its peers is no ratio to the best of them, and neither is their mean.
    alone = [n for n, part in zip(names, parts, strict=True) if part.get("verdict") == NO_PEER]
    if alone:
        return {**nothing, "error": NO_PEER, "notes": [f"no peer: {', '.join(alone)}"]}
    without = [n for n, part in zip(names, parts, strict=True) if part.get("value") is None]
    if without:
        return {**nothing, "notes": [f"no value: {', '.join(without)}"]}
    keys = ("median", "q1", "q3", "minimum")
    value = {k: geometric_mean(part["value"][k] for part in parts) for k in keys}
    return {"value": {**value, "count": len(parts)}, "disturbed": disturbed, "notes": []}


def believe(row: Row, result: dict[str, Any]) -> None:
    """A share beyond its ceiling is disturbed, but for a row whose limit is met all the same: the
    ceiling is the highest of those that were read beside its rounds."""
    value, why = result.get("value"), result.get("beyond")
    if row.kind != "ceiling" or row.limit is None or not value or result["disturbed"] != [why]:
        return
    if value["q1"] >= row.limit:
        result["disturbed"] = []
        result["notes"] = [*result["notes"], f"{why}; the limit is met beside the highest reading"]


def finished(row: Row, result: Mapping[str, Any], missing: Sequence[str] = ()) -> dict[str, Any]:
    """A row of a result file: what targets.toml says of it, its verdict and its result."""
    about = {k.rstrip("_"): v for k, v in dataclasses.asdict(row).items() if v not in (None, ())}
    return {**about, "unit": row.unit, "verdict": verdict(row, result, missing), **result}


def misses(row: Row, value: Mapping[str, float]) -> bool:
    """Whether a value is on the wrong side of the limit by more than the run's spread.

    A time ratio: only if its lower quartile is above; a share of a ceiling: only if its upper
    quartile is below. That allowance is for one case: a mean of many, import time, memory
    and size have none.
    """
    assert row.limit is not None
    if row.kind == "ceiling":
        return value["q3"] < row.limit
    if row.kind == "ratio":
        return value["q1"] > row.limit
    return value["median"] > row.limit


def verdict(row: Row, result: Mapping[str, Any], missing: Sequence[str]) -> str:
    """What to say about a row. ``missing``: the peers that it names and that did not run."""
    if "error" in result:
        return str(result["error"])
    if missing:
        return NO_PEER
    if row.limit is None:
        return REPORTED
    if result.get("value") is None:
        return FAILED
    missed = misses(row, result["value"])
    # What disturbs can only lengthen an import; ratios and shares of a ceiling it can also flatter.
    if result["disturbed"] and (missed or row.kind != "import"):
        return DISTURBED
    return MISSED if missed else MET


def exit_status(verdicts: Sequence[str]) -> int:
    """2: a named peer did not run. 1: something missed, wrong or failed. 3: only disturbed."""
    if NO_PEER in verdicts:
        return 2
    if {MISSED, WRONG, FAILED} & set(verdicts):
        return 1
    return 3 if DISTURBED in verdicts else 0
