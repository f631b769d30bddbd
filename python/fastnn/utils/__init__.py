# SPDX-License-Identifier: BSD-3-Clause
"""Utilities around training: ``utils.data``, ``utils.checkpoint``, ``utils.dlpack``."""

from __future__ import annotations

from fastnn.utils import checkpoint, data, dlpack

__all__ = ["checkpoint", "data", "dlpack"]
