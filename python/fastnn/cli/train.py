# SPDX-License-Identifier: BSD-3-Clause
"""``fastnn train TASK``: train, show progress, and write the run to a folder of its own; or go on
with a run that was interrupted or killed (``--resume``)."""

from __future__ import annotations

import argparse
import errno
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import fastnn
from fastnn.cli import _args
from fastnn.cli._runs import new_run, resumed_run
from fastnn.cli._training import FAILED, USAGE, train
from fastnn.train import CheckpointError

__all__ = ["add_arguments", "run"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_IN_THE_WAY = (errno.EEXIST, errno.EISDIR, errno.ENOTDIR)

TASKS = ("digits", "mnist", "text")  # modules of fastnn.cli.tasks
_SHARED: Mapping[str, Any] = {"seed": 0, "checkpoint_seconds": 10.0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand per task: the task's own flags and those that all tasks share."""
    tasks = parser.add_subparsers(title="tasks", metavar="task", dest="task", required=True)
    for name in TASKS:
        task: ModuleType = importlib.import_module(f"fastnn.cli.tasks.{name}")
        command = tasks.add_parser(
            name,
            help=task.SUMMARY,
            description=f"Train on {task.SUMMARY}.",
            argument_default=argparse.SUPPRESS,
        )
        task.add_arguments(command)
        defaults = {**_SHARED, **task.DEFAULTS}
        _add_shared(command, defaults)
        command.set_defaults(build=task.build, parser=command, defaults=defaults)


def _add_shared(command: argparse.ArgumentParser, defaults: Mapping[str, Any]) -> None:
    for flag, kind, unit, meaning in (
        ("epochs", _args.positive_int, "N", "passes over the data"),
        ("seed", _args.seed, "N", "seed of all that is random"),
        ("batch-size", _args.positive_int, "N", "samples per step"),
        ("lr", _args.positive_float, "X", "learning rate of the optimiser"),
        (
            "checkpoint-seconds",
            _args.seconds,
            "S",
            "seconds between two checkpoints; 0 writes one after every step",
        ),
    ):
        value = defaults[flag.replace("-", "_")]
        text = f"{meaning} (default: {value:g})"
        command.add_argument(f"--{flag}", type=kind, metavar=unit, help=text)
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of this run, with a number added if it holds one already "
        "(default: runs/<task>-<model>-<date>-<time>)",
    )
    where.add_argument(
        "--resume",
        type=Path,
        metavar="DIR",
        help="go on with the run in this folder, from its last checkpoint and with its flags; "
        "only --epochs (raised), --data (moved) and --checkpoint-seconds may differ",
    )


def run(arguments: argparse.Namespace) -> int:
    """Build the job, claim the folder or open that of an earlier run, train."""
    prefix = f"fastnn train {arguments.task}: error: "
    try:
        make = resumed_run if hasattr(arguments, "resume") else new_run
        prepared = make(arguments)
    except (CheckpointError, fastnn.data.DataFileError, MemoryError) as error:
        sys.stderr.write(f"{prefix}{_sentence(error)}\n")
        return USAGE
    try:
        return train(prepared)
    except MemoryError as error:
        sys.stderr.write(f"{prefix}{_sentence(error)}\n")
        return FAILED
    except OSError as error:
        if error.filename is None:  # a stream: standard output is full or gone
            raise
        there = prepared.folder.checkpoint.exists()
        cure = (
            f"go on with {prepared.again}" if there else "start again, perhaps with another --out"
        )
        what = f"{error.filename}: {error.strerror}; {_remedy(error.errno)}, then {cure}"
        sys.stderr.write(f"{prefix}cannot write the run: {what}\n")
        return FAILED


def _remedy(code: int | None) -> str:
    if code in _FULL:
        return "make room"
    if code in _FORBIDDEN:
        return "make it writable"
    return "move it away" if code in _IN_THE_WAY else "see to the disk"


def _sentence(error: Exception) -> str:
    """The error in one line: a tensor out of a damaged file has several."""
    text = " ".join(line.strip() for line in str(error).splitlines())
    if not isinstance(error, MemoryError):
        return text
    text = f"not enough memory: {text or 'no more is to be had'}"
    return text if ";" in text else f"{text}; make the sizes smaller"
