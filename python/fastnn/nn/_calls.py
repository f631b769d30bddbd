# SPDX-License-Identifier: BSD-3-Clause
"""`functional` for the layers, whose every call looks up a name there: see `_lazy.namespace`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn import _lazy
from fastnn._homes import FUNCTIONAL

if TYPE_CHECKING:
    from fastnn.nn import functional as F
else:
    F = _lazy.namespace(FUNCTIONAL)

__all__ = ["F"]
