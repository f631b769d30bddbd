# SPDX-License-Identifier: BSD-3-Clause
"""Splits of a data set that keep the proportions of its classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["stratified_split"]

_Indices = npt.NDArray[np.int64]


def _permutations(lengths: list[int], seed: int) -> list[_Indices]:
    """One permutation of range(n) for every n, all from one generator.

    They come from fastnn's own Philox generator: neither NumPy's version nor the backend in use
    changes them, so a split is the same everywhere and for ever.
    """
    import fastnn  # noqa: PLC0415 - NumPy alone does for all the rest

    generator = fastnn.Generator()
    generator.manual_seed(seed)
    return [fastnn.randperm(n, generator=generator).numpy() for n in lengths]


def _shares(counts: list[int], fraction: float) -> list[int]:
    """Whole numbers near counts[i] * fraction that add up to round(sum(counts) * fraction).

    The largest remainder takes what rounding down has left over (Hamilton's method); ties go to
    the earlier class.
    """
    quotas = [count * fraction for count in counts]
    shares = [math.floor(quota) for quota in quotas]
    missing = round(sum(counts) * fraction) - sum(shares)
    by_remainder = sorted(range(len(counts)), key=lambda i: (shares[i] - quotas[i], i))
    for i in by_remainder[:missing]:
        shares[i] += 1
    return shares


def stratified_split(
    labels: npt.ArrayLike, test_fraction: float = 0.2, seed: int = 0
) -> tuple[_Indices, _Indices]:
    """Indices of a training and a held-out part in which every class has the same share.

    Shapes:   labels (n,), integers -> two sorted int64 arrays that partition range(n); the second
              has round(n * test_fraction) elements, of every class its share up to rounding.
    Raises:   TypeError for labels that are not integers; ValueError for labels that are not
              one-dimensional or are empty, for a fraction outside (0, 1), and if one part
              would be empty.
    """
    array: npt.NDArray[Any] = np.asarray(labels)
    if array.ndim != 1 or array.size == 0:
        message = (
            f"stratified_split: expected labels of shape (n,) with n > 0, got {array.shape}; pass"
            " one class number for every sample"
        )
        raise ValueError(message)
    if array.dtype.kind not in "iu":
        message = (
            f"stratified_split: expected integer labels, got {array.dtype}; convert them to "
            "class numbers first"
        )
        raise TypeError(message)
    if not 0.0 < test_fraction < 1.0:
        message = (
            f"stratified_split: expected 0 < test_fraction < 1, got {test_fraction!r}; 0.2 holds"
            " out a fifth"
        )
        raise ValueError(message)
    members = [np.flatnonzero(array == label) for label in np.unique(array)]
    counts = [len(indices) for indices in members]
    shares = _shares(counts, test_fraction)
    if not 0 < sum(shares) < array.size:
        message = (
            f"stratified_split: expected labels for both parts, got {array.size} with "
            f"test_fraction={test_fraction!r}, which leave one part empty; take a larger data set "
            "or another fraction"
        )
        raise ValueError(message)
    train: list[_Indices] = []
    test: list[_Indices] = []
    orders = _permutations(counts, seed)
    for indices, order, share in zip(members, orders, shares, strict=True):
        shuffled = indices[order]
        test.append(shuffled[:share])
        train.append(shuffled[share:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))
