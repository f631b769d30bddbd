# SPDX-License-Identifier: BSD-3-Clause
"""Rectifiers of integers: like torch, with bounds that are cut to whole numbers."""

from __future__ import annotations

from fastnn.ops import _common
from fastnn.ops._refusal import refusal
from fastnn.ops.compare import gt_tensors
from fastnn.ops.minmax import clamp
from fastnn.ops.where import where
from fastnn.tensor import Tensor


def held_integers(name: str, x: Tensor, low: float, high: float) -> Tensor:
    """Integers held between two bounds."""
    _common.require_numbers(name, "input", x)
    if not x.dtype.is_signed and low < 0:
        text = f"min_val >= 0 for {x.dtype}"
        raise refusal(RuntimeError, name, text, low, "convert to a signed type")
    return clamp(x, int(low), int(high))


def integers_above(name: str, x: Tensor, threshold: float, value: float) -> Tensor:
    """Integers where they are above a threshold, else a value."""
    _common.require_numbers(name, "input", x)
    return where(gt_tensors(x, int(threshold)), x, int(value)).to(x.dtype)
