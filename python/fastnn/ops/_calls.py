# SPDX-License-Identifier: BSD-3-Clause
"""The operations by their public names, for `Tensor` and formulas: `fastnn.ops` has them too, but
watches over its names, for which a look-up takes longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn import _lazy
from fastnn._homes import OPS

if TYPE_CHECKING:
    from fastnn.ops import *  # noqa: F403
else:
    __getattr__, __dir__ = _lazy.exports(__name__, OPS)
