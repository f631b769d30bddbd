# SPDX-License-Identifier: BSD-3-Clause
"""Builds the CUDA sources for the host, against the emulation, as a Python module.

Modes:

* ``plain``: optimised, no sanitizer;
* ``ucontext``: the same with the portable fiber switch instead of the one in assembler;
* ``asan``: AddressSanitizer and UndefinedBehaviorSanitizer;
* ``tsan``: ThreadSanitizer in the kernels alone (the scheduler says what orders what).

The binding is the same in all modes, without sanitizers: with them pybind11's templates take half a
minute to compile.

Objects and modules lie in a cache folder (``FASTNN_EMULATION_DIR``, else one in the temporary
folder) under the hash of everything that made them, so that a second run compiles nothing.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MODULE = "_cuda_emulation"
PRODUCT_KERNELS = tuple(sorted((ROOT / "cuda" / "ops").glob("*.cu")))
TEST_KERNELS = tuple(sorted((HERE / "kernels").glob("*.cu")))

_INCLUDES = [f"-I{ROOT / 'cuda'}", f"-I{ROOT / 'csrc'}", f"-I{HERE}"]
_COMMON = [
    *["-std=c++17", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-Werror"],
    *["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wdouble-promotion"],
]
# A thread's stack has 64 KiB.
_KERNEL = ["-x", "c++", "-Wframe-larger-than=8192"]
_MODES: dict[str, list[str]] = {
    "plain": ["-O2"],
    "ucontext": ["-O2"],
    "asan": [
        *["-O1", "-fno-omit-frame-pointer"],
        *["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
    ],
    "tsan": ["-O1", "-fno-omit-frame-pointer", "-fsanitize=thread"],
}
_RUNTIME = {"asan": "libasan.so", "tsan": "libtsan.so"}


@dataclass(frozen=True)
class Mutation:
    """A planted mistake: ``old``, which occurs once in the file, is compiled as ``new``."""

    path: Path
    old: str
    new: str

    def apply(self, text: str) -> str:
        found = text.count(self.old)
        if found != 1:
            message = f"{self.path.name}: expected {self.old!r} once, found it {found} times"
            raise ValueError(message)
        return text.replace(self.old, self.new)


def compiler() -> str | None:
    """Return the C++ compiler, or None. It must be GCC, whose sanitizer libraries are asked for."""
    chosen = shlex.split(os.environ.get("CXX", "")) or ["g++"]
    return shutil.which(chosen[0]) or shutil.which("g++")


@cache
def _compiler_version() -> str:
    return subprocess.run(
        [compiler() or "g++", "--version"], check=True, capture_output=True, text=True
    ).stdout


def cache_directory() -> Path:
    given = os.environ.get("FASTNN_EMULATION_DIR")
    path = Path(given) if given else Path(tempfile.gettempdir()) / f"fastnn-emulation-{os.getuid()}"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _digest(*parts: str) -> str:
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(part.encode() + b"\0")
    return hashed.hexdigest()[:20]


def _headers() -> str:
    folders = (ROOT / "cuda", HERE, ROOT / "csrc" / "runtime")
    files = sorted(file for folder in folders for file in folder.rglob("*.h"))
    return _digest(*(f"{file.name}\n{file.read_text('utf-8')}" for file in files))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        message = f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
        raise RuntimeError(message)


def _produce(target: Path, command: list[str]) -> Path:
    """Run ``command`` with ``-o``, unless the target is there; two processes may do so at once."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_name(f"{target.name}.{os.getpid()}")
        _run([*command, "-o", str(scratch)])
        scratch.replace(target)
    return target


def _source_text(source: Path, mutations: Sequence[Mutation]) -> str:
    text = source.read_text("utf-8")
    for mutation in mutations:
        if mutation.path == source:
            text = mutation.apply(text)
    return text


def _flags(source: Path, mode: str) -> list[str]:
    flags = [*_COMMON, *_INCLUDES]
    if source.parent != HERE and source.suffix == ".cpp":
        import pybind11  # noqa: PLC0415 - only a build needs it

        python = ["-isystem", pybind11.get_include(), "-isystem", sysconfig.get_path("include")]
        return [*flags, "-O1", "-g0", *python, f"-DFASTNN_CUDA_MODULE={MODULE}"]
    flags.append("-g")
    if source.suffix == ".cu":
        return [*flags, *_MODES[mode], *_KERNEL]
    scheduler = {"tsan": ["-O1", "-DCUEMU_TSAN"], "ucontext": ["-O2", "-DCUEMU_UCONTEXT"]}
    return [*flags, *scheduler.get(mode, _MODES[mode])]


def _compile(source: Path, mode: str, mutations: Sequence[Mutation], headers: str) -> Path:
    text = _source_text(source, mutations)
    flags = _flags(source, mode)
    key = _digest(_compiler_version(), headers, text, str(source), *flags)
    folder = cache_directory() / "objects"
    changed = folder / f"{key}-{source.name}"
    if text != source.read_text("utf-8"):
        folder.mkdir(parents=True, exist_ok=True)
        changed.write_text(text, "utf-8")
        source = changed
    command = [compiler() or "g++", *flags, "-c", str(source)]
    return _produce(folder / f"{key}-{source.stem}.o", command)


def build(
    mode: str = "plain",
    *,
    kernels: Sequence[Path] = PRODUCT_KERNELS,
    mutations: Sequence[Mutation] = (),
) -> Path:
    """Return the path of the module with these kernel files, built if it is not there yet."""
    unused = [m.path for m in mutations if m.path not in kernels]
    if unused:
        message = f"mutated files that are not built: {unused}"
        raise ValueError(message)
    product = [ROOT / "cuda" / "module.cpp", ROOT / "cuda" / "runtime" / "arguments.cpp"]
    sources = [*product, *sorted(HERE.glob("*.cpp")), *kernels]
    headers = _headers()
    with ThreadPoolExecutor(max_workers=2) as pool:
        jobs = [pool.submit(_compile, source, mode, mutations, headers) for source in sources]
        objects = [str(job.result()) for job in jobs]
    link = [compiler() or "g++", "-shared", *_MODES[mode], *objects]
    key = _digest(_compiler_version(), *link)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    return _produce(cache_directory() / f"{mode}-{key}" / f"{MODULE}{suffix}", link)


def sanitizer_environment(mode: str) -> dict[str, str]:
    """Return the environment in which Python can load a module of this mode.

    The sanitizer's runtime must come first in the process. Leaks are not looked for: Python itself
    keeps memory until the end. Nor are locals used after their function's return: for that each
    fiber would map a second stack, and the whole pass would be ten times slower.
    """
    environment = dict(os.environ)
    if mode in _RUNTIME:
        names = [_RUNTIME[mode], "libstdc++.so"]
        found = [
            subprocess.run(
                [compiler() or "g++", f"-print-file-name={name}"],
                check=True,
                capture_output=True,
                text=True,
            ).stdout.strip()
            for name in names
        ]
        environment["LD_PRELOAD"] = " ".join(found)
        environment["ASAN_OPTIONS"] = "detect_leaks=0:detect_stack_use_after_return=0"
        environment["UBSAN_OPTIONS"] = "print_stacktrace=1"
        environment["TSAN_OPTIONS"] = "halt_on_error=1:exitcode=66:history_size=4"
        environment["OPENBLAS_NUM_THREADS"] = "1"
    return environment


def missing() -> str | None:
    """Return why nothing can be built here, or None."""
    if compiler() is None:
        return "no g++"
    try:
        import pybind11  # noqa: F401, PLC0415
    except ImportError:
        return "pybind11 is not installed"
    return None


if __name__ == "__main__":
    for chosen_mode in sys.argv[1:] or ["plain"]:
        sys.stdout.write(f"{build(chosen_mode)}\n")
