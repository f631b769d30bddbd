# SPDX-License-Identifier: BSD-3-Clause
"""The tasks of ``fastnn train``, one module each, listed in fastnn.cli.train.

A task module has SUMMARY, DEFAULTS (values of its flags: those that all tasks share and its own),
add_arguments(parser) for the flags of its own (--model among them), and build(arguments) -> Job.
The flags have argparse.SUPPRESS as their default in the parser, so that a resumed run can tell what
was given; DEFAULTS fills in the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastnn.nn import Module
    from fastnn.train import Callback, Learner, RunFolder
    from fastnn.train.progress import PlainProgress

__all__ = ["Job", "count_weights", "warmup_cosine"]


def _no_callbacks(folder: RunFolder, progress: PlainProgress) -> Sequence[Callback]:
    del folder, progress
    return ()


@dataclass(frozen=True)
class Job:
    """What a task hands to the command.

    ``summary`` is the line shown at the start, ``config`` what config.json holds beyond the flags
    (a resumed run must have the same: network and hashes of the data stand in it),
    ``headline`` turns the last epoch's metrics into the result, as "test accuracy 96.9 %",
    ``callbacks`` makes what the task itself shows or writes.
    """

    learner: Learner
    model: Module
    summary: str
    config: Mapping[str, Any]
    headline: Callable[[Mapping[str, float]], str]
    callbacks: Callable[[RunFolder, PlainProgress], Sequence[Callback]] = _no_callbacks


def count_weights(model: Module) -> int:
    """The number of trained numbers."""
    return sum(parameter.numel() for parameter in model.parameters())


def warmup_cosine(steps: int, floor: float = 0.0) -> Callable[[int], float]:
    """The factor of the learning rate at a step: in a line up to 1 over the first tenth of
    ``steps`` (at most 500), then down to ``floor`` by half a cosine (Loshchilov, Hutter 2017)."""
    warmup = min(max(steps // 10, 1), 500)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = min(1.0, (step - warmup) / max(1, steps - warmup))
        return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * done))

    return factor
