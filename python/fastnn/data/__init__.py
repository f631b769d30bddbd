# SPDX-License-Identifier: BSD-3-Clause
"""Data sets as NumPy arrays, and their split into training and held-out parts."""

from __future__ import annotations

from fastnn.data.digits import load_digits
from fastnn.data.split import stratified_split

__all__ = ["load_digits", "stratified_split"]
