# SPDX-License-Identifier: BSD-3-Clause
"""A run of ``fastnn train``, new or resumed, from its first line to its last file."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
from dataclasses import dataclass
from typing import Any, NoReturn

import fastnn
from fastnn.cli._environment import build_log_tail, environment_lines
from fastnn.cli.tasks import Job
from fastnn.train import (
    Checkpointer,
    DeferredInterrupt,
    FitResult,
    Position,
    RunFolder,
    TrainingDiverged,
    fit,
)
from fastnn.train.plots import MatplotlibMissing, save_curves
from fastnn.train.progress import PlainProgress, make_progress
from fastnn.train.run import CURVES, FILES

__all__ = ["FAILED", "USAGE", "Run", "train"]

FAILED, USAGE, INTERRUPTED = 1, 2, 130
_LOG_LINES = 5


@dataclass(frozen=True)
class Run:
    """A job in its folder, at its position; ``about`` goes into its checkpoints, ``notes`` are
    shown at the start."""

    arguments: argparse.Namespace
    job: Job
    folder: RunFolder
    position: Position
    about: dict[str, Any]
    notes: list[str]

    @property
    def again(self) -> str:
        """The command that goes on with it."""
        return f"fastnn train {self.arguments.task} --resume {shlex.quote(str(self.folder.path))}"


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


def _introduce(run: Run, progress: PlainProgress) -> None:
    for line in environment_lines():
        progress.line(line)
    log = build_log_tail(_LOG_LINES)
    if log:
        progress.line("  the end of the build's log (fastnn info shows more of it):")
    for line in log:
        progress.line("  | " + line)
    progress.line(run.job.summary)
    for note in run.notes:
        progress.line(note)


def _give_up(run: Run) -> NoReturn:
    """Leave from another thread while a native call keeps the main one busy. The checkpoint on the
    disk is whole, and nothing of the step in progress is in it."""
    with contextlib.suppress(Exception):
        run.folder.update_config(status="interrupted", result={"epochs": len(run.position.epochs)})
        sys.stderr.write(
            "fastnn train: interrupted; the step in progress takes long and was dropped; "
            f"{run.again} goes on from the last checkpoint\n"
        )
        if sys.stdout.isatty():
            sys.stdout.write("\x1b[?25h")  # the live bar had hidden the cursor
            sys.stdout.flush()
    os._exit(INTERRUPTED)


def _interrupted(run: Run, checkpointer: Checkpointer) -> int:
    checkpointer.save()
    run.folder.update_config(status="interrupted", result={"epochs": len(run.position.epochs)})
    sys.stderr.write(
        f"fastnn train: interrupted in epoch {run.position.epoch} of {run.arguments.epochs}; "
        f"{run.folder.path}/model.safetensors has the weights of the steps done so far; "
        f"{run.again} goes on\n"
    )
    return INTERRUPTED


def train(run: Run) -> int:
    """Train, in a folder that is claimed, and return the exit status."""
    arguments, job, folder, position = run.arguments, run.job, run.folder, run.position
    progress = make_progress()
    _introduce(run, progress)
    metadata = {"fastnn": fastnn.__version__, "task": arguments.task, "model": arguments.model}
    checkpointer = Checkpointer(
        folder.checkpoint, job.learner, position, arguments.checkpoint_seconds, run.about
    )
    callbacks = [
        folder.log(position.epochs),
        progress,
        *job.callbacks(folder, progress),
        checkpointer,  # the last: what the others write of an epoch is there before it
    ]
    try:
        with DeferredInterrupt(lambda: _give_up(run)) as interrupt:
            result = fit(job.learner, arguments.epochs, callbacks, interrupt, position)
            folder.save_model(job.model.state_dict(), metadata)
            if result.stopped:
                return _interrupted(run, checkpointer)
            checkpointer.save()
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
        return FAILED
    progress.line(_report(result, headline, folder))
    return 0
