# SPDX-License-Identifier: BSD-3-Clause
"""The error for an argument that an operation refuses, of those that check many."""

from __future__ import annotations

from typing import Any


def refusal(error: type[Exception], name: str, expected: str, got: Any, cure: str) -> Exception:
    """name: expected ..., got ...; cure."""
    message = f"{name}: expected {expected}, got {got}; {cure}"
    return error(message)
