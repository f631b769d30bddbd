# SPDX-License-Identifier: BSD-3-Clause
"""Matrix multiplication in C++, checked by a program of its own at every instruction-set level.

``gemm_native/check_gemm.cpp`` compares each element bit by bit with the definition in
``csrc/simd/gemm.h``. It is compiled here with the flags of the level, without the rest of the
package, and run if the processor has the level.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "tests" / "gemm_native" / "check_gemm.cpp"
FLAGS = ["-std=c++17", "-O2", "-ffp-contract=off", "-fno-math-errno"]

# Of each level: the compiler's flags, and what /proc/cpuinfo must name for the program to run.
X86_LEVELS: dict[str, tuple[list[str], set[str]]] = {
    "x86_v2": (["-march=x86-64-v2"], {"sse4_2", "ssse3", "popcnt"}),
    "x86_v3": (["-march=x86-64-v3"], {"avx2", "fma", "bmi2", "movbe"}),
    "x86_v4": (
        ["-march=x86-64-v4", "-mprefer-vector-width=512"],
        {"avx512f", "avx512dq", "avx512bw", "avx512cd", "avx512vl"},
    ),
}
NEON_LEVEL: dict[str, tuple[list[str], set[str]]] = {"neon": ([], set())}
MACHINE_LEVELS = {
    "x86_64": X86_LEVELS,
    "AMD64": X86_LEVELS,
    "aarch64": NEON_LEVEL,
    "arm64": NEON_LEVEL,
}
LEVELS = MACHINE_LEVELS.get(platform.machine(), {"generic": ([], set())})


def processor_features() -> set[str]:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return set()
    for line in cpuinfo.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return set(value.split())
    return set()


@pytest.mark.parametrize("level", LEVELS)
def test_gemm_has_the_bits_of_its_definition(level: str, tmp_path: Path) -> None:
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler is installed")
    flags, needed = LEVELS[level]
    if missing := needed - processor_features():
        pytest.skip(f"the processor lacks {', '.join(sorted(missing))}")
    program = tmp_path / "check_gemm"
    command = [compiler, *FLAGS, *flags, f"-DFASTNN_ISA={level}", f"-I{ROOT / 'csrc'}"]
    command += [str(SOURCE), "-o", str(program), "-pthread"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    run = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.endswith("0 failures\n")
