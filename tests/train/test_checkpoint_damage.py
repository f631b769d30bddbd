# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints that are cut off, damaged, or of another run: refused, and nothing half loaded."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from checkpoint_runs import bits, make, saved, steps
from fastnn.train import CheckpointError, Position, load_checkpoint, restore_run


def test_every_truncation_is_refused(tmp_path):
    path = saved(tmp_path)
    content = path.read_bytes()
    for length in [*range(0, len(content), 41), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"checkpoint: .*c\.safetensors"):
            load_checkpoint(path)


def rewrite(path, change):
    """The file again, after ``change(tree, arrays)``."""
    with safe_open(path, "numpy") as file:
        about = json.loads(file.metadata()["fastnn"])
    arrays = load_file(path)
    change(about["about"]["tree"], arrays)
    save_file(arrays, path, metadata={"fastnn": json.dumps(about)})


def at(tree, *keys):
    for key in keys:
        tree = tree[key]
    return tree


def drop(*keys):
    return lambda tree, _: at(tree, *keys[:-1]).pop(keys[-1])


def put(value, *keys):
    return lambda tree, _: at(tree, *keys[:-1]).__setitem__(keys[-1], value)


def array(name, value):
    return lambda _, arrays: arrays.__setitem__(name, value)


GROUP = ("learner", "optimizer", "param_groups", 0)
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
        (put([], *GROUP[:-1]), "shorter"),
        (put(1, "learner", "schedule", "step"), "expected the entries"),
        (put("x", "learner", "schedule", "last_epoch"), "schedule's last_epoch is saved as 'x'"),
        (put([], "learner", "schedule", "base_lrs"), "schedule's base_lrs is saved as []"),
        (put(None, "learner", "schedule"), "the schedule is saved as None"),
        (put(10**30, "random", 0), "too large|too big"),
        (put([1], "random"), "not enough values"),
        (put("x", "random"), "not enough values"),
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
        restore_run(load_checkpoint(path), learner)
    assert any(part in str(info.value) for part in text.split("|")), info.value
    assert (bits(learner), learner.train_loader.state_dict()) == before
    steps(learner, 4, Position())


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
