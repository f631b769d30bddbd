# SPDX-License-Identifier: BSD-3-Clause
"""The run that ``fastnn train`` starts, in a new folder, or goes on with, as its files left it."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import io
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

import fastnn
from fastnn._config import describe
from fastnn.cli._training import Run
from fastnn.cli.tasks import Job
from fastnn.train import CheckpointError, Position, RunFolder, load_checkpoint, restore_run

__all__ = ["new_run", "resumed_run"]

_RUNS = Path("runs")
_FREE = ("data", "checkpoint_seconds")  # may differ in a resumed run; data are known by their hash
_NEW = "start a new run, without --resume"
_NO_FLAGS = ("run", "build", "task", "parser", "defaults", "out", "resume")


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


def new_run(arguments: argparse.Namespace) -> Run:
    """A new run in a folder of its own."""
    arguments = _with_defaults(arguments)
    if getattr(arguments, "data", "") is None:
        arguments.parser.error("the following arguments are required: --data; name the data there")
    job: Job = arguments.build(arguments)
    now = dt.datetime.now(dt.UTC)
    name = f"{arguments.task}-{arguments.model}-{now.astimezone():%Y%m%d-%H%M%S}"
    wanted: Path = getattr(arguments, "out", _RUNS / name)
    try:
        folder = RunFolder.create(wanted, _config(arguments, job, now))
    except OSError as error:
        message = (
            f"{wanted}: expected a folder that can be written, got an error: "
            f"{error.strerror or error}; choose another folder with --out"
        )
        raise CheckpointError(message) from error
    return Run(arguments, job, folder, Position(), _identity(arguments, job), [])


def _about(given: argparse.Namespace, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the checkpoint says about its run, if it has the form of _identity()'s.

    Raises: KeyError, ValueError.
    """
    about = state["about"]
    form = {"task": str, "flags": dict, "job": dict, "backend": list}
    if not isinstance(about, dict):
        problem = f"its description is {about!r:.60}, expected a map; {_NEW}"
        raise ValueError(problem)
    for name, kind in form.items():
        if not isinstance(about[name], kind):
            problem = f"its {name} is {about[name]!r:.60}, expected a {kind.__name__}; {_NEW}"
            raise ValueError(problem)
    if about["task"] != given.task:
        problem = (
            f"it is of the task {about['task']:.60}, not {given.task}; go on with it by"
            f" fastnn train {about['task']:.60} --resume"
        )
        raise ValueError(problem)
    if about["flags"].keys() != given.defaults.keys():
        problem = (
            f"its flags are {', '.join(map(str, about['flags']))!r:.120}, expected "
            f"{', '.join(given.defaults)!r}; use the version of fastnn that wrote it"
        )
        raise ValueError(problem)
    return about


def _parsed(parser: argparse.ArgumentParser, flags: Mapping[str, Any]) -> argparse.Namespace:
    """Flags out of a file, checked as if they were typed. Raises: ValueError."""
    words = [f"--{key.replace('_', '-')}={value}" for key, value in flags.items()]
    shown = io.StringIO()
    try:
        with contextlib.redirect_stderr(shown):
            return parser.parse_args(words)
    except SystemExit:
        what = shown.getvalue().strip().rpartition("error: ")[2]
        problem = f"its flags are damaged: {what}; {_NEW}"
        raise ValueError(problem) from None


def _merged(given: argparse.Namespace, saved: argparse.Namespace) -> argparse.Namespace:
    """The flags of the saved run, with those that may change taken from the command line."""
    flags = _plain(vars(saved))
    for key, value in _plain(vars(given)).items():
        longer = key == "epochs" and value >= flags[key]
        if not (longer or key in _FREE or flags[key] == value):
            name = f"--{key.replace('_', '-')}"
            message = (
                f"{name}: expected {flags[key]}, with which the run in {given.resume} was started, "
                f"got {value}; leave {name} out, or start a new run without --resume"
            )
            raise CheckpointError(message)
    return argparse.Namespace(**{**vars(saved), **vars(given)})


def resumed_run(given: argparse.Namespace) -> Run:
    """A run as its last checkpoint left it.

    Raises: CheckpointError, DataFileError, MemoryError.
    """
    try:
        folder = RunFolder.open(given.resume)
        state = load_checkpoint(folder.checkpoint)
        saved = _about(given, state)
        flags = _parsed(given.parser, saved["flags"])
    except (OSError, ValueError, KeyError, CheckpointError) as error:
        what = str(error)
        if isinstance(error, KeyError):
            what = f"{error} is missing; {_NEW}"
        elif isinstance(error, OSError) and not isinstance(error, BlockingIOError):
            what = f"{error}; give the folder of a run with a checkpoint"
        text = f"{given.resume} has no run that can be resumed: {what}"
        raise CheckpointError(text) from error
    arguments = _merged(given, flags)
    job: Job = arguments.build(arguments)
    identity = _identity(arguments, job)
    for name in {**identity["job"], **saved["job"]}:
        if identity["job"].get(name) != saved["job"].get(name):
            message = (
                f"{folder.path}: expected the {name} of its run, {saved['job'].get(name)!r:.300}, "
                f"got {identity['job'].get(name)!r:.300}; start a new run"
            )
            raise CheckpointError(message)
    position = restore_run(state, job.learner, folder.checkpoint)
    notes = [f"resumed in epoch {position.epoch}, after step {position.step}"]
    if saved["backend"] != identity["backend"]:
        before, now = (" ".join(map(str, x["backend"])) for x in (saved, identity))
        notes.append(f"it ran on {before:.60} before and on {now} now: last bits may differ")
    try:
        folder.update_config(status="running", flags=identity["flags"])
    except OSError as error:
        message = (
            f"{folder.path}: expected a folder that can be written, got an error: "
            f"{error.strerror or error}; make room, or the folder writable"
        )
        raise CheckpointError(message) from error
    return Run(arguments, job, folder, position, identity, notes)
