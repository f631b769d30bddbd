# SPDX-License-Identifier: BSD-3-Clause
"""Argument types whose errors say what was expected and what came."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

__all__ = ["fraction", "positive_float", "positive_int", "seconds", "seed", "up_to"]

_MAX_SEED = 2**64 - 1


def _whole(text: str, lowest: int, highest: int, expected: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = lowest - 1
    if not lowest <= value <= highest:
        problem = f"expected {expected}, got {text!r:.60}; write for example {lowest}"
        raise argparse.ArgumentTypeError(problem)
    return value


def positive_int(text: str) -> int:
    """A whole number of at least 1 that 32 bits hold."""
    return _whole(text, 1, 2**31 - 1, "a whole number from 1 to 2147483647")


def up_to(highest: int) -> Callable[[str], int]:
    """The type of whole numbers from 1 to ``highest``."""

    def convert(text: str) -> int:
        return _whole(text, 1, highest, f"a whole number from 1 to {highest}")

    return convert


def seed(text: str) -> int:
    """A whole number that fits a generator's seed."""
    return _whole(text, 0, _MAX_SEED, "a whole number from 0 to 2**64 - 1")


def positive_float(text: str) -> float:
    """A finite number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0.0):
        problem = f"expected a finite number above 0, got {text!r:.60}; write for example 0.001"
        raise argparse.ArgumentTypeError(problem)
    return value


def seconds(text: str) -> float:
    """A finite number of at least zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0.0):
        problem = f"expected a finite number of at least 0, got {text!r:.60}; write for example 10"
        raise argparse.ArgumentTypeError(problem)
    return abs(value)  # of -0


def fraction(text: str) -> float:
    """A number from 0 to below 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value < 1.0:
        problem = f"expected a number from 0 to below 1, got {text!r:.60}; write for example 0.1"
        raise argparse.ArgumentTypeError(problem)
    return value
