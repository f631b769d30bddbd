# SPDX-License-Identifier: BSD-3-Clause
"""``python -m tests.torch_scores``: how much of torch's own test databases fastnn passes.

    python -m tests.torch_scores --only softmax nn.ReLU then --failures 5

Needs torch 2.13 beside fastnn. The exit status is 1 if a score is below what is promised (see
names.py), an error input is not refused, or something crashes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from . import pool, report
from .names import selected
from .record import Record


def say(*lines: str) -> None:
    """Lines on the standard output, at once."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torch_scores", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="names or groups")
    parser.add_argument("--failures", type=int, default=0, help="failures to show of each name")
    parser.add_argument("--json", type=Path, help="write everything to this file")
    parser.add_argument(
        "--forms",
        action="store_true",
        help="score methods, in-place forms and operators by the functions' samples instead",
    )
    parser.add_argument("--jobs", type=int, default=min(4, len(os.sched_getaffinity(0))))
    given = parser.parse_args(arguments)
    try:
        names = selected(given.only)
    except ValueError as error:
        parser.error(str(error))
    if given.forms:  # not all functions have any
        names = [name for name in names if "." not in name and not name.startswith("__")]
    start = time.perf_counter()
    records: dict[str, Record] = {}
    pool.run(
        names,
        min(given.jobs, len(names)),
        lambda r: records.__setitem__(r.name, r),
        lambda: pool.Worker(forms=given.forms),
    )
    ordered = [records[name] for name in names]
    if given.forms:
        ordered = [r for r in ordered if r.samples]
    for record in ordered:
        if given.failures and record.failures:
            say(f"{record.name}:", *(f"    {f}" for f in record.failures[: given.failures]))
    if given.json:
        given.json.write_text(json.dumps([r.as_json() for r in ordered], indent=1) + "\n")
    wrong = report.problems(ordered)
    say(*report.rows(ordered), *report.summary(ordered), *wrong)
    say(f"{time.perf_counter() - start:.0f} s: {'below' if wrong else 'all as promised'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
