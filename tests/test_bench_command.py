# SPDX-License-Identifier: BSD-3-Clause
"""``fastnn bench``: the command, its report and its drawing. No time is asserted."""

from __future__ import annotations

import errno
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastnn import _backend
from fastnn.cli import main
from fastnn.cli.bench import ceilings, command
from fastnn.cli.bench.measure import Disagreement
from fastnn.cli.bench.report import LiveReport, Report, best_peer, heading, make_report


def summary(median: float) -> dict[str, float]:
    return {"median": median, "q1": 0.9 * median, "q3": 1.2 * median, "minimum": median, "count": 5}


def result(name: str = "mm", flops: float | None = 2e6, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": name,
        "threads": 2,
        "times_us": {n: summary(t) for n, t in (("fastnn", 10.0), ("numpy", 40.0), ("jax", 20.0))},
        "ratios": {"numpy": summary(0.25), "jax": summary(0.5)},
        "gb_per_s": {"fastnn": 12.0, "numpy": 3.0, "jax": 6.0},
        "cost": {"flops": flops, "traffic": 120e3, "working_set": 120e3},
        "floor_us": 8.0,
        "share_of_ceiling": summary(0.8),
        "disturbed": [],
        "without": {"torch": "torch has no such thing"},
        "notes": [],
    }
    if flops:
        row["gflops"] = {"fastnn": 200.0, "numpy": 50.0, "jax": 100.0}
    return row | changes


def content(*rows: dict[str, Any], ceilings: bool = True) -> dict[str, Any]:
    top = {"threads": 2, "isa": "x86_v4", "fma_gflops": None, "dram_gb_per_s": None}
    if ceilings:
        top |= {"fma_gflops": 400.0, "dram_gb_per_s": 50.0}
    curve = {"131072": 300.0, "16777216": 100.0, "268435456": 50.0} if ceilings else {}
    return {
        "fastnn": "1",
        "machine": {"cpu": "made up", "cores": 2, "caches": {"L1": "48K"}, "system": "Linux"},
        "effort": "quick",
        "load": 0.1,
        "device": "cpu",
        "versions": {"fastnn": {"fastnn": "1"}},
        "missing": {"jax": "jax: No module named 'jax'"},
        "ceilings": [top | {"copy_gb_per_s": curve}],
        "rows": list(rows),
    }


def test_it_measures_outside_of_the_checkout(tmp_path: Path) -> None:
    only = ["--only", "mm-64x64-64x64", "--only", "logreg"]
    files = ["--json", "a.json", "--plot", "a.png"]
    flags = ["--quick", "--peers", "numpy", "--threads", "1,2", *only, *files]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "fastnn", "bench", *flags],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mm-64x64-64x64 + backward, 2 threads: " in done.stdout
    report = json.loads((tmp_path / "a.json").read_text("utf-8"))
    names = [(row["name"], row["threads"]) for row in report["rows"]]
    one = ["logreg", "mm-64x64-64x64", "mm-64x64-64x64 + backward"]
    assert names == [(name, threads) for threads in (1, 2) for name in one]
    product = report["rows"][1]
    assert set(product["times_us"]) == {"fastnn", "numpy"}
    assert product["ratios"]["numpy"]["minimum"] > 0
    assert product["cost"]["flops"] == 2 * 64**3
    assert report["rows"][2]["cost"]["flops"] == 6 * 64**3
    assert "no gradients" in report["rows"][2]["without"]["numpy"]
    if _backend.cpu is not None:
        for threads, top in zip((1, 2), report["ceilings"], strict=True):
            peaks = [r["fma_peak_gflops"] for r in report["rows"] if r["threads"] == threads]
            assert top["fma_gflops"] >= max(peaks) > 0
        for row in report["rows"]:  # the whole step, too
            share = row["floor_us"] / row["times_us"]["fastnn"]["median"]
            assert row["share_of_ceiling"]["median"] == pytest.approx(share, rel=0.3)
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--peers", "numpyy"], "expected some of numpy, torch"),
        (["--peers", "fastnn-plain"], "expected some of numpy, torch"),
        (["--threads", "0"], "from 1 to 1024"),
        (["--threads", "1,x"], "from 1 to 1024"),
        (["--only", "no-such-case"], "--only to name one of logreg"),
        (["--device", "tpu"], "invalid choice"),
        (["--json", "none/a.json"], "a folder that is there"),
        (["--json", "/proc/a.json"], "expected a file that can be written"),
        (["--json", "."], "expected a file that can be written"),
        (["--plot", "a.xyz"], "expected a name that ends with one of"),
        (["--peer-python", "torch"], "then =PATH"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_measured(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--plot" in flags:
        pytest.importorskip("matplotlib")
    assert status_of(*flags) == 2
    assert message in capsys.readouterr().err


def status_of(*flags: str) -> int:
    try:
        return main(["bench", *flags])
    except SystemExit as stop:
        return int(stop.code or 0)


def test_a_plot_without_matplotlib_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "fastnn.cli.bench.plots", None)
    assert status_of("--plot", str(tmp_path / "a.png")) == 2
    assert "pip install matplotlib" in capsys.readouterr().err


ONE_CASE = ["--quick", "--only", "mm-64x64-64x64", "--peers", "numpy", "--threads", "1"]


@pytest.mark.parametrize(
    "error",
    [
        Disagreement("numpy and fastnn disagree"),
        OSError(errno.ENOSPC, "No space left on device", "inputs.npz"),
    ],
)
def test_what_goes_wrong_with_one_case_does_not_end_the_others(
    error: Exception,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def measure(session: Any, subject: Any, _peers: Any, threads: int) -> dict[str, Any]:
        if subject.pass_ == "forward":
            raise error
        session.watch(session.worker("fastnn", threads).about["isa"], threads).best_many = 1e6
        return {k: v for k, v in result().items() if k not in ("name", "threads")}

    monkeypatch.setattr(command, "measure", measure)
    monkeypatch.setattr(ceilings, "_sizes", lambda: (2**17, 2**20))
    assert main(["bench", *ONE_CASE, "--json", str(tmp_path / "a.json")]) == 1
    out = capsys.readouterr().out
    assert f"mm-64x64-64x64: {error}" in out
    assert "mm-64x64-64x64 + backward, 1 thread: 10 us" in out
    report = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert report["ceilings"][0]["fma_gflops"] == 1e6, "the best rate of the whole run"


def test_what_was_measured_before_an_interrupt_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(_session: Any, subject: Any, *_: Any) -> dict[str, Any]:
        if subject.pass_ != "forward":
            raise KeyboardInterrupt
        return {k: v for k, v in result().items() if k not in ("name", "threads")}

    monkeypatch.setattr(command, "measure", measure)
    monkeypatch.setattr(ceilings, "_sizes", lambda: (2**17, 2**20))
    assert main(["bench", *ONE_CASE, "--json", str(tmp_path / "a.json")]) == 130
    assert "interrupted" in capsys.readouterr().err
    rows = json.loads((tmp_path / "a.json").read_text("utf-8"))["rows"]
    assert [row["name"] for row in rows] == ["mm-64x64-64x64"]


def test_without_a_gpu_cuda_is_refused_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    if _backend.cupy is not None:
        pytest.skip("there is one")
    assert main(["bench", "--device", "cuda", "--only", "mm-64x64-64x64"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "expected a GPU" in line
    assert line.endswith("use --device cpu")


def test_plain_lines() -> None:
    out = io.StringIO()
    report = make_report(2, out)
    assert type(report) is Report
    with report:
        report.doing("nothing to see")
        report.row(result())
        report.row(result("relu", None, disturbed=["2 of 5 rounds disturbed"], times_us={
            "fastnn": summary(2.5e6)}, ratios={}, gb_per_s={"fastnn": 12.0}))  # fmt: skip
        report.row(result(without={"torch-compile": "torch.compile failed: no g++"}))
        report.summary([result(), result(disturbed=["busy"])])
    lines = out.getvalue().splitlines()
    assert lines[0] == (
        "mm, 2 threads: 10 us ±15 %, least 10 us | 200 GFLOP/s | 80 % of the ceiling (8 us) | "
        "0.25 [0.23, 0.30] of numpy (40 us) | 0.50 [0.45, 0.60] of jax (20 us)"
    )
    assert lines[1].startswith("relu, 2 threads: 2.5 s ±15 %, least 2.5 s | 12 GB/s")
    assert lines[2].strip() == "disturbed: 2 of 5 rounds disturbed"
    assert "torch-compile: torch.compile failed: no g++" in lines[4]
    assert lines[5].startswith("1 of 2 results are from a disturbed machine")
    assert best_peer(result()) == "jax"
    assert best_peer(result(times_us={"fastnn": summary(1.0)})) is None


def test_the_heading_names_ceilings_versions_and_missing_peers() -> None:
    whole = content()
    whole["missing"] |= {name: f"{name}: expected torch" for name in ("torch", "torch-tuned")}
    text = "\n".join(heading(whole, ""))
    for part in ("400 GFLOP/s", "DRAM copy 50 GB/s", "fastnn: fastnn 1", "not timed: jax"):
        assert part in text
    assert "not timed: torch, torch-tuned: expected torch" in text
    assert "no native module" in "\n".join(heading(content(ceilings=False), "no native module"))


def test_table_and_bar_on_a_terminal() -> None:
    rich = pytest.importorskip("rich.console")
    out = io.StringIO()
    console = rich.Console(file=out, force_terminal=True, width=160, color_system=None)
    rows = [result(), result("relu", None, disturbed=["busy"]), {
        "name": "tanh", "threads": 2, "error": "the process ended", "disturbed": [], "without": {},
    }]  # fmt: skip
    with LiveReport(console, 3) as report:
        for row in rows:
            report.doing(row["name"])
            report.row(row)
    report.summary(rows)
    text = out.getvalue()
    for part in ("tanh: the process ended", "relu: busy", "time ratio", "jax 20 us", "0.50 ["):
        assert part in text
    for part in ("floor", "8 us", "of ceiling", "80 %"):
        assert part in text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("no_color", [True, False])
def test_no_color(monkeypatch: pytest.MonkeyPatch, no_color: bool) -> None:
    pytest.importorskip("rich")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    report = make_report(1, Terminal())
    assert isinstance(report, LiveReport)
    report.summary([result()])
    assert isinstance(report.stream, Terminal)
    colours = re.findall("\x1b\\[[0-9;]*3[0-9]", report.stream.getvalue())
    assert bool(colours) != no_color


@pytest.mark.parametrize(("ceilings", "count"), [(True, 0), (True, 60), (False, 2)])
def test_the_drawing(tmp_path: Path, ceilings: bool, count: int) -> None:
    pytest.importorskip("matplotlib")
    from fastnn.cli.bench.plots import save  # noqa: PLC0415

    rows = [result(f"case {i}", 2e6 if i % 2 else None) for i in range(count)]
    if rows:
        rows[-1]["ratios"], rows[-1]["times_us"] = {}, {"fastnn": summary(10.0)}
    save(tmp_path / "a.svg", content(*rows, ceilings=ceilings))
    drawn = (tmp_path / "a.svg").read_text("utf-8")
    # matplotlib writes every text into a comment beside its outlines.
    texts = re.findall(r"<!-- (.*?) -->", drawn)
    for unit in ("FLOP/B", "GFLOP/s", "GB/s", "MiB", "Winograd's", "mostly reads"):
        assert any(unit in text for text in texts), unit
    assert ("fastnn" in texts) == bool(rows), "the legend"
    for i in range(1, count + 1):
        assert f"case {i - 1}  {i}" in texts


@pytest.mark.parametrize("count", [3, 60])
def test_no_text_of_the_drawing_is_cut_or_covers_another(count: int) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415

    from fastnn.cli.bench.plots import figure_of  # noqa: PLC0415

    name = "a name as long as those of convolutions are: "  # takes its width from the rooflines
    rows = [result(f"{name}{i}", 2e6 if i % 2 else None) for i in range(count)]
    figure = figure_of(content(*rows, ceilings=True))
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [t for axes in figure.axes for t in (axes.title, axes.xaxis.label, axes.yaxis.label)]
    boxes = {t.get_text(): t.get_window_extent(renderer) for t in texts if t.get_text()}
    assert len(boxes) == 8
    for text, box in boxes.items():
        assert box.x0 >= 0, text
        assert box.x1 <= figure.bbox.width, text
        others = [other for another, other in boxes.items() if another != text]
        assert not any(box.overlaps(other) for other in others), text


@pytest.mark.parametrize("first", [10, 110])
def test_numbers_of_dots_do_not_cover_each_other(first: int) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    from fastnn.cli.bench.plots import _number_dots  # noqa: PLC0415

    figure = Figure(figsize=(6, 5))
    axes: Any = figure.add_subplot()
    axes.set(xscale="log", yscale="log", xlim=(1, 1000), ylim=(1, 1000))
    # Three columns of four dots, two of which coincide in each.
    points = [(10.0 ** (1 + i % 3 / 2), 10.0 + 30 * (i // 6), i + first) for i in range(12)]
    # And two dots between which a number of two digits has room, and one of three has not.
    points += [(300.0, 500.0, first + 12), (300.0 * 10**0.1711, 500.0, first + 13)]
    _number_dots(axes, points)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert sorted(text.get_text() for text in axes.texts) == [str(first + i) for i in range(14)]
    dots = [axes.transData.transform((x, y)) for x, y, _ in points]
    radius = 3.2 * figure.dpi / 72  # of a dot of 30 square points and its edge
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        for x, y in dots:
            dx = max(box.x0 - x, 0, x - box.x1)
            dy = max(box.y0 - y, 0, y - box.y1)
            assert (dx**2 + dy**2) ** 0.5 >= radius
