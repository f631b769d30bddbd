# SPDX-License-Identifier: BSD-3-Clause
"""Utilities around training: ``utils.data``, ``utils.checkpoint``."""

from __future__ import annotations

from fastnn.utils import checkpoint, data

__all__ = ["checkpoint", "data"]
