# SPDX-License-Identifier: BSD-3-Clause
"""Flags of ``fastnn train`` that are wrong or too large: one sentence, and no folder is made."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from fastnn.cli import _args, main, tasks


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
        (
            ["--checkpoint-seconds=-1"],
            "--checkpoint-seconds: expected a finite number of at least 0, got '-1'; write for",
        ),
        (["--checkpoint-seconds", "nan"], "expected a finite number of at least 0, got 'nan'"),
        (["--checkpoint-seconds", "soon"], "expected a finite number of at least 0, got 'soon'"),
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


@pytest.mark.parametrize("text", ["0", "0.0", "0.00", "-0", "0e0", " 0 "])
def test_zero_seconds_however_written(text):
    assert str(_args.seconds(text)) == "0.0"


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
    error = refused(["train", "text", "--data", str(text_file), *flags], capsys)
    assert text in error
    assert error.count("; ") == 1
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


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "make room, then start again"),
        (errno.EDQUOT, "make room, then start again"),
        (errno.EROFS, "make it writable, then start again"),
        (errno.EACCES, "make it writable, then start again"),
        (errno.EEXIST, "move it away, then start again"),
        (errno.EISDIR, "move it away, then start again"),
        (errno.EIO, "see to the disk, then start again"),
    ],
)
def test_the_remedy_is_for_what_went_wrong(tmp_path, capsys, monkeypatch, code, remedy):
    def compute(*_):
        raise OSError(code, os.strerror(code), "place")

    monkeypatch.setattr("fastnn.train.Checkpointer.save", compute)
    assert main(["train", "digits", "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert f"cannot write the run: place: {os.strerror(code)}; {remedy}" in error
    assert error.count("\n") == 1


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))  # were it read, then not into all memory
from fastnn.cli import main
sys.exit(main())
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX files")
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("device", "expected a regular file, got /dev/zero, which is a device; name a file"),
        ("pipe", "which is a pipe; name a file with the text"),
        ("folder", "which is a folder; name a file with the text"),
        ("sparse", "of 8,192 GiB, which needs at least 32,768 GiB as numbers; take a part"),
    ],
)
def test_data_that_cannot_be_read_to_an_end(tmp_path, kind, text):
    data = tmp_path / "data"
    if kind == "device":
        data = "/dev/zero"
    elif kind == "pipe":
        os.mkfifo(data)
    elif kind == "folder":
        data.mkdir()
    else:
        data.touch()
        os.truncate(data, 2**43)
    command = [sys.executable, "-c", LIMITED, "train", "text", "--data", str(data)]
    command += ["--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("fastnn train text: error: read_text: expected a ")
    assert text in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_out_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "run"
    assert main(["train", "digits", "--epochs", "1", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{out}: expected a folder that can be written, got an error: Not a dir" in error
    assert "; choose another folder with --out" in error
