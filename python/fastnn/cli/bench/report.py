# SPDX-License-Identifier: BSD-3-Clause
"""What ``fastnn bench`` shows: a line per result, or on a terminal a live bar and a table.

rich draws the bar and the table. Without rich, and where the output is not a terminal, the lines
are all.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from fastnn.cli.bench.peers import OWN

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["LiveReport", "Report", "best_peer", "duration", "heading", "make_report"]


def best_peer(row: Mapping[str, Any]) -> str | None:
    """The peer with the smallest median time."""
    times = {k: v["median"] for k, v in row.get("times_us", {}).items() if k != OWN}
    return min(times, key=times.__getitem__) if times else None


def duration(us: float) -> str:
    """Three figures, in the unit that suits."""
    for unit, scale in (("us", 1.0), ("ms", 1e3)):
        if us / scale < 999.5:  # what rounds to 1000 is one of the next unit
            return f"{us / scale:.3g} {unit}"
    seconds = us / 1e6
    return f"{seconds:.3g} s" if seconds < 999.5 else f"{seconds:.0f} s"


def _spread(summary: Mapping[str, float]) -> str:
    """Half the distance of the quartiles, as a share of the median."""
    return f"±{50 * (summary['q3'] - summary['q1']) / summary['median']:.0f} %"


def _rate(row: Mapping[str, Any]) -> str:
    """Operations where the case tells them, else bytes."""
    if "gflops" in row:
        return f"{row['gflops'][OWN]:.3g} GFLOP/s"
    return f"{row['gb_per_s'][OWN]:.3g} GB/s" if "gb_per_s" in row else ""


def _share(row: Mapping[str, Any]) -> str:
    share = row.get("share_of_ceiling")
    return f"{100 * share['median']:.0f} %" if share else ""


def _floor(row: Mapping[str, Any]) -> str:
    """The least time that the machine's ceilings allow; of a whole step the sum of its parts."""
    return duration(row["floor_us"]) if "floor_us" in row else ""


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _ratio(row: Mapping[str, Any], peer: str | None) -> str:
    if peer is None:
        return ""
    ratio = row["ratios"][peer]
    return f"{ratio['median']:.2f} [{ratio['q1']:.2f}, {ratio['q3']:.2f}]"


def _cells(row: Mapping[str, Any]) -> list[str]:
    """The columns of the table."""
    own, peer = row["times_us"][OWN], best_peer(row)
    theirs = "" if peer is None else f"{peer} {duration(row['times_us'][peer]['median'])}"
    return [
        row["name"], str(row["threads"]), f"{duration(own['median'])} {_spread(own)}",
        duration(own["minimum"]), theirs, _ratio(row, peer), _rate(row), _floor(row), _share(row),
        "disturbed" if row["disturbed"] else "",
    ]  # fmt: skip


_COLUMNS = (
    "work", "threads", "fastnn, median", "least", "best peer", "time ratio [quartiles]", "rate",
    "floor", "of ceiling", "",
)  # fmt: skip
_TEXTS = (0, 4, len(_COLUMNS) - 1)  # the others hold numbers
# The columns of a table on a terminal that is narrower than that.
_WIDE, _NARROW = 150, (0, 2, 4, 5, 8)


def _narrowed(row: Mapping[str, Any]) -> list[str]:
    """A result in a narrow table: names and numbers break where they may."""
    name, _, median, _, theirs, ratio, _, _, share, state = _cells(row)
    peer, _, time = theirs.partition(" ")
    name = ", ".join(part for part in (name, _threads(row["threads"]), state) if part)
    return [name, median, f"{peer}\n{time}", ratio.replace(" [", "\n["), share]


def plain(row: Mapping[str, Any]) -> str:
    """A result in a line, and its remarks in lines beneath."""
    if "error" in row:
        return f"{row['name']}: {row['error']}"
    name, _, median, least, _, _, rate, floor, share, _ = _cells(row)
    parts = [f"{name}, {_threads(row['threads'])}: {median}, least {least}"]
    parts += [part for part in (rate, share and f"{share} of the ceiling ({floor})") if part]
    parts += [
        f"{_ratio(row, peer)} of {peer} ({duration(row['times_us'][peer]['median'])})"
        for peer in row["ratios"]
    ]
    remarks = [f"disturbed: {'; '.join(row['disturbed'])}"] if row["disturbed"] else []
    remarks += _failures(row) + row["notes"]
    return "\n      ".join([" | ".join(parts), *remarks])


def _failures(row: Mapping[str, Any]) -> list[str]:
    """The peers that have the operation and could not run it; who lacks it is in the JSON file."""
    named = row.get("failed", ())
    return [f"{k}: {why}" for k, why in row["without"].items() if k in named or "failed" in why]


def heading(content: Mapping[str, Any], no_ceilings: str) -> list[str]:
    """The machine, its ceilings, the versions, the peers that are missing."""
    where, top = content["machine"], content["ceilings"][-1]
    cores, threads = where["cores"], top["threads"]
    caches = ", ".join(f"{k} {v}" for k, v in where["caches"].items())
    lines = [
        f"{where['cpu']}, {where['cores']} cores, {caches}; {where['system']}",
        f"effort: {content['effort']}; load {content['load']}; device {content['device']}",
    ]
    if threads > cores:
        lines.append(f"{threads} threads on {cores} processors: they wait for each other")
    if top["fma_gflops"] and top["dram_gb_per_s"]:
        lines.append(
            f"ceilings, {_threads(top['threads'])}, {top['isa']}: {top['fma_gflops']:.0f} GFLOP/s, "
            f"DRAM copy {top['dram_gb_per_s']:.0f} GB/s"
        )
    lines += [no_ceilings] if no_ceilings else []
    lines += [
        f"{name}: {', '.join(f'{k} {v}' for k, v in about.items())}"
        for name, about in content["versions"].items()
    ]
    return lines + _missing(content["missing"])


def _missing(missing: Mapping[str, str]) -> list[str]:
    """A line for each reason: torch alone has five configurations."""
    peers: dict[str, list[str]] = {}
    for peer, why in missing.items():
        peers.setdefault(why.removeprefix(f"{peer}: "), []).append(peer)
    return [f"not timed: {', '.join(names)}: {why}" for why, names in peers.items()]


class Report:
    """Plain lines, each at once."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self.stream = sys.stdout if stream is None else stream

    def line(self, text: str) -> None:
        """Write a line at once, also into a pipe."""
        self.stream.write(text + "\n")
        self.stream.flush()

    def doing(self, what: str) -> None:
        """Says what comes next; only a bar shows it."""

    def row(self, row: Mapping[str, Any]) -> None:
        """A result."""
        self.line(plain(row))

    def summary(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """After the last result."""
        disturbed = sum(bool(row["disturbed"]) for row in rows)
        if disturbed:
            self.line(
                f"{disturbed} of {len(rows)} results are from a disturbed machine and say little: "
                "other programs ran, or its cores are shared"
            )

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class LiveReport(Report):
    """A bar over all that is measured; the table when it is done."""

    def __init__(self, console: Console, total: int) -> None:
        super().__init__(console.file)
        self.console = console
        self._total = total
        self._bar: Any = None
        self._task: Any = None

    def line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def doing(self, what: str) -> None:
        self._bar.update(self._task, what=what)

    def row(self, row: Mapping[str, Any]) -> None:
        self._bar.advance(self._task)
        if "error" in row:
            self.line(plain(row))
        elif remarks := [*_failures(row), *row["disturbed"], *row["notes"]]:
            self.line(f"{row['name']}: {'; '.join(remarks)}")

    def summary(self, rows: Sequence[Mapping[str, Any]]) -> None:
        from rich import box  # noqa: PLC0415 - optional
        from rich.table import Table  # noqa: PLC0415

        narrow = self.console.width < _WIDE
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0 if narrow else 1))
        for i in _NARROW if narrow else range(len(_COLUMNS)):
            # Only names are cut anywhere: half a number is another number.
            side: Any = "left" if i in _TEXTS else "right"
            title = re.sub(r"(,| (?=\[)|of) ?", r"\1\n", _COLUMNS[i]) if narrow else _COLUMNS[i]
            table.add_column(title, justify=side, overflow="fold", no_wrap=i != 0)
        for row in rows:
            if "error" not in row:
                peer = best_peer(row)
                ahead = peer is not None and row["ratios"][peer]["median"] <= 1
                style = "dim" if row["disturbed"] else "green" if ahead else None
                table.add_row(*(_narrowed if narrow else _cells)(row), style=style)
        self.console.print(table)
        super().summary(rows)

    def __enter__(self) -> LiveReport:
        from rich.progress import (  # noqa: PLC0415 - optional
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[what]}", markup=False),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            expand=True,
        )
        self._task = self._bar.add_task("", total=self._total, what="")
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def make_report(total: int, stream: IO[str] | None = None) -> Report:
    """A live one if ``stream`` (default: standard output) is a capable terminal and rich is there.

    NO_COLOR leaves it without colour (https://no-color.org); rich looks at it.
    """
    stream = sys.stdout if stream is None else stream
    if not stream.isatty() or os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        return Report(stream)
    try:
        from rich.console import Console  # noqa: PLC0415 - optional
    except ImportError:
        return Report(stream)
    return LiveReport(Console(file=stream), total)
