# SPDX-License-Identifier: BSD-3-Clause
"""The ``fastnn`` command on closed or full streams, and with settings that name nothing."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fastnn import _backend, _startup

TRAIN = "train digits --model mlp --epochs 1"


def shell(command: str, cwd: Path, module: str = "fastnn", **changes: str) -> tuple[int, str, str]:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore::RuntimeWarning", **changes}
    done = subprocess.run(
        ["sh", "-c", f"{shlex.quote(sys.executable)} -m {module} {command}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("module", ["fastnn", "fastnn.cli"])
def test_the_package_and_its_command_line_are_the_command(tmp_path: Path, module: str) -> None:
    status, out, err = shell("info", tmp_path, module)
    assert (status, err) == (0, "")
    assert out.startswith("fastnn ")


@pytest.mark.parametrize("command", ["info >&-", "info >&- 2>&-", f"{TRAIN} >&-"])
def test_a_closed_output_is_no_error(tmp_path: Path, command: str) -> None:
    assert shell(command, tmp_path) == (0, "", "")
    if "train" in command:
        (run,) = (tmp_path / "runs").iterdir()
        assert (run / "model.safetensors").stat().st_size > 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_output_is_one_sentence(tmp_path: Path) -> None:
    for command in ("info", f"{TRAIN} --out run"):
        status, _, err = shell(f"{command} >/dev/full", tmp_path)
        assert status == 1
        assert err == "fastnn: error: cannot write the output: No space left on device\n"
    assert json.loads((tmp_path / "run" / "config.json").read_text())["status"] == "failed"


@pytest.mark.parametrize("command", ["info", TRAIN])
@pytest.mark.parametrize(
    ("backend", "said"),
    [("foo", "expected one of numpy, cpu, cuda, got 'foo'"), ("cuda", "FASTNN_BACKEND=cuda: ")],
)
def test_a_backend_that_cannot_be_had_is_one_sentence(
    tmp_path: Path, command: str, backend: str, said: str
) -> None:
    if backend == "cuda" and _backend.native_cuda:
        pytest.skip("there is a GPU")
    status, out, err = shell(command, tmp_path, FASTNN_BACKEND=backend)
    assert (status, out) == (2, "")
    assert err.startswith("fastnn: error: ")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "orig_argv", "expected"),
    [
        (["/usr/bin/fastnn", "info"], ["python3", "/usr/bin/fastnn", "info"], True),
        (["-m", "info"], ["python3", "-m", "fastnn", "info"], True),
        (["-m", "info"], ["python3", "-X", "utf8", "-m", "fastnn.cli", "info"], True),
        (["-m", "tests"], ["python3", "-m", "pytest", "tests"], False),
        (["-c"], ["python3", "-c", "import fastnn"], False),
        (["train.py", "-m", "fastnn"], ["python3", "train.py", "-m", "fastnn"], False),
        ([], [], False),
    ],
)
def test_the_command_is_told_from_a_program(
    argv: list[str], orig_argv: list[str], expected: bool
) -> None:
    assert _startup.is_command(argv, orig_argv) is expected


def test_one_blas_thread_only_where_numpy_computes_and_the_user_said_nothing() -> None:
    one = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "BLIS_NUM_THREADS": "1"}
    assert _startup.blas_settings({}, has_native=False) == one
    assert _startup.blas_settings({}, has_native=True) == {}
    assert _startup.blas_settings({"FASTNN_BACKEND": "NumPy "}, has_native=True) == one
    for name in (*one, "OMP_NUM_THREADS"):
        assert _startup.blas_settings({name: "2"}, has_native=False) == {}


def test_the_command_on_numpy_starts_no_blas_threads(tmp_path: Path) -> None:
    settings = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "")
    code = (
        "import os, runpy, sys, threading; sys.argv = ['fastnn', '--version']\n"
        "try: import fastnn.cli; fastnn.cli.main()\n"
        "except SystemExit: pass\n"
        "print(len(os.listdir('/proc/self/task')), os.environ['OPENBLAS_NUM_THREADS'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, **settings, "FASTNN_BACKEND": "numpy"},
    )
    assert done.stdout.split()[-2:] == ["1", "1"]


def test_a_warning_points_to_the_import(tmp_path: Path) -> None:
    if _backend.cpu is None:
        pytest.skip("needs the native kernels")
    script = tmp_path / "script.py"
    script.write_text("import sys\n\nimport fastnn\n")
    for name, value, said in (
        ("FASTNN_ISA", "foo", "names no level of this build; expected "),
        ("FASTNN_DEBUG", "foo", "FASTNN_DEBUG=foo: expected poison"),
    ):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("FASTNN_")}
        done = subprocess.run(
            [sys.executable, script],
            capture_output=True,
            text=True,
            check=True,
            env={**environment, name: value},
        )
        assert done.stderr.startswith(f"{script}:3: RuntimeWarning: "), done.stderr
        assert said in done.stderr
