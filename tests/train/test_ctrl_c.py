# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C in a run, also in the middle of a long native call: a checkpoint, status 130, and a run
that goes on to the bits of one that was never stopped."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from checkpoint_runs import make
from fastnn.cli import main
from fastnn.cli._training import Run, _stop
from fastnn.train import Checkpointer, RunFolder, SavePoint, load_checkpoint

# argv: what is busy (a method of the learner, or the writing of files), in which call of it,
# what it does (hash: half a minute, signals or not; gemm: a product of a good second), the grace
# (0: the usual).
BUSY = """
import functools, hashlib, os, sys, time
import fastnn
from fastnn.cli import _training, main
from fastnn.train import Classifier, DeferredInterrupt, language
from fastnn.cli.tasks import text
where, number, kind, grace = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
del sys.argv[1:5]
if grace:
    _training.DeferredInterrupt = functools.partial(DeferredInterrupt, grace=grace)
def work():
    if kind == "gemm":
        a, start = fastnn.ones(1500, 1500, dtype=fastnn.float64), time.perf_counter()
        a @ a
        each = time.perf_counter() - start
        n = int(1500 * min(3.5, max(1.0, (1.1 / each) ** (1 / 3))))
        a = fastnn.ones(n, n, dtype=fastnn.float64)
        print("busy", flush=True)
        a @ a
    else:
        print("busy", flush=True)
        hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000_000)
def then_busy(whole):
    calls = []
    @functools.wraps(whole)
    def run(*args, **keywords):
        calls.append(1)
        if len(calls) == number and where in ("fsync", "sample"):
            work()
        result = whole(*args, **keywords)
        if len(calls) == number:
            work()
        return result
    return run
if where == "fsync":
    os.fsync = then_busy(os.fsync)
elif where == "sample":
    text.sample_text = then_busy(text.sample_text)
else:
    for learner in (Classifier, language.LanguageLearner):
        setattr(learner, where, then_busy(getattr(learner, where)))
sys.exit(main())
"""

JOBS = {
    "cnn": ["digits", "--batch-size", "256", "--seed", "3"],  # 6 steps an epoch
    "text": [  # 13 of them
        *("text", "--hidden-size", "16", "--layers", "2", "--dropout", "0.2"),
        *("--batch-size", "4", "--bptt", "24", "--sample-length", "20"),
    ],
}
OFTEN, SELDOM = ["--checkpoint-seconds", "0"], ["--checkpoint-seconds", "600"]


@pytest.fixture(scope="module")
def whole_runs(tmp_path_factory):
    """Flags and the folder of a run that was never stopped, by its job."""
    made = {}

    def run(job):
        if job not in made:
            folder = tmp_path_factory.mktemp("whole")
            flags = ["train", *JOBS[job], "--epochs", "2"]
            if job == "text":
                path = folder / "text.txt"
                path.write_text("the quick brown fox jumps over the lazy dog.\n" * 30, "utf-8")
                flags += ["--data", str(path)]
            assert main([*flags, "--out", str(folder / "run")]) == 0
            made[job] = flags, folder / "run"
        return made[job]

    return run


def interrupted(flags, busy, signals=1):
    """Ctrl-C a moment after the call has begun; (seconds until the process ended, stderr)."""
    with subprocess.Popen(
        [sys.executable, "-c", BUSY, *busy, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if line == "busy\n":
                break
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        for _ in range(signals - 1):
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
        try:
            _, error = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == 130, error
    assert error.count("\n") == 1
    return time.monotonic() - start, error


def done(out):
    position = load_checkpoint(out / "checkpoint.safetensors")["position"]
    return position["epoch"], position["step"]


def ended_like(out, whole, task):
    """It is marked as interrupted, nothing is left over, and goes on to the same files."""
    assert json.loads((out / "config.json").read_text())["status"] == "interrupted"
    assert not list(out.glob(".*"))
    assert main(["train", task, "--resume", str(out)]) == 0
    names = ["model.safetensors"]
    names += [f"samples/epoch-00{n}.txt" for n in (1, 2)] if task == "text" else []
    for name in names:
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.parametrize(
    ("kind", "grace", "step", "said"),
    [("gemm", 60, 4, "weights of the steps done"), ("hash", 0, 3, "was dropped")],
)
def test_in_a_long_native_call(tmp_path, whole_runs, kind, grace, step, said):
    """A step that ends in time is finished; one that does not is dropped whole."""
    flags, whole = whole_runs("cnn")
    out = tmp_path / "run"
    flags = [*flags, *SELDOM, "--out", str(out)]
    seconds, error = interrupted(flags, ["compute", "4", kind, str(grace)])
    assert seconds < 5 or grace
    assert said in error
    assert f"fastnn train digits --resume {out} goes on" in error
    assert done(out) == (1, step)
    ended_like(out, whole, "digits")


@pytest.mark.parametrize(
    ("job", "where", "number", "at"),
    [
        ("cnn", "compute", 9, (2, 2)),
        ("cnn", "evaluate", 1, (1, 6)),
        ("text", "compute", 3, (1, 2)),
        ("text", "compute", 16, (2, 2)),
        ("text", "evaluate", 2, (2, 13)),
        ("text", "sample", 1, (2, 0)),
    ],
)
def test_what_was_in_progress_is_dropped(tmp_path, whole_runs, job, where, number, at):
    flags, whole = whole_runs(job)
    out = tmp_path / "run"
    busy = [where, str(number), "hash", "0.2"]
    seconds, error = interrupted([*flags, *SELDOM, "--out", str(out)], busy)
    assert seconds < 5
    assert "was dropped" in error
    assert done(out) == at
    ended_like(out, whole, flags[1])


def test_a_second_one_leaves_at_once_with_the_last_checkpoint(tmp_path, whole_runs):
    flags, whole = whole_runs("cnn")
    out = tmp_path / "run"
    flags = [*flags, *OFTEN, "--out", str(out)]
    seconds, error = interrupted(flags, ["compute", "4", "hash", "60"], signals=2)
    assert seconds < 5
    assert "the last checkpoint stays" in error
    assert done(out) == (1, 3)
    ended_like(out, whole, "digits")


def test_a_second_one_while_a_checkpoint_is_written(tmp_path, whole_runs):
    """The one before stays, and nothing that is half written."""
    flags, whole = whole_runs("cnn")
    out = tmp_path / "run"
    flags = [*flags, *OFTEN, "--out", str(out)]
    # Two files are synced with their folder, config.json and the first checkpoint; then a step.
    seconds, error = interrupted(flags, ["fsync", "5", "hash", "60"], signals=2)
    assert seconds < 5
    assert "the last checkpoint stays" in error
    assert done(out) == (1, 0)
    ended_like(out, whole, "digits")


@pytest.mark.parametrize("at_once", [False, True])
def test_a_run_that_has_just_finished_is_left_alone(tmp_path, monkeypatch, at_once):
    """The watching thread may come too late."""
    left = []
    monkeypatch.setattr("fastnn.cli._training.os._exit", left.append)
    checkpointer = Checkpointer(tmp_path / "checkpoint.safetensors", SavePoint(make()), 10.0)
    arguments = argparse.Namespace(task="digits", epochs=3)
    folder = RunFolder.create(tmp_path / "run", {"status": "running"})
    run = Run(arguments, None, folder, checkpointer.save_point.position, {}, [])
    with checkpointer.save_point.lock:
        folder.update_config(status="finished")
    _stop(run, checkpointer, at_once)
    assert not left
    assert folder.config["status"] == "finished"
    assert not checkpointer.path.exists()
    assert checkpointer.save_point.lock.acquire(blocking=False)

    folder.update_config(status="running")
    _stop(run, checkpointer, at_once)
    assert left == [130]
    assert folder.config["status"] == "interrupted"
    assert checkpointer.path.exists() != at_once


def test_while_the_curves_are_drawn(tmp_path, monkeypatch, whole_runs, capsys):
    """The run is finished by then; only its curves are missing."""

    def save_curves(*_):
        signal.raise_signal(signal.SIGINT)

    flags, _ = whole_runs("cnn")
    monkeypatch.setattr("fastnn.cli._training.save_curves", save_curves)
    out = tmp_path / "run"
    assert main([*flags, "--epochs", "1", "--out", str(out)]) == 130
    assert capsys.readouterr().err == "fastnn: interrupted\n"
    assert json.loads((out / "config.json").read_text())["status"] == "finished"
    assert (out / "model.safetensors").exists()


@pytest.mark.parametrize("module", ["numpy", "safetensors"])
def test_while_the_modules_are_loaded(tmp_path, module):
    """No traceback, and it is not taken for a module that is missing."""
    (tmp_path / f"{module}.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    finished = subprocess.run(
        [sys.executable, "-m", "fastnn", "train", "digits", "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert (finished.returncode, finished.stderr) == (130, "fastnn: interrupted\n")
    assert not (tmp_path / "run").exists()
