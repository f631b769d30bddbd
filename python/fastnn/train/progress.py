# SPDX-License-Identifier: BSD-3-Clause
"""What a run shows: a line per epoch, and a live bar above which they scroll on a terminal.

rich draws the bar. Without rich, and where the output is not a terminal, the lines are all.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

from fastnn.train.loop import Callback
from fastnn.train.position import BatchStats, EpochResult

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["LiveProgress", "PlainProgress", "make_progress"]

_REDRAW_SECONDS = 0.1


def _metric(name: str, value: float) -> str:
    """An accuracy is shown in per cent, everything else as it is."""
    return f"{name} {100 * value:5.1f} %" if name == "accuracy" else f"{name} {value:.4f}"


def _metrics(metrics: Mapping[str, float]) -> str:
    """train loss 0.1234 accuracy  96.0 %, test loss ...: one group per prefix."""
    groups: dict[str, list[str]] = {}
    for full, value in metrics.items():
        prefix, _, name = full.partition("_")
        groups.setdefault(prefix, []).append(_metric(name, value))
    return ", ".join(f"{prefix} " + " ".join(parts) for prefix, parts in groups.items())


class PlainProgress(Callback):
    """One plain line per epoch."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self.stream = sys.stdout if stream is None else stream
        self.epochs = 0

    def line(self, text: str) -> None:
        """Write a line at once, also into a pipe."""
        self.stream.write(text + "\n")
        self.stream.flush()

    def on_fit_start(self, epochs: int, steps_per_epoch: int) -> None:
        del steps_per_epoch
        self.epochs = epochs

    def on_epoch_end(self, result: EpochResult) -> None:
        number = str(result.epoch).rjust(len(str(self.epochs)))
        self.line(f"epoch {number}/{self.epochs}: {_metrics(result.metrics)}")


class LiveProgress(PlainProgress):
    """The same lines, and below them a bar over the steps of the whole run."""

    def __init__(self, console: Console) -> None:
        super().__init__(console.file)
        self.console = console
        self.steps = 0
        self._bar: Any = None
        self._task: Any = None
        self._drawn = 0.0

    def line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def on_fit_start(self, epochs: int, steps_per_epoch: int) -> None:
        from rich.progress import (  # noqa: PLC0415 - optional
            BarColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        super().on_fit_start(epochs, steps_per_epoch)
        self.steps = steps_per_epoch
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            expand=True,
        )
        total = epochs * steps_per_epoch
        self._task = self._bar.add_task("", total=total, epoch=1, epochs=epochs, loss="-")
        self._bar.start()

    def on_batch_end(self, epoch: int, step: int, stats: BatchStats) -> None:
        now = time.perf_counter()
        if now - self._drawn < _REDRAW_SECONDS:  # an update costs as much as a small step
            return
        self._drawn = now
        self._bar.update(
            self._task,
            completed=(epoch - 1) * self.steps + step,
            epoch=epoch,
            loss=f"{stats.sums['loss'] / max(stats.samples, 1):.4f}",
        )

    def on_fit_end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def make_progress(stream: IO[str] | None = None) -> PlainProgress:
    """A live bar if ``stream`` (default: standard output) is a capable terminal and rich is there.

    NO_COLOR leaves the bar without colour (https://no-color.org); rich looks at it.
    """
    stream = sys.stdout if stream is None else stream
    if not stream.isatty() or os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        return PlainProgress(stream)
    try:
        from rich.console import Console  # noqa: PLC0415 - optional
    except ImportError:
        return PlainProgress(stream)
    return LiveProgress(Console(file=stream))
