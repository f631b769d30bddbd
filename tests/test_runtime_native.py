# SPDX-License-Identifier: BSD-3-Clause
"""The thread pool and the allocator, tested in C++ without Python around them.

The programs in ``runtime_native/`` are built here with the system's C++ compiler: plain, with
AddressSanitizer and UndefinedBehaviorSanitizer, with ThreadSanitizer, and the pool's also with its
portable way of sleeping in place of the futex. Each case runs in a process of its own, because
cases set environment variables, limits and signal masks.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "runtime_native"
CSRC = Path(__file__).parents[1] / "csrc"
RUNTIME_SOURCES = [
    CSRC / "runtime" / f"{name}.cpp"
    for name in (
        "allocator",
        "allocator_shared",
        "cgroup",
        "cpu_count",
        "pool",
        "pool_scratch",
        "system_memory",
    )
]
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
VARIANTS = {
    "plain": ["-O2"],
    "address": ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
    "thread": ["-O1", "-g", "-fsanitize=thread"],
    "no_futex": ["-O2", "-DFASTNN_NO_FUTEX"],
}
PROGRAMS = sorted(path.stem for path in HERE.glob("test_*.cpp"))
SKIPPED = 77  # exit status of a case that does not apply; its reason is on stdout

# die_after_fork: the sanitizer would otherwise end every forked child that starts a thread.
# atexit_sleep_ms: it would otherwise wait a second for the workers, which never end.
SANITIZER_ENVIRONMENT = {
    "TSAN_OPTIONS": "die_after_fork=0:atexit_sleep_ms=0:halt_on_error=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}
OWN_VARIABLES = {"FASTNN_NUM_THREADS", "OMP_NUM_THREADS", "FASTNN_CACHE_MB", "FASTNN_DEBUG"}


def _cases(program: str) -> list[str]:
    text = (HERE / f"{program}.cpp").read_text(encoding="utf-8")
    return re.findall(r"^TEST_CASE\((\w+)\)", text, flags=re.MULTILINE)


@functools.cache
def _compiler() -> str | None:
    candidates = [os.environ.get("CXX", ""), "c++", "g++", "clang++"]
    return next((found for name in candidates if name and (found := shutil.which(name))), None)


@functools.cache
def _build_directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="fastnn_runtime_native_"))


@pytest.fixture(scope="module", autouse=True)
def _remove_build_directory() -> Iterator[None]:
    yield
    shutil.rmtree(_build_directory(), ignore_errors=True)
    for cached in (_build_directory, _why_not, _build_runtime, _build):
        cached.cache_clear()


def _run_compiler(flags: list[str], directory: Path) -> str | None:
    """Run the compiler in a directory; its words if it refuses."""
    compiler = _compiler()
    assert compiler is not None
    command = [compiler, "-std=c++17", "-pthread", f"-I{CSRC}", f"-I{HERE}", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory)
    return None if done.returncode == 0 else done.stderr


@functools.cache
def _why_not(variant: str) -> str | None:
    """Why programs of this variant cannot be built and run here, or None."""
    if _compiler() is None:
        return "no C++ compiler on PATH"
    flags = " ".join(VARIANTS[variant])
    source = _build_directory() / "probe.cpp"
    source.write_text("int main() { return 0; }\n", encoding="utf-8")
    program = _build_directory() / f"probe_{variant}"
    arguments = [*VARIANTS[variant], str(source), "-o", str(program)]
    if _run_compiler(arguments, _build_directory()) is not None:
        return f"the C++ compiler does not build with {flags}"
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"an empty program does not run with {flags}: {done.stderr[:200]}"
    return None


@functools.cache
def _build_runtime(variant: str) -> tuple[Path, str | None]:
    directory = _build_directory() / variant
    directory.mkdir()
    flags = [*VARIANTS[variant], *WARNINGS, "-c", *map(str, RUNTIME_SOURCES)]
    return directory, _run_compiler(flags, directory)


@functools.cache
def _build(program: str, variant: str) -> tuple[Path, str | None]:
    directory, refusal = _build_runtime(variant)
    if refusal is None:
        objects = [f"{path.stem}.o" for path in RUNTIME_SOURCES]
        source = str(HERE / f"{program}.cpp")
        flags = [*VARIANTS[variant], *WARNINGS, source, *objects, "-o", program]
        refusal = _run_compiler(flags, directory)
    return directory / program, refusal


PARAMETERS = [
    pytest.param(program, variant, case, id=f"{program}-{variant}-{case}")
    for program in PROGRAMS
    for variant in VARIANTS
    if variant != "no_futex" or program == "test_pool"  # nothing else sleeps
    for case in _cases(program)
]


@pytest.mark.parametrize(("program", "variant", "case"), PARAMETERS)
def test_runtime_native(program: str, variant: str, case: str) -> None:
    reason = _why_not(variant)
    if reason is not None:
        pytest.skip(reason)
    path, refusal = _build(program, variant)
    assert refusal is None, refusal
    environment = {key: value for key, value in os.environ.items() if key not in OWN_VARIABLES}
    environment |= SANITIZER_ENVIRONMENT
    done = subprocess.run(
        [path, case], capture_output=True, text=True, check=False, env=environment, timeout=240
    )
    if done.returncode == SKIPPED:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}{done.stderr}"


def test_every_program_has_cases() -> None:
    assert PROGRAMS
    assert all(_cases(program) for program in PROGRAMS)
