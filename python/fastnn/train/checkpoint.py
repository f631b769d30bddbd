# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints: all that a run needs to go on as if it had never been stopped, in one file.

A checkpoint is a tree of dictionaries, lists, tuples, numbers, texts and tensors. The tensors are
the tensors of a safetensors file (see fastnn.serialization.tensor_file), the rest is JSON in its
metadata, with {"$": kind, ...} for what JSON has no word for. Nothing is pickled. The file is
written under another name, synced and renamed: the last good checkpoint stays until the next one is
whole.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.random import default_generator
from fastnn.serialization.tensor_file import TensorFileError, encode_tensors, load_tensors
from fastnn.tensor import Tensor
from fastnn.train.learner import Learner
from fastnn.train.loop import Callback
from fastnn.train.position import BatchStats, EpochResult, Position
from fastnn.train.run import write_atomically
from fastnn.train.save_point import SavePoint

__all__ = [
    "CheckpointError",
    "Checkpointer",
    "load_checkpoint",
    "restore_run",
    "run_state",
    "save_checkpoint",
]

FORMAT = 1
_MARK = "$"


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read, or does not fit what it is loaded into."""


# ---- a tree as tensors and JSON ----


def _pack(value: Any, path: str, tensors: dict[str, Any]) -> Any:
    """JSON for ``value``; its tensors go into ``tensors``, named by their path in the tree."""
    if isinstance(value, Tensor | np.ndarray):
        tensors[path] = value
        return {_MARK: "tensor", "name": path}
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        number = float(value)
        return number if math.isfinite(number) else {_MARK: "float", "value": repr(number)}
    if isinstance(value, list | tuple):
        items = [_pack(item, f"{path}/{i}", tensors) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {_MARK: "tuple", "items": items}
    if isinstance(value, Mapping):
        items = [(key, _pack(item, f"{path}/{key}", tensors)) for key, item in value.items()]
        if all(isinstance(key, str) and key != _MARK for key, _ in items):
            return dict(items)
        return {_MARK: "map", "items": [[_pack(k, path, tensors), item] for k, item in items]}
    message = (
        f"checkpoint: expected numbers, texts, tensors and containers of them at {path}, got "
        f"{type(value).__name__}; nothing is pickled: let state_dict() return plain data"
    )
    raise CheckpointError(message)


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree that :func:`_pack` was given. Raises KeyError, TypeError, ValueError."""
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if _MARK not in value:
        return {key: _unpack(item, tensors) for key, item in value.items()}
    kind = value[_MARK]
    if kind == "tensor":
        return tensors[value["name"]]
    if kind == "float":
        return {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}[value["value"]]
    if kind == "tuple":
        return tuple(_unpack(item, tensors) for item in value["items"])
    if kind == "map":
        return {_unpack(key, tensors): _unpack(item, tensors) for key, item in value["items"]}
    problem = f"the unknown kind {kind!r}"
    raise ValueError(problem)


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a tree of plain data and tensors, or raise and leave the file as it was."""
    tensors: dict[str, Any] = {}
    tree = {key: _pack(value, key, tensors) for key, value in state.items()}
    write_atomically(path, encode_tensors(tensors, {"format": FORMAT, "tree": tree}))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read the tree again; names that shared memory get the same Tensor.

    Raises: CheckpointError for a file that is damaged, cut off, or no checkpoint; OSError if it
            cannot be read.
    """
    try:
        file = load_tensors(path)
    except TensorFileError as error:
        message = f"checkpoint: {error}; without one, start a new run"
        raise CheckpointError(message) from None
    about = file.about
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        message = (
            f"checkpoint: expected one of this version of fastnn, got {path}, which is no "
            "checkpoint of this version; load it with the version that wrote it, or start a new run"
        )
        raise CheckpointError(message)
    try:
        return {str(key): _unpack(value, file.tensors) for key, value in about["tree"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        message = (
            f"checkpoint: expected a whole one, got {path}, which is damaged: "
            f"{type(error).__name__} {error}; take an older one or start a new run"
        )
        raise CheckpointError(message) from None


# ---- a run ----


def run_state(learner: Learner, position: Position) -> dict[str, Any]:
    """What a run consists of, between two steps. Tensors are shared with the learner."""
    return SavePoint(learner, position).state()


def restore_run(
    state: Mapping[str, Any], learner: Learner, name: str | Path = "checkpoint"
) -> Position:
    """Bring the learner and the default generator to a saved state and return the position.

    name: of the file, for the message.
    Raises: CheckpointError if the state does not fit; both are then as they were.
    """
    before = copy.deepcopy(dict(learner.state_dict()))
    words = [int(word) for word in default_generator.cell]
    steps = learner.steps_per_epoch()
    try:
        cell = state["random"]
        if len(cell) != 2 or not all(type(w) is int and -(2**63) <= w < 2**63 for w in cell):
            problem = f"the random cell is {cell!r:.60}, expected two whole numbers of 64 bits"
            raise ValueError(problem)
        position = Position.from_state_dict(state["position"], steps, learner.metrics)
        done = (position.epoch - 1) * steps + position.step
        updates = state["learner"].get("updates", done)
        if updates != done:
            problem = f"{updates!r:.40} steps were done, expected {done} by its epoch and step"
            raise ValueError(problem)
        learner.load_state_dict(state["learner"])
        default_generator.cell[:] = np.array(cell, dtype=np.int64)
    except Exception as error:
        learner.load_state_dict(before)
        default_generator.cell[:] = words
        what = "is missing" if isinstance(error, KeyError) else ""
        problem = f"{error} {what}".rstrip()
        message = (
            f"{name}: expected a state of this run, got one that does not fit this run: {problem}; "
            "resume with the data and the version of fastnn that wrote it, or start a new run"
        )
        raise CheckpointError(message) from error
    return position


class Checkpointer(Callback):
    """Writes a checkpoint at the start, then whenever ``seconds`` have passed after a step.

    A kill loses at most these seconds and the step in progress; the results are the same bits,
    because what was lost is computed again from the same state. What a checkpoint costs is kept
    below a twentieth of the time: slow disks get fewer of them. 0 seconds means after every step.
    """

    def __init__(
        self,
        path: Path,
        save_point: SavePoint,
        seconds: float,
        about: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.path = path
        self.save_point = save_point
        self.seconds = seconds
        self.about = dict(about or {})
        self._clock = clock
        self._next = 0.0

    def save(self) -> None:
        """Write one now, from any thread: the state after the last whole step."""
        with self.save_point.lock:
            start = self._clock()
            save_checkpoint(self.path, {"about": self.about, **self.save_point.state()})
            end = self._clock()
            self._next = end + (max(self.seconds, 20 * (end - start)) if self.seconds else 0.0)

    def _save_if_due(self) -> None:
        if self._clock() >= self._next:
            self.save()

    def on_fit_start(self, epochs: int, steps_per_epoch: int) -> None:
        del epochs, steps_per_epoch
        self.save()

    def on_batch_end(self, epoch: int, step: int, stats: BatchStats) -> None:
        del epoch, step, stats
        self._save_if_due()

    def on_epoch_end(self, result: EpochResult) -> None:
        del result
        self._save_if_due()
