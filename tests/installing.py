# SPDX-License-Identifier: BSD-3-Clause
"""Builds and installs copies of the tree into virtual environments, for the install tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTE = "_native_missing.txt"
NO_COMPILER = {"CC": "/bin/false", "CXX": "/bin/false"}
REQUIRED = {"FASTNN_REQUIRE_NATIVE": "1"}
PRIVATE = re.compile(r"^(FASTNN_|SKBUILD_|CMAKE_|CC$|CXX$|CXXFLAGS$|PYTHONPATH$|LD_PRELOAD$)")


@dataclass
class Environment:
    """A virtual environment into which one variant of the package is installed."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def package(self) -> Path:
        (path,) = self.folder.glob("lib/python*/site-packages/fastnn")
        return path

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the environment, away from any source tree."""
        return subprocess.run(
            [str(self.folder / "bin" / command[0]), *command[1:]],
            cwd=self.folder,
            env=clean_environment(variables),
            capture_output=True,
            text=True,
            check=False,
        )


def clean_environment(variables: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not PRIVATE.match(name)}
    return kept | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", **variables}


def pip(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pip", *arguments],
        env=clean_environment(variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def copy_tree(folder: Path) -> Path:
    """Copy what git would put into a clone, and new files that it does not ignore."""
    listing = ["git", "-C", str(ROOT), "ls-files", "-z", "-co", "--exclude-standard"]
    if (ROOT / ".git").exists():
        names = subprocess.run(listing, check=True, capture_output=True, text=True).stdout
        for name in filter(None, names.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
    else:
        caches = (".pytest_cache", ".hypothesis", ".mypy_cache", ".ruff_cache", "__pycache__")
        ignored = shutil.ignore_patterns("build", "dist", ".venv", "*.so", NOTE, *caches)
        shutil.copytree(ROOT, folder, ignore=ignored, dirs_exist_ok=True)
    return folder


def new_environment(folder: Path) -> Environment:
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "outer.pth").write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    return Environment(folder)


def install(
    source: Path, folder: Path, *options: str, **variables: str
) -> tuple[Environment, subprocess.CompletedProcess[str]]:
    environment = new_environment(folder)
    common = ["--python", str(environment.python), "install", "--no-deps", "--ignore-installed"]
    return environment, pip(*common, *options, str(source), **variables)


def warnings_at_import(environment: Environment) -> list[list[str]]:
    """Import the package and return [category, message] of every warning."""
    program = (
        "import json, warnings\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    import fastnn\n"
        "print(json.dumps([[w.category.__name__, str(w.message)] for w in caught]))\n"
    )
    done = environment.run("python", "-c", program)
    assert done.returncode == 0, done.stderr
    warned: list[list[str]] = json.loads(done.stdout)
    return warned


def squeeze(text: str) -> str:
    """Remove all blanks and box characters: a terminal table wraps where it likes."""
    return re.sub(r"[\s│┃|╭╮╰╯─━]+", "", text)
