# SPDX-License-Identifier: BSD-3-Clause
"""The character task: pieces, carried states, samples, resuming."""

from __future__ import annotations

import math
import random
import subprocess
import sys
import warnings

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.cli import main
from fastnn.cli.tasks.text import CharacterModel
from fastnn.train import CheckpointError, Position, fit, restore_run, run_state
from fastnn.train.language import LanguageLearner, sample_text, streams


def test_pieces_follow_each_other_and_targets_are_the_next():
    inputs, targets = streams(np.arange(12), 3)
    assert inputs.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert targets.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    with pytest.raises(ValueError, match="at least 4 characters, got 3"):
        streams(np.arange(3), 3)


class Counting(nn.Module):
    """Predicts nothing; its state is the number of characters that it has seen in each piece."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(fastnn.zeros(4))
        self.seen = []

    def forward(self, numbers, state=None):
        before = fastnn.zeros(numbers.shape[0]) if state is None else state
        self.seen.append((numbers.tolist(), before.tolist()))
        rows = fastnn.zeros(*numbers.shape, 4) + self.bias
        return rows, before + float(numbers.shape[1])


def counting():
    model = Counting()
    text = np.arange(23) % 4
    return LanguageLearner(model, optim.SGD(model.parameters(), lr=0.0), text, text[:9], 2, 4, 1.0)


def test_states_are_carried_from_step_to_step_and_dropped_between_epochs():
    learner = counting()
    result = fit(learner, 2)
    training = [seen for seen in learner.model.seen if len(seen[0]) == 2]
    assert [state for _, state in training] == [[0, 0], [4, 4], [8, 8]] * 2
    assert [len(numbers[0]) for numbers, _ in training] == [4, 4, 3] * 2
    assert result.epochs[0].samples == 22
    # Nothing is known of four characters: ln 4 nats each.
    assert result.epochs[1].metrics == pytest.approx(
        {"train_loss": math.log(4), "test_loss": math.log(4)}, rel=1e-6
    )


def test_the_position_in_the_text_is_part_of_the_state():
    learner, position = counting(), Position()
    fit(learner, 2, [], lambda: position.step == 2, position)
    state = run_state(learner, position)
    other = counting()
    fit(other, 1, position=restore_run(state, other))
    assert [s for n, s in other.model.seen if len(n) == 2][-1] == [8, 8]


@pytest.mark.parametrize("chunk", [-1, 4, "x", 10**30, None])
def test_a_position_outside_of_the_text_is_refused(chunk):
    learner = counting()
    state = run_state(learner, Position())
    state["learner"]["chunk"] = chunk
    with pytest.raises(CheckpointError, match="position in the text"):
        restore_run(state, counting())


def test_samples_follow_the_temperature():
    class Fixed(nn.Module):
        def forward(self, numbers, state=None):
            return fastnn.tensor([[[0.0, 1.0, 2.0]]]) + 0.0 * numbers[0, 0], state

    def shares(temperature):
        generator = fastnn.Generator().manual_seed(1)
        drawn = sample_text(Fixed(), 0, 4000, temperature, generator)
        return np.bincount(drawn, minlength=3) / 4000

    for temperature in (0.5, 1.0, 3.0):
        weights = np.exp(np.array([0.0, 1.0, 2.0]) / temperature)
        assert np.abs(shares(temperature) - weights / weights.sum()).max() < 0.03
    assert shares(1e-3).tolist() == [0, 0, 1]
    assert shares(1e9).min() > 0.3
    for tiny in (1e-300, 1e-308, 5e-324):  # logits divided by it have no place in a float
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert shares(tiny).tolist() == [0, 0, 1]


TEXT = "the quick brown fox jumps over the lazy dog.\n" * 30
FLAGS = ["--hidden-size", "16", "--embedding-size", "8", "--batch-size", "4", "--bptt", "16"]


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, "utf-8")
    return path


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_a_model_learns_a_text_that_repeats(text_file, tmp_path, kind, capsys):
    flags = [*FLAGS, "--epochs", "12", "--lr", "0.03", "--sample-length", "40"]
    out = tmp_path / "run"
    arguments = ["train", "text", "--data", str(text_file), "--model", kind, "--out", str(out)]
    assert main([*arguments, *flags]) == 0
    shown = capsys.readouterr().out
    last = shown.splitlines()[-1]
    assert last.startswith("held-out loss ")
    assert float(last.split()[2]) < 1.5  # of ln(28) = 3.3 at the start
    assert sorted(path.name for path in (out / "samples").iterdir()) == [
        f"epoch-{n:03d}.txt" for n in range(1, 13)
    ]
    assert all(len(path.read_text("utf-8")) == 40 for path in (out / "samples").iterdir())


def test_a_missing_file_or_flag_is_one_sentence(tmp_path, capsys):
    assert main(["train", "text", "--data", str(tmp_path / "none")]) == 2
    assert "none, which cannot be read: No such file" in capsys.readouterr().err
    (tmp_path / "short").write_text("abc", "utf-8")
    assert main(["train", "text", "--data", str(tmp_path / "short")]) == 2
    assert "do not make 64 pieces" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", "text"])
    assert "the following arguments are required: --data" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


KILLED = """
import os, signal, sys
from fastnn.cli import main
from fastnn.train.language import LanguageLearner
last, calls, whole = int(sys.argv.pop(1)), 0, LanguageLearner.compute
def compute(self, batch):
    global calls
    calls += 1
    if calls == last:
        self.optimizer.step = lambda: os.kill(os.getpid(), signal.SIGKILL)
    return whole(self, batch)
LanguageLearner.compute = compute
sys.exit(main())
"""


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_killed_at_a_random_step_and_resumed(text_file, tmp_path, kind):
    step = random.SystemRandom().randint(2, 38)  # of 2 epochs of 19
    flags = ["train", "text", "--data", str(text_file), "--model", kind, *FLAGS, "--layers", "2"]
    flags += ["--dropout", "0.2", "--epochs", "2", "--sample-length", "20"]
    assert main([*flags, "--out", str(tmp_path / "whole")]) == 0
    command = [sys.executable, "-c", KILLED, str(step), *flags, "--checkpoint-seconds", "0"]
    killed = subprocess.run(
        [*command, "--out", str(tmp_path / "run")], capture_output=True, check=False
    )
    assert killed.returncode == -9, killed.stderr.decode()
    text_file.rename(tmp_path / "moved.txt")
    again = ["train", "text", "--resume", str(tmp_path / "run")]
    assert main(again) == 2  # the text is not where it was
    assert main([*again, "--data", str(tmp_path / "moved.txt")]) == 0
    for name in ("model.safetensors", "samples/epoch-001.txt", "samples/epoch-002.txt"):
        found = (tmp_path / "run" / name).read_bytes()
        assert found == (tmp_path / "whole" / name).read_bytes(), f"killed in step {step}"


def test_a_run_is_not_resumed_with_another_text(text_file, tmp_path, capsys):
    flags = ["train", "text", "--data", str(text_file), *FLAGS, "--epochs", "1"]
    assert main([*flags, "--out", str(tmp_path / "run")]) == 0
    text_file.write_text(TEXT.replace("fox", "cat"), "utf-8")
    capsys.readouterr()
    assert main(["train", "text", "--resume", str(tmp_path / "run")]) == 2
    assert "of its run" in capsys.readouterr().err


def test_a_carried_state_of_another_shape_is_refused():
    def learner():
        model = CharacterModel("lstm", 4, 3, 5, 1, 0.0)
        text = np.arange(60) % 4
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        return LanguageLearner(model, optimizer, text, text[:9], 2, 8, 1.0)

    first = learner()
    stats = first.compute(next(iter(first.batches())))
    first.update()
    position = Position()
    position.add(stats)
    state = run_state(first, position)
    restore_run(state, learner())
    state["learner"]["carried"] = tuple(part[:, :1] for part in state["learner"]["carried"])
    with pytest.raises(CheckpointError, match="does not fit this run"):
        restore_run(state, learner())
