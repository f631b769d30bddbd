# SPDX-License-Identifier: BSD-3-Clause
"""The drawing of ``fastnn bench --plot``: rooflines with a dot per result, and bars of ratios.

Left, operations: the multiply-add ceiling and the slope of DRAM bandwidth over operations per byte
(Williams, Waterman, Patterson 2009). Middle, bytes: the copy rate that was measured for each size
of the working set, and the kernels that only move data. Right: time of fastnn over the peer's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from fastnn.cli.bench.peers import OWN, SHOWN
from fastnn.cli.bench.report import best_peer

__all__ = ["save"]

_OWN_COLOUR = "#d1495b"
_PALETTE = (
    "#8d8d8d", "#1f6fb2", "#0b3954", "#2a9d8f", "#8c6d46", "#7d5ba6", "#e9a23b", "#e07be0",
)  # fmt: skip
_COLOURS = {OWN: _OWN_COLOUR} | dict(zip(SHOWN, _PALETTE, strict=True))
_LABEL_LENGTH = 46


def _dots(axes: Any, rows: Sequence[Mapping[str, Any]], key: str, place: Any) -> list[str]:
    """A dot per result and library; fastnn's on top. Returns the libraries that have one."""
    seen = []
    names = dict.fromkeys(name for row in rows for name in row["times_us"])
    for name in [*(n for n in names if n != OWN), OWN]:
        points = [(place(row), row[key][name]) for row in rows if name in row[key]]
        if points:
            seen.append(name)
            own = name == OWN
            axes.scatter(
                *zip(*points, strict=True), s=34 if own else 16, color=_COLOURS.get(name, "black"),
                marker="o" if own else "x", linewidths=1.0, zorder=3 if own else 2, label=name,
            )  # fmt: skip
    return seen


def _roofline(axes: Any, rows: Sequence[Mapping[str, Any]], top: Mapping[str, Any]) -> None:
    rows = [row for row in rows if "gflops" in row and row["cost"]["traffic"]]

    def intensity(row: Mapping[str, Any]) -> float:
        return float(row["cost"]["flops"] / row["cost"]["traffic"])

    peak, rate = top["fma_gflops"], top["dram_gb_per_s"]
    seen = [intensity(row) for row in rows]
    low, high = min([0.5, *seen]) / 2, max([100.0, *seen]) * 2
    if peak and rate:
        ridge = peak / rate
        axes.plot([low, ridge, high], [rate * low, peak, peak], color="black", linewidth=1.2)
        axes.annotate(
            f"{peak:.0f} GFLOP/s", (high, peak), ha="right", va="bottom", fontsize=8,
            xytext=(-2, 2), textcoords="offset points",
        )  # fmt: skip
        axes.annotate(
            f"DRAM {rate:.0f} GB/s", (1.2 * low, 1.2 * rate * low), ha="left", va="top", fontsize=8,
            xytext=(6, 0), textcoords="offset points",
        )  # fmt: skip
    _dots(axes, rows, "gflops", intensity)
    axes.set(xscale="log", yscale="log", xlim=(low, high), title="operations")
    axes.set(xlabel="operations per byte of least traffic", ylabel="GFLOP/s")
    if rows:
        axes.legend(fontsize=7, loc="lower right", frameon=False)


def _bandwidth(axes: Any, rows: Sequence[Mapping[str, Any]], top: Mapping[str, Any]) -> None:
    rows = [row for row in rows if "gflops" not in row and "gb_per_s" in row]
    curve = {int(size) / 2**20: rate for size, rate in top["copy_gb_per_s"].items()}
    if curve:
        axes.plot(list(curve), list(curve.values()), color="black", linewidth=1.2, label="copy")
    _dots(axes, rows, "gb_per_s", lambda row: row["cost"]["working_set"] / 2**20)
    axes.set(xscale="log", yscale="log", title="bytes")
    axes.set(xlabel="working set, MiB", ylabel="least traffic over time, GB/s")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    if rows or curve:
        axes.legend(fontsize=7, loc="lower left", frameon=False)


def _short(name: str) -> str:
    """Cut in the middle: the direction stands at the end."""
    if len(name) <= _LABEL_LENGTH:
        return name
    tail = len(" + backward") if name.endswith(" + backward") else 0
    return f"{name[: _LABEL_LENGTH - tail - 1]}…{name[len(name) - tail :]}"


def _bars(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Ratios to the best peer, and each peer's own as a mark on the line."""
    rows = [row for row in rows if row["ratios"]][::-1]
    best = [row["ratios"][best_peer(row)]["median"] for row in rows]
    colours = ["#7fb069" if ratio <= 1 else _OWN_COLOUR for ratio in best]
    axes.barh(range(len(rows)), [r - 1 for r in best], left=1, color=colours, height=0.7)
    for name in dict.fromkeys(n for row in rows for n in row["ratios"]):
        points = [
            (r["ratios"][name]["median"], i) for i, r in enumerate(rows) if name in r["ratios"]
        ]
        axes.scatter(
            *zip(*points, strict=True), s=12, marker="x", linewidths=0.9, zorder=3,
            color=_COLOURS.get(name, "black"), label=name,
        )  # fmt: skip
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", title="time of fastnn / time of the best peer (x: each peer)")
    ticks = [t for t in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if _within(t, best, rows)]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(rows)), [_short(row["name"]) for row in rows], fontsize=7)
    axes.set_ylim(-0.7, max(len(rows), 1) - 0.3)
    axes.tick_params(axis="y", length=0)
    if rows:
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _within(tick: float, best: Sequence[float], rows: Sequence[Mapping[str, Any]]) -> bool:
    shown = [*best, *(r["median"] for row in rows for r in row["ratios"].values()), 0.5, 2.0]
    return bool(min(shown) / 1.5 <= tick <= max(shown) * 1.5)


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Draws the results of the last number of threads that was measured."""
    top = content["ceilings"][-1]
    rows = [
        row
        for row in content["rows"]
        if row["threads"] == top["threads"] and "error" not in row
    ]  # fmt: skip
    height = max(4.5, 1.6 + 0.17 * len(rows))
    figure = Figure(figsize=(17, height), layout="constrained")
    grid = figure.add_gridspec(1, 3, width_ratios=(1, 1, 1.15))
    if height > 9:  # many bars: the rooflines keep their shape in the upper part
        left = grid[0, :2].subgridspec(2, 2, height_ratios=(5.5, height - 5.5))
        roofline, bandwidth = figure.add_subplot(left[0, 0]), figure.add_subplot(left[0, 1])
    else:
        roofline, bandwidth = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    _roofline(roofline, rows, top)
    _bandwidth(bandwidth, rows, top)
    _bars(figure.add_subplot(grid[0, 2]), rows)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    where = content["machine"]["cpu"]
    state = ", disturbed" if any(row["disturbed"] for row in rows) else ""
    figure.suptitle(
        f"fastnn {content['fastnn']} on {where}, {top['threads']} threads{state}", fontsize=10
    )
    figure.savefig(path, dpi=130)
