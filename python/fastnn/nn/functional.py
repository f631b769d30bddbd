# SPDX-License-Identifier: BSD-3-Clause
"""The functions behind the layers, under torch's names.

``functional.pyi`` has the export lines; a function is imported when it is first used (`_lazy`).
"""

from __future__ import annotations

from fastnn import _lazy
from fastnn._homes import FUNCTIONAL

__getattr__, __dir__ = _lazy.exports(__name__, FUNCTIONAL)
__all__ = list(FUNCTIONAL)
