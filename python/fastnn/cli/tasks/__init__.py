# SPDX-License-Identifier: BSD-3-Clause
"""The tasks of ``fastnn train``, one module each, listed in fastnn.cli.train.

A task module has SUMMARY, DEFAULTS (values of the flags that all tasks share),
add_arguments(parser) for the flags of its own (--model among them), and build(arguments) -> Job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastnn.nn import Module
    from fastnn.train import Learner

__all__ = ["Defaults", "Job"]


@dataclass(frozen=True)
class Defaults:
    """Values of the flags that all tasks have."""

    epochs: int
    batch_size: int
    lr: float


@dataclass(frozen=True)
class Job:
    """What a task hands to the command.

    ``summary`` is the line shown at the start, ``config`` what config.json holds beyond the flags,
    ``headline`` turns the last epoch's metrics into the result, as "test accuracy 96.9 %".
    """

    learner: Learner
    model: Module
    summary: str
    config: Mapping[str, Any]
    headline: Callable[[Mapping[str, float]], str]
