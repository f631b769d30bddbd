# SPDX-License-Identifier: BSD-3-Clause
"""The vector types and functions of csrc/simd, tested in C++ at every instruction-set level.

The programs in ``simd_math/`` are compiled here with the system's C++ compiler and with the flags
that the build uses for the level (read from cmake/). ``check_vec`` tests operations, partial loads
and stores, and that results do not depend on an element's place; ``check_ulp`` holds exp, log,
tanh, sigmoid, erf and erfc to the error bounds that csrc/simd states. All 2^32 floats take some
minutes a level: ``check_ulp 1``, by hand.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "simd_math"
ROOT = Path(__file__).parents[1]
CSRC = ROOT / "csrc"
LEVELS = {
    "x86_64": ("FASTNN_LEVELS_X86", ["x86_v2", "x86_v3", "x86_v4"]),
    "AMD64": ("FASTNN_LEVELS_X86", ["x86_v2", "x86_v3", "x86_v4"]),
    "aarch64": ("FASTNN_LEVELS_NEON", ["neon"]),
    "arm64": ("FASTNN_LEVELS_NEON", ["neon"]),
}
DEFINITION, MACHINE_LEVELS = LEVELS.get(platform.machine(), ("FASTNN_LEVELS_GENERIC", ["generic"]))
# The generic code is ordinary vector code: it is tested on every machine.
TESTED_LEVELS = [*MACHINE_LEVELS, *(["generic"] if "generic" not in MACHINE_LEVELS else [])]
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
SANITIZERS = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


@functools.cache
def _compiler() -> str | None:
    candidates = [os.environ.get("CXX", ""), "c++", "g++", "clang++"]
    return next((found for name in candidates if name and (found := shutil.which(name))), None)


@functools.cache
def _build_directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="fastnn_simd_math_"))


@pytest.fixture(scope="module", autouse=True)
def _remove_build_directory() -> Iterator[None]:
    yield
    shutil.rmtree(_build_directory(), ignore_errors=True)
    for cached in (_build_directory, _supported_levels, _sanitizers_work):
        cached.cache_clear()


def _flags_of(level: str) -> list[str]:
    if level == "generic":
        return ["-DFASTNN_SIMD_GENERIC"]
    text = (ROOT / "cmake" / "FastnnLevels.cmake").read_text(encoding="utf-8")
    found = re.search(rf"^set\(fastnn_flags_{level} (.*)\)$", text, flags=re.MULTILINE)
    assert found is not None, f"cmake/FastnnLevels.cmake has no flags for {level}"
    return [flag for flag in shlex.split(found[1]) if flag]


def _compile(name: str, sources: list[Path], flags: list[str]) -> Path:
    compiler = _compiler()
    if compiler is None:
        pytest.skip("no C++ compiler on PATH")
    program = _build_directory() / name
    command = [compiler, "-std=c++17", f"-I{CSRC}", f"-D{DEFINITION}=1", *flags, *sources]
    done = subprocess.run([*command, "-o", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


@functools.cache
def _supported_levels() -> list[str]:
    program = _compile("levels", [HERE / "levels.cpp", CSRC / "runtime" / "isa.cpp"], ["-O1"])
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    return [*done.stdout.split(), "generic"]


@functools.cache
def _sanitizers_work() -> bool:
    source = _build_directory() / "probe.cpp"
    source.write_text("int main() { return 0; }\n", encoding="utf-8")
    try:
        program = _compile("probe", [source], SANITIZERS)
    except AssertionError:
        return False
    return subprocess.run([program], capture_output=True, check=False).returncode == 0


def _run_check(name: str, level: str, build: list[str]) -> str:
    if level not in _supported_levels():
        pytest.skip(f"this processor cannot run {level}")
    # As cmake/FastnnFlags.cmake: a contraction would change bits from compiler to compiler.
    flags = [f"-DFASTNN_ISA={level}", "-ffp-contract=off", "-fno-math-errno", *_flags_of(level)]
    suffix = "sanitized" if build is SANITIZERS else "plain"
    program = _compile(
        f"{name}_{level}_{suffix}", [HERE / f"{name}.cpp"], [*flags, *build, *WARNINGS]
    )
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("level", TESTED_LEVELS)
def test_vector_operations(level: str) -> None:
    assert ": 0 failures" in _run_check("check_vec", level, ["-O3"])


@pytest.mark.parametrize("level", MACHINE_LEVELS)
def test_vector_operations_under_sanitizers(level: str) -> None:
    if _compiler() is not None and not _sanitizers_work():
        pytest.skip("the C++ compiler has no working address and undefined sanitizers")
    assert ": 0 failures" in _run_check("check_vec", level, SANITIZERS)


@pytest.mark.parametrize("level", TESTED_LEVELS)
def test_functions_keep_their_error_bounds(level: str) -> None:
    report = _run_check("check_ulp", level, ["-O3"])
    for element in ("float", "double"):
        for function in ("exp", "log", "tanh", "sigmoid", "erf"):
            assert re.search(rf"^ok +{function} +{element} ", report, flags=re.MULTILINE), report
    assert re.search(r"^ok +erfc +double ", report, flags=re.MULTILINE), report
