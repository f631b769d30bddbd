# SPDX-License-Identifier: BSD-3-Clause
"""Where in the user's code a call came from: what warnings point to."""

from __future__ import annotations

import sys


def user_line() -> tuple[int, tuple[str, int]]:
    """The stacklevel by which the calling function's warning points to the first line outside of
    fastnn, and that line as (file, number)."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("fastnn."):
        frame, level = frame.f_back, level + 1
    return level, (frame.f_code.co_filename, frame.f_lineno)
