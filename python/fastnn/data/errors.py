# SPDX-License-Identifier: BSD-3-Clause
"""The error of data files that are missing, damaged, or not what they should be."""

from __future__ import annotations

__all__ = ["DataFileError"]


class DataFileError(ValueError):
    """A data file is missing, damaged, or another one than was asked for; the message says which
    file, what was expected and what came."""
