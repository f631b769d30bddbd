# SPDX-License-Identifier: BSD-3-Clause
"""Writes python/fastnn/_cpu.pyi from the kernels of an installed native module.

    python tools/make_stubs.py            writes the file
    python tools/make_stubs.py --check    exits with 1 if it is not up to date

A kernel's line comes from its FASTNN_OP: names and shapes from the specification, types from the
C++ signatures.
"""

from __future__ import annotations

import sys
from pathlib import Path

STUB = Path(__file__).resolve().parent.parent / "python" / "fastnn" / "_cpu.pyi"

HEAD = """# SPDX-License-Identifier: BSD-3-Clause
# Written by tools/make_stubs.py from the kernels' own descriptions; do not edit.
# fmt: off
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

_Array = NDArray[Any]
_Slot = tuple[int, object, int, int, int, int, str]

class Memory: ...

class Kernel:
    __name__: str
    spec: str
    id: int
    is_allocating: bool
    variants: tuple[tuple[tuple[str, str, str, str, bool], ...], ...]
    fallback: Callable[..., Any] | None
    def __call__(self, *args: Any) -> None: ...
    def allocating(self, *inputs: _Array) -> Any: ...

version: Final[str]
kernels: Final[dict[str, Kernel]]

def empty(shape: tuple[int, ...], dtype: DTypeLike, /) -> _Array: ...
def empty_cache() -> None: ...
def set_cache_limit(bytes: int, /) -> None: ...
def memory_stats() -> dict[str, int]: ...
def set_recorder(
    launches: list[tuple[int, int, bytes, tuple[_Slot, ...]]] | None, /
) -> list[tuple[int, int, bytes, tuple[_Slot, ...]]] | None: ...
def launch(kernel_id: int, variant: int, block: bytes, /) -> None: ...
def compiled_levels() -> list[str]: ...
def usable_levels() -> list[str]: ...
def isa() -> str: ...
def set_isa(level: str) -> None: ...
def isa_problem() -> str | None: ...
def config_problems() -> list[str]: ...
def num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
def ceiling_fma(threads: int, seconds: float) -> float: ...
def ceiling_memory(kind: str, threads: int, bytes: int, seconds: float) -> float: ...
def last_participants() -> int: ...
def gather_workers(on: bool) -> None: ...

# Kernels: every output is given by the caller. Element types are those of one variant.
"""

TYPES = {
    "list": "Sequence[_Array]",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "ints": "tuple[int, ...]",
}


def stub_of(name: str, spec: str, variants: tuple[tuple[tuple[str, ...], ...], ...]) -> str:
    """The lines of one kernel."""
    words = []
    for argument, kind, _, dtype, optional in variants[0]:
        if kind in ("array", "strided"):
            same = all(v[len(words)][3] == dtype for v in variants)
            text = f"NDArray[np.{dtype if dtype != 'bool' else 'bool_'}]" if same else "_Array"
        else:
            text = TYPES[kind]
        words.append(f"{argument}: {text}" + (" | None" if optional else ""))
    return f"# {spec}\ndef {name}({', '.join(words)}, /) -> None: ...\n"


def text() -> str:
    """The whole file."""
    from fastnn import _backend  # noqa: PLC0415  (needs the native module, the rest does not)

    if _backend.cpu is None:
        message = f"make_stubs: expected an installed native module: {_backend.reasons['cpu']}"
        raise SystemExit(message)
    kernels = sorted(_backend.native.items())
    return HEAD + "".join(stub_of(n, k.spec, k.variants) for n, k in kernels)


def main() -> int:
    """Writes or checks the stub."""
    wanted = text()
    if "--check" in sys.argv[1:]:
        return 0 if STUB.is_file() and STUB.read_text("utf-8") == wanted else 1
    STUB.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
