# SPDX-License-Identifier: BSD-3-Clause
"""check_symbols.py NM LEVEL LIST: fail if the objects named in LIST share symbols with others.

The linker keeps one copy of a weak (or "unique") symbol, whichever object it came from: a template
of the C++ library that was instantiated in an x86_v4 object may so be run on a machine without
AVX-512. Hidden visibility does not help, because the merging happens inside one shared object. So
every weak symbol that a level defines must carry the level's namespace in its (mangled) name.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

# nm's letters: V, v weak object; W, w weak symbol; u unique global. Undefined ones are not listed.
_SHARED = re.compile(r"^[0-9a-fA-F]*\s+[VvWwu]\s+(\S+)", re.MULTILINE)
# The address of a personality routine: data, and equal in all objects.
_HARMLESS = "DW.ref."


def shared_symbols(nm: str, path: str) -> list[str]:
    """Return the weak and unique symbols that the object at ``path`` defines."""
    command = [nm, "--defined-only", path]
    table = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return _SHARED.findall(table)


def main(nm: str, level: str, listing: str) -> int:
    """Print the leaks of ``level`` and return the exit status."""
    objects = Path(listing).read_text(encoding="utf-8").split("\n")
    objects = [path for path in objects if path]
    if not objects:
        print(f"{listing} names no object")  # noqa: T201
        return 2
    mark = f"{len(level)}{level}"  # as the Itanium C++ ABI spells a namespace
    symbols = [(path, name) for path in objects for name in shared_symbols(nm, path)]
    leaks = [
        f"  {path}: {name}"
        for path, name in symbols
        if mark not in name and not name.startswith(_HARMLESS)
    ]
    if leaks:
        head = f"Symbols of level {level} that the linker may give to other levels (keep the code"
        print(head, f"in namespace fastnn::{level}, without library templates):")  # noqa: T201
        print("\n".join(leaks))  # noqa: T201
        return 1
    print(f"{level}: {len(symbols)} weak symbols, all in its own namespace")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
