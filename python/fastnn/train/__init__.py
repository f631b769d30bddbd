# SPDX-License-Identifier: BSD-3-Clause
"""Training: a loop with callbacks, learners, progress, the run's folder, and its curves."""

from __future__ import annotations

from fastnn.train.classifier import Classifier
from fastnn.train.interrupt import DeferredInterrupt
from fastnn.train.loop import (
    BatchStats,
    Callback,
    EpochResult,
    FitResult,
    Learner,
    TrainingDiverged,
    fit,
)
from fastnn.train.run import CsvLog, RunFolder

__all__ = [
    "BatchStats",
    "Callback",
    "Classifier",
    "CsvLog",
    "DeferredInterrupt",
    "EpochResult",
    "FitResult",
    "Learner",
    "RunFolder",
    "TrainingDiverged",
    "fit",
]
