# SPDX-License-Identifier: BSD-3-Clause
"""``fastnn train TASK``: train, show progress, and write the run to a folder of its own."""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import platform
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import safetensors

import fastnn
from fastnn._config import describe
from fastnn.cli import _args
from fastnn.cli._environment import build_log_tail, environment_lines
from fastnn.cli.tasks import Job
from fastnn.train import DeferredInterrupt, FitResult, RunFolder, TrainingDiverged, fit
from fastnn.train.plots import MatplotlibMissing, save_curves
from fastnn.train.progress import PlainProgress, make_progress
from fastnn.train.run import CURVES, FILES

__all__ = ["add_arguments", "run"]

TASKS = ("digits",)  # modules of fastnn.cli.tasks
_RUNS = Path("runs")
_LOG_LINES = 5
_FAILED, _USAGE, _INTERRUPTED = 1, 2, 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand per task: the task's own flags and those that all tasks share."""
    tasks = parser.add_subparsers(title="tasks", metavar="task", dest="task", required=True)
    for name in TASKS:
        task: ModuleType = importlib.import_module(f"fastnn.cli.tasks.{name}")
        command = tasks.add_parser(
            name,
            help=task.SUMMARY,
            description=f"Train on {task.SUMMARY}.",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        task.add_arguments(command)
        add = command.add_argument
        defaults = task.DEFAULTS
        add(
            "--epochs",
            type=_args.positive_int,
            default=defaults.epochs,
            metavar="N",
            help="passes over the data",
        )
        add("--seed", type=_args.seed, default=0, metavar="N", help="seed of all that is random")
        add(
            "--batch-size",
            type=_args.positive_int,
            default=defaults.batch_size,
            metavar="N",
            help="samples per step",
        )
        add(
            "--lr",
            type=_args.positive_float,
            default=defaults.lr,
            metavar="X",
            help="learning rate of the optimiser",
        )
        add(
            "--out",
            type=Path,
            default=argparse.SUPPRESS,
            metavar="DIR",
            help="folder of this run, with a number added if it holds one already "
            "(default: runs/<task>-<model>-<date>-<time>)",
        )
        command.set_defaults(build=task.build)


def _config(arguments: argparse.Namespace, job: Job, now: dt.datetime) -> dict[str, Any]:
    about = describe()
    keys = ("backend", "isa", "threads", "reasons", "reference_kernels")
    hidden = ("run", "build", "task")
    flags = {key: value for key, value in vars(arguments).items() if key not in hidden}
    return {
        "task": arguments.task,
        "status": "running",
        "started": now.isoformat(timespec="seconds"),
        "flags": {k: str(v) if isinstance(v, Path) else v for k, v in flags.items()},
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


def _report(result: FitResult, headline: str, folder: RunFolder) -> str:
    written = ", ".join(name for name in FILES if (folder.path / name).exists())
    speed = f"{result.seconds:.1f} s, {result.samples_per_second:,.0f} samples/s"
    return f"{headline} ({speed}); wrote {folder.path}/: {written}"


def _draw(folder: RunFolder, result: FitResult, title: str, progress: PlainProgress) -> None:
    try:
        save_curves(folder.path / CURVES, result.epochs, title)
    except MatplotlibMissing:
        progress.line(
            "curves.png was not written because matplotlib is not installed; "
            "pip install matplotlib, or the [cli] extra of fastnn-native, brings it."
        )


def _train(arguments: argparse.Namespace, job: Job, folder: RunFolder) -> int:
    """The run itself, in a folder that it has claimed."""
    progress = make_progress()
    for line in environment_lines():
        progress.line(line)
    log = build_log_tail(_LOG_LINES)
    if log:
        progress.line("  the end of the build's log (fastnn info shows more of it):")
    for line in log:
        progress.line("  | " + line)
    progress.line(job.summary)
    metadata = {"fastnn": fastnn.__version__, "task": arguments.task, "model": arguments.model}
    try:
        with DeferredInterrupt() as interrupt:
            result = fit(job.learner, arguments.epochs, [folder.log(), progress], interrupt)
            folder.save_model(job.model.state_dict(), metadata)
            if result.stopped:
                done = len(result.epochs)
                folder.update_config(status="interrupted", result={"epochs": done})
                sys.stderr.write(
                    f"fastnn train: interrupted in epoch {done + 1} of {arguments.epochs}; "
                    f"{folder.path}/model.safetensors has the weights of the steps done so far\n"
                )
                return _INTERRUPTED
            last = dict(result.epochs[-1].metrics)
            headline = job.headline(last)
            title = f"{arguments.task}, {arguments.model}, seed {arguments.seed}: {headline}"
            _draw(folder, result, title, progress)
            numbers = {"epochs": len(result.epochs), **last, "seconds": result.seconds}
            numbers["samples_per_second"] = result.samples_per_second
            folder.update_config(status="finished", result=numbers)
    except TrainingDiverged as error:
        folder.update_config(status="diverged", result={"problem": str(error)})
        sys.stderr.write(
            f"fastnn train: {error}; try a learning rate below --lr {arguments.lr:g}\n"
        )
        return _FAILED
    progress.line(_report(result, headline, folder))
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Build the job, claim the folder, train."""
    job: Job = arguments.build(arguments)
    now = dt.datetime.now(dt.UTC)
    name = f"{arguments.task}-{arguments.model}-{now.astimezone():%Y%m%d-%H%M%S}"
    wanted: Path = getattr(arguments, "out", _RUNS / name)
    try:
        folder = RunFolder.create(wanted, _config(arguments, job, now))
    except OSError as error:
        sys.stderr.write(
            f"fastnn train {arguments.task}: error: cannot write to {wanted}: "
            f"{error.strerror or error}; choose another folder with --out\n"
        )
        return _USAGE
    try:
        return _train(arguments, job, folder)
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stderr.write(f"fastnn train {arguments.task}: error: cannot write the run: {error}\n")
        return _FAILED
