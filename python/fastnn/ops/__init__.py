# SPDX-License-Identifier: BSD-3-Clause
"""The operations: one file each, with reference, forward, backward and public function.

``__init__.pyi`` has the export lines; an operation is imported when it is first used (`_lazy`).
"""

from __future__ import annotations

import sys
import types
from typing import Any

from fastnn import _lazy
from fastnn._homes import FILES, OPS


class _Operations(types.ModuleType):
    """Where function and file have one name, the name is the function's: importing the file does
    not take it away."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, types.ModuleType) and OPS.get(name, f"ops.{name}:") != f"ops.{name}:":
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Operations
__getattr__, __dir__ = _lazy.exports(__name__, OPS, FILES["ops"])
__all__ = list(OPS)
