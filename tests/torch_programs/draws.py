# SPDX-License-Identifier: BSD-3-Clause
"""Where a program takes its random numbers from.

`FromNumPy` draws in NumPy and hands the arrays over, so that torch and fastnn see the same numbers;
`FromGenerator` draws with the library's own generator, as a user's program would.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class FromNumPy:
    """The same numbers whatever library they are for."""

    def __init__(self, torch: Any, seed: int) -> None:
        self.torch, self.rng = torch, np.random.default_rng(seed)

    def normal(self, *shape: int) -> Any:
        return self.torch.from_numpy(self.rng.standard_normal(shape).astype(np.float32))

    def uniform(self, *shape: int) -> Any:
        return self.torch.from_numpy(self.rng.random(shape).astype(np.float32))

    def integers(self, high: int, *shape: int) -> Any:
        return self.torch.from_numpy(self.rng.integers(0, high, shape))

    def permutation(self, n: int) -> Any:
        return self.torch.from_numpy(self.rng.permutation(n))


class FromGenerator:
    """The library's own numbers, from a seed."""

    def __init__(self, torch: Any, seed: int) -> None:
        self.torch = torch
        torch.manual_seed(seed)

    def normal(self, *shape: int) -> Any:
        return self.torch.randn(*shape)

    def uniform(self, *shape: int) -> Any:
        return self.torch.rand(*shape)

    def integers(self, high: int, *shape: int) -> Any:
        return self.torch.randint(0, high, shape)

    def permutation(self, n: int) -> Any:
        return self.torch.randperm(n)
