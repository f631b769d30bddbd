# SPDX-License-Identifier: BSD-3-Clause
"""Why names of torch are not in fastnn: the first row that fits."""

from __future__ import annotations

import re

NOT_YET = "not there yet"
# (what is found in the full name, why it is not there)
_ROWS = ()


def reason_of(path: str, name: str) -> str:
    """The reason for one name."""
    full = f"{path}.{name}"
    return next((why for pattern, why in _ROWS if re.search(pattern, full)), NOT_YET)
