# SPDX-License-Identifier: BSD-3-Clause
"""Measures the rows of targets.toml: ``python -m benchmarks.check``.

Exit status: 0 every target met; 1 one was missed, or a result was wrong; 2 a peer that a row with a
limit names did not run (or wrong usage); 3 nothing missed, but the machine was too disturbed to
say; 130 interrupted; 141 the reader of the output went away. What was measured before that is
written all the same.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import checkout, extras, targets, verdicts
from benchmarks.resultfile import FORMAT
from fastnn import testing
from fastnn.cli.bench import machine
from fastnn.cli.bench.command import terminable
from fastnn.cli.bench.files import writable, write
from fastnn.cli.bench.measure import measure
from fastnn.cli.bench.peers import OWN, PYTHON_VARIABLE, pythons
from fastnn.cli.bench.session import FULL, QUICK, Session
from fastnn.cli.bench.workers import NotInstalled, WorkerError

_FAILED, _INTERRUPTED, _BROKEN_PIPE = 1, 130, 141
CASES = {case.id: case for case in testing.all_cases()}


def run_row(
    session: Session, row: targets.Row, wheels: Sequence[Path], done: dict[str, Any]
) -> dict[str, Any]:
    """The result of one row with its verdict; errors are results too."""
    try:
        if row.kind == "import":
            result = extras.import_time(session, wheels)
        elif row.kind == "size":
            result = extras.wheel_size(session, wheels)
        elif row.kind == "memory":
            result = extras.training_memory(session)
        elif row.kind == "geomean":
            result = verdicts.mean_of(row.rows, done)
        else:
            result = measure(session, row.subject(CASES), row.peers, row.threads, row.isa)
    except (WorkerError, OSError, zipfile.BadZipFile) as error:
        result = {"error": verdicts.FAILED, "notes": [str(error)], "disturbed": []}
    best = verdicts.best_peer(result, OWN) if row.kind == "ratio" else None
    if row.kind == "ratio":
        # The others' times stand; the row's value does not, for it is beside the best of all peers.
        if result.get("wrong"):
            result["error"] = verdicts.WRONG
        result["value"] = None if best is None or "error" in result else result["ratios"][best]
        result["best_peer"] = best
    elif row.kind == "ceiling":
        share = "share_of_fma_peak" if row.ceiling == "fma" else "share_of_bandwidth"
        result["value"] = result.get(share)
        verdicts.believe(row, result)
    # A limit is one beside the best of all its peers: it says nothing if one of them did not run.
    without = {} if row.limit is None else result.get("without", {})
    missing = [peer for peer in row.peers if peer in session.missing or peer in without]
    return verdicts.finished(row, result, missing)


def _number(value: float, unit: str) -> str:
    if unit == "share":
        return f"{100 * value:.1f} %"
    return f"{value:.2f}" if unit == "x" else f"{value:.2f} {unit}"


def line(row: dict[str, Any]) -> str:
    """A row's result for people."""
    parts = [f"{row['verdict']:<9} {row['name']}"]
    if value := row.get("value"):
        unit = row["unit"]
        text = _number(value["median"], unit)
        if value["count"] > 1:
            text += f" [{_number(value['q1'], unit)} to {_number(value['q3'], unit)}]"
        if row.get("best_peer"):
            text += f" of {row['best_peer']}"
        parts.append(text)
    if "limit" in row:
        side = "at least" if row["kind"] == "ceiling" else "at most"
        parts.append(f"{side} {_number(row['limit'], row['unit'])}")
    if row["kind"] in ("ratio", "ceiling") and "times_us" in row:
        times = [f"{n} {t['median']:.1f}" for n, t in row["times_us"].items()]
        parts.append("us: " + ", ".join(times))
    if "share_of_ceiling" in row:
        share = f"{100 * row['share_of_ceiling']['median']:.0f} %"
        parts.append(f"{share} of what the machine can do ({row['floor_us']:.1f} us)")
    if (reference := row.get("reference_ms")) and (peer := row.get("best_peer")):
        slower = row["times_us"][peer]["median"] / (1e3 * reference)
        parts.append(f"the best peer took {slower:.2f} times what it took when the limit was set")
    if row["status"] == "missed":
        met = row["verdict"] == verdicts.MET
        told = "targets.toml says missed: put it right" if met else f"known: {row['reason']}"
        parts.append(told)
    remarks = [f"disturbed: {'; '.join(row['disturbed'])}"] if row["disturbed"] else []
    remarks += [f"without {peer}: {why}" for peer, why in row.get("without", {}).items()]
    return "\n      ".join([" | ".join(parts), *remarks, *row["notes"]])


def _heading(report: dict[str, Any]) -> str:
    where, versions = report["machine"], report["versions"]
    commit = report["commit"] or "not a git checkout"
    state = ", with changes" if report["changed"] else ""
    caches = ", ".join(f"{k} {v}" for k, v in where["caches"].items())
    lines = [
        f"{where['cpu']}, {where['cores']} cores, {caches}; {where['system']}",
        f"commit {commit}{state}; effort: {report['effort']}; load {report['load']}",
    ]
    lines += [f"{n}: {', '.join(f'{k} {v}' for k, v in a.items())}" for n, a in versions.items()]
    return "\n".join(lines)


def ordered(rows: Sequence[targets.Row]) -> list[targets.Row]:
    """Each mean right after the last of its rows, so that an interruption leaves it."""
    place = {row.name: i for i, row in enumerate(rows)}
    return sorted(
        rows, key=lambda row: (max(map(place.__getitem__, row.rows or [row.name])), bool(row.rows))
    )


def measure_all(
    rows: Sequence[targets.Row],
    measured: Callable[[targets.Row], dict[str, Any]],
    done: dict[str, Any],
    report: dict[str, Any],
) -> None:
    """Every row, and at the end once more those that were disturbed, for others may have gone: a
    quiet result takes the place of the first, and so do the means of such rows."""
    again: set[str] = set()

    def keep(row: targets.Row, found: dict[str, Any]) -> None:
        done[row.name] = found
        report["rows"] = [done[row.name] for row in rows if row.name in done]
        print(line(found), flush=True)

    for row in ordered(rows):
        keep(row, measured(row))
    for row in ordered(rows):
        changed = not again.isdisjoint(row.rows)
        if not changed and done[row.name]["verdict"] != verdicts.DISTURBED:
            continue
        found = measured(row)
        if changed or found["verdict"] != verdicts.DISTURBED:
            again.add(row.name)
            keep(row, found)


def run(
    rows: Sequence[targets.Row],
    quick: bool,
    given: dict[str, str],
    wheels: Sequence[Path],
    report: dict[str, Any],
) -> None:
    """Measure rows into ``report``, which becomes what a result file holds, row by row."""
    report |= {
        "format": FORMAT,
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        **checkout.commit(),
        "machine": machine.describe(),
        "effort": "quick" if quick else "full",
        "load": round(os.getloadavg()[0], 1),
        "versions": {},
        "rows": [],
    }
    done: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory(prefix="fastnn-bench-") as folder,
        Session(Path(folder), QUICK if quick else FULL, given) as session,
    ):
        # All peers first: their versions head the output.
        session.worker(OWN, 2)
        for peer in dict.fromkeys(p for row in rows for p in row.peers):
            try:
                session.worker(peer, 2)
            except NotInstalled as error:
                print(f"not installed: {error}")
            except WorkerError as error:  # its rows fail, with this text
                print(f"not started: {error}")
        report["versions"] = session.versions
        print(_heading(report), flush=True)
        measure_all(rows, lambda row: run_row(session, row, wheels, done), done, report)


def _ended(
    rows: Sequence[targets.Row],
    arguments: argparse.Namespace,
    given: dict[str, str],
    report: dict[str, Any],
) -> int | None:
    """Runs; the exit status of an end before the last row, or None."""
    try:
        with terminable():
            run(rows, arguments.quick, given, arguments.wheel, report)
    except BrokenPipeError:
        return _BROKEN_PIPE
    except (WorkerError, OSError) as error:  # of fastnn's own process, of the temporary folder
        print(f"python -m benchmarks.check: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED
    return None


def _save(path: Path | None, report: dict[str, Any]) -> bool:
    """Writes what was measured; False, with a line that says why, where that cannot be."""
    try:
        if path is not None and report.get("rows"):
            write(path, (json.dumps(report, indent=1) + "\n").encode())
    except OSError as error:
        print(f"python -m benchmarks.check: --json: {error}", file=sys.stderr)
        return False
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.check", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", action="append", default=[], help="a row's name, or a pattern")
    parser.add_argument("--json", type=writable, help="write the results to this file")
    parser.add_argument("--quick", action="store_true", help="few and short samples")
    parser.add_argument("--wheel", type=Path, action="append", default=[], help="a built wheel")
    parser.add_argument(
        "--peer-python",
        action="append",
        default=[],
        metavar="PEER=PATH",
        help="the Python that has a peer (torch=... serves torch-tuned too); also in "
        f"{PYTHON_VARIABLE}, separated by commas; default: this one",
    )
    arguments = parser.parse_args(argv)
    try:
        rows = targets.select(targets.load(), arguments.only)
        given = pythons(arguments.peer_python)
    except ValueError as error:
        parser.error(str(error))
    for wheel in arguments.wheel:
        if wheel.suffix != ".whl" or not zipfile.is_zipfile(wheel):
            parser.error(f"--wheel {wheel}: expected a .whl file, a zip archive")
    report: dict[str, Any] = {}
    try:
        status = _ended(rows, arguments, given, report)
    finally:  # whatever went wrong
        written = _save(arguments.json, report)
    said = [row["verdict"] for row in report.get("rows", [])]
    counts = [f"{said.count(v)} {v}" for v in dict.fromkeys(said)]
    try:
        print(f"{len(said)} of {len(rows)} rows: {', '.join(counts)}", flush=True)
    except OSError as error:
        # Python flushes standard output once more at exit; let that go nowhere, quietly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE if isinstance(error, BrokenPipeError) else _FAILED
    if status is None:
        status = verdicts.exit_status(said)
    return status if written or status else _FAILED


if __name__ == "__main__":
    sys.exit(main())
