# SPDX-License-Identifier: BSD-3-Clause
"""``fastnn train TASK``: train, show progress, and write the run to a folder of its own; or go on
with a run that was interrupted or killed (``--resume``)."""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import json
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import safetensors

import fastnn
from fastnn._config import describe
from fastnn.cli import _args
from fastnn.cli._training import FAILED, USAGE, Run, train
from fastnn.cli.tasks import Job
from fastnn.train import CheckpointError, Position, RunFolder, load_checkpoint, restore_run

__all__ = ["add_arguments", "run"]

TASKS = ("digits", "mnist", "text")  # modules of fastnn.cli.tasks
_RUNS = Path("runs")
_SHARED: Mapping[str, Any] = {"seed": 0, "checkpoint_seconds": 10.0}
_FREE = ("data", "checkpoint_seconds")  # may differ in a resumed run; data are known by their hash
_NO_FLAGS = ("run", "build", "task", "parser", "defaults", "out", "resume")


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
        "--epochs may be raised",
    )


def _plain(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags as config.json and a checkpoint hold them: paths are absolute."""
    shown = {key: value for key, value in flags.items() if key not in _NO_FLAGS}
    return {k: str(v.absolute()) if isinstance(v, Path) else v for k, v in shown.items()}


def _config(arguments: argparse.Namespace, job: Job, now: dt.datetime) -> dict[str, Any]:
    about = describe()
    keys = ("backend", "isa", "threads", "reasons", "reference_kernels")
    return {
        "task": arguments.task,
        "status": "running",
        "started": now.isoformat(timespec="seconds"),
        "flags": _plain(vars(arguments)),
        "versions": {
            "fastnn": fastnn.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "safetensors": safetensors.__version__,
            "platform": platform.platform(),
        },
        "backend": {key: about[key] for key in keys},
        **job.config,
    }


def _identity(arguments: argparse.Namespace, job: Job) -> dict[str, Any]:
    """What a checkpoint says about its run, in JSON's types."""
    backend = describe()
    about = {
        "task": arguments.task,
        "flags": _plain(vars(arguments)),
        "job": job.config,
        "backend": [backend["backend"], backend["isa"]],
    }
    return dict(json.loads(json.dumps(about)))


def _with_defaults(arguments: argparse.Namespace) -> argparse.Namespace:
    return argparse.Namespace(**{**arguments.defaults, **vars(arguments)})


def _start(arguments: argparse.Namespace) -> Run:
    """A new run in a folder of its own."""
    arguments = _with_defaults(arguments)
    if getattr(arguments, "data", "") is None:
        arguments.parser.error("the following arguments are required: --data")
    job: Job = arguments.build(arguments)
    now = dt.datetime.now(dt.UTC)
    name = f"{arguments.task}-{arguments.model}-{now.astimezone():%Y%m%d-%H%M%S}"
    wanted: Path = getattr(arguments, "out", _RUNS / name)
    try:
        folder = RunFolder.create(wanted, _config(arguments, job, now))
    except OSError as error:
        message = (
            f"cannot write to {wanted}: {error.strerror or error}; choose another folder with --out"
        )
        raise CheckpointError(message) from error
    return Run(arguments, job, folder, Position(), _identity(arguments, job), [])


def _merged(given: argparse.Namespace, saved: Mapping[str, Any]) -> argparse.Namespace:
    """The flags of the saved run, with those that may change taken from the command line."""
    folder = given.resume
    if saved["task"] != given.task:
        message = f"the run in {folder} is of the task {saved['task']}, not {given.task}"
        raise CheckpointError(message)
    flags = dict(saved["flags"])
    for key, value in _plain(vars(given)).items():
        longer = key == "epochs" and value >= flags.get(key, 0)
        if not (longer or key in _FREE or flags.get(key) == value):
            name = f"--{key.replace('_', '-')}"
            message = (
                f"{name} {value} was given, but the run in {folder} was started with "
                f"{flags.get(key)}; leave {name} out, or start a new run without --resume"
            )
            raise CheckpointError(message)
        flags[key] = value
    # The parser checks what the file said as it checks what is typed.
    words = [f"--{str(key).replace('_', '-')}={value}" for key, value in flags.items()]
    parsed = given.parser.parse_args(words)
    return _with_defaults(argparse.Namespace(**{**vars(given), **vars(parsed)}))


def _resume(given: argparse.Namespace) -> Run:
    """A run as its last checkpoint left it."""
    try:
        folder = RunFolder.open(given.resume)
        state = load_checkpoint(folder.checkpoint)
        saved = state["about"]
        arguments = _merged(given, saved)
    except (OSError, ValueError, KeyError, TypeError) as error:
        text = f"{given.resume} has no run that can be resumed: {error}"
        raise CheckpointError(text) from error
    job: Job = arguments.build(arguments)
    identity = _identity(arguments, job)
    for name in {**identity["job"], **saved["job"]}:
        if identity["job"].get(name) != saved["job"].get(name):
            message = (
                f"the run in {folder.path} had another {name}: {saved['job'].get(name)!r:.300}, "
                f"now it would be {identity['job'].get(name)!r:.300}; start a new run"
            )
            raise CheckpointError(message)
    position = restore_run(state, job.learner)
    notes = [f"resumed in epoch {position.epoch}, after step {position.step}"]
    if saved["backend"] != identity["backend"]:
        before, now = (" ".join(map(str, x["backend"])) for x in (saved, identity))
        notes.append(f"it ran on {before} before and on {now} now: last bits may differ")
    folder.update_config(status="running", flags=identity["flags"])
    return Run(arguments, job, folder, position, identity, notes)


def run(arguments: argparse.Namespace) -> int:
    """Build the job, claim the folder or open that of an earlier run, train."""
    prefix = f"fastnn train {arguments.task}: error: "
    try:
        prepared = _resume(arguments) if hasattr(arguments, "resume") else _start(arguments)
    except (CheckpointError, fastnn.data.DataFileError) as error:
        sys.stderr.write(f"{prefix}{error}\n")
        return USAGE
    try:
        return train(prepared)
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stderr.write(f"{prefix}cannot write the run: {error}\n")
        return FAILED
