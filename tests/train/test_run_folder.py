# SPDX-License-Identifier: BSD-3-Clause
"""The run folder: never overwritten, written whole or not at all; log, curves."""

from __future__ import annotations

import csv
import gc
import json
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from fastnn.train import EpochResult, RunFolder
from fastnn.train import run as run_module
from fastnn.train.plots import MatplotlibMissing, save_curves
from fastnn.train.run import write_atomically


class Weights:
    """What a state_dict maps to, as far as the folder is concerned."""

    def __init__(self, array):
        self.array = array

    def numpy(self):
        return self.array


def epochs(count):
    names = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
    return [
        EpochResult(n, {name: 1 / (n + i) for i, name in enumerate(names)}, 100, 0.5)
        for n in range(1, count + 1)
    ]


def test_a_second_run_gets_a_folder_of_its_own(tmp_path):
    wanted = tmp_path / "deep" / "run"
    paths = [RunFolder.create(wanted, {"n": n}).path for n in range(3)]
    assert [path.name for path in paths] == ["run", "run-2", "run-3"]
    assert [json.loads((path / "config.json").read_text())["n"] for path in paths] == [0, 1, 2]


def test_an_existing_folder_without_a_run_is_used(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert RunFolder.create(tmp_path, {}).path == tmp_path


@pytest.mark.parametrize("name", ["model.safetensors", "log.csv", "curves.png"])
def test_any_file_of_a_run_protects_its_folder(tmp_path, name):
    kept = tmp_path / "run" / name
    kept.parent.mkdir()
    kept.write_text("old")
    assert RunFolder.create(kept.parent, {}).path.name == "run-2"
    assert kept.read_text() == "old"


def test_the_current_folder_gets_its_number_from_its_real_name(tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    first = RunFolder.create(run_module.Path(), {})
    second = RunFolder.create(run_module.Path(), {})
    assert first.path.resolve() == here
    assert second.path == tmp_path / "here-2"


def test_a_file_in_the_way_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        RunFolder.create(tmp_path / "file" / "run", {})


def test_config_is_extended(tmp_path):
    folder = RunFolder.create(tmp_path, {"status": "running", "seed": 1})
    folder.update_config(status="finished")
    config = json.loads((tmp_path / "config.json").read_text())
    assert config == {"status": "finished", "seed": 1}


def test_the_model_is_saved_bit_for_bit_and_reproducibly(tmp_path):
    weight = np.arange(6, dtype=np.float32).reshape(2, 3).T  # not contiguous
    state = {"0.weight": Weights(weight), "steps": Weights(np.array(7, dtype=np.int64))}
    folder = RunFolder.create(tmp_path, {})
    path = folder.save_model(state, {"task": "t", "model": "m"})
    first = path.read_bytes()
    folder.save_model(state, {"task": "t", "model": "m"})
    assert path.read_bytes() == first
    loaded = load_file(path)
    assert set(loaded) == {"0.weight", "steps"}
    assert np.array_equal(loaded["0.weight"], weight)
    assert loaded["steps"].shape == ()
    assert loaded["steps"] == 7


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    write_atomically(path, b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_module.os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as info:
        write_atomically(path, b"new")
    assert info.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_folder_is_claimed_with_a_whole_configuration_or_not_at_all(tmp_path, monkeypatch):
    seen = []

    def full(_):
        seen.append(sorted(entry.name for entry in tmp_path.glob("run/c*")))
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(run_module.os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left.*config\.json"):
            RunFolder.create(tmp_path / "run", {"n": 1})
    assert seen == [[]]  # under another name until it is on the disk
    assert not list((tmp_path / "run").iterdir())
    assert RunFolder.create(tmp_path / "run", {"n": 2}).path.name == "run"  # and not locked


@pytest.mark.parametrize("links", [True, False])
def test_who_comes_second_gets_another_folder(tmp_path, monkeypatch, links):
    """Also where the first one was faster between the look and the claim."""

    def link(*_):
        raise OSError(95, "Operation not supported")

    def locked(path):
        if path.name == "run":
            (path / "config.json").write_text("the other's")

    monkeypatch.setattr(run_module, "_locked", locked)
    if not links:
        monkeypatch.setattr(run_module.os, "link", link)
    assert RunFolder.create(tmp_path / "run", {}).path.name == "run-2"
    assert (tmp_path / "run" / "config.json").read_text() == "the other's"
    assert [entry.name for entry in (tmp_path / "run-2").iterdir()] == ["config.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_that_cannot_be_written_is_named(tmp_path):
    log = RunFolder.create(tmp_path, {}).log()
    log.path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as info:
        log.on_epoch_end(epochs(1)[0])
    assert info.value.filename == str(log.path)


def test_only_a_running_run_ends(tmp_path):
    folder = RunFolder.create(tmp_path, {"status": "running"})
    folder.end("failed", problem="none")
    folder.end("interrupted")
    config = json.loads((tmp_path / "config.json").read_text())
    assert config == {"status": "failed", "result": {"problem": "none"}}


def test_log_has_a_row_per_epoch_at_once(tmp_path):
    log = RunFolder.create(tmp_path, {}).log()
    for count, result in enumerate(epochs(3), start=1):
        log.on_epoch_end(result)
        with (tmp_path / "log.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == count
    assert list(rows[0])[:3] == ["epoch", "train_loss", "train_accuracy"]
    assert float(rows[2]["test_accuracy"]) == 1 / 6
    assert float(rows[2]["samples_per_second"]) == 200.0


@pytest.mark.parametrize("count", [1, 12])
def test_curves_are_a_png_with_a_panel_per_metric(tmp_path, count):
    pytest.importorskip("matplotlib")
    path = tmp_path / "curves.png"
    save_curves(path, epochs(count), "digits")
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert width > 2 * height  # two panels side by side


def test_without_matplotlib_the_error_has_a_name(tmp_path, monkeypatch):
    for module in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MatplotlibMissing, match="matplotlib"):
        save_curves(tmp_path / "curves.png", epochs(1), "digits")
    assert not (tmp_path / "curves.png").exists()


def test_a_folder_has_one_run_at_a_time(tmp_path: Path) -> None:
    """A second opening is refused and touches nothing, not even the first one's temporary files."""
    if os.name != "posix":
        pytest.skip("locks of folders are POSIX's")
    running = RunFolder.create(tmp_path / "run", {"task": "digits"})
    half_written = running.path / ".checkpoint.safetensors.1.tmp"
    half_written.write_bytes(b"half")
    with pytest.raises(BlockingIOError, match="another process is training in"):
        RunFolder.open(running.path)
    assert half_written.read_bytes() == b"half"
    path = running.path
    del running
    gc.collect()
    foreign = path / ".mine.tmp"
    foreign.write_bytes(b"somebody's")
    RunFolder.open(path)
    assert foreign.exists()
    assert not half_written.exists()
