# SPDX-License-Identifier: BSD-3-Clause
"""Build backend (PEP 517, PEP 660): scikit-build-core, plus a pure-Python wheel where it fails.

The native build runs as one attempt in a child process whose output is shown and kept. If it fails,
the wheel is built again without CMake, and ``fastnn/_native_missing.txt`` in it says why: one
sentence on the first line, then the end of the log. pip shows the output of a successful install to
nobody, so the package has to carry the reason to where ``import fastnn`` can tell it. The sentence
tells a machine without a compiler from a build that is broken.

Environment:

``FASTNN_REQUIRE_NATIVE=1``
    a failed attempt, for whatever reason, fails the install; the symbol check is switched on.
``FASTNN_NO_NATIVE=1``
    no attempt; the pure-Python wheel at once.

CUDA is extra. With ``FASTNN_CUDA=AUTO`` cmake/cuda.cmake itself sees to it that a failing CUDA
build does not cost the CPU module; ``FASTNN_CUDA=ON`` is an order, and its failure fails the
install, as does a setting with a value that there is not.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from scikit_build_core import build as _skbuild
from scikit_build_core.build import build_sdist, get_requires_for_build_sdist

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

Settings = dict[str, Any]

_LOG_LINES = 60
_PACKAGE = "python/fastnn"
_NOTE = "_native_missing.txt"
_NEEDS = "needs GCC >= 12 or Clang >= 14"

# The child takes over this process's path: an installer may have set it up in ways (PYTHONPATH, a
# sitecustomize, its own code) of which the environment shows only a part.
_CHILD = """\
import json, pathlib, sys
path, hook, directory, settings, answer = json.loads(sys.argv[1])
sys.path[:] = path
from scikit_build_core import build
pathlib.Path(answer).write_text(getattr(build, hook)(directory, settings), encoding="utf-8")
"""


def _flag(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() not in {"", "0", "false", "no", "off"}


# What CMake prints when it has no usable C++ compiler at all.
_NO_COMPILER = re.compile(
    r"No CMAKE_CXX_COMPILER could be found"
    r"|is not a full path to an existing compiler"
    r"|is not able to compile a simple test program"
    r"|CXX compiler identification is unknown"
    r"|Could not find (?:the )?compiler (?:set|specified) in (?:the )?environment variable CXX"
)
# The first line that says what went wrong: a compiler's, a linker's, CMake's own or Python's.
_ERROR_LINES = (
    re.compile(r"^.*(?:\berror: |undefined reference to|multiple definition of).*$", re.M),
    re.compile(r"^CMake Error.*(?:\n(?:\s+\S.*|\s*))*", re.M),
    re.compile(r"^.*(?:Error|FAILED|ERROR)\b.*$", re.M),
)


def diagnose(log: str) -> str:
    """Return one sentence that says why the build that printed ``log`` failed.

    The sentences are three: no compiler, a missing part (headers, CMake), or a broken build. Only
    the last may be a mistake in this project, and it says so.
    """
    flat = " ".join(log.split())  # CMake wraps its messages
    if found := re.search(r"fastnn: (unsupported compiler .*?\), " + _NEEDS + ")", flat):
        return found[1]
    if found := re.search(r"fastnn: (missing: .+?)(?= Call Stack| -- |$)", flat):
        return found[1]
    if found := re.search(r"fastnn: (FASTNN_.+?)(?= Call Stack| -- |$)", flat):
        return found[1]
    accepted = "fastnn: compiler accepted" in flat
    if not accepted and _NO_COMPILER.search(flat):
        broken = re.search(r"The C\+\+ compiler \"([^\"]+)\" is not able to compile", flat)
        detail = f": {broken[1]} cannot compile a test program" if broken else ""
        if named := re.search(r"in (?:the )?environment variable CXX: (\S+)\. ", flat):
            detail = f": CXX is {named[1]}, which is not there"
        return f"no C++ compiler was found ({_NEEDS}){detail}"
    if "CMakeNotFoundError" in flat or "Could not find CMake" in flat:
        return "missing: CMake (pip fetches it unless --no-build-isolation is given)"
    for pattern in _ERROR_LINES:
        if found := pattern.search(log):
            quoted = " ".join(found[0].split())[:300]
            break
    else:
        quoted = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "")
    return (
        "the native build failed (this is a bug in the build, not a missing compiler): "
        f"{quoted or 'it printed nothing'}"
    )


def _note(reason: str, log: str) -> str:
    return "\n".join([reason, "", *log.splitlines()[-_LOG_LINES:], ""])


def _attempt(hook: str, directory: str, settings: Settings) -> tuple[str | None, str]:
    """Run scikit-build-core's ``hook`` in a child; return the wheel's name, or None, and the log.

    In a child, because CMake writes to the process's file descriptors, and because what a failed
    build leaves behind in modules must not reach the next one.
    """
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch) / "wheel"
        path = [entry for entry in sys.path if entry]
        job = json.dumps([path, hook, directory, settings, str(answer)])
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, job],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert child.stdout is not None
        lines = []
        for line in child.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(line)
        log = "".join(lines)
        if child.wait() == 0 and answer.is_file():
            return answer.read_text(encoding="utf-8"), log
        return None, log


def _store(hook: str, wheel: Path, text: str) -> None:
    """Put the note into the package: into the wheel, or beside the sources if editable."""
    if hook == "build_editable":
        (Path(_PACKAGE) / _NOTE).write_text(text, encoding="utf-8")
        return
    data = text.encode()
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    rebuilt = wheel.with_suffix(".tmp")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(rebuilt, "w", zipfile.ZIP_DEFLATED) as new:
        record = None
        for entry in old.infolist():
            if entry.filename.endswith(".dist-info/RECORD"):
                record = entry
                continue
            new.writestr(entry, old.read(entry), zipfile.ZIP_DEFLATED)
        if record is None:
            message = f"{wheel.name} has no RECORD"
            raise RuntimeError(message)
        member = f"fastnn/{_NOTE}"
        stamp = record.date_time
        new.writestr(zipfile.ZipInfo(member, stamp), data, zipfile.ZIP_DEFLATED)
        table = io.StringIO(old.read(record).decode())
        rows = list(csv.reader(table))
        rows.insert(0, [member, f"sha256={digest}", str(len(data))])
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(rows)
        new.writestr(record, out.getvalue(), zipfile.ZIP_DEFLATED)
    rebuilt.replace(wheel)


def _fail(reason: str) -> None:
    print(f"\nfastnn: {reason}", file=sys.stderr, flush=True)  # noqa: T201 - pip shows it
    raise SystemExit(1)


def _build(hook: str, directory: str, config: Settings | None) -> str:
    settings = dict(config or {})
    required, skipped = _flag("FASTNN_REQUIRE_NATIVE"), _flag("FASTNN_NO_NATIVE")
    if required and skipped:
        _fail("FASTNN_REQUIRE_NATIVE and FASTNN_NO_NATIVE contradict each other: unset one")
    if hook == "build_editable":  # what an earlier editable install left
        (Path(_PACKAGE) / _NOTE).unlink(missing_ok=True)

    if skipped:
        note = _note("native code was left out on request (FASTNN_NO_NATIVE=1 at install)", "")
    else:
        if required:
            settings.setdefault("cmake.define.FASTNN_NATIVE_CHECK", "ON")
        wheel, log = _attempt(hook, directory, settings)
        if wheel is not None:
            return wheel
        reason = diagnose(log)
        if required:
            _fail(f"FASTNN_REQUIRE_NATIVE is set, and {reason}")
        if "fastnn: CUDA requested (ON)" in log or reason.startswith("FASTNN_"):
            _fail(f"the settings cannot be met: {reason}")
        note = _note(reason, log)

    wheel, log = _attempt(hook, directory, settings | {"wheel.cmake": "false"})
    if wheel is None:
        _fail(f"not even the pure-Python wheel could be built: {diagnose(log)}")
        raise AssertionError
    _store(hook, Path(directory) / wheel, note)
    return wheel


def build_wheel(
    wheel_directory: str,
    config_settings: Settings | None = None,
    metadata_directory: str | None = None,  # noqa: ARG001 - its tag may be another's by now
) -> str:
    """Build the wheel, native if possible, and return its name."""
    return _build("build_wheel", wheel_directory, config_settings)


def build_editable(
    wheel_directory: str,
    config_settings: Settings | None = None,
    metadata_directory: str | None = None,  # noqa: ARG001 - see build_wheel
) -> str:
    """Build the editable wheel, native if possible, and return its name."""
    return _build("build_editable", wheel_directory, config_settings)


def _pure(config: Settings | None) -> Settings:
    return {**(config or {}), "wheel.cmake": "false"}


def get_requires_for_build_wheel(config_settings: Settings | None = None) -> list[str]:
    """Return what scikit-build-core wants fetched: cmake and ninja where there are none."""
    settings = _pure(config_settings) if _flag("FASTNN_NO_NATIVE") else config_settings
    return _skbuild.get_requires_for_build_wheel(settings)


def get_requires_for_build_editable(config_settings: Settings | None = None) -> list[str]:
    """As ``get_requires_for_build_wheel``."""
    settings = _pure(config_settings) if _flag("FASTNN_NO_NATIVE") else config_settings
    return _skbuild.get_requires_for_build_editable(settings)


def prepare_metadata_for_build_wheel(
    metadata_directory: str, config_settings: Settings | None = None
) -> str:
    """Write the metadata, which does not depend on whether there will be native code."""
    return _skbuild.prepare_metadata_for_build_wheel(metadata_directory, _pure(config_settings))


def prepare_metadata_for_build_editable(
    metadata_directory: str, config_settings: Settings | None = None
) -> str:
    """As ``prepare_metadata_for_build_wheel``."""
    return _skbuild.prepare_metadata_for_build_editable(metadata_directory, _pure(config_settings))
