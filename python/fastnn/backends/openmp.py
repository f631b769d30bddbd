# SPDX-License-Identifier: BSD-3-Clause
"""torch.backends.openmp: threads by OpenMP, not used by fastnn."""

from __future__ import annotations

__all__ = ["is_available"]


def is_available() -> bool:
    """False."""
    return False
