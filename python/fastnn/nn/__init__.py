# SPDX-License-Identifier: BSD-3-Clause
"""Modules: layers, containers and losses, with torch's names.

``__init__.pyi`` has the export lines; a module is imported when it is first used (`_lazy`).
"""

from __future__ import annotations

from fastnn import _lazy
from fastnn._homes import FILES, NN

__getattr__, __dir__ = _lazy.exports(__name__, NN, FILES["nn"])
__all__ = list(NN)
