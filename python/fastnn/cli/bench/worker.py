# SPDX-License-Identifier: BSD-3-Clause
"""The program of a peer's process: ``python worker.py LIBRARY THREADS OPTIONS``.

Runs alone, without fastnn, in whatever environment has the library. Speaks JSON, one object per
line, over standard input and output (what the library prints goes to standard error):

    at the start    -> {"about": {...}} or {"missing": why} or, of the device, {"unsupported": why}
    {"do": "prepare", "case": {...}, "pass": "forward" | "forward_backward", "inputs": a.npz,
     "outputs": b.npz}  -> {"outputs": count} or {"unsupported": why}; runs once, stores the results
    {"do": "prepare", "program": name, "pass": ..., "inputs": ..., "outputs": ...}
                    -> the same for a whole program: what programs.py lists
    {"do": "sample", "repeats": n}
                    -> {"ns": wall time of n runs, "delay_ns": time that runnable threads waited}
    {"do": "quit"}, or the end of the input

An adapter is a class ``Adapter(threads, options)``, which raises ImportError where its library is
not installed and NotImplementedError where it cannot run on ``options["device"]``. It has
``about()``, ``prepare(case, arguments, backward)`` that returns a function without arguments
(NotImplementedError with the reason where the library has no such operation), and
``arrays(value)``: what that function returned, as a list of NumPy arrays: the outputs, then the
gradients of the floating-point inputs. It may have ``synchronize()``, which waits for a device, and
``programs``, the name of the module whose ``prepare(adapter, program, arrays, backward)`` makes a
program's function and results.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


# Share of a stretch that threads may wait for a core.
MAX_DELAY = 0.05
# Nanoseconds of runs before a sample: at least, and at most where the threads wait for cores.
_WARM_UP, _WARM_UP_AT_MOST = 5_000_000, 100_000_000


def _load(name: str) -> Any:
    """The module ``<name>.py`` beside this file, by its path: the package may not be installed."""
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        message = f"bench: expected {path.name} beside worker.py, got none; install fastnn again"
        raise ImportError(message)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_delay_ns() -> int:
    """Time that this process's threads were ready to run and waited for a core, so far.

    The second field of schedstat, over all threads; 0 where the system does not tell.
    """
    total = 0
    try:
        for task in Path("/proc/self/task").iterdir():
            total += int((task / "schedstat").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return total
    return total


def _warm_up(run: Callable[[], Any], synchronize: Callable[[], None]) -> None:
    """Runs until the library's threads are awake and have cores of their own.

    After a pause the kernel often wakes them all on one core and takes up to tens of milliseconds
    to move them. Where something else has a core, they go on waiting, and the sample tells.
    """
    end = time.perf_counter_ns() + _WARM_UP_AT_MOST
    while True:
        delay, start = run_delay_ns(), time.perf_counter_ns()
        while (now := time.perf_counter_ns()) < start + _WARM_UP:
            run()
            synchronize()
        if run_delay_ns() - delay <= MAX_DELAY * (now - start) or now >= end:
            return


def _nothing() -> None:
    """What an adapter of a library that never runs ahead waits for."""


def sample(
    run: Callable[[], Any], repeats: int, synchronize: Callable[[], None] = _nothing
) -> dict[str, int]:
    """Wall time of ``repeats`` runs after a warm-up."""
    gc.disable()
    try:
        _warm_up(run, synchronize)
        delay = run_delay_ns()
        start = time.perf_counter_ns()
        for _ in range(repeats):
            run()
        synchronize()
        end = time.perf_counter_ns()
        return {"ns": end - start, "delay_ns": run_delay_ns() - delay}
    finally:
        gc.enable()


def _arguments(case: dict[str, Any], inputs: str) -> list[Any]:
    import numpy as np  # noqa: PLC0415 - after the library that is timed

    with np.load(inputs) as stored:
        return [stored[a["array"]] if "array" in a else a["value"] for a in case["arguments"]]


def _prepare(adapter: Any, order: dict[str, Any]) -> tuple[Callable[[], Any], int]:
    import numpy as np  # noqa: PLC0415

    backward = order["pass"] == "forward_backward"
    if "program" in order:
        if (name := getattr(adapter, "programs", None)) is None:
            reason = "it has cases only, no programs"
            raise NotImplementedError(reason)
        with np.load(order["inputs"]) as stored:
            arrays = dict(stored)
        run, results = _load(name).prepare(adapter, order["program"], arrays, backward)
    else:
        case = order["case"]
        run = adapter.prepare(case, _arguments(case, order["inputs"]), backward)
        results = adapter.arrays(run())
    np.savez(order["outputs"], **{str(i): a for i, a in enumerate(results)})
    return run, len(results)


def serve(adapter: Any, orders: IO[str], answers: IO[str]) -> None:
    """Answers orders until the input ends."""
    run: Callable[[], Any] | None = None
    synchronize = getattr(adapter, "synchronize", _nothing)
    for line in orders:
        order = json.loads(line)
        answer: dict[str, Any]
        if order["do"] == "quit":
            return
        if order["do"] == "prepare":
            run = None  # frees the last case's memory first
            try:
                run, count = _prepare(adapter, order)
                answer = {"outputs": count}
            except NotImplementedError as reason:
                answer = {"unsupported": str(reason)}
        elif order["do"] == "sample" and run is not None:
            answer = dict(sample(run, int(order["repeats"]), synchronize))
        else:
            got = line.strip()
            answer = {"error": f"expected prepare, then sample, got {got}; prepare something first"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main(library: str, threads: str, options: str) -> int:
    """Serve one library over standard input and output."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)  # a library that prints must not break the protocol
        try:
            adapter = _load(f"adapter_{library}").Adapter(int(threads), json.loads(options))
        except ImportError as error:
            answers.write(json.dumps({"missing": str(error)}) + "\n")
            return 0
        except NotImplementedError as reason:
            answers.write(json.dumps({"unsupported": str(reason)}) + "\n")
            return 0
        answers.write(json.dumps({"about": adapter.about()}) + "\n")
        answers.flush()
        serve(adapter, sys.stdin, answers)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
