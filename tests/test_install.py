# SPDX-License-Identifier: BSD-3-Clause
"""Installs for real: with a compiler, without one, with one that is too old, with a broken source.

Each test builds a copy of the tree with pip, build isolation on, and installs it into a virtual
environment of its own that sees this environment's other packages. They need a network (or a pip
configuration) that has the build requirements.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from installing import (
    NO_COMPILER,
    NOTE,
    REQUIRED,
    Environment,
    copy_tree,
    install,
    squeeze,
    warnings_at_import,
)

pytestmark = [pytest.mark.install, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def broken_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with a syntax error in an operator, and few other sources, so that it fails soon."""
    folder = copy_tree(tmp_path_factory.mktemp("broken"))
    csrc = folder / "csrc"
    first, *others = sorted(csrc.glob("ops/*.cpp"), key=lambda path: path.stat().st_size)
    _, *unneeded = sorted(csrc.glob("runtime/*.cpp"), key=lambda path: path.stat().st_size)
    for path in [*others, *unneeded, *csrc.glob("*.cpp")]:
        path.unlink()
    with first.open("a", encoding="utf-8") as file:
        file.write("\nint planted_syntax_error( {\n")
    return folder


@pytest.fixture(scope="module")
def pure(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment, done = install(source, tmp_path_factory.mktemp("pure"), **NO_COMPILER)
    assert done.returncode == 0, done.stdout + done.stderr
    return environment


def test_no_compiler_installs_pure_python(pure: Environment) -> None:
    (tags,) = pure.folder.glob("lib/python*/site-packages/fastnn_native-*.dist-info/WHEEL")
    assert "Tag: py3-none-any" in tags.read_text(encoding="utf-8")
    assert not list(pure.package.glob("_cpu*.so"))
    reason, *log = (pure.package / NOTE).read_text(encoding="utf-8").splitlines()
    assert reason.startswith("no C++ compiler was found")
    assert "/bin/false" in "\n".join(log)
    (warned,) = warnings_at_import(pure)
    assert warned[0] == "RuntimeWarning"
    assert reason in warned[1]
    assert "fastnn-native" in warned[1]  # never the other project's name


def test_info_shows_the_end_of_the_log(pure: Environment) -> None:
    lines = (pure.package / NOTE).read_text(encoding="utf-8").splitlines()
    last = [squeeze(line) for line in lines if line.strip()][-3:]
    done = pure.run("fastnn", "info")
    assert done.returncode == 0, done.stderr
    shown = squeeze(done.stdout + done.stderr)
    assert squeeze(lines[0]) in shown
    for line in last:
        assert line in shown


def test_training_without_a_compiler_reaches_the_same_accuracy(
    pure: Environment, tmp_path: Path
) -> None:
    out = str(tmp_path / "run")
    done = pure.run("fastnn", "train", "digits", "--seed", "0", "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = done.stdout + done.stderr
    found = re.search(r"test accuracy (\d+\.\d+) %", shown)
    assert found, shown
    assert float(found[1]) >= 96.0
    assert "no C++ compiler was found" in " ".join(shown.split())


def test_required_native_fails_without_a_compiler(source: Path, tmp_path: Path) -> None:
    _, done = install(source, tmp_path, **NO_COMPILER, **REQUIRED)
    assert done.returncode != 0
    assert "FASTNN_REQUIRE_NATIVE is set, and no C++ compiler was found" in done.stderr


def test_required_native_fails_at_import(pure: Environment) -> None:
    done = pure.run("python", "-c", "import fastnn", **REQUIRED)
    assert done.returncode != 0
    assert "no C++ compiler was found" in done.stderr


def test_old_compiler_counts_as_none(source: Path, tmp_path: Path) -> None:
    real = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if real is None:
        pytest.skip("no compiler to dress up as an old one")
    fake = tmp_path / "old-c++"
    renamed = "-U__clang__ -U__GNUC__ -D__GNUC__=9"
    fake.write_text(f'#!/bin/sh\nexec {real} {renamed} "$@"\n', encoding="utf-8")
    fake.chmod(0o755)
    environment, done = install(source, tmp_path / "venv", CXX=str(fake))
    assert done.returncode == 0, done.stdout + done.stderr
    reason = (environment.package / NOTE).read_text(encoding="utf-8").splitlines()[0]
    assert reason.startswith("unsupported compiler GNU 9.")
    assert "needs GCC >= 12 or Clang >= 14" in reason
    ((category, message),) = warnings_at_import(environment)
    assert category == "RuntimeWarning"
    assert reason in message


def test_a_compiler_that_only_a_variable_names_counts_as_none(source: Path, tmp_path: Path) -> None:
    """As on Debian without g++: the build's tools take the name that Python was built with."""
    environment, done = install(source, tmp_path / "venv", CC="absent-gcc", CXX="absent-g++")
    assert done.returncode == 0, done.stdout + done.stderr
    reason = (environment.package / NOTE).read_text(encoding="utf-8").splitlines()[0]
    assert reason.startswith("no C++ compiler was found (")
    assert reason.endswith("): CXX is absent-g++, which is not there")


def test_broken_source_is_not_taken_for_a_missing_compiler(
    broken_source: Path, tmp_path: Path
) -> None:
    environment, done = install(broken_source, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    reason, *log = (environment.package / NOTE).read_text(encoding="utf-8").splitlines()
    assert "the native build failed (this is a bug in the build, not a missing compiler)" in reason
    assert "error:" in reason
    assert ".cpp:" in reason
    assert "planted_syntax_error" in "\n".join(log)
    ((_, message),) = warnings_at_import(environment)
    assert reason in message


def test_required_native_fails_on_a_broken_source(broken_source: Path, tmp_path: Path) -> None:
    _, done = install(broken_source, tmp_path, **REQUIRED)
    assert done.returncode != 0
    assert "FASTNN_REQUIRE_NATIVE is set, and the native build failed" in done.stderr


def test_native_left_out_on_request(source: Path, tmp_path: Path) -> None:
    """And editable: the note stands beside the sources then, where the import looks."""
    editable = shutil.copytree(source, tmp_path / "tree")
    environment, done = install(editable, tmp_path / "venv", "-e", FASTNN_NO_NATIVE="1")
    assert done.returncode == 0, done.stdout + done.stderr
    ((category, message),) = warnings_at_import(environment)
    assert category == "RuntimeWarning"
    assert "FASTNN_NO_NATIVE=1" in message


def test_contradicting_requests_fail(source: Path, tmp_path: Path) -> None:
    _, done = install(source, tmp_path, FASTNN_NO_NATIVE="1", **REQUIRED)
    assert done.returncode != 0
    assert "contradict" in done.stderr


@pytest.mark.slow
def test_native_editable(source: Path, tmp_path: Path) -> None:
    editable = shutil.copytree(source, tmp_path / "tree")
    (editable / "python" / "fastnn" / NOTE).write_text("left from before\n", encoding="utf-8")
    environment, done = install(editable, tmp_path / "venv", "-e", **REQUIRED)
    assert done.returncode == 0, done.stdout + done.stderr
    assert warnings_at_import(environment) == []
    assert not (editable / "python" / "fastnn" / NOTE).exists()
