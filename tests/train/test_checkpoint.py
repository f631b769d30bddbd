# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints: complete, whole or not there, and nothing half loaded."""

from __future__ import annotations

import copy
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors import safe_open

import fastnn
from checkpoint_runs import bits, make, steps
from fastnn import nn, optim
from fastnn.train import (
    Checkpointer,
    CheckpointError,
    Position,
    SavePoint,
    load_checkpoint,
    restore_run,
    run_state,
    save_checkpoint,
)


def momentum(parameters, lr):
    return optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=True)


@pytest.mark.parametrize("method", [optim.Adam, optim.AdamW, optim.SGD, momentum])
@pytest.mark.parametrize("done", [0, 2, 5, 8])
def test_a_restored_run_goes_on_with_the_same_bits(tmp_path, method, done):
    unbroken = make(method=method)
    steps(unbroken, 12, Position())
    expected = bits(unbroken)

    learner, position = make(method=method), Position()
    steps(learner, done, position)
    save_checkpoint(tmp_path / "c.safetensors", run_state(learner, position))

    other = make(seed=99, method=method)
    fastnn.rand(17)
    restored = restore_run(load_checkpoint(tmp_path / "c.safetensors"), other)
    assert restored == position
    steps(other, 12 - done, restored)
    assert bits(other) == expected


def test_trees_of_plain_data_come_back_as_they_were(tmp_path):
    shared = fastnn.arange(3.0)
    tree = {
        "numbers": [0, -(2**80), 0.1, 1e-310, math.inf, -math.inf, True, None, "text ✓"],
        "tuple": (1, (2, [])),
        "keys": {0: "a", "0": "b", ("x", 1): {}, "$": 1},
        "dollar": {"$": "tensor", "name": "none"},
        "numpy": {"a": np.float32(0.5), "b": np.int64(7)},
        "tensors": {"x": shared, "y": shared, "z": np.ones((2, 0), "i4")},
    }
    path = tmp_path / "c"
    save_checkpoint(path, tree)
    found = load_checkpoint(path)
    tensors = found.pop("tensors")
    assert found == {k: v for k, v in tree.items() if k != "tensors"}
    assert tensors["x"] is tensors["y"]
    assert tensors["x"].tolist() == [0, 1, 2]
    assert tensors["z"].shape == (2, 0)
    assert math.isnan(_again(path, math.nan))
    assert list(tmp_path.iterdir()) == [path]


def _again(path, value):
    save_checkpoint(path, {"value": value})
    return load_checkpoint(path)["value"]


def test_a_shared_weight_is_written_once(tmp_path):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    save_checkpoint(tmp_path / "c", {"model": model.state_dict()})
    with safe_open(tmp_path / "c", "numpy") as file:
        assert sorted(file.keys()) == ["model/0.bias", "model/0.weight", "model/1.bias"]
    found = load_checkpoint(tmp_path / "c")["model"]
    assert found["0.weight"] is found["1.weight"]


def test_nothing_but_data_is_saved(tmp_path):
    with pytest.raises(CheckpointError, match=r"at a/1, got function; nothing is pickled"):
        save_checkpoint(tmp_path / "c", {"a": [1, lambda: 0]})
    assert not list(tmp_path.iterdir())


LIMITED = """
import resource, sys
from pathlib import Path
import fastnn
from fastnn.train import load_checkpoint, save_checkpoint
path = Path(sys.argv[1])
save_checkpoint(path, {"x": fastnn.arange(1000.0)})
if sys.argv[2] == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    save_checkpoint(path, {"x": fastnn.zeros(1_000_000)})
except OSError as error:
    print("full:", error.errno)
assert load_checkpoint(path)["x"].tolist() == list(range(1000))
print(sorted(entry.name for entry in path.parent.iterdir()))
"""


def fill(folder, limit):
    command = [sys.executable, "-c", LIMITED, str(folder / "c.safetensors"), limit]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")


def test_a_limit_on_file_sizes_leaves_the_last_good_checkpoint(tmp_path):
    pytest.importorskip("resource")
    assert fill(tmp_path, "limit")[:2] == ["full: 27", "['c.safetensors']"]  # EFBIG


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte, where this process may mount one."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root may mount a tmpfs")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no mount command: {error}")
    if done.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_last_good_checkpoint(small_disk):
    assert fill(small_disk, "disk")[:2] == ["full: 28", "['c.safetensors']"]  # ENOSPC


def test_checkpoints_are_written_at_the_start_and_when_it_is_time(tmp_path):
    path, learner, position = tmp_path / "c", make(), Position()
    now = [0.0]
    writer = Checkpointer(
        path, SavePoint(learner, position), 10.0, {"flags": 1}, clock=lambda: now[0]
    )
    writer.on_fit_start(3, 5)
    found = load_checkpoint(path)
    assert found["about"] == {"flags": 1}
    assert found["position"]["step"] == 0
    written = []
    for step in range(1, 30):
        now[0] += 1.0
        position.samples = step
        before = path.read_bytes()
        writer.on_batch_end(1, step, None)
        if path.read_bytes() != before:
            written.append(step)
    assert written == [10, 20]


def test_slow_disks_get_fewer_checkpoints(tmp_path):
    times = iter([0.0, 2.0, 39.0, 41.9, 42.1, 43.0, 45.0])
    writer = Checkpointer(tmp_path / "c", SavePoint(make()), 10.0, clock=lambda: next(times))
    writer.save()  # takes 2 seconds: the next one comes 40 later
    for _ in range(3):
        writer.on_batch_end(1, 1, None)
    assert not list(times)  # at 42.1 one was written


def test_state_is_not_changed_by_saving(tmp_path):
    learner, position = make(), Position()
    steps(learner, 3, position)
    before = copy.deepcopy(bits(learner))
    save_checkpoint(tmp_path / "c", run_state(learner, position))
    assert bits(learner) == before
