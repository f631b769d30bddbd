# SPDX-License-Identifier: BSD-3-Clause
"""The folder that a training run writes: config.json, log.csv, model.safetensors, curves.png.

A run never overwrites another: the folder is claimed by creating config.json exclusively, and if
one of the four is there already, the next free name with a number behind it is taken. Model, curves
and the later versions of config.json are written under a temporary name, synced, and renamed: each
is whole or is not there.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.train.loop import Callback, EpochResult

__all__ = ["CURVES", "FILES", "CsvLog", "RunFolder", "write_atomically"]

_CONFIG, _LOG, _MODEL, CURVES = "config.json", "log.csv", "model.safetensors", "curves.png"
FILES = (_MODEL, _LOG, _CONFIG, CURVES)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, or raise and leave it as it was."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if os.name == "posix":  # the new name itself has to reach the disk too
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _to_json(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=2, allow_nan=False) + "\n"


def _numbered(path: Path, number: int) -> Path:
    """name-2 for name; "." and ".." have no name of their own and get that of their folder."""
    base = path.resolve() if path.name in ("", "..") else path
    return base.parent / f"{base.name}-{number}"


class RunFolder:
    """A folder that belongs to one run."""

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path = path
        self.config = config

    @classmethod
    def create(cls, wanted: Path, config: Mapping[str, Any]) -> RunFolder:
        """Claim ``wanted``, or wanted-2, wanted-3, ... if it holds a run; write config.json.

        Raises: OSError if the folder cannot be made or written.
        """
        text = _to_json(config)
        path, number = wanted, 1
        while True:
            path.mkdir(parents=True, exist_ok=True)
            if not any((path / name).exists() for name in FILES):
                with contextlib.suppress(FileExistsError), (path / _CONFIG).open("x") as file:
                    file.write(text)
                    return cls(path, dict(config))
            number += 1
            path = _numbered(wanted, number)

    def update_config(self, **entries: Any) -> None:
        """Add entries to config.json."""
        self.config.update(entries)
        write_atomically(self.path / _CONFIG, _to_json(self.config).encode())

    def save_model(self, state: Mapping[str, Any], about: Mapping[str, str]) -> Path:
        """Write model.safetensors from a state_dict (name -> Tensor).

        ``about`` goes into its metadata as one JSON text: safetensors writes several entries in
        random order, and runs with equal weights should give equal files.
        """
        from safetensors.numpy import save  # noqa: PLC0415 - `import fastnn` need not pay for it

        arrays = {name: np.asarray(tensor.numpy(), order="C") for name, tensor in state.items()}
        path = self.path / _MODEL
        write_atomically(path, save(arrays, metadata={"fastnn": json.dumps(about)}))
        return path

    def log(self) -> CsvLog:
        """The callback that writes log.csv."""
        return CsvLog(self.path / _LOG)


class CsvLog(Callback):
    """One row per epoch, on the disk as soon as the epoch is over."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: list[str] = []

    def on_epoch_end(self, result: EpochResult) -> None:
        rate = result.samples / result.seconds if result.seconds > 0 else 0.0
        row: dict[str, int | float | str] = {"epoch": result.epoch}
        row.update(result.metrics)
        row["seconds"] = f"{result.seconds:.6f}"
        row["samples_per_second"] = f"{rate:.1f}"
        first = not self._columns
        if first:
            self._columns = list(row)
        with self.path.open("w" if first else "a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            if first:
                writer.writeheader()
            writer.writerow(row)
