# SPDX-License-Identifier: BSD-3-Clause
"""The files of ``fastnn bench``, and peers that are not there or compute something else."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from fastnn.cli import main
from fastnn.cli.bench import ceilings, command, files, measure
from fastnn.cli.bench.cases import find
from fastnn.cli.bench.report import Report, duration
from fastnn.cli.bench.session import QUICK, Session

FLAGS = ["--quick", "--only", "mm-64x64-64x64", "--threads", "1"]


def status_of(*flags: str) -> int:
    try:
        return main(["bench", *FLAGS, *flags])
    except SystemExit as stop:
        return int(stop.code or 0)


def fill(_arguments: Any, _subjects: Any, _given: Any, content: Any, _report: Any) -> None:
    content["rows"].append({"name": "mm", "error": "ended", "disturbed": [], "without": {}})


def test_a_file_is_replaced_whole_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, link = tmp_path / "a.json", tmp_path / "b.json"
    path.write_text("old", encoding="utf-8")
    link.symlink_to(path)
    files.write(link, b"new")
    assert link.is_symlink()
    assert path.read_text("utf-8") == "new"

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*a\.json"):
        files.write(path, b"newer")
    assert path.read_text("utf-8") == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "b.json"]


def test_a_device_is_written_and_not_replaced() -> None:
    files.write(Path(os.devnull), b"nothing")
    assert Path(os.devnull).is_char_device()


def test_a_pipe_is_written_to_under_any_name() -> None:
    content = b"x" * 300_000  # more than it holds
    reader, writer = os.pipe()
    name = f"/dev/fd/{writer}"  # which resolves to the name of no file
    if not Path(name).exists():
        pytest.skip("no /dev/fd")
    got: list[bytes] = []
    with os.fdopen(reader, "rb") as stream:
        thread = threading.Thread(target=lambda: got.append(stream.read()))
        thread.start()
        files.write(files.writable(name), content)
        os.close(writer)
        thread.join()
    assert got == [content]


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no /dev/stdout")
def test_the_file_that_output_goes_to_is_not_replaced(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from fastnn.cli.bench import files; print('before', flush=True);"
        "files.write(files.writable('/dev/stdout'), b'result\\n'); print('after')"
    )
    with (tmp_path / "a.txt").open("wb") as output:
        subprocess.run([sys.executable, "-c", code], stdout=output, check=True)
    assert (tmp_path / "a.txt").read_text("utf-8") == "before\nresult\nafter\n"


def test_the_files_come_before_the_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Report):
        def summary(self, rows: Any) -> None:
            assert rows
            raise BrokenPipeError

    monkeypatch.setattr(command, "_measure_all", fill)
    monkeypatch.setattr(command, "make_report", lambda *_: Broken())
    monkeypatch.setattr("fastnn.cli._drop_output", lambda: None)
    assert status_of("--json", str(tmp_path / "a.json")) == 141
    assert "ended" in (tmp_path / "a.json").read_text("utf-8")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_file_that_cannot_be_written_does_not_take_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plots = pytest.importorskip("fastnn.cli.bench.plots")
    monkeypatch.setattr(command, "_measure_all", fill)
    monkeypatch.setattr(plots, "save", lambda path, _: path.write_text("drawn"))
    assert status_of("--json", "/dev/full", "--plot", str(tmp_path / "a.PNG")) == 1
    assert "/dev/full" in capsys.readouterr().err
    assert (tmp_path / "a.PNG").read_text("utf-8") == "drawn"

    def fail(*_: Any) -> None:
        message = "no LaTeX"
        raise RuntimeError(message)

    monkeypatch.setattr(plots, "save", fail)
    assert status_of("--plot", str(tmp_path / "b.png")) == 1
    assert "b.png: no LaTeX" in capsys.readouterr().err


def test_a_drawing_that_needs_another_program_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("matplotlib")
    assert status_of("--plot", "b.pgf") == 2
    assert "expected a name that ends with one of" in capsys.readouterr().err


def test_a_peer_that_is_named_and_not_installed_ends_the_run_at_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "$@"\n', encoding="utf-8")
    bare.chmod(0o755)
    rows: list[Any] = []
    monkeypatch.setattr(command, "_row", lambda *_: rows.append(1))
    assert status_of("--peers", "torch", "--peer-python", f"torch={bare}") == 1
    assert "install it there" in capsys.readouterr().err
    assert not rows


def test_one_wrong_peer_is_left_out_of_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ceilings, "_sizes", lambda: (2**17, 2**20))
    monkeypatch.setattr(measure.Subject, "disagreement", lambda *_: "it differs")
    subject = find(["mm-64x64-64x64"])[0]
    with Session(tmp_path, QUICK, {}) as session:
        row = measure.measure(session, subject, ["numpy"], 1)
    assert set(row["times_us"]) == {"fastnn"}
    assert row["wrong"] == row["failed"] == ["numpy"]
    assert "it differs" in row["without"]["numpy"]


@pytest.mark.parametrize(
    ("us", "text"),
    [(999.4, "999 us"), (999.7, "1 ms"), (999.7e3, "1 s"), (12.34, "12.3 us"), (5e9, "5000 s")],
)
def test_a_duration_has_the_unit_that_suits(us: float, text: str) -> None:
    assert duration(us) == text
