# SPDX-License-Identifier: BSD-3-Clause
"""Utilities around training: ``utils.data``."""

from __future__ import annotations

from fastnn.utils import data

__all__ = ["data"]
