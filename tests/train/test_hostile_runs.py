# SPDX-License-Identifier: BSD-3-Clause
"""``fastnn train --resume`` on folders that somebody has damaged: one sentence, status 2, and the
files stay as they are."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from fastnn.cli import main
from safetensors_edit import array, at, drop, put, rewrite

FLAGS = ["train", "digits", "--model", "mlp", "--batch-size", "512", "--epochs", "1"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert main([*FLAGS, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def out(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def refusal(out, capsys, *flags):
    """What is said; nothing is changed."""
    before = {entry.name: entry.stat().st_mtime_ns for entry in out.iterdir()}
    capsys.readouterr()
    assert main(["train", "digits", "--resume", str(out), *flags]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("fastnn train digits: error: ")
    assert str(out) in error
    assert {entry.name: entry.stat().st_mtime_ns for entry in out.iterdir()} == before
    return error


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (drop("about"), "'about' is missing"),
        (put([1], "about"), "its description is [1]"),
        (drop("about", "job"), "'job' is missing"),
        (put([1], "about", "job"), "its job is [1], expected a dict"),
        (put({}, "about", "job"), "expected the network of its run, None"),
        (drop("about", "backend"), "'backend' is missing"),
        (put(3, "about", "backend"), "its backend is 3, expected a list"),
        (put(None, "about", "flags"), "its flags is None, expected a dict"),
        (put({}, "about", "flags"), "expected 'seed, checkpoint_seconds, model"),
        (put(1, "about", "flags", "help"), "its flags are"),
        (put("x", "about", "flags", "out"), "its flags are"),
        (put("x", "about", "flags", "epochs"), "argument --epochs: expected a whole number"),
        (put(10**400, "about", "flags", "epochs"), "argument --epochs: expected a whole number"),
        (put([1], "about", "flags", "lr"), "argument --lr: expected a finite number above 0"),
        (put("huge", "about", "flags", "model"), "argument --model: invalid choice"),
        (put(7, "about", "task"), "its task is 7, expected a str"),
        (put(nested(900), "about", "job", "network"), "is damaged|the network of its run|not JSON"),
        (put({"foo": 1.0}, "position", "epochs", 0, "metrics"), "metrics of epoch 1 are ['foo']"),
        (put(10**30, "position", "epoch"), "epoch is 1000"),
        (put({}, "learner", "optimizer", "state"), "remembers 0 parameters, expected 6"),
        (put([7, False], "random"), "the random cell is [7, False]"),
        (put({"$": "tensor", "name": "t"}, "about", "task"), "its task is tensor([[0., 0.,"),
        (put({"$": "tensor", "name": "t"}, "about", "job"), "its job is tensor([[0., 0.,"),
        (put({"$": "tensor", "name": "t"}, "position", "step"), "tensor([[0., 0.,"),
        (put(-1.0, "learner", "optimizer", "param_groups", 0, "lr"), "Invalid learning rate"),
    ],
)
def test_a_hostile_checkpoint_is_one_sentence(out, capsys, change, text):
    rewrite(out / "checkpoint.safetensors", change)
    rewrite(out / "checkpoint.safetensors", array("t", np.zeros((3, 3), np.float32)))
    error = refusal(out, capsys, "--epochs", "2")
    assert any(part in error for part in text.split("|")), error


def test_backends_of_any_form_are_only_shown(out, capsys):
    rewrite(out / "checkpoint.safetensors", put([{"a": [1]}, None], "about", "backend"))
    assert main(["train", "digits", "--resume", str(out), "--epochs", "2"]) == 0
    assert "it ran on {'a': [1]} None before" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"",
        b"\xff\xfe",
        b'{"a": 1' + b"0" * 5000 + b"}",
    ],
)
def test_a_hostile_configuration_is_one_sentence(out, capsys, text):
    (out / "config.json").write_bytes(text)
    assert "config.json" in refusal(out, capsys)


def test_a_checkpoint_of_a_sparse_terabyte_is_one_sentence(out, capsys):
    os.truncate(out / "checkpoint.safetensors", 2**40)
    assert "bytes at its end belong to no tensor" in refusal(out, capsys)


@pytest.mark.parametrize("name", ["config.json", "checkpoint.safetensors"])
def test_a_folder_in_the_place_of_a_file_is_one_sentence(out, capsys, name):
    (out / name).unlink()
    (out / name).mkdir()
    assert name in refusal(out, capsys)


def test_the_flags_in_the_file_are_those_of_the_run(out):
    """What the tests above edit is read at all."""
    seen = []
    rewrite(out / "checkpoint.safetensors", lambda tree, _: seen.append(at(tree, "about", "flags")))
    assert seen[0] == json.loads((out / "config.json").read_text())["flags"]
