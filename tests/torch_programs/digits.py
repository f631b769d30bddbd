# SPDX-License-Identifier: BSD-3-Clause
"""The shipped digits as tensors of any library."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.data import load_digits


def digits(torch: Any, low: int = 0, high: int = 10) -> tuple[Any, Any]:
    """Images (n, 1, 8, 8) in [0, 1] and labels (n) of the classes in [low, high), from 0 on."""
    images, labels = load_digits()
    kept = (labels >= low) & (labels < high)
    pixels = (images[kept] / 16.0).astype(np.float32)[:, None]
    return torch.from_numpy(pixels), torch.from_numpy(labels[kept].astype(np.int64) - low)
