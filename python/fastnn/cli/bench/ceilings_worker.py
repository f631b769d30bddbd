# SPDX-License-Identifier: BSD-3-Clause
"""The program of the process that measures ceilings: ``python -m`` this module.

Speaks JSON, one object per line. At the start {} or {"missing": why}; then for every
{"threads": n, "seconds": s} the multiply-add rate {"rate": GFLOP/s}, and with "kind" and "bytes" in
the order the memory rate {"rate": GB/s}. A process of its own, because it must not share the
instruction-set level, the threads or the memory of what is timed.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable

from fastnn import _backend
from fastnn.cli.bench.worker import MAX_DELAY, run_delay_ns

__all__ = ["main"]

_TRIES = 10


def _alone(measure: Callable[[], float]) -> float:
    """A rate that was taken while this process's threads were not in each other's way.

    The kernel often starts them all on the core that has just been woken, where they stay for some
    milliseconds. Where something else has the core, all tries are alike, and the last one tells.
    """
    rate = 0.0
    for _ in range(_TRIES):
        delay, start = run_delay_ns(), time.perf_counter_ns()
        rate = measure()
        if run_delay_ns() - delay <= MAX_DELAY * (time.perf_counter_ns() - start):
            break
    return rate


def main() -> int:
    """Serve until the input ends."""
    cpu = _backend.cpu
    hello = {} if cpu is not None else {"missing": f"no native module: {_backend.reasons['cpu']}"}
    sys.stdout.write(json.dumps(hello) + "\n")
    sys.stdout.flush()
    if cpu is None:
        return 0
    for line in sys.stdin:
        order = json.loads(line)
        measure = cpu.ceiling_memory if "kind" in order else cpu.ceiling_fma
        rate = _alone(functools.partial(measure, **order))
        sys.stdout.write(json.dumps({"rate": rate}) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
