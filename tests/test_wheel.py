# SPDX-License-Identifier: BSD-3-Clause
"""What the wheels hold: the native one, and the pure-Python one that the build backend rewrites."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from installing import NOTE, REQUIRED, ROOT, copy_tree, install, pip, warnings_at_import

pytestmark = [pytest.mark.install, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A native wheel: the one that ``FASTNN_WHEEL`` names, or one built here."""
    if given := os.environ.get("FASTNN_WHEEL"):
        return Path(given)
    folder = tmp_path_factory.mktemp("wheel")
    done = pip("wheel", "--no-deps", "-w", str(folder), str(source), **REQUIRED)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    assert wheel.stat().st_size < 5_000_000
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    folders = {name.split("/")[0] for name in names}
    assert {name for name in folders if not name.endswith(".dist-info")} == {"fastnn"}
    assert [name for name in names if re.fullmatch(r"fastnn/_cpu\.[^/]+\.so", name)]
    package = ROOT / "python"
    sources = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    assert sources <= names
    assert "fastnn/py.typed" in names
    assert f"fastnn/{NOTE}" not in names
    compiled = (".cpp", ".cu", ".h", ".o", ".pyc")
    assert not [name for name in names if name.endswith(compiled)]
    digits = [name for name in names if name.startswith("fastnn/data/") and "digits" in name]
    assert [name for name in digits if not name.endswith(".py")]
    assert [name for name in names if name.endswith("licenses/LICENSE")]


def test_wheel_imports_without_a_warning(wheel: Path, tmp_path: Path) -> None:
    environment, done = install(wheel, tmp_path / "venv")
    assert done.returncode == 0, done.stdout + done.stderr
    assert warnings_at_import(environment) == []
    program = "import fastnn, sys; print(sys.modules['fastnn._cpu'].__file__)"
    loaded = environment.run("python", "-W", "error", "-c", program).stdout.strip()
    assert Path(loaded).parent == environment.package
    if platform.system() == "Linux" and shutil.which("ldd"):
        libraries = subprocess.run(
            ["ldd", loaded], capture_output=True, text=True, check=True
        ).stdout
        assert "libgomp" not in libraries
        assert "libomp" not in libraries
        assert "not found" not in libraries


def test_record_of_the_pure_wheel_is_complete(source: Path, tmp_path: Path) -> None:
    done = pip("wheel", "--no-deps", "-w", str(tmp_path), str(source), FASTNN_NO_NATIVE="1")
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("*-py3-none-any.whl")
    with zipfile.ZipFile(path) as archive:
        record = next(name for name in archive.namelist() if name.endswith("/RECORD"))
        rows = list(csv.reader(io.StringIO(archive.read(record).decode())))
        assert sorted(row[0] for row in rows) == sorted(archive.namelist())
        assert f"fastnn/{NOTE}" in archive.namelist()
        for name, digest, size in rows:
            if name == record:
                continue
            data = archive.read(name)
            expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
            assert digest == f"sha256={expected.decode()}"
            assert int(size) == len(data)
