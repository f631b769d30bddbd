# SPDX-License-Identifier: BSD-3-Clause
"""Flags of ``fastnn train`` that are wrong or too large: one sentence, and no folder is made."""

from __future__ import annotations

import pytest

from fastnn.cli import main, tasks


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--epochs", "0"], "--epochs: expected a whole number from 1 to 2147483647, got '0'"),
        (["--epochs", "1.5"], "--epochs: expected a whole number from 1 to 2147483647, got '1.5'"),
        (["--epochs=-3"], "--epochs: expected a whole number from 1 to 2147483647, got '-3'"),
        (
            ["--batch-size", "0"],
            "--batch-size: expected a whole number from 1 to 2147483647, got '0'",
        ),
        (["--batch-size", "1" + "0" * 30], "--batch-size: expected a whole number from 1 to"),
        (["--epochs", "1" + "0" * 5000], "--epochs: expected a whole number from 1 to"),
        (["--lr", "1e400"], "--lr: expected a finite number above 0, got '1e400'"),
        (["--lr=-0.1"], "--lr: expected a finite number above 0, got '-0.1'"),
        (["--lr", "nan"], "--lr: expected a finite number above 0, got 'nan'"),
        (["--lr", "inf"], "--lr: expected a finite number above 0, got 'inf'"),
        (["--lr", "fast"], "--lr: expected a finite number above 0, got 'fast'"),
        (["--seed=-1"], "--seed: expected a whole number from 0 to 2**64 - 1, got '-1'"),
        (["--checkpoint-seconds=-1"], "--checkpoint-seconds: expected a finite number above 0"),
        (["--model", "transformer"], "--model: invalid choice: 'transformer' (choose from"),
        (["--speed", "11"], "unrecognized arguments: --speed 11"),
    ],
)
def test_bad_flags(flags, text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_info:
        main(["train", "digits", *flags])
    assert exit_info.value.code == 2
    assert text in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [[], ["train"], ["train", "cats"], ["fly"]])
def test_a_missing_or_unknown_command(arguments, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 2
    assert "usage: fastnn" in capsys.readouterr().err


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("to be or not to be. " * 40, "utf-8")
    return path


def refused(arguments, capsys):
    """The one line of a run that is refused as wrong usage."""
    try:
        status = main(arguments)
    except SystemExit as left:
        status = left.code
    assert status == 2
    error = capsys.readouterr().err
    if not error.startswith("usage:"):
        assert error.count("\n") == 1
    assert "Traceback" not in error
    return error


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--hidden-size", "10000000"], "a step would need at least 5,960"),
        (["--hidden-size", "2147483647", "--model", "rnn"], "choose a smaller --hidden-size"),
        (["--embedding-size", "2147483647"], "choose a smaller --hidden-size, --embedding-size"),
        (["--layers", "1000", "--hidden-size", "1000000"], "a step would need at least"),
        (["--layers", "1001"], "--layers: expected a whole number from 1 to 1000, got '1001'"),
        (["--bptt", "9" * 40], "--bptt: expected a whole number from 1 to 2147483647"),
        (["--sample-length", "1000001"], "--sample-length: expected a whole number from 1 to"),
        (["--batch-size", "2147483647"], "do not make 2147483647 pieces"),
    ],
)
def test_sizes_beyond_any_memory(text_file, tmp_path, capsys, flags, text):
    out = tmp_path / "run"
    flags = ["--batch-size", "4", *flags, "--out", str(out)]
    assert text in refused(["train", "text", "--data", str(text_file), *flags], capsys)
    assert not out.exists()


def test_memory_that_is_refused_later_is_a_sentence(tmp_path, capsys, monkeypatch):
    def build(arguments):
        del arguments
        message = "Unable to allocate 3 TiB"
        raise MemoryError(message)

    monkeypatch.setattr(tasks.digits, "build", build)
    error = refused(["train", "digits", "--out", str(tmp_path / "run")], capsys)
    assert "not enough memory: Unable to allocate 3 TiB; make the sizes smaller" in error


def test_memory_that_ends_in_the_middle_of_a_run(tmp_path, capsys, monkeypatch):
    def compute(*_):
        raise MemoryError

    monkeypatch.setattr("fastnn.train.Classifier.compute", compute)
    assert main(["train", "digits", "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "not enough memory" in error
    assert error.count("\n") == 1
    assert '"status": "failed"' in (tmp_path / "config.json").read_text()


def test_out_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "run"
    assert main(["train", "digits", "--epochs", "1", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{out}: expected a folder that can be written, got an error: Not a dir" in error
    assert "; choose another folder with --out" in error
