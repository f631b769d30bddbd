# SPDX-License-Identifier: BSD-3-Clause
"""No kernel of one instruction-set level may be given to another by the linker.

``cmake/check_symbols.py`` reads the objects of a level with ``nm``. Here it is run on a planted
violation, which it must report, and on the real kernels.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEVEL = "x86_v3"
FLAGS = ["-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-march=x86-64-v3"]
FLAGS += ["-ffp-contract=off", "-fno-math-errno", f"-DFASTNN_ISA={LEVEL}", "-DFASTNN_LEVELS_X86=1"]

LEAK = """
#include <vector>
namespace fastnn::FASTNN_ISA {
void grow(std::vector<int>& v) { v.push_back(1); }
}
"""
# Weak, but with the level in its name; and a substituted name, where it stands as NS_6x86_v3.
CLEAN = """
namespace fastnn::FASTNN_ISA {
struct Tag {};
template <class T> T twice(T x) { return x + x; }
template int twice(int);
}
namespace fastnn {
template <class T> int size(T) { return sizeof(T); }
template int size(FASTNN_ISA::Tag);
}
"""


def tool(name: str, *others: str) -> str:
    for candidate in (name, *others):
        if found := shutil.which(candidate):
            return found
    pytest.skip(f"{name} is not installed")


@pytest.fixture(scope="module")
def compiler() -> str:
    if platform.machine() not in {"x86_64", "AMD64"}:
        pytest.skip("this architecture has one level, so there is nothing to mix")
    return tool("c++", "g++", "clang++")


def compile_object(compiler: str, source: Path, output: Path) -> Path:
    command = [compiler, *FLAGS, f"-I{ROOT / 'csrc'}", "-c", str(source), "-o", str(output)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return output


def check(objects: list[Path], folder: Path, level: str = LEVEL) -> tuple[int, str]:
    listing = folder / f"objects_{level}.txt"
    listing.write_text("".join(f"{path}\n" for path in objects), encoding="utf-8")
    script = ROOT / "cmake" / "check_symbols.py"
    command = [sys.executable, str(script), tool("nm"), level, str(listing)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.returncode, run.stdout + run.stderr


def test_planted_leak_is_reported(compiler: str, tmp_path: Path) -> None:
    source = tmp_path / "leak.cpp"
    source.write_text(LEAK, encoding="utf-8")
    status, output = check([compile_object(compiler, source, tmp_path / "leak.o")], tmp_path)
    assert status != 0
    assert "leak.o" in output
    assert "_M_realloc_insert" in output or "_M_realloc_append" in output


def test_symbols_in_the_level_namespace_pass(compiler: str, tmp_path: Path) -> None:
    source = tmp_path / "clean.cpp"
    source.write_text(CLEAN, encoding="utf-8")
    status, output = check([compile_object(compiler, source, tmp_path / "clean.o")], tmp_path)
    assert status == 0, output
    assert f"{LEVEL}: 2 weak symbols" in output


def test_same_object_fails_for_another_level(compiler: str, tmp_path: Path) -> None:
    source = tmp_path / "clean.cpp"
    source.write_text(CLEAN, encoding="utf-8")
    built = compile_object(compiler, source, tmp_path / "clean.o")
    status, output = check([built], tmp_path, level="x86_v4")
    assert status != 0
    assert "twice" in output


def test_kernels_share_no_symbol(compiler: str, tmp_path: Path) -> None:
    """The objects of ``FASTNN_BUILD_DIR``, or else the smallest operator, compiled here."""
    build = os.environ.get("FASTNN_BUILD_DIR")
    if build:
        found = {
            level: sorted(Path(build).glob(f"CMakeFiles/fastnn_{level}.dir/**/*.o"))
            for level in ("x86_v3", "x86_v4")
        }
        assert all(found.values()), f"no objects below {build}"
    else:
        sources = sorted((ROOT / "csrc" / "ops").glob("*.cpp"), key=lambda p: p.stat().st_size)
        source = sources[0]
        found = {LEVEL: [compile_object(compiler, source, tmp_path / f"{source.stem}.o")]}
    for level, objects in found.items():
        status, output = check(objects, tmp_path, level)
        assert status == 0, output
