# SPDX-License-Identifier: BSD-3-Clause
"""The launch seam from C++, without Python: the runtime and a kernel file linked into a program."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from test_gemm_native import FLAGS, LEVELS

ROOT = Path(__file__).resolve().parent.parent
DEFINITION = {"x86_v2": "FASTNN_LEVELS_X86", "neon": "FASTNN_LEVELS_NEON"}


def test_kernels_are_found_checked_recorded_and_run_without_python(tmp_path: Path) -> None:
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler is installed")
    baseline = next(iter(LEVELS))
    common = [compiler, *FLAGS, f"-I{ROOT / 'csrc'}", "-pthread"]
    common.append(f"-D{DEFINITION.get(baseline, 'FASTNN_LEVELS_GENERIC')}=1")
    objects = []
    for level, (flags, _) in LEVELS.items():
        target = tmp_path / f"activation_{level}.o"
        once = ["-DFASTNN_ONCE=1"] if level == baseline else []
        source = ROOT / "csrc" / "ops" / "activation.cpp"
        command = [*common, *flags, *once, f"-DFASTNN_ISA={level}", "-c", str(source)]
        built = subprocess.run(
            [*command, "-o", str(target)], capture_output=True, text=True, check=False
        )
        assert built.returncode == 0, built.stderr
        objects.append(str(target))
    program = tmp_path / "use_seam"
    runtime = sorted(map(str, (ROOT / "csrc" / "runtime").glob("*.cpp")))
    source = ROOT / "tests" / "seam_native" / "use_seam.cpp"
    command = [*common, *LEVELS[baseline][0], str(source), *runtime, *objects, "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    run = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.endswith("0 failures\n")
