# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of native kernels share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import fastnn

if TYPE_CHECKING:
    from collections.abc import Callable


def normal(shape: tuple[int, ...], dtype: str = "float32", seed: int = 3) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def same_on_any_number_of_threads(run: Callable[[], np.ndarray[Any, Any]]) -> bytes:
    """The bytes of a result that must not depend on the number of threads."""
    before = fastnn.get_num_threads()
    try:
        results = []
        for n in (1, 2, 3, 4):
            fastnn.set_num_threads(n)
            results.append(run().tobytes())
    finally:
        fastnn.set_num_threads(before)
    assert len(set(results)) == 1
    return results[0]
