# SPDX-License-Identifier: BSD-3-Clause
"""torch.backends.mkl: Intel's library of matrix products, not used by fastnn."""

from __future__ import annotations

__all__ = ["is_available"]


def is_available() -> bool:
    """False."""
    return False
