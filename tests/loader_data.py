# SPDX-License-Identifier: BSD-3-Clause
"""Small data sets for the loader's tests."""

from __future__ import annotations

import numpy as np

import fastnn
from fastnn.utils.data import Dataset, IterableDataset, TensorDataset


def pairs(n=20, width=3):
    x = fastnn.tensor(np.arange(n * width, dtype="f4").reshape(n, width))
    return TensorDataset(x, fastnn.arange(n))


class Squares(Dataset):
    """Sample by sample, and counts how it was asked."""

    def __init__(self, n=10):
        self.n = n
        self.asked = []

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        self.asked.append(i)
        return i, float(i * i)


class Stream(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(self.n))


def seed(n):
    return fastnn.Generator().manual_seed(n)


def order(loader):
    return [b[1].tolist() for b in loader]
