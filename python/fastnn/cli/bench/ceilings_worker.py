# SPDX-License-Identifier: BSD-3-Clause
"""The program of the process that measures ceilings: ``python -m`` this module.

Speaks JSON, one object per line. At the start {} or {"missing": why}; then for every
{"threads": n, "seconds": s} the multiply-add rate {"rate": GFLOP/s}, and with "kind" and "bytes" in
the order the memory rate {"rate": GB/s}. A process of its own, because it must not share the
instruction-set level, the threads or the memory of what is timed.
"""

from __future__ import annotations

import json
import sys

from fastnn import _backend

__all__ = ["main"]


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
        sys.stdout.write(json.dumps({"rate": measure(**order)}) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
