# SPDX-License-Identifier: BSD-3-Clause
"""What a run shows: plain lines, the live bar, NO_COLOR, no rich."""

from __future__ import annotations

import io
import re
import sys

import pytest

from fastnn.train import BatchStats, EpochResult
from fastnn.train.progress import LiveProgress, PlainProgress, make_progress

METRICS = {"train_loss": 0.25, "train_accuracy": 0.5, "test_loss": 1.0, "test_accuracy": 1.0}
LINE = "train loss 0.2500 accuracy  50.0 %, test loss 1.0000 accuracy 100.0 %"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def terminal_environment(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


def show(progress, monkeypatch):
    monkeypatch.setattr("fastnn.train.progress._REDRAW_SECONDS", 0.0)
    progress.line("[bold]not markup[/bold] 10:20:30 /a/b")
    progress.on_fit_start(12, 2)
    progress.on_batch_end(1, 1, BatchStats(4, {"loss": 2.0}))
    progress.on_epoch_end(EpochResult(1, METRICS, 8, 0.1))
    progress.on_fit_end()
    return progress.stream.getvalue()


def test_plain_lines_in_a_pipe(monkeypatch):
    progress = make_progress(io.StringIO())
    assert type(progress) is PlainProgress
    text = show(progress, monkeypatch)
    assert text == f"[bold]not markup[/bold] 10:20:30 /a/b\nepoch  1/12: {LINE}\n"


def test_live_bar_on_a_terminal(monkeypatch):
    pytest.importorskip("rich")
    progress = make_progress(Terminal())
    assert isinstance(progress, LiveProgress)
    text = show(progress, monkeypatch)
    assert "\x1b[2K" in text  # it redraws in place
    assert "loss 0.5000" in text
    assert f"epoch  1/12: {LINE}" in text
    assert "[bold]not markup[/bold] 10:20:30 /a/b\n" in text


def sets_colour(text):
    return re.search(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]", text) is not None


def test_no_color_is_honoured(monkeypatch):
    pytest.importorskip("rich")
    assert sets_colour(show(make_progress(Terminal()), monkeypatch))
    monkeypatch.setenv("NO_COLOR", "1")
    text = show(make_progress(Terminal()), monkeypatch)
    assert "\x1b[2K" in text
    assert not sets_colour(text)


def test_plain_lines_on_a_dumb_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert type(make_progress(Terminal())) is PlainProgress


def test_plain_lines_without_rich(monkeypatch):
    for module in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "rich", None)
    assert type(make_progress(Terminal())) is PlainProgress
