# SPDX-License-Identifier: BSD-3-Clause
"""The drawing of ``fastnn bench --plot``: rooflines with a dot per result, and bars of ratios.

First, operations: the multiply-add ceiling and the slope of DRAM bandwidth over operations per byte
(Williams, Waterman, Patterson 2009). Second, bytes: the copy rate that was measured for each size
of the working set, and the kernels that only move data. Third: time of fastnn over the peers'. A
result has one number in all three; the bars name it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter

from fastnn.cli.bench.ceilings import falling
from fastnn.cli.bench.files import write
from fastnn.cli.bench.peers import OWN, SHOWN
from fastnn.cli.bench.report import best_peer

__all__ = ["figure_of", "formats", "save"]

_OWN_COLOUR, _AHEAD_COLOUR = "#d1495b", "#7fb069"
_PALETTE = (
    "#8d8d8d", "#1f6fb2", "#0b3954", "#2a9d8f", "#8c6d46", "#7d5ba6", "#e9a23b", "#e07be0",
)  # fmt: skip
_COLOURS = {OWN: _OWN_COLOUR} | dict(zip(SHOWN, _PALETTE, strict=True))
_LABEL_LENGTH = 46
_BAR, _MARGINS = 0.16, 2.2  # inches: of each bar, of all around the bars
_ROOFLINE = 5.5  # inches, at most: beside many bars the rooflines keep their shape
_DIGIT, _DOT, _GAP = 4.2, 3.3, 0.7  # points: a digit's width, half a dot's, between them

# A row and its number.
_Numbered = tuple[int, Mapping[str, Any]]


def formats() -> list[str]:
    """The endings of the files that matplotlib can draw into without another program (as pgf
    needs LaTeX)."""
    return [f".{name}" for name in FigureCanvasBase.get_supported_filetypes() if name != "pgf"]


def _number_dots(axes: Any, points: Sequence[tuple[float, float, int]]) -> None:
    """Writes each dot's number beside it, where no other number or dot is, if there is room."""
    axes.figure.draw_without_rendering()  # fixes the scales

    def place(x: float, y: float) -> Any:
        return axes.transData.transform((x, y)) * 72 / axes.figure.dpi  # points

    taken = [(*place(x, y), _DOT) for x, y, _ in points]
    for x, y, number in sorted(points, key=lambda p: (-p[1], p[0])):
        px, py = place(x, y)
        half = _DIGIT * len(str(number)) / 2
        near = max(10.0, half + _DOT + _GAP)
        beside = (near, -near, 2 * near, -2 * near)
        sides = [(dx, dy) for dy in (0, 6, -6, 12, -12) for dx in beside]
        free = [
            (dx, dy) for dx, dy in sides
            if all(abs(px + dx - a) > half + w + _GAP or abs(py + dy - b) > 6 for a, b, w in taken)
        ]  # fmt: skip
        dx, dy = (free or sides)[0]
        taken.append((px + dx, py + dy, half))
        axes.annotate(
            str(number), (x, y), xytext=(dx, dy), textcoords="offset points", ha="center",
            va="center", fontsize=6.5, color=_OWN_COLOUR, zorder=4,
            path_effects=[withStroke(linewidth=1.5, foreground="white")],
        )  # fmt: skip


def _dots(axes: Any, rows: Sequence[_Numbered], key: str, place: Any) -> None:
    """A dot per result and library; fastnn's on top and with its number."""
    names = dict.fromkeys(name for _, row in rows for name in row["times_us"])
    for name in [*(n for n in names if n != OWN), OWN]:
        points = [(place(row), row[key][name], i) for i, row in rows if name in row[key]]
        if not points:
            continue
        own = name == OWN
        x, y, _ = zip(*points, strict=True)
        axes.scatter(
            x, y, s=30 if own else 16, color=_COLOURS.get(name, "black"),
            marker="o" if own else "x", linewidths=1.0, zorder=3 if own else 2, label=name,
        )  # fmt: skip
        if own:
            _number_dots(axes, points)


def _log_axes(axes: Any, x: Sequence[float], y: Sequence[float]) -> None:
    """Logarithmic axes around all points, with plain numbers at 1, 2 and 5 where they have room."""
    axes.set(xscale="log", yscale="log")
    for axis, values, limit in ((axes.xaxis, x, axes.set_xlim), (axes.yaxis, y, axes.set_ylim)):
        if values:
            low, high = min(values) / 1.6, max(values) * 1.6
            limit(low, high)
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 3000 * low else (1,)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())


def _roofline(axes: Any, rows: Sequence[_Numbered], top: Mapping[str, Any]) -> None:
    rows = [(i, row) for i, row in rows if "gflops" in row and row["cost"]["traffic"]]

    def intensity(row: Mapping[str, Any]) -> float:
        return float(row["cost"]["flops"] / row["cost"]["traffic"])

    peak, rate = top["fma_gflops"], top["dram_gb_per_s"]
    seen = [intensity(row) for _, row in rows]
    low, high = min([0.5, *seen]), max([100.0, *seen])
    rates = [value for _, row in rows for value in row["gflops"].values()]
    if peak and rate:
        left, ridge, right = low / 1.6, peak / rate, high * 1.6
        axes.plot([left, ridge, right], [rate * left, peak, peak], color="black", linewidth=1.2)
        rates += [peak, rate * low]
    _log_axes(axes, [low, high], rates)
    if peak and rate:
        axes.annotate(
            f"multiply-adds {peak:.0f} GFLOP/s", (high * 1.6, peak), ha="right", va="bottom",
            fontsize=8, xytext=(-2, 2), textcoords="offset points",
        )  # fmt: skip
        axes.annotate(
            f"DRAM copy {rate:.0f} GB/s", (low, rate * low), ha="left", va="top",
            fontsize=8, xytext=(10, -4), textcoords="offset points",
        )  # fmt: skip
    _dots(axes, rows, "gflops", intensity)
    axes.set(title="results with operations: roofline")
    axes.set(
        xlabel="operations per byte of least traffic, FLOP/B\n"
        "(above the multiply-adds: a method of fewer operations\nthan the definition, Winograd's)",
        ylabel="rate of the definition's operations, GFLOP/s",
    )


def _bandwidth(axes: Any, rows: Sequence[_Numbered], top: Mapping[str, Any]) -> None:
    rows = [(i, row) for i, row in rows if "gflops" not in row and "gb_per_s" in row]
    curve = {int(size) / 2**20: rate for size, rate in top["copy_gb_per_s"].items()}
    rates = [value for _, row in rows for value in row["gb_per_s"].values()]
    sizes = [row["cost"]["working_set"] / 2**20 for _, row in rows]
    if curve:
        ceiling = falling(list(curve.values()))
        axes.plot(list(curve), ceiling, color="black", linewidth=1.2)
        middle = len(curve) // 3
        axes.annotate(
            "copy", (list(curve)[middle], ceiling[middle]), ha="left", va="bottom", fontsize=8,
            xytext=(2, 3), textcoords="offset points",
        )  # fmt: skip
    _log_axes(axes, [*sizes, *curve], [*rates, *curve.values()])
    _dots(axes, rows, "gb_per_s", lambda row: row["cost"]["working_set"] / 2**20)
    axes.set(title="results that only move data: copy ceiling")
    axes.set(xlabel="working set, MiB\n(above the copy: mostly reads)")
    axes.set(ylabel="least traffic over time, GB/s")


def _short(name: str) -> str:
    """Cut in the middle: the direction stands at the end."""
    if len(name) <= _LABEL_LENGTH:
        return name
    tail = len(" + backward") if name.endswith(" + backward") else 0
    return f"{name[: _LABEL_LENGTH - tail - 1]}…{name[len(name) - tail :]}"


def _bars(axes: Any, numbered: Sequence[_Numbered]) -> None:
    """Ratios to the best peer, and each peer's own as a mark on the line."""
    numbered = numbered[::-1]
    rows = [row for _, row in numbered]
    peers = [best_peer(row) for row in rows]
    best = [
        1.0 if p is None else r["ratios"][p]["median"] for r, p in zip(rows, peers, strict=True)
    ]
    colours = [_AHEAD_COLOUR if ratio <= 1 else _OWN_COLOUR for ratio in best]
    axes.barh(range(len(rows)), [r - 1 for r in best], left=1, color=colours, height=0.7)
    for name in dict.fromkeys(n for row in rows for n in row["ratios"]):
        points = [
            (r["ratios"][name]["median"], i) for i, r in enumerate(rows) if name in r["ratios"]
        ]
        axes.scatter(
            *zip(*points, strict=True), s=14, marker="x", linewidths=0.9, zorder=3,
            color=_COLOURS.get(name, "black"), label=name,
        )  # fmt: skip
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", title="time ratio; bar: to the best peer")
    axes.set(xlabel="time of fastnn / time of the peer (left of 1: fastnn is faster)")
    shown = [*best, *(r["median"] for row in rows for r in row["ratios"].values()), 0.5, 2.0]
    axes.set_xlim(min(shown) / 1.2, max(shown) * 1.2)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    labels = [f"{_short(row['name'])}  {i}" for i, row in numbered]
    axes.set_yticks(range(len(rows)), labels, fontsize=7)
    axes.set_ylim(-0.7, max(len(rows), 1) - 0.3)
    axes.tick_params(axis="y", length=0)


def _legend(figure: Any) -> None:
    """One for all: a library has the same colour everywhere."""
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    names = [name for name in (OWN, *SHOWN) if name in handles]
    if names:
        figure.legend(
            [handles[name] for name in names], names, loc="outside lower center",
            ncols=len(names), fontsize=8, frameon=False,
        )  # fmt: skip


def figure_of(content: Mapping[str, Any]) -> Figure:
    """The drawing of the results of the last number of threads that has any."""
    timed = [row for row in content["rows"] if "error" not in row]
    tops = {top["threads"]: top for top in content["ceilings"]}
    top = tops[timed[-1]["threads"]] if timed else content["ceilings"][-1]
    rows = [row for row in timed if row["threads"] == top["threads"]]
    numbered = list(enumerate(rows, 1))
    height = max(_ROOFLINE, _MARGINS + _BAR * len(rows))
    figure = Figure(figsize=(18, height), layout="constrained")
    grid = figure.add_gridspec(1, 3, width_ratios=(1, 1, 0.9))
    if height > 1.5 * _ROOFLINE:  # beneath each other
        left = grid[0, :2].subgridspec(2, 1)
        roofline, bandwidth = figure.add_subplot(left[0, 0]), figure.add_subplot(left[1, 0])
    else:
        roofline, bandwidth = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    _bars(figure.add_subplot(grid[0, 2]), numbered)
    threads = "1 thread" if top["threads"] == 1 else f"{top['threads']} threads"
    count = sum(bool(row["disturbed"]) for row in rows)
    state = f"; disturbed: {count} of {len(rows)} results" if count else ""
    title = f"fastnn {content['fastnn']} on {content['machine']['cpu']}, {threads}{state}"
    figure.suptitle(title, fontsize=10)
    _roofline(roofline, numbered, top)
    _bandwidth(bandwidth, numbered, top)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    _legend(figure)
    return figure


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Draws results into a file."""
    drawn = io.BytesIO()
    figure_of(content).savefig(drawn, dpi=130, format=path.suffix[1:].lower())
    write(path, drawn.getvalue())
