# SPDX-License-Identifier: BSD-3-Clause
"""Optimisers, with torch's names, options and state format, and schedules (``lr_scheduler``).

``__init__.pyi`` has the export lines; an optimiser is imported when it is first used (`_lazy`).
"""

from __future__ import annotations

from fastnn import _lazy
from fastnn._homes import FILES, OPTIM

__getattr__, __dir__ = _lazy.exports(__name__, OPTIM, FILES["optim"])
__all__ = list(OPTIM)
