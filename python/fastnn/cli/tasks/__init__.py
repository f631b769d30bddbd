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

from fastnn._system import physical_memory

if TYPE_CHECKING:
    from fastnn.nn import Module
    from fastnn.train import Callback, Learner, Position, RunFolder
    from fastnn.train.progress import PlainProgress

__all__ = ["Job", "Surroundings", "check_memory", "count_weights", "warmup_cosine"]


@dataclass(frozen=True)
class Surroundings:
    """What a task's own callbacks get to know of the run."""

    folder: RunFolder
    progress: PlainProgress
    position: Position
    should_stop: Callable[[], bool]


def _no_callbacks(surroundings: Surroundings) -> Sequence[Callback]:
    del surroundings
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
    callbacks: Callable[[Surroundings], Sequence[Callback]] = _no_callbacks


def count_weights(model: Module) -> int:
    """The number of trained numbers."""
    return sum(parameter.numel() for parameter in model.parameters())


def check_memory(task: str, needed: int, cure: str) -> None:
    """Refuse what cannot fit: ``needed`` bytes, a lower bound, in more memory than there is.

    Without this the system would kill the process instead of refusing it memory. Nothing is
    checked where the system does not say how much it has.
    """
    there = physical_memory()
    if there is not None and needed > there:
        message = (
            f"{task}: expected sizes for {there / 2**30:,.0f} GiB of memory, got ones with which a "
            f"step would need at least {needed / 2**30:,.0f} GiB; {cure}"
        )
        raise MemoryError(message)


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
