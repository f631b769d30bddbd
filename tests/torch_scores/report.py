# SPDX-License-Identifier: BSD-3-Clause
"""The table at the end, and whether the scores are high enough."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .names import ALL_LEAST, CORE_LEAST, GROUPS, MODULES_LEAST
from .record import Record


def rows(records: Iterable[Record]) -> Iterator[str]:
    """One line per name, in the order of the groups."""
    yield f"{'name':44} {'group':8} {'score':>7} {'passed':>12} {'errors':>8} {'s':>6}"
    for r in records:
        marks = ["absent"] * r.absent + [f"{r.crashes} crashes"] * bool(r.crashes)
        yield (
            f"{r.name:44} {GROUPS.get(r.name, ''):8} {r.score:7.1%} {r.passed:5} / {r.samples:4} "
            f"{f'{r.raised}/{r.error_inputs}':>8} {r.seconds:6.1f} {' '.join(marks)}"
        ).rstrip()


def _share(records: list[Record]) -> tuple[int, int, float]:
    passed, samples = sum(r.passed for r in records), sum(r.samples for r in records)
    return passed, samples, passed / samples if samples else 0.0


def problems(records: Iterable[Record]) -> list[str]:
    """What is below the thresholds, one line each; empty if all is well."""
    records = list(records)
    found = []
    for r in records:
        if r.crashes:
            found.append(f"{r.name}: {r.crashes} samples crashed or hung")
        if r.raised < r.error_inputs:
            missed = r.error_inputs - r.raised
            found.append(f"{r.name}: {missed} of {r.error_inputs} error inputs were not refused")
        group = GROUPS.get(r.name)
        least = {"core": CORE_LEAST, "modules": MODULES_LEAST}.get(group or "", 0.0)
        if r.score < least or not r.samples:
            found.append(f"{r.name}: {r.score:.1%} of {r.samples} samples, expected {least:.0%}")
    functions = [r for r in records if GROUPS.get(r.name) != "modules"]
    if functions:
        _, samples, share = _share(functions)
        if share < ALL_LEAST:
            found.append(f"all: {share:.2%} of {samples} samples, expected {ALL_LEAST:.0%}")
    return found


def summary(records: Iterable[Record]) -> Iterator[str]:
    """The sums of the groups."""
    records = list(records)
    groups = {
        g: [r for r in records if GROUPS.get(r.name) == g] for g in dict.fromkeys(GROUPS.values())
    }
    groups["functions"] = [*groups["core"], *groups["then"]]
    for group, members in groups.items():
        if members:
            _, samples, share = _share(members)
            whole = sum(r.score == 1 for r in members)
            absent = sum(r.absent for r in members)
            yield (
                f"{group:10} {len(members):4} names: {share:7.2%} of {samples} samples, {whole} "
                f"names whole, {sum(r.score >= CORE_LEAST for r in members)} at least "
                f"{CORE_LEAST:.0%}, {absent} absent; error inputs "
                f"{sum(r.raised for r in members)}/{sum(r.error_inputs for r in members)}, crashes "
                f"{sum(r.crashes for r in members)}"
            )
