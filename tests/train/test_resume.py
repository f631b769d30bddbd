# SPDX-License-Identifier: BSD-3-Clause
"""Runs that are killed or interrupted, and resumed: the same bits as a run that never stopped."""

from __future__ import annotations

import csv
import json
import random
import signal
import subprocess
import sys

import pytest

from fastnn.cli import main
from fastnn.train import load_checkpoint

BATCH, STEPS, EPOCHS = 64, 23, 3  # 1438 training images
FLAGS = ["train", "digits", "--model", "mlp", "--batch-size", str(BATCH), "--seed", "3"]

# Kills itself in the middle of a step: the gradients are there, the weights not yet changed.
KILLED = """
import os, signal, sys
from fastnn.cli import main
from fastnn.train import Classifier
last, calls, whole = int(sys.argv.pop(1)), 0, Classifier.compute
def compute(self, batch):
    global calls
    calls += 1
    if calls == last:
        self.optimizer.step = lambda: os.kill(os.getpid(), signal.SIGKILL)
    return whole(self, batch)
Classifier.compute = compute
sys.exit(main())
"""


def command(script, *arguments):
    return [sys.executable, "-c", script, *map(str, arguments)]


def rows(folder):
    with (folder / "log.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    for row in found:
        del row["seconds"], row["samples_per_second"]
    return found


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def unbroken_runs(tmp_path_factory):
    """The folder of a run that was never stopped, by the name of its network."""
    made = {}

    def run(model):
        if model not in made:
            folder = tmp_path_factory.mktemp("unbroken") / "run"
            flags = [*FLAGS, "--model", model, "--epochs", str(EPOCHS)]
            assert main([*flags, "--out", str(folder)]) == 0
            made[model] = folder
        return made[model]

    return run


@pytest.fixture
def unbroken(unbroken_runs):
    return unbroken_runs("mlp")


# What texts lose at a kill is tested with their job.
@pytest.mark.parametrize(
    ("model", "seconds"), [("mlp", 0), ("cnn", 0), ("cnn", 0.01), ("mlp", 0.01), ("cnn", 60)]
)
def test_killed_at_a_random_step_and_resumed(tmp_path, unbroken_runs, model, seconds):
    unbroken = unbroken_runs(model)
    step = random.SystemRandom().randint(2, EPOCHS * STEPS)
    out = tmp_path / "run"
    arguments = [*FLAGS, "--model", model, "--epochs", EPOCHS, "--out", out]
    arguments += ["--checkpoint-seconds", seconds]
    killed = subprocess.run(command(KILLED, step, *arguments), capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (out / "model.safetensors").exists()
    position = load_checkpoint(out / "checkpoint.safetensors")["position"]
    if seconds == 0:  # one after every step
        assert (position["epoch"] - 1) * STEPS + position["step"] == step - 1

    assert main(["train", "digits", "--resume", str(out)]) == 0
    assert weights(out) == weights(unbroken), f"killed in step {step}"
    assert rows(out) == rows(unbroken)
    assert json.loads((out / "config.json").read_text())["status"] == "finished"
    assert not list(out.glob(".*"))


def short(folder, epochs=1):
    assert main([*FLAGS, "--epochs", str(epochs), "--out", str(folder)]) == 0
    return folder


def test_a_row_that_was_written_after_the_checkpoint_comes_once(tmp_path, unbroken):
    out = short(tmp_path / "run", EPOCHS)
    old = (out / "checkpoint.safetensors").read_bytes()
    assert main(["train", "digits", "--resume", str(out), "--epochs", str(EPOCHS + 1)]) == 0
    (out / "checkpoint.safetensors").write_bytes(old)
    assert len(rows(out)) == EPOCHS + 1
    assert main(["train", "digits", "--resume", str(out)]) == 0
    assert [row["epoch"] for row in rows(out)] == ["1", "2", "3"]
    assert rows(out) == rows(unbroken)


def test_a_finished_run_can_be_made_longer(tmp_path, capsys):
    out = short(tmp_path / "run")
    assert main(["train", "digits", "--resume", str(out), "--epochs", "2"]) == 0
    assert "resumed in epoch 2, after step 0" in capsys.readouterr().out
    assert [row["epoch"] for row in rows(out)] == ["1", "2"]
    assert json.loads((out / "config.json").read_text())["flags"]["epochs"] == 2


@pytest.mark.parametrize(
    ("task", "flags", "text"),
    [
        ("digits", ["--model", "cnn"], "--model: expected mlp, with which the run in"),
        ("digits", ["--seed", "4"], "--seed: expected 3, with which the run in"),
        ("digits", ["--batch-size", "32"], "was started, got 32; leave --batch-size out"),
        ("digits", ["--lr", "0.5"], "--lr: expected 0.002, with"),
        ("digits", ["--epochs", "1"], "--epochs: expected 2, with which the run in"),
        ("mnist", [], "is of the task digits, not mnist"),
    ],
)
def test_another_run_is_not_resumed(tmp_path, capsys, task, flags, text):
    out = short(tmp_path / "run", 2)
    before = {entry.name: entry.read_bytes() for entry in out.iterdir()}
    capsys.readouterr()
    assert main(["train", task, "--resume", str(out), *flags]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert text in error
    assert {entry.name: entry.read_bytes() for entry in out.iterdir()} == before


def test_the_same_flags_may_be_given_again(tmp_path):
    out = short(tmp_path / "run")
    assert main([*FLAGS, "--resume", str(out), "--epochs", "1", "--checkpoint-seconds", "3"]) == 0


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda out: (out / "checkpoint.safetensors").unlink(), "no run that can be resumed"),
        (lambda out: (out / "config.json").unlink(), "no run that can be resumed"),
        (lambda out: (out / "config.json").write_text("{"), "no run that can be resumed"),
        (
            lambda out: (out / "config.json").write_text("[]"),
            "expected the configuration of a run in",
        ),
        (lambda out: (out / "checkpoint.safetensors").write_bytes(b"x" * 99), "cannot be read"),
    ],
)
def test_a_damaged_folder_is_named(tmp_path, capsys, damage, text):
    out = short(tmp_path / "run")
    damage(out)
    capsys.readouterr()
    assert main(["train", "digits", "--resume", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert text in error


def test_resume_and_out_exclude_each_other(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["train", "digits", "--resume", str(tmp_path), "--out", str(tmp_path)])
    assert "not allowed with argument" in capsys.readouterr().err


def test_a_full_disk_leaves_the_checkpoint_of_a_resumed_run(tmp_path):
    out = short(tmp_path / "run")
    before = (out / "checkpoint.safetensors").read_bytes()
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
        "from fastnn.cli import main; sys.exit(main())"
    )
    arguments = ["train", "digits", "--resume", out, "--epochs", 2]
    done = subprocess.run(command(limited, *arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    path = out / "checkpoint.safetensors"
    assert f"{path}: File too large; make room, then go on with fastnn train" in done.stderr
    assert done.stderr.count("\n") == 1
    assert json.loads((out / "config.json").read_text())["status"] == "failed"
    assert (out / "checkpoint.safetensors").read_bytes() == before
    assert main(["train", "digits", "--resume", str(out), "--epochs", "2"]) == 0
