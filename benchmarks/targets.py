# SPDX-License-Identifier: BSD-3-Clause
"""Reads targets.toml and checks it against the installed case table."""

from __future__ import annotations

import dataclasses
import fnmatch
import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastnn import testing
from fastnn.cli.bench.cases import PASSES, Subject
from fastnn.cli.bench.peers import OWN, PEERS
from fastnn.cli.bench.programs import PROGRAMS

PATH = Path(__file__).with_name("targets.toml")
KINDS = ("ratio", "ceiling", "geomean", "import", "size", "memory")
STATUSES = ("target", "missed", "reported")
CEILINGS = ("fma", "copy")  # of operations, or of bytes
UNITS = {"ratio": "x", "ceiling": "share", "geomean": "x", "import": "ms", "size": "MB"}
UNITS["memory"] = "MB"
LEVELS = ("x86_v2", "x86_v3", "x86_v4", "neon")
DTYPES = ("float32", "float64")


@dataclasses.dataclass(frozen=True)
class Row:
    """One number to measure; targets.toml explains the fields."""

    name: str
    kind: str
    status: str
    case: str | None = None
    program: str | None = None
    pass_: str = "forward"
    dtype: str = "float32"
    threads: int = 2
    peers: tuple[str, ...] = ()
    ceiling: str | None = None
    rows: tuple[str, ...] = ()
    isa: str | None = None
    limit: float | None = None
    reference_ms: float | None = None
    may_rise: float | None = None
    reason: str = ""

    @property
    def unit(self) -> str:
        """Of the limit and of the value."""
        return UNITS[self.kind]

    def subject(self, cases: Mapping[str, testing.OpCase]) -> Subject:
        """What a row of kind ratio or ceiling times."""
        case = None if self.case is None else cases[self.case]
        program = None if self.program is None else PROGRAMS[self.program]
        return Subject(case, program, self.pass_, self.dtype)


def _problems(row: Row, cases: dict[str, testing.OpCase]) -> list[str]:
    """What is wrong with a row by itself."""
    wrong = []

    def expect(good: bool, what: str) -> None:
        if not good:
            wrong.append(what)

    timed = row.kind in ("ratio", "ceiling")
    expect(row.kind in KINDS, f"kind: expected one of {KINDS}, got {row.kind!r}")
    expect(row.status in STATUSES, f"status: expected one of {STATUSES}, got {row.status!r}")
    expect(row.pass_ in PASSES, f"pass: expected one of {PASSES}, got {row.pass_!r}")
    expect(row.threads >= 1, f"threads: expected at least 1, got {row.threads}")
    has = row.limit is not None
    expect(has == (row.status != "reported"), f"limit: {row.limit} with status {row.status!r}")
    expect(not has or (row.limit or 0) > 0, f"limit: expected a positive number, got {row.limit}")
    expect(row.dtype in DTYPES, f"dtype: expected one of {DTYPES}, got {row.dtype!r}")
    expect(row.isa in (None, *LEVELS), f"isa: expected one of {LEVELS}, got {row.isa!r}")
    told = bool(row.reason.strip())
    expect(told == (row.status == "missed"), "reason: goes with status 'missed'")
    given = row.reference_ms
    expect(given is None or (row.kind == "ratio" and given > 0), f"reference_ms: got {given}")
    expect(row.may_rise is None or row.may_rise > 0, f"may_rise: got {row.may_rise}")
    named = [n for n in (row.case, row.program) if n is not None]
    expect(len(named) == timed, f"case, program: expected one of them, got {named}, {row.kind!r}")
    expect(row.case is None or row.case in cases, f"case: {row.case!r} is not in the case table")
    expect(bool(row.peers) == (row.kind == "ratio"), f"peers: goes with 'ratio', not {row.kind!r}")
    expect((row.ceiling is not None) == (row.kind == "ceiling"), "ceiling: goes with that kind")
    expect(row.ceiling in (None, *CEILINGS), f"ceiling: expected one of {CEILINGS}")
    expect(bool(row.rows) == (row.kind == "geomean"), "rows: goes with kind 'geomean'")
    for peer in row.peers:
        expect(peer in PEERS and peer != OWN, f"peers: {peer!r} is none of {[*PEERS]}")
    if row.program is not None:
        program = PROGRAMS.get(row.program)
        expect(program is not None, f"program: {row.program!r} is none of {[*PROGRAMS]}")
        expect(program is None or row.pass_ in program.passes, f"pass: not of {row.program!r}")
    if row.ceiling == "fma" and row.case in cases:
        expect(cases[row.case].flops is not None, f"ceiling: {row.case!r} does not tell its flops")
    return wrong


_NUMBERS = ("limit", "reference_ms", "may_rise")
_LISTS = ("peers", "rows")


def _has_type(field: str, value: object) -> bool:
    """Whether a field of an entry holds what TOML has for it."""
    if field in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return math.isfinite(value)
    if field == "threads":
        return type(value) is int
    if field in _LISTS and isinstance(value, list):
        return all(isinstance(word, str) for word in value)
    return isinstance(value, str) and field != "rows"


def _rows(table: dict[str, Any], groups: dict[str, list[str]], bench: list[str]) -> list[Row]:
    """The rows that one entry stands for."""
    if not isinstance(table, dict):
        message = f"targets: expected rows as tables, got {table!r:.60}"
        raise ValueError(message)
    fields = {f.name: f.name for f in dataclasses.fields(Row)} | {"pass": "pass_"}
    unknown = sorted(set(table) - (set(fields) - {"pass_"}))
    missing = sorted({"name", "kind"} - set(table))
    group = table.get("peers")
    types = [f"{k} = {v!r}" for k, v in table.items() if k in fields and not _has_type(k, v)]
    if unknown or missing or types or (isinstance(group, str) and group not in groups):
        wrong = f"unknown fields {unknown}, missing {missing}, peers {group!r} of {[*groups]}"
        wrong += f", of another type {types}"
        message = f"{table.get('name', 'a row')}: {wrong}"
        raise ValueError(message)
    values: dict[str, Any] = {"status": "target"} | {
        fields[k]: tuple(v) if isinstance(v, list) else v for k, v in table.items()
    }
    if isinstance(group, str):
        values["peers"] = tuple(groups[group])
    if values.get("case") != "*":
        return [Row(**values)]
    name = values.pop("name")
    return [Row(**{**values, "name": f"{name}/{case}", "case": case}) for case in bench]


def parse(text: str, cases: Sequence[testing.OpCase]) -> list[Row]:
    """The rows of a targets file; ValueError lists everything that is wrong with it."""
    content = tomllib.loads(text)
    if set(content) - {"peers"} != {"targets"} or set(content["targets"]) != {"row"}:
        message = f"targets: expected [peers] and [targets] with row = [...], got {sorted(content)}"
        raise ValueError(message)
    known = {case.id: case for case in cases}
    bench = [case.id for case in cases if case.bench]
    groups = content.get("peers", {})
    for group, members in groups.items():
        if not isinstance(members, list) or not _has_type("peers", members):
            message = f"targets: peers: {group}: expected a list of names, got {members!r:.60}"
            raise ValueError(message)
    rows = [row for table in content["targets"]["row"] for row in _rows(table, groups, bench)]
    wrong = [f"{row.name}: {problem}" for row in rows for problem in _problems(row, known)]
    names = [row.name for row in rows]
    wrong += [f"{name}: named twice" for name in sorted({n for n in names if names.count(n) > 1})]
    timed = {row.name for row in rows if row.kind == "ratio"}
    wrong += [f"{r.name}: rows: no ratio row {n!r}" for r in rows for n in r.rows if n not in timed]
    if wrong:
        raise ValueError("targets:\n  " + "\n  ".join(wrong))
    return rows


def load() -> list[Row]:
    """The rows of targets.toml."""
    return parse(PATH.read_text("utf-8"), list(testing.all_cases()))


def select(rows: Sequence[Row], patterns: Sequence[str]) -> list[Row]:
    """The rows whose name is, matches, or starts with one of the patterns; all if there are none.

    A mean brings along the rows that it is made of.
    """
    if not patterns:
        return list(rows)
    chosen = set()
    for pattern in patterns:
        found = {r.name for r in rows if fnmatch.fnmatchcase(r.name, pattern) or r.name == pattern}
        found |= {r.name for r in rows if r.name.startswith(f"{pattern}/")}
        if not found:
            message = f"--only {pattern}: no such row; there are {', '.join(r.name for r in rows)}"
            raise ValueError(message)
        chosen |= found
    chosen |= {name for r in rows if r.name in chosen for name in r.rows}
    return [r for r in rows if r.name in chosen]
