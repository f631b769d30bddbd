# SPDX-License-Identifier: BSD-3-Clause
"""``fastnn bench``: kernels and whole training steps beside other libraries, on this machine."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import fastnn
from fastnn.cli._args import up_to
from fastnn.cli.bench import machine
from fastnn.cli.bench.cases import Subject, find
from fastnn.cli.bench.files import drawing, same, writable, write
from fastnn.cli.bench.measure import measure
from fastnn.cli.bench.peers import OWN, PEERS, PYTHON_VARIABLE, SHOWN, pythons
from fastnn.cli.bench.report import Report, heading, make_report
from fastnn.cli.bench.session import FULL, QUICK, Session
from fastnn.cli.bench.workers import NotInstalled, WorkerError

__all__ = ["add_arguments", "run"]

FORMAT = 1
_DONE, _FAILED, _USAGE = 0, 1, 2


def _peers(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        problem = f"expected some of {', '.join(SHOWN)}, got none; leave --peers out for all"
        raise argparse.ArgumentTypeError(problem)
    if unknown := [name for name in names if name not in SHOWN]:
        problem = (
            f"expected some of {', '.join(SHOWN)}, got {', '.join(unknown)!r:.60}; "
            "write for example numpy,torch-tuned"
        )
        raise argparse.ArgumentTypeError(problem)
    return names


def _threads(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(map(up_to(1024), text.split(","))))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the command."""
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME",
        help="an operation (mm), a step (lenet), a kind (step, layer, optimizer, calls) or a "
        "pattern ('conv2d-*'); may be given more than once; default: everything",
    )  # fmt: skip
    parser.add_argument(
        "--peers", type=_peers, metavar="A,B",
        help=f"of {', '.join(SHOWN)}, which then must be installed; default: all that are",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=_threads, default=(fastnn.get_num_threads(),), metavar="N,M",
        help="for fastnn and its peers alike; default: as many as fastnn uses",
    )  # fmt: skip
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu",
        help="where all run; cuda needs a GPU and CUDA kernels in this build; default: cpu",
    )  # fmt: skip
    parser.add_argument("--json", type=writable, metavar="FILE", help="write the results there")
    parser.add_argument(
        "--plot", type=drawing, metavar="FILE.png",
        help="draw the roofline of this machine and the ratios to the peers, for the last of N,M",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="few and short samples")
    parser.add_argument(
        "--peer-python", action="append", default=[], metavar="PEER=PATH",
        help="the Python that has a peer (torch=... serves all of torch's); also in "
        f"{PYTHON_VARIABLE}, separated by commas; default: this one",
    )  # fmt: skip


def _about(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "fastnn": fastnn.__version__,
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "device": arguments.device,
        "effort": "quick" if arguments.quick else "full",
        "load": round(os.getloadavg()[0], 1),
    }


def _ceilings(session: Session, level: str, threads: int) -> dict[str, Any]:
    top = session.ceilings(level, threads)
    return {
        "threads": threads,
        "isa": level,
        "fma_gflops": top.fma,
        "copy_gb_per_s": {str(size): rate for size, rate in top.memory.items()},
        "dram_gb_per_s": top.dram,
    }


def _row(session: Session, subject: Subject, peers: Sequence[str], threads: int) -> dict[str, Any]:
    """The result of one subject; what goes wrong is a result too."""
    about = {
        "name": subject.label, "id": subject.id, "pass": subject.pass_, "dtype": subject.dtype,
        "threads": threads,
    }  # fmt: skip
    try:
        return about | measure(session, subject, peers, threads)
    except (WorkerError, OSError) as error:  # also of the temporary folder
        return about | {"error": str(error), "disturbed": [], "without": {}}


def _measure_all(
    arguments: argparse.Namespace,
    subjects: Sequence[Subject],
    given: dict[str, str],
    content: dict[str, Any],
    report: Report,
) -> None:
    effort = QUICK if arguments.quick else FULL
    for threads in arguments.threads:
        with (
            tempfile.TemporaryDirectory(prefix="fastnn-bench-") as folder,
            Session(Path(folder), effort, given, arguments.device) as session,
        ):
            installed = []
            for peer in (OWN, *(arguments.peers or SHOWN)):
                report.doing(f"starting {peer}")
                try:
                    session.worker(peer, threads)
                    installed.append(peer)
                except WorkerError as error:  # not installed, or it cannot be started
                    named = bool(arguments.peers) and isinstance(error, NotInstalled)
                    if peer == OWN or named:  # before the first row, not after the last
                        raise
                    content["missing"][peer] = str(error)
            report.doing("measuring the machine")
            level = session.worker(OWN, threads).about["isa"]
            content["ceilings"].append(_ceilings(session, level, threads))
            content["versions"] |= session.versions
            for line in heading(content, session.no_ceilings):
                report.line(line)
            try:
                for subject in subjects:
                    report.doing(subject.label)
                    row = _row(session, subject, installed[1:], threads)
                    content["rows"].append(row)
                    report.row(row)
            finally:  # the peak is the best rate of the whole run
                content["ceilings"][-1] = _ceilings(session, level, threads)


def _write(arguments: argparse.Namespace, content: dict[str, Any]) -> bool:
    """The files that were asked for; what cannot be written is told, and False."""
    failed = []
    try:
        if arguments.json:
            write(arguments.json, (json.dumps(content, indent=1) + "\n").encode())
    except OSError as error:
        failed.append(f"--json: {error}")
    try:
        if arguments.plot:
            from fastnn.cli.bench.plots import save  # noqa: PLC0415 - matplotlib is optional

            save(arguments.plot, content)
    except (OSError, RuntimeError) as error:
        failed.append(f"--plot {arguments.plot}: {error}")
    sys.stderr.writelines(f"fastnn bench: {line}\n" for line in failed)
    return not failed


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM, of a time limit for example, is as good as Ctrl-C: what was measured is kept."""
    try:
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _status(arguments: argparse.Namespace, content: dict[str, Any]) -> int:
    """Failed, if a row or a peer in it did, or if a peer that was asked for is missing."""
    failed = any("error" in row or row.get("failed") for row in content["rows"])
    named = {word.partition("=")[0] for word in arguments.peer_python}
    wanted = [
        peer
        for peer in content["missing"]
        if arguments.peers or named & {peer, PEERS[peer].library}
    ]  # fmt: skip
    return _FAILED if failed or wanted else _DONE


def run(arguments: argparse.Namespace) -> int:
    """Measure and show. 0 if all was measured, by all peers asked for, and all agreed."""
    say: Callable[[str], object] = sys.stderr.write
    try:
        subjects = find(arguments.only)
        given = pythons(arguments.peer_python)
        if arguments.json and arguments.plot and same(arguments.json, arguments.plot):
            message = f"plot: expected another file than --json's, got {arguments.plot}; name two"
            raise ValueError(message)
    except ValueError as error:
        say(f"fastnn bench: {error}\n")
        return _USAGE
    content = _about(arguments) | {"versions": {}, "missing": {}, "ceilings": [], "rows": []}
    report = make_report(len(subjects) * len(arguments.threads))
    written = True
    try:
        with terminable(), report:
            _measure_all(arguments, subjects, given, content, report)
    except WorkerError as error:
        say(f"fastnn bench: {error}\n")
        return _FAILED
    finally:  # what was measured before Ctrl-C, too
        if content["rows"]:  # the files first: the reader of the output may be gone
            written = _write(arguments, content)
            report.summary(content["rows"])
    return _status(arguments, content) if written else _FAILED
