# SPDX-License-Identifier: BSD-3-Clause
"""fastnn: neural networks with native CPU kernels, under torch's names.

    import fastnn as torch

``fastnn.show_config()`` says which backend and instruction set run, and why not the others.
"""

from __future__ import annotations

import importlib

from fastnn import _startup  # noqa: F401  isort: skip  (before all that imports NumPy)
from fastnn import _lazy, autograd  # noqa: F401
from fastnn._homes import FASTNN, FILES
from fastnn.tensor import Tensor  # noqa: F401

# ``__init__.pyi`` has the export lines; what they name is imported when it is first used.
_NAMES = {
    **FASTNN,
    "load": "serialization:load",
    "save": "serialization:save",
    "bool_": "_dtypes:bool_",
}
_find, _names = _lazy.exports(__name__, _NAMES, FILES[""])


def _version() -> str:
    # Reading the installed metadata takes a quarter of the import's time: only when asked for.
    metadata = importlib.import_module("importlib.metadata")
    try:
        return str(metadata.version("fastnn-native"))
    except metadata.PackageNotFoundError:  # a source tree on the path
        return "0+unknown"


def __getattr__(name: str) -> object:
    return _version() if name == "__version__" else _find(name)


def __dir__() -> list[str]:
    return [name for name in _names() if not name.startswith("_")]


globals().pop("tensor", None)  # the file; the name is the function's
__all__ = list(FASTNN)
