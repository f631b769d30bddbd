# SPDX-License-Identifier: BSD-3-Clause
"""What the three jobs reach, and the flags of their own."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import fastnn
from fastnn.cli import main
from fastnn.cli.tasks import mnist
from fastnn.train import load_tensors
from mnist_files import pretend_mnist


def accuracy(shown):
    return float(re.match(r"test accuracy (\d+\.\d+) % \(", shown.splitlines()[-1])[1])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_digits_by_default(tmp_path, capsys, seed):
    assert main(["train", "digits", "--seed", str(seed), "--out", str(tmp_path)]) == 0
    assert accuracy(capsys.readouterr().out) >= 98.5
    assert json.loads((tmp_path / "config.json").read_text())["flags"]["model"] == "cnn"


def test_a_cnn_that_is_resumed_has_its_running_statistics(tmp_path):
    flags = ["train", "digits", "--batch-size", "256"]
    assert main([*flags, "--epochs", "2", "--out", str(tmp_path / "whole")]) == 0
    # The schedule depends on the number of epochs: stopped by hand, not by --epochs 1.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastnn.train.interrupt.DeferredInterrupt.__call__", stop_after(9))
        assert main([*flags, "--epochs", "2", "--out", str(tmp_path / "run")]) == 130
    assert main(["train", "digits", "--resume", str(tmp_path / "run")]) == 0
    name = "model.safetensors"
    assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def stop_after(count):
    """True from the ``count``-th question on."""
    asked = []

    def call(_):
        asked.append(1)
        return len(asked) >= count

    return call


def measured(out, data, model):
    """The accuracy in per cent of the saved network on the test files, measured without the job."""
    pixels = np.frombuffer((data / "t10k-images-idx3-ubyte").read_bytes()[16:], np.uint8)
    labels = np.frombuffer((data / "t10k-labels-idx1-ubyte").read_bytes()[8:], np.uint8)
    images = (pixels.reshape(-1, 1, 28, 28).astype("f4") / np.float32(255) - np.float32(0.1307)) / (
        np.float32(0.3081)
    )
    network = mnist.MODELS[model]()
    network.load_state_dict(load_tensors(out / "model.safetensors").tensors)
    network.eval()
    with fastnn.no_grad():
        predicted = network(fastnn.from_numpy(images)).numpy().argmax(1)
    return round(100 * float((predicted == labels).mean()), 2)


@pytest.mark.parametrize(("model", "wanted"), [("lenet", 50), ("cnn", 50), ("mlp", 10)])
def test_mnist_s_models_run_and_are_resumed(tmp_path, monkeypatch, capsys, model, wanted):
    data = tmp_path / "data"
    data.mkdir()
    pretend_mnist(data, monkeypatch)
    flags = ["train", "mnist", "--data", str(data), "--model", model, "--batch-size", "10"]
    out = tmp_path / "run"
    assert main([*flags, "--epochs", "40", "--out", str(out)]) == 0
    reached = accuracy(capsys.readouterr().out)
    assert reached >= wanted  # 10 by chance
    assert reached == measured(out, data, model)
    assert main(["train", "mnist", "--resume", str(out), "--epochs", "41"]) == 0
    config = json.loads((out / "config.json").read_text())
    assert config["flags"]["data"] == str(data)
    assert config["result"]["epochs"] == 41
    (data / "t10k-labels-idx1-ubyte").unlink()
    assert main(["train", "mnist", "--resume", str(out), "--epochs", "42"]) == 2
    assert "got neither" in capsys.readouterr().err


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(("epochs", "wanted"), [(3, 98.5), (10, 99.0)])
def test_lenet_on_mnist(tmp_path, data_dir, capsys, epochs, wanted):
    data = data_dir / "mnist"
    if not data.is_dir():
        pytest.skip("no folder mnist in the directory of the data sets")
    flags = ["--data", str(data), "--epochs", str(epochs), "--out", str(tmp_path)]
    assert main(["train", "mnist", *flags]) == 0
    assert accuracy(capsys.readouterr().out) >= wanted


@pytest.mark.data
@pytest.mark.slow
def test_text_on_shakespeare(tmp_path, data_dir, capsys):
    data = data_dir / "tinyshakespeare" / "input.txt"
    if not data.is_file():
        pytest.skip("no tinyshakespeare in the directory of the data sets")
    assert main(["train", "text", "--data", str(data), "--out", str(tmp_path)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert float(re.match(r"held-out loss (\d\.\d+) nats/character", last)[1]) < 1.9
