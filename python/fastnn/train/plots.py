# SPDX-License-Identifier: BSD-3-Clause
"""curves.png: every metric over the epochs, training and held-out part in one panel."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from fastnn.train.position import EpochResult
from fastnn.train.run import write_atomically

__all__ = ["MatplotlibMissing", "save_curves"]

# Blue and vermilion of Okabe and Ito's palette (2008): distinct to every kind of colour vision.
_COLOURS = {"train": "#0072B2", "test": "#D55E00"}


class MatplotlibMissing(ImportError):
    """matplotlib is an optional dependency, and it cannot be imported."""


def save_curves(path: Path, epochs: Sequence[EpochResult], title: str) -> None:
    """Draw one panel per metric name (what follows train_ or test_) and write it as PNG.

    Raises: MatplotlibMissing if matplotlib is not there; OSError if the file cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - optional
        from matplotlib.figure import Figure  # noqa: PLC0415
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415
    except ImportError as error:
        message = f"save_curves: expected matplotlib, got {error}; pip install matplotlib"
        raise MatplotlibMissing(message) from error

    panels: dict[str, list[str]] = {}
    for full in epochs[0].metrics:
        panels.setdefault(full.partition("_")[2], []).append(full)
    figure = Figure(figsize=(4.8 * len(panels), 3.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)  # drawn off screen, whatever backend the environment asks for
    figure.suptitle(title)
    numbers = [result.epoch for result in epochs]
    for position, (name, series) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), position)
        scale = 100.0 if name == "accuracy" else 1.0
        for full in series:
            prefix = full.partition("_")[0]
            values = [scale * result.metrics[full] for result in epochs]
            marker = "o" if len(epochs) == 1 else ""
            axes.plot(numbers, values, marker=marker, color=_COLOURS.get(prefix), label=prefix)
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"{name} [%]" if name == "accuracy" else name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True, alpha=0.3)
        axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_atomically(path, buffer.getvalue())
