# SPDX-License-Identifier: BSD-3-Clause
"""Two builds of fastnn side by side in one run, which files of two runs cannot be: machines drift.

The rows are those of targets.toml that time programs; the other build is the peer `BEFORE`, driven
by this checkout's adapters in its own interpreter, so that both are asked for the same.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import targets
from fastnn.cli.bench import machine
from fastnn.cli.bench.measure import measure
from fastnn.cli.bench.peers import BEFORE
from fastnn.cli.bench.session import FULL, QUICK, Session
from fastnn.cli.bench.workers import NotInstalled, WorkerError

PATTERNS = ("calls", "step")
MAY_RISE = 0.1  # where a row does not say by how much


def chosen(patterns: Sequence[str]) -> list[targets.Row]:
    """The rows that time a program; ValueError where a pattern matches none of them."""
    rows = [row for row in targets.load() if row.kind == "ratio" and row.program is not None]
    return targets.select(rows, patterns)


def line(row: targets.Row, result: dict[str, Any]) -> tuple[bool, str]:
    """Whether a row has not risen, and how it reads."""
    ratio, times = result["ratios"][BEFORE], result["times_us"]
    most = 1 + (MAY_RISE if row.may_rise is None else row.may_rise)
    good = ratio["q1"] <= most
    text = f"{'same' if good else 'slower':<7} {ratio['median']:6.3f}  {row.name} ["
    text += f"{ratio['q1']:.3f} to {ratio['q3']:.3f}], at most {most:.2f}; us: "
    text += f"{times[BEFORE]['median']:.2f} to {times['fastnn']['median']:.2f}"
    return good, text + "".join(f"; disturbed: {why}" for why in result["disturbed"])


def run(python: str, patterns: Sequence[str], quick: bool) -> int:
    """Print a line for each row. 0: no lower quartile has risen by more than the row may, 1: one
    has, or could not be timed, 2: the other interpreter has no fastnn."""
    rows, good = chosen(patterns), True
    about = machine.describe()
    print(f"{about['cpu']}, {about['cores']} cores; {about['system']}", flush=True)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        effort = QUICK if quick else FULL
        session = stack.enter_context(Session(folder, effort, {BEFORE: python}))
        for row in rows:
            try:
                session.worker(BEFORE, row.threads, row.isa)
            except NotInstalled as error:
                print(str(error).replace("--peer-python fastnn=", "--build "), file=sys.stderr)
                return 2
            try:
                result = measure(session, row.subject({}), [BEFORE], row.threads, row.isa)
                if why := result["without"].get(BEFORE):
                    raise WorkerError(why)
            except WorkerError as error:
                good = False
                print(f"failed          {row.name}: {error}", flush=True)
                continue
            same, text = line(row, result)
            good = good and same
            print(text, flush=True)
        for name, versions in session.versions.items():
            print(f"{name}: {', '.join(f'{k} {v}' for k, v in versions.items())}")
    return 0 if good else 1
