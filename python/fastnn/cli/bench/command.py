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
from fastnn.cli.bench.measure import Disagreement, measure
from fastnn.cli.bench.peers import OWN, PEERS, PYTHON_VARIABLE, SHOWN, pythons
from fastnn.cli.bench.report import Report, heading, make_report
from fastnn.cli.bench.session import FULL, QUICK, Session
from fastnn.cli.bench.workers import WorkerError

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


def writable(text: str) -> Path:
    """A file that can be written, tried at once: the results come when all has been measured."""
    path = Path(text)
    try:
        if not path.exists():
            path.open("xb").close()
            path.unlink()
        elif path.is_file() or path.is_dir():  # neither a pipe nor a device
            path.open("ab").close()
    except OSError as error:
        problem = (
            f"expected a file that can be written, got {text!r:.100}: {error.strerror}; "
            "name one in a folder that is there"
        )
        raise argparse.ArgumentTypeError(problem) from error
    return path


def _drawing(text: str) -> Path:
    """A file that matplotlib can draw into."""
    try:
        from fastnn.cli.bench.plots import formats  # noqa: PLC0415 - matplotlib is optional
    except ImportError as error:
        problem = f"expected matplotlib, got {error}; pip install matplotlib, or leave it out"
        raise argparse.ArgumentTypeError(problem) from error
    known = formats()
    if Path(text).suffix not in known:
        problem = (
            f"expected a name that ends with one of {', '.join(known)}, got {text!r:.100}; "
            "write for example a.png"
        )
        raise argparse.ArgumentTypeError(problem)
    return writable(text)


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
        "--plot", type=_drawing, metavar="FILE.png",
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
    except (Disagreement, WorkerError) as error:
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
                    if peer == OWN:
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


def _same(a: Path, b: Path) -> bool:
    return a.resolve() == b.resolve() or (a.exists() and b.exists() and a.samefile(b))


def _show(arguments: argparse.Namespace, content: dict[str, Any], report: Report) -> None:
    """The end of a run: the table, the files."""
    report.summary(content["rows"])
    if arguments.json:
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if arguments.plot:
        from fastnn.cli.bench.plots import save  # noqa: PLC0415 - matplotlib is optional

        save(arguments.plot, content)


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
        if arguments.json and arguments.plot and _same(arguments.json, arguments.plot):
            message = f"plot: expected another file than --json's, got {arguments.plot}; name two"
            raise ValueError(message)
    except ValueError as error:
        say(f"fastnn bench: {error}\n")
        return _USAGE
    content = _about(arguments) | {"versions": {}, "missing": {}, "ceilings": [], "rows": []}
    report = make_report(len(subjects) * len(arguments.threads))
    try:
        with terminable(), report:
            _measure_all(arguments, subjects, given, content, report)
    except WorkerError as error:
        say(f"fastnn bench: {error}\n")
        return _FAILED
    finally:  # what was measured before Ctrl-C, too
        if content["rows"]:
            _show(arguments, content, report)
    return _status(arguments, content)
