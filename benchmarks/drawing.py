# SPDX-License-Identifier: BSD-3-Clause
"""A result file as rooflines and bars: ``python -m benchmarks.drawing RESULT.json FILE.png``.

The drawing of ``fastnn bench --plot``, of the rows at two threads and the top instruction-set level
that were held against a peer. The ceilings are those that the rows were held to: the highest
multiply-add peak, for each size of the working set the highest rate, and for DRAM that of the
largest. Exit status: 0 drawn; 2 not a result file, one without such rows, a name that matplotlib
cannot draw into, or no matplotlib.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.resultfile import NotComparable, read
from benchmarks.sentences import is_option
from fastnn.cli.bench.files import drawing
from fastnn.cli.bench.peers import OWN

_THREADS = 2
_DRAM = 3 * 2**25  # bytes of a working set: more than the caches of the machines that are measured


def content_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """What plots.save draws of a result file. Raises NotComparable."""
    top = result["versions"][OWN].get("isa")
    rows = [
        row
        for row in result["rows"]
        if row["kind"] == "ratio" and row.get("value") and row.get("ratios")
        and row.get("threads") == _THREADS and row.get("isa") == top and "cost" in row
        and not is_option(row)
    ]  # fmt: skip
    if not rows:
        message = f"expected rows at {_THREADS} threads beside a peer, got none; measure again"
        raise NotComparable(message)
    rates: dict[int, float] = {}
    for row in rows:
        size, rate = int(row["cost"]["working_set"]), row.get("bandwidth_gb_per_s")
        if rate:
            rates[size] = max(rate, rates.get(size, 0.0))
    largest = max(rates, default=0)
    ceilings = {
        "threads": _THREADS,
        "fma_gflops": max((row.get("fma_peak_gflops") or 0.0 for row in rows), default=0.0),
        "dram_gb_per_s": rates[largest] if largest >= _DRAM else 0.0,
        "copy_gb_per_s": {size: rates[size] for size in sorted(rates)},
    }
    return {
        "fastnn": f"at commit {(result.get('commit') or 'unknown')[:10]}",
        "machine": result["machine"],
        "ceilings": [ceilings],
        "rows": rows,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drawing", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("result", type=Path, metavar="RESULT.json")
    parser.add_argument("file", type=drawing, metavar="FILE.png")
    arguments = parser.parse_args(argv)
    try:
        content = content_of(read(arguments.result))
    except NotComparable as error:
        print(error, file=sys.stderr)
        return 2
    from fastnn.cli.bench import plots  # noqa: PLC0415 - matplotlib is optional

    try:
        plots.save(arguments.file, content)
    except OSError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
