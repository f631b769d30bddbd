# SPDX-License-Identifier: BSD-3-Clause
"""torch.backends.mkldnn: oneDNN's kernels, not used by fastnn."""

from __future__ import annotations

from fastnn.backends._switches import checked

__all__ = ["deterministic", "enabled", "is_available"]

enabled = True
deterministic = False


def is_available() -> bool:
    """False."""
    return False


checked(__name__)
