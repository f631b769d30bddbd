# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints that are cut off, damaged, or of another run: refused, and nothing half loaded."""

from __future__ import annotations

import math

import numpy as np
import pytest
from safetensors.numpy import save_file

from checkpoint_runs import bits, make, saved, steps
from fastnn.train import CheckpointError, Position, load_checkpoint, restore_run
from safetensors_edit import array, drop, put, rewrite


def test_every_truncation_is_refused(tmp_path):
    path = saved(tmp_path)
    content = path.read_bytes()
    for length in [*range(0, len(content), 41), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"checkpoint: .*c\.safetensors"):
            load_checkpoint(path)


GROUP = ("learner", "optimizer", "param_groups", 0)
STEP = "learner/optimizer/state/0/step"
MOMENT = "learner/optimizer/state/0/exp_avg"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (drop("learner"), "'learner' is missing"),
        (drop("random"), "'random' is missing"),
        (drop("learner", "model", "3.bias"), "the saved model lacks 3.bias"),
        (put(1, "learner", "model", "more"), "the saved model has more"),
        (put("text", "learner", "model", "3.bias"), "3.bias is saved as <class 'str'>"),
        (array("learner/model/3.bias", np.zeros(4, "f4")), "3.bias is saved as ((4,)"),
        (array("learner/model/3.bias", np.zeros(3, "f8")), "float64"),
        (array(MOMENT, np.zeros((2, 2), "f4")), "exp_avg of parameter 0 has the shape (2, 2)"),
        (drop(*GROUP, "betas"), "'betas' is missing"),
        (put(math.pi, *GROUP, "betas"), "betas is saved as 3.14"),
        (put("fast", *GROUP, "lr"), "lr is saved as 'fast'"),
        (put({"$": "float", "value": "nan"}, *GROUP, "lr"), "lr is saved as nan"),
        (put(10**400, *GROUP, "lr"), "too large"),
        (put([0, 1], *GROUP, "params"), "has the parameters"),
        (put(-1, *GROUP, "lr"), "Invalid learning rate: got -1"),
        (put({"$": "tuple", "items": [5.0, 0.9]}, *GROUP, "betas"), "Invalid beta parameter"),
        (put(-1.0, *GROUP, "eps"), "Invalid epsilon value"),
        (put({}, "learner", "optimizer", "state"), "remembers 0 parameters, expected 4"),
        (drop("learner", "optimizer", "state"), "'state' is missing"),
        (put([], "learner", "optimizer", "state"), "remembers 0 parameters, expected 4"),
        (array(MOMENT, np.zeros((6, 5), "i4")), "exp_avg of parameter 0 has the shape (6, 5) and"),
        (array(MOMENT, np.zeros((6, 5), "f8")), "float64, expected (6, 5) and"),
        (array(MOMENT, np.full((6, 5), np.nan, "f4")), "exp_avg of parameter 0 is saved with"),
        (array(MOMENT + "_sq", np.full((6, 5), -1, "f4")), "_sq of parameter 0 is -1.0, expected"),
        (array(STEP, np.array(-5, "f4")), "step of parameter 0 is -5.0, expected a number of"),
        (array(STEP, np.array(0.5, "f4")), "step of parameter 0 is 0.5"),
        (array(STEP, np.array(8, "f4")), "expected a number of steps from 0 to 7"),
        (array(STEP, np.array([7], "f4")), "step of parameter 0 has the shape (1,)"),
        (array("learner/model/3.bias", np.full(3, np.inf, "f4")), "3.bias is saved with numbers"),
        (put(10**40, "learner", "updates"), "steps were done, expected 7"),
        (put(None, "learner", "updates"), "None steps were done, expected 7"),
        (put(6, "learner", "schedule", "last_epoch"), "saved after step 6, the optimiser after"),
        (put(1, "learner", "loader", "batch"), "after 1 steps of an epoch, but 7"),
        (put(9, "learner", "loader", "batch"), "expected a batch of at most 5"),
        (put(5, "position", "step"), "7 steps were done, expected 10 by its epoch and step"),
        (put(6, "position", "step"), "step is 6"),
        (put({"foo": 1.0}, "position", "sums"), "sums are ['foo'], expected ['accuracy', 'loss']"),
        (put({"foo": 1.0}, "position", "epochs", 0, "metrics"), "metrics of epoch 1 are ['foo']"),
        (put([], *GROUP[:-1]), "shorter"),
        (put(1, "learner", "schedule", "step"), "expected the entries"),
        (put("x", "learner", "schedule", "last_epoch"), "schedule's last_epoch is saved as 'x'"),
        (put([], "learner", "schedule", "base_lrs"), "schedule's base_lrs is saved as []"),
        (put(None, "learner", "schedule"), "the schedule is saved as None"),
        (put(10**30, "random", 0), "the random cell is [1000"),
        (put([1], "random"), "the random cell is [1], expected two"),
        (put("xy", "random"), "the random cell is 'xy'"),
        (put(10**30, "position", "step"), "step is 1000"),
        (put(-1, "position", "epoch"), "epoch is -1"),
        (drop("position", "sums"), "'sums' is missing"),
        (put(5, "learner", "loader", "batch_size"), "batch_size=5, this loader has 4"),
        (put([10**30, 1], "learner", "loader", "sampler", "generator"), "too large|too big"),
        (put(None, "learner", "loader"), "NoneType"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(tmp_path, change, text):
    path = saved(tmp_path)
    rewrite(path, change)
    learner = make(seed=5)
    steps(learner, 3, Position())
    before = bits(learner), learner.train_loader.state_dict()
    with pytest.raises(CheckpointError, match="does not fit this run") as info:
        restore_run(load_checkpoint(path), learner, path)
    assert str(info.value).startswith(str(path))
    assert "start a new run" in str(info.value)
    assert any(part in str(info.value) for part in text.split("|")), info.value
    assert (bits(learner), learner.train_loader.state_dict()) == before
    steps(learner, 4, Position())  # what it was given last it still has


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (put({"$": "code", "value": "1"}, "random"), "the unknown kind 'code'"),
        (put({"$": "tensor", "name": "gone"}, "random"), "KeyError 'gone'"),
        (put({"$": "tensor"}, "random"), "KeyError 'name'"),
        (put({"$": "float", "value": 1}, "random"), "KeyError 1"),
        (put({"$": "map", "items": [[[], 1]]}, "random"), "TypeError"),
        (put({"$": ["x"]}, "random"), "the unknown kind"),
    ],
)
def test_a_damaged_tree_is_refused(tmp_path, change, text):
    path = saved(tmp_path)
    rewrite(path, change)
    with pytest.raises(CheckpointError, match="is damaged") as info:
        load_checkpoint(path)
    assert text in str(info.value)


def test_another_model_is_refused(tmp_path):
    path = saved(tmp_path)
    with pytest.raises(CheckpointError, match=r"0.weight is saved as \(\(6, 5\).* make the same"):
        restore_run(load_checkpoint(path), make(width=7))


def test_other_files_are_no_checkpoints(tmp_path):
    save_file({"a": np.ones(1)}, tmp_path / "c")
    with pytest.raises(CheckpointError, match="no checkpoint of this version"):
        load_checkpoint(tmp_path / "c")
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "nowhere")
