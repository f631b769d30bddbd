# SPDX-License-Identifier: BSD-3-Clause
"""Kernel cases run by a program without Python: here, and on an emulated aarch64 processor."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

import fastnn
from case_checks import forward_and_gradients, running_on
from fastnn import _backend, nn, optim, testing
from fastnn.ops import activation
from fastnn.tensor import Tensor
from kernel_launches import Capture
from test_gemm_native import FLAGS, LEVELS, NEON_LEVEL, ROOT
from test_seam_native import DEFINITION

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(_backend.name != "cpu", reason="needs the native kernels")

CSRC = ROOT / "csrc"
RUNNER = ROOT / "tests" / "kernel_runner" / "run_launches.cpp"


def build(
    compiler: list[str],
    levels: dict[str, tuple[list[str], set[str]]],
    sources: list[Path],
    folder: Path,
) -> Path:
    """The runner with these op files, each compiled once per level."""
    baseline = next(iter(levels))
    common = [*compiler, *FLAGS, f"-I{CSRC}", "-pthread"]
    common.append(f"-D{DEFINITION.get(baseline, 'FASTNN_LEVELS_GENERIC')}=1")
    jobs: list[tuple[list[str], Path]] = []
    for level, (flags, _) in levels.items():
        once = ["-DFASTNN_ONCE=1"] if level == baseline else []
        for source in sources:
            command = [*common, *flags, *once, f"-DFASTNN_ISA={level}", "-c", str(source)]
            jobs.append((command, folder / f"{source.stem}_{level}.o"))
    for source in (RUNNER, *sorted((CSRC / "runtime").glob("*.cpp"))):
        command = [*common, *levels[baseline][0], "-c", str(source)]
        jobs.append((command, folder / f"{source.stem}.o"))

    def compile_one(job: tuple[list[str], Path]) -> None:
        command, target = job
        done = subprocess.run(
            [*command, "-o", str(target)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    with ThreadPoolExecutor(os.cpu_count()) as workers:
        list(workers.map(compile_one, jobs))
    program = folder / "run_launches"
    # Not an archive: kernels register themselves, and a linker drops what nobody names.
    objects = [str(target) for _, target in jobs]
    done = subprocess.run(
        [*compiler, "-pthread", *objects, "-o", str(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return program


def write_cases(
    path: Path, kernels: set[str] | None = None, names: set[str] | None = None
) -> dict[str, int]:
    """Captures the case table's launches, and those of the optimisers; how many of each kernel."""
    with path.open("wb") as file, Capture(file, kernels) as capture:
        for case in testing.all_cases(bench=False):
            if names is not None and case.name not in names:
                continue
            for dtype in ("float32", "float64"):
                capture.label = f"{case.id} {dtype}"
                forward_and_gradients(case, dtype)
        if names is None:
            for dtype in ("float32", "float64"):
                capture.label = f"training {dtype}"
                _train(dtype)
    return capture.counts


def _train(dtype: str) -> None:
    """What no small case launches: random numbers, clipping, optimiser steps, large ReLUs."""
    rng = np.random.default_rng(4)
    kind = getattr(fastnn, dtype)
    fastnn.manual_seed(3)
    fastnn.rand(7, 33, dtype=kind)
    fastnn.randn(301, dtype=kind)
    fastnn.randperm(50)
    for n in (301, 4096):
        x = Tensor._wrap(rng.standard_normal(n).astype(dtype)).requires_grad_()
        activation.LargeReLU.apply((x,)).sum().backward()
    for method, options in (
        (optim.SGD, {"lr": 0.1}),
        (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
        (optim.Adam, {"lr": 0.01, "amsgrad": True}),
        (optim.AdamW, {"lr": 0.01}),
        (optim.Adadelta, {"weight_decay": 0.01}),
        (optim.Adagrad, {"lr_decay": 0.1}),
        (optim.Adamax, {}),
        (optim.ASGD, {}),
        (optim.Lion, {"weight_decay": 0.01}),
        (optim.NAdam, {}),
        (optim.RAdam, {}),
        (optim.RMSprop, {"momentum": 0.9, "centered": True}),
        (optim.Rprop, {}),
    ):
        shapes = [(3, 5), (1,), (130,)]
        params = [
            Tensor._wrap(rng.standard_normal(s).astype(dtype)).requires_grad_() for s in shapes
        ]
        optimizer = method(params, **options)
        for _ in range(2):
            for p in params:
                p.grad = Tensor._wrap(rng.standard_normal(p.shape).astype(dtype))
            nn.utils.clip_grad_norm_(params, 1.0)
            nn.utils.clip_grad_value_(params, 0.1)
            optimizer.step()


@pytest.fixture(scope="module")
def host_runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler is installed")
    sources = [CSRC / "ops" / f"{name}.cpp" for name in ("activation", "copy", "cross_entropy")]
    return build([compiler], LEVELS, sources, tmp_path_factory.mktemp("runner"))


KERNELS = {"relu_forward", "relu_backward", "tanh_forward", "tanh_backward", "copy"}
KERNELS |= {"cross_entropy_forward", "cross_entropy_backward"}
NAMES = {"relu", "tanh", "cross_entropy", "clone"}


def test_launches_of_the_case_table_run_without_python(host_runner: Path, tmp_path: Path) -> None:
    path = tmp_path / "cases.bin"
    assert set(write_cases(path, KERNELS, NAMES)) == KERNELS
    run = subprocess.run([str(host_runner), str(path)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr
    assert run.stdout.endswith(" 0 failures\n")


def test_runner_finds_a_wrong_value_and_a_cut_file(
    host_runner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = _backend.references["tanh_forward"]

    def wrong(x: np.ndarray, y: np.ndarray) -> None:
        right(x, y)
        y *= 1 + 3e-6 * (y.size > 1)  # some 50 units in the last place of float32

    monkeypatch.setitem(_backend.references, "tanh_forward", wrong)
    monkeypatch.setattr("case_checks.HIGHER", {"float32": np.float32, "float64": np.float64})
    path = tmp_path / "wrong.bin"
    write_cases(path, {"tanh_forward"}, {"tanh"})
    run = subprocess.run([str(host_runner), str(path)], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "argument y: element" in run.stdout
    path.write_bytes(path.read_bytes()[:-3])
    run = subprocess.run([str(host_runner), str(path)], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "ends early" in run.stderr


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_every_kernel_case_on_aarch64(tmp_path: Path) -> None:
    compiler = shutil.which("aarch64-linux-gnu-g++")
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    for tool, what in ((compiler, "aarch64-linux-gnu-g++"), (emulator, "qemu-aarch64")):
        if tool is None:
            if os.environ.get("CI"):
                pytest.fail(f"{what} is not installed")
            pytest.skip(f"{what} is not installed")
    assert compiler is not None
    assert emulator is not None
    program = build(
        [compiler, "-static"], NEON_LEVEL, sorted((CSRC / "ops").glob("*.cpp")), tmp_path
    )
    path = tmp_path / "cases.bin"
    with running_on("x86_v2"):  # its vectors have NEON's lanes, and gates are saved by vectors
        counts = write_cases(path)
    missing = set(_backend.native) - set(counts)
    assert not missing, "no case launches these kernels"
    environment = os.environ | {"FASTNN_NUM_THREADS": "2"}
    run = subprocess.run(
        [emulator, str(program), str(path)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
    assert run.stdout.endswith(" 0 failures\n")
