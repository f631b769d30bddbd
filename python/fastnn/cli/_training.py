# SPDX-License-Identifier: BSD-3-Clause
"""A run of ``fastnn train``, new or resumed, from its first line to its last file."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from dataclasses import dataclass
from typing import Any

import fastnn
from fastnn.cli._environment import build_log_tail, environment_lines
from fastnn.cli.tasks import Job, Surroundings
from fastnn.train import (
    Checkpointer,
    DeferredInterrupt,
    FitResult,
    Position,
    RunFolder,
    SavePoint,
    TrainingDiverged,
    fit,
)
from fastnn.train.plots import MatplotlibMissing, save_curves
from fastnn.train.progress import PlainProgress, make_progress
from fastnn.train.run import CURVES, FILES

__all__ = ["FAILED", "USAGE", "Run", "train"]

FAILED, USAGE, INTERRUPTED = 1, 2, 130
_LOG_LINES = 5
# How long a Ctrl-C that cannot wait for the step waits for an update or a write to end.
_UPDATE_SECONDS, _AT_ONCE_SECONDS = 1.0, 0.3


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
    def where(self) -> str:
        """The place in the training."""
        last = self.arguments.epochs
        return f"epoch {min(self.position.epoch, last)} of {last}"

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


def _say(text: str) -> None:
    sys.stderr.write(f"fastnn train: {text}\n")


def _stop(run: Run, checkpointer: Checkpointer, at_once: bool) -> None:
    """Leave from another thread while the main one is busy, or at a second Ctrl-C.

    The checkpoint that this writes has nothing of the step in progress in it; at a second Ctrl-C
    the last one stays. Returns only if the run has ended by itself in the meantime.
    """
    lock = checkpointer.save_point.lock
    # Held by the main thread for an update of the weights, or while it writes a file.
    free = lock.acquire(timeout=_AT_ONCE_SECONDS if at_once else _UPDATE_SECONDS)
    if free and run.folder.config["status"] != "running":
        lock.release()
        return
    try:
        note = "the last checkpoint stays"
        if free and not at_once:
            try:
                checkpointer.save()
                note = "the step in progress takes long and was dropped"
            except Exception as error:
                note = f"the step in progress was dropped, and no checkpoint written: {error}"
        run.folder.end("interrupted", epochs=len(run.position.epochs))
        run.folder.drop_half_written()
        _say(f"interrupted in {run.where}; {note}; {run.again} goes on")
        if sys.stdout.isatty():
            sys.stdout.write("\x1b[?25h")  # the live bar had hidden the cursor
            sys.stdout.flush()
    finally:
        os._exit(INTERRUPTED)


def _interrupted(run: Run) -> int:
    run.folder.update_config(status="interrupted", result={"epochs": len(run.position.epochs)})
    _say(
        f"interrupted in {run.where}; {run.folder.path}/model.safetensors has the weights of the "
        f"steps done so far; {run.again} goes on"
    )
    return INTERRUPTED


def _finished(run: Run, result: FitResult) -> str:
    """Write the result down and return it in words."""
    last = dict(result.epochs[-1].metrics)
    numbers = {"epochs": len(result.epochs), **last, "seconds": result.seconds}
    numbers["samples_per_second"] = result.samples_per_second
    run.folder.update_config(status="finished", result=numbers)
    return run.job.headline(last)


def _train(run: Run, progress: PlainProgress) -> int:
    arguments, job, folder, position = run.arguments, run.job, run.folder, run.position
    metadata = {"fastnn": fastnn.__version__, "task": arguments.task, "model": arguments.model}
    point = SavePoint(job.learner, position)
    checkpointer = Checkpointer(folder.checkpoint, point, arguments.checkpoint_seconds, run.about)
    with DeferredInterrupt(lambda at_once: _stop(run, checkpointer, at_once)) as interrupt:
        callbacks = [
            folder.log(position.epochs),
            progress,
            *job.callbacks(Surroundings(folder, progress, position, interrupt)),
            checkpointer,  # the last: what the others write of an epoch is there before it
        ]
        result = fit(job.learner, arguments.epochs, callbacks, interrupt, save_point=point)
        with point.lock:
            checkpointer.save()
            folder.save_model(job.model.state_dict(), metadata)
            if result.stopped:
                return _interrupted(run)
            headline = _finished(run, result)
    # From here on Ctrl-C costs the curves only.
    _draw(
        folder,
        result,
        f"{arguments.task}, {arguments.model}, seed {arguments.seed}: {headline}",
        progress,
    )
    progress.line(_report(result, headline, folder))
    return 0


def train(run: Run) -> int:
    """Train, in a folder that is claimed, and return the exit status."""
    try:
        progress = make_progress()
        _introduce(run, progress)
        return _train(run, progress)
    except TrainingDiverged as error:
        run.folder.end("diverged", problem=str(error))
        _say(f"{error} than --lr {run.arguments.lr:g}")
        return FAILED
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | BrokenPipeError)
        status = "interrupted" if stopped else "failed"
        run.folder.end(status, problem=str(error) or type(error).__name__)
        raise
