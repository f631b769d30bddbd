# SPDX-License-Identifier: BSD-3-Clause
"""torch.backends.mps: Apple's GPUs, which fastnn does not use."""

from __future__ import annotations

__all__ = ["is_available", "is_built"]


def is_available() -> bool:
    """False."""
    return False


def is_built() -> bool:
    """False."""
    return False
