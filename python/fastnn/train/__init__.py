# SPDX-License-Identifier: BSD-3-Clause
"""Training: a loop with callbacks, learners, progress, the run's folder, and its curves."""

from __future__ import annotations

from fastnn.serialization.tensor_file import TensorFileError, encode_tensors, load_tensors
from fastnn.train.checkpoint import (
    Checkpointer,
    CheckpointError,
    load_checkpoint,
    restore_run,
    run_state,
    save_checkpoint,
)
from fastnn.train.classifier import Classifier
from fastnn.train.interrupt import DeferredInterrupt
from fastnn.train.learner import Learner
from fastnn.train.loop import Callback, FitResult, fit
from fastnn.train.position import BatchStats, EpochResult, Position, TrainingDiverged
from fastnn.train.run import CsvLog, RunFolder
from fastnn.train.save_point import SavePoint

__all__ = [
    "BatchStats",
    "Callback",
    "CheckpointError",
    "Checkpointer",
    "Classifier",
    "CsvLog",
    "DeferredInterrupt",
    "EpochResult",
    "FitResult",
    "Learner",
    "Position",
    "RunFolder",
    "SavePoint",
    "TensorFileError",
    "TrainingDiverged",
    "encode_tensors",
    "fit",
    "load_checkpoint",
    "load_tensors",
    "restore_run",
    "run_state",
    "save_checkpoint",
]
