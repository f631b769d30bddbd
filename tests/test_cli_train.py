# SPDX-License-Identifier: BSD-3-Clause
"""``fastnn train digits`` and ``fastnn info`` as a user runs them: in processes of their own."""

from __future__ import annotations

import csv
import json
import os
import re
import select
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

import fastnn
from fastnn import _backend, _config
from fastnn.cli import _environment, main
from fastnn.cli.tasks import digits
from fastnn.data import load_digits, stratified_split

MLP = ("digits", "--model", "mlp")
COMMAND = [sys.executable, "-m", "fastnn.cli"]
FILES = {"model.safetensors", "log.csv", "config.json", "curves.png", "checkpoint.safetensors"}
LAST_LINE = re.compile(
    r"^test accuracy (\d+\.\d) % \((\d+\.\d) s, ([\d,]+) samples/s\); wrote (.+)/: (.+)$"
)


def environment(**changes):
    """This process's, with warnings about NumPy alone silenced, and no colour forced or banned."""
    settings = {**os.environ, "PYTHONWARNINGS": "ignore::RuntimeWarning", "TERM": "xterm"}
    settings["OPENBLAS_NUM_THREADS"] = "1"  # its threads spin; on a busy machine that is slow
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        settings.pop(name, None)
    return {**settings, **changes}


def run(*arguments, cwd=None, check=True, **changes):
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment(**changes),
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def evaluate(path, model="mlp"):
    """The held-out accuracy of a saved model, measured here from its file."""
    _, labels = load_digits()
    _, test = stratified_split(labels, 0.2, 0)
    images = load_digits()[0][test].astype(np.float32) / 16
    network = digits.MODELS[model]()
    network.load_state_dict({k: fastnn.from_numpy(v.copy()) for k, v in load_file(path).items()})
    network.eval()
    with fastnn.no_grad():
        predicted = network(fastnn.from_numpy(images)).numpy().argmax(1)
    return float((predicted == labels[test]).mean())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_accuracy_and_files(tmp_path, seed):
    done = run("train", *MLP, "--seed", seed, cwd=tmp_path)
    assert "Traceback" not in done.stderr
    last = LAST_LINE.match(done.stdout.splitlines()[-1])
    assert last, done.stdout
    accuracy, _, _, folder, files = last.groups()
    assert float(accuracy) >= 96.0
    assert re.fullmatch(r"runs/digits-mlp-\d{8}-\d{6}", folder)
    path = tmp_path / folder
    assert {entry.name for entry in path.iterdir()} == FILES == set(files.split(", "))

    with (path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    config = json.loads((path / "config.json").read_text())
    assert config["status"] == "finished"
    assert config["flags"]["seed"] == seed
    assert config["backend"]["backend"] == _config.describe()["backend"]
    assert config["data"]["split"] == {
        "method": "stratified",
        "test_fraction": 0.2,
        "seed": 0,
        "train": 1438,
        "test": 359,
    }
    assert [int(row["epoch"]) for row in rows] == list(range(1, config["flags"]["epochs"] + 1))
    assert f"{100 * float(rows[-1]['test_accuracy']):.1f}" == accuracy
    assert config["result"]["test_accuracy"] == float(rows[-1]["test_accuracy"])
    assert evaluate(path / "model.safetensors") == config["result"]["test_accuracy"]


def test_the_same_accuracy_on_numpy(tmp_path):
    done = run("train", *MLP, "--out", tmp_path / "run", FASTNN_BACKEND="numpy")
    assert re.match(
        r"fastnn \S+: runs on NumPy \S+ \(backend numpy\), not on native kernels: "
        r"FASTNN_BACKEND=numpy$",
        done.stdout.splitlines()[0],
    )
    last = LAST_LINE.match(done.stdout.splitlines()[-1])
    assert float(last[1]) >= 96.0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["backend"]["backend"] == "numpy"


def test_output_in_a_pipe_is_plain(tmp_path):
    done = run("train", *MLP, "--epochs", 2, "--out", tmp_path)
    lines = done.stdout.splitlines()
    assert "\x1b" not in done.stdout
    assert "\r" not in done.stdout
    assert lines[0].startswith(f"fastnn {fastnn.__version__}: runs on ")
    assert any(line.lstrip().startswith("not cuda: ") for line in lines)
    epochs = [line for line in lines if line.startswith("epoch ")]
    number = r"\d+\.\d{4} accuracy +\d+\.\d %"
    for count, line in enumerate(epochs, start=1):
        assert re.fullmatch(rf"epoch {count}/2: train loss {number}, test loss {number}", line)
    assert len(epochs) == 2


def test_a_seed_gives_one_result(tmp_path):
    for name in ("a", "b", "c"):
        seed = 3 if name == "c" else 2
        run("train", *MLP, "--epochs", 2, "--seed", seed, "--out", tmp_path / name)
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "b", "c")]
    assert models[0] == models[1]
    assert models[0] != models[2]


def test_out_never_overwrites(tmp_path):
    first = run("train", *MLP, "--epochs", 1, "--out", "mine", cwd=tmp_path)
    kept = (tmp_path / "mine" / "model.safetensors").read_bytes()
    second = run("train", *MLP, "--epochs", 1, "--seed", 1, "--out", "mine", cwd=tmp_path)
    assert LAST_LINE.match(first.stdout.splitlines()[-1])[4] == "mine"
    assert LAST_LINE.match(second.stdout.splitlines()[-1])[4] == "mine-2"
    assert (tmp_path / "mine" / "model.safetensors").read_bytes() == kept
    assert {entry.name for entry in (tmp_path / "mine-2").iterdir()} == FILES


def test_a_full_disk_is_one_sentence_and_leaves_no_broken_model(tmp_path):
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
        "from fastnn.cli import main; sys.exit(main())"
    )
    arguments = ["train", *MLP, "--epochs", "1", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-c", limited, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment(PYTHONDONTWRITEBYTECODE="1"),
    )
    assert done.returncode == 1
    path = tmp_path / "run" / "checkpoint.safetensors"
    assert (
        f"cannot write the run: {path}: File too large; make room, then start again" in done.stderr
    )
    assert done.stderr.count("\n") == 1
    assert {entry.name for entry in (tmp_path / "run").iterdir()} == {"config.json"}
    assert json.loads((tmp_path / "run" / "config.json").read_text())["status"] == "failed"


def test_a_diverging_run_says_so(tmp_path):
    done = run("train", *MLP, "--lr", "1e38", "--out", tmp_path, check=False)
    assert done.returncode == 1
    assert "try a lower learning rate than --lr 1e+38" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads((tmp_path / "config.json").read_text())["status"] == "diverged"


def start(*arguments, **options):
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        **options,
    )


def test_ctrl_c_keeps_the_weights_and_exits_with_130(tmp_path):
    arguments = ("train", *MLP, "--epochs", 100_000, "--out", tmp_path)
    with start(*arguments, stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            if line.startswith("epoch "):
                break
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert error.count("\n") == 1
    assert "fastnn train: interrupted in epoch " in error
    assert json.loads((tmp_path / "config.json").read_text())["status"] == "interrupted"
    assert 0.1 < evaluate(tmp_path / "model.safetensors") <= 1.0


def test_a_broken_pipe_is_quiet(tmp_path):
    arguments = ("train", *MLP, "--epochs", 100_000, "--out", tmp_path)
    with start(*arguments, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        process.wait(timeout=60)
        assert process.stderr.read() == ""
    assert process.returncode == 141
    assert json.loads((tmp_path / "config.json").read_text())["status"] == "interrupted"


def on_a_terminal(arguments, **changes):
    """Exit status and everything shown on a pseudo-terminal of 100 columns."""
    master, slave = os.openpty()
    settings = environment(COLUMNS="100", **changes)
    with subprocess.Popen(
        [*COMMAND, *arguments], stdin=slave, stdout=slave, stderr=slave, env=settings
    ) as process:
        os.close(slave)
        shown, deadline = b"", time.monotonic() + 120
        while time.monotonic() < deadline:
            if not select.select([master], [], [], 1.0)[0]:
                continue
            try:
                part = os.read(master, 65536)
            except OSError:  # Linux says EIO when the last writer has closed the terminal
                break
            if not part:
                break
            shown += part
        os.close(master)
    return process.returncode, shown.decode()


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_gets_a_live_bar(tmp_path, no_color):
    pytest.importorskip("rich")
    changes = {"NO_COLOR": "1"} if no_color else {}
    arguments = ["train", *MLP, "--epochs", "5", "--out", str(tmp_path / "run")]
    status, shown = on_a_terminal(arguments, **changes)
    assert status == 0, shown
    assert "\x1b[2K" in shown
    assert "epoch 5/5: train loss" in shown
    assert re.search(r"\x1b\[(?:\d+;)*(?:3[0-8]|9[0-7])[;m]", shown) is None or not no_color
    assert "test accuracy " in shown.splitlines()[-1]


@pytest.mark.parametrize("missing", ["rich", "matplotlib"])
def test_without_an_optional_dependency(tmp_path, missing):
    block = tmp_path / "block"
    block.mkdir()
    (block / f"{missing}.py").write_text("raise ImportError('not here')\n")
    path = os.pathsep.join(filter(None, [str(block), os.environ.get("PYTHONPATH")]))
    arguments = ["train", *MLP, "--epochs", "1", "--out", str(tmp_path / "run")]
    status, shown = on_a_terminal(arguments, PYTHONPATH=path)
    assert status == 0, shown
    assert "test accuracy " in shown
    assert ("curves.png was not written" in shown) == (missing == "matplotlib")
    assert (tmp_path / "run" / "curves.png").exists() == (missing == "rich")
    assert ("\x1b[2K" in shown) == (missing == "matplotlib")


def test_info_says_what_runs():
    shown = run("info").stdout
    about = _config.describe()
    assert f"(backend {about['backend']})" in shown
    for name, why in about["reasons"].items():
        assert re.search(rf"not {name}: |not on native kernels: ", shown)
        assert why in shown
    assert f"NumPy {np.__version__}" in shown
    total = len(about["native_kernels"]) + len(about["reference_kernels"])
    assert f"kernels: {len(about['native_kernels'])} of {total} native" in shown
    assert "\x1b" not in shown


def test_info_shows_the_end_of_a_failed_build(monkeypatch, capsys):
    log = "no C++ compiler found\n" + "".join(f"build line {n}\n" for n in range(200))
    monkeypatch.setattr(_backend, "cpu", None)
    monkeypatch.setattr(_backend, "name", "numpy")
    monkeypatch.setattr(_backend, "reasons", {"cpu": "no C++ compiler found"})
    monkeypatch.setattr(_backend, "build_log", lambda: log)
    assert main(["info"]) == 0
    shown = capsys.readouterr().out
    assert "runs on NumPy" in shown.splitlines()[0]
    assert shown.splitlines()[0].endswith(": no C++ compiler found")
    assert "  | build line 199" in shown
    assert "build line 100\n" not in shown
    assert _environment.build_log_tail(2) == ["build line 198", "build line 199"]


def test_version(capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["--version"])
    assert exit_info.value.code == 0
    assert capsys.readouterr().out == f"fastnn {fastnn.__version__}\n"
