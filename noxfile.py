# SPDX-License-Identifier: BSD-3-Clause
"""Developer sessions: ``nox -s dev`` once, then ``nox`` or ``nox -s <name>``.

``.ci/run`` is what decides; these sessions run its stages one at a time on the working tree, with
environments that are kept.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.needs_version = ">=2024.10"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "tests"]

NATIVE = {"FASTNN_REQUIRE_NATIVE": "1"}
GROUPS = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "lint")
BUILD = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "build")
PARITY = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "parity")
CXX_SUFFIXES = {".cpp", ".h", ".cu", ".cuh"}


def install(session: nox.Session, *settings: str) -> None:
    """Install the package with its test requirements, native or not at all."""
    options = [word for setting in settings for word in ("-C", setting)]
    session.install(*options, ".[test]", env=NATIVE)


@nox.session(venv_backend="none")
def dev(session: nox.Session) -> None:
    """Make .venv with an editable install that rebuilds the native code at import."""
    session.run("python3", "-m", "venv", ".venv")
    pip = [".venv/bin/python", "-m", "pip", "install"]
    session.run(*pip, *BUILD, *GROUPS, "numpy>=2.0")
    rebuild = ["-C", "editable.rebuild=true", "-C", "build-dir=build/dev"]
    session.run(*pip, "--no-build-isolation", *rebuild, "-e", ".[test]", env=NATIVE)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests on the native backend, top instruction-set level."""
    install(session)
    session.run("pytest", *session.posargs)


@nox.session
def tests_numpy(session: nox.Session) -> None:
    """Run the operator cases on NumPy alone."""
    install(session)
    session.run("pytest", "tests/ops", *session.posargs, env={"FASTNN_BACKEND": "numpy"})


@nox.session
@nox.parametrize("isa", ["x86_v2", "x86_v3"])
def tests_isa(session: nox.Session, isa: str) -> None:
    """Run the operator cases on a lower instruction-set level."""
    install(session)
    session.run("pytest", "tests/ops", *session.posargs, env={"FASTNN_ISA": isa})


@nox.session
def tests_slow(session: nox.Session) -> None:
    """Run the tests that take minutes."""
    install(session)
    session.run("pytest", "-m", "slow", *session.posargs)


@nox.session
def parity(session: nox.Session) -> None:
    """Compare with torch."""
    install(session)
    session.install(*PARITY)
    env = {"FASTNN_TEST_REQUIRE": "torch"}
    session.run("pytest", "-m", "torch", *session.posargs, env=env)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types: ruff, mypy, clang-format."""
    session.install(*GROUPS, "-e", ".[test]", env={"FASTNN_NO_NATIVE": "1"})
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    files = [
        str(path)
        for folder in ("csrc", "cuda", "tests")
        for path in sorted(Path(folder).rglob("*"))
        if path.suffix in CXX_SUFFIXES
    ]
    session.run("clang-format", "--dry-run", "-Werror", *files)


@nox.session
@nox.parametrize("sanitizer", ["address,undefined", "thread"])
def sanitize(session: nox.Session, sanitizer: str) -> None:
    """Build with a sanitizer and run the operator or the thread tests (GCC)."""
    install(session, f"cmake.define.FASTNN_SANITIZE={sanitizer}", "cmake.build-type=RelWithDebInfo")
    compiler = os.environ.get("CXX", "c++")
    names = ["libtsan.so"] if sanitizer == "thread" else ["libasan.so", "libstdc++.so"]
    found = [
        session.run(compiler, f"-print-file-name={name}", silent=True, external=True)
        for name in names
    ]
    env = {
        "LD_PRELOAD": " ".join(str(path).strip() for path in found),
        "ASAN_OPTIONS": "detect_leaks=0",
        "TSAN_OPTIONS": "halt_on_error=1 exitcode=66 die_after_fork=0",
    }
    target = "tests/test_threads.py" if sanitizer == "thread" else "tests/ops"
    session.run("python", "-m", "pytest", target, *session.posargs, env=env)


@nox.session
def tidy(session: nox.Session) -> None:
    """Run clang-tidy over the C++ sources."""
    session.install(*BUILD, "numpy>=2.0", "clang-tidy")
    session.run("cmake", "--preset", "tidy")
    session.run("cmake", "--build", "--preset", "tidy")


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel into dist/ and check what is in it."""
    session.install("build")
    session.run("python", "-m", "build", "--wheel", env=NATIVE)
    newest = max(Path("dist").glob("*.whl"), key=lambda path: path.stat().st_mtime)
    install(session)
    session.run("pytest", "tests/test_wheel.py", env={"FASTNN_WHEEL": str(newest.resolve())})


@nox.session(venv_backend="none")
def ci(session: nox.Session) -> None:
    """Run all of .ci/run; ``nox -s ci -- --full`` for everything."""
    session.run("bash", ".ci/run", *session.posargs, external=True)
