# SPDX-License-Identifier: BSD-3-Clause
"""The folder that a training run writes: config.json, log.csv, model.safetensors, curves.png, and
checkpoint.safetensors, from which it can be resumed.

A run never overwrites another: the folder is claimed by creating config.json exclusively, and if
one of the five is there already, the next free name with a number behind it is taken. All but the
growing log are written under a temporary name, synced, and renamed: each is whole or is not there.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastnn.serialization.files import named, sync_folder, temporary_file, write_atomically
from fastnn.serialization.tensor_file import encode_tensors
from fastnn.train.loop import Callback
from fastnn.train.position import EpochResult

__all__ = ["CHECKPOINT", "CURVES", "FILES", "CsvLog", "RunFolder", "named", "write_atomically"]

_CONFIG, _LOG, _MODEL, CURVES = "config.json", "log.csv", "model.safetensors", "curves.png"
CHECKPOINT = "checkpoint.safetensors"
FILES = (_MODEL, _LOG, _CONFIG, CURVES, CHECKPOINT)


def _create_atomically(path: Path, content: bytes) -> bool:
    """Make ``path`` with ``content``, unless it is there: then False. It is never there in part."""
    with temporary_file(path, content) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links: two at once could both win
            if path.exists():
                return False
            temporary.replace(path)
    sync_folder(path.parent)
    return True


def _to_json(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=2, allow_nan=False) + "\n"


def _numbered(path: Path, number: int) -> Path:
    """name-2 for name; "." and ".." have no name of their own and get that of their folder."""
    base = path.resolve() if path.name in ("", "..") else path
    return base.parent / f"{base.name}-{number}"


def _locked(path: Path) -> int | None:
    """A lock on a folder, held until the descriptor is closed or the process ends.

    None where the system has none. Raises: BlockingIOError if another run holds it.
    """
    if os.name != "posix":
        return None
    import fcntl  # noqa: PLC0415 - there is none on Windows

    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        message = (
            f"RunFolder: expected a folder without a process, got {path}: another process is "
            f"training in {path}; wait for it, or take another folder"
        )
        raise BlockingIOError(message) from error
    except OSError:  # a file system without locks
        os.close(descriptor)
        return None
    return descriptor


def _read_config(path: Path) -> dict[str, Any]:
    """Raises: OSError, ValueError."""

    def refuse(name: str) -> Any:
        problem = f"{name} is no number of JSON"
        raise ValueError(problem)

    try:
        config = json.loads(path.read_text("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        message = (
            f"RunFolder: expected JSON in {path}, got text that is damaged: {error}; start a new "
            "run in another folder"
        )
        raise ValueError(message) from None
    if not isinstance(config, dict):
        message = (
            f"RunFolder: expected the configuration of a run in {path}, got a "
            f"{type(config).__name__}; start a new run in another folder"
        )
        raise ValueError(message)
    return config


class RunFolder:
    """A folder that belongs to one run; ``lock`` keeps other processes out while it lives."""

    def __init__(self, path: Path, config: dict[str, Any], lock: int | None = None) -> None:
        self.path = path
        self.config = config
        if lock is not None:
            weakref.finalize(self, os.close, lock)

    @classmethod
    def create(cls, wanted: Path, config: Mapping[str, Any]) -> RunFolder:
        """Claim ``wanted``, or wanted-2, wanted-3, ... if it holds a run; write config.json.

        Raises: OSError if the folder cannot be made or written.
        """
        path, number = wanted, 1
        while True:
            path.mkdir(parents=True, exist_ok=True)
            if not any((path / name).exists() for name in FILES):
                folder = cls._claim(path, dict(config))
                if folder is not None:
                    return folder
            number += 1
            path = _numbered(wanted, number)

    @classmethod
    def _claim(cls, path: Path, config: dict[str, Any]) -> RunFolder | None:
        """The folder, if no other process was faster."""
        try:
            lock = _locked(path)
        except BlockingIOError:
            return None
        folder = cls(path, config, lock)  # lets go of the lock when it is dropped
        created = _create_atomically(path / _CONFIG, _to_json(config).encode())
        return folder if created else None

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The folder of an earlier run, to go on in it.

        Raises: OSError if there is none, or if another process is training in it; ValueError if
        its config.json is not what was written.
        """
        config = _read_config(path / _CONFIG)
        folder = cls(path, config, _locked(path))
        folder.drop_half_written()  # what a write that a kill cut short has left
        return folder

    def drop_half_written(self) -> None:
        """Remove the temporary files of writes that will not be finished."""
        for name in FILES:
            for left_over in self.path.glob(f".{name}.*.tmp"):
                with contextlib.suppress(FileNotFoundError):
                    left_over.unlink()

    @property
    def checkpoint(self) -> Path:
        """The file that holds the run's last checkpoint."""
        return self.path / CHECKPOINT

    def update_config(self, **entries: Any) -> None:
        """Add entries to config.json."""
        self.config.update(entries)
        write_atomically(self.path / _CONFIG, _to_json(self.config).encode())

    def end(self, status: str, **result: Any) -> None:
        """Set the status of a run that is still "running", if config.json can be written."""
        if self.config.get("status") == "running":
            with contextlib.suppress(OSError, ValueError):
                self.update_config(status=status, result=result)

    def save_model(self, state: Mapping[str, Any], about: Mapping[str, str]) -> Path:
        """Write model.safetensors from a state_dict (name -> Tensor). Runs with equal weights give
        equal files; a weight with two names is stored once."""
        path = self.path / _MODEL
        write_atomically(path, encode_tensors(state, dict(about)))
        return path

    def log(self, epochs: Sequence[EpochResult] = ()) -> CsvLog:
        """The callback that writes log.csv; a resumed run gives the epochs that are finished."""
        return CsvLog(self.path / _LOG, epochs)


class CsvLog(Callback):
    """One row per epoch, on the disk as soon as the epoch is over.

    With finished ``epochs`` the file is first brought to just these: rows of epochs that were
    finished after the checkpoint come once, when the resumed run has computed them again.
    """

    def __init__(self, path: Path, epochs: Sequence[EpochResult] = ()) -> None:
        self.path = path
        self._columns: list[str] = []
        if epochs:
            rows = [_row(result) for result in epochs]
            self._columns = list(rows[0])
            text = io.StringIO(newline="")
            writer = csv.DictWriter(text, self._columns)
            writer.writeheader()
            writer.writerows(rows)
            write_atomically(path, text.getvalue().encode("utf-8"))

    def on_epoch_end(self, result: EpochResult) -> None:
        row = _row(result)
        first = not self._columns
        if first:
            self._columns = list(row)
        mode = "w" if first else "a"
        with named(self.path), self.path.open(mode, encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            if first:
                writer.writeheader()
            writer.writerow(row)


def _row(result: EpochResult) -> dict[str, int | float | str]:
    rate = result.samples / result.seconds if result.seconds > 0 else 0.0
    row: dict[str, int | float | str] = {"epoch": result.epoch}
    row.update(result.metrics)
    row["seconds"] = f"{result.seconds:.6f}"
    row["samples_per_second"] = f"{rate:.1f}"
    return row
