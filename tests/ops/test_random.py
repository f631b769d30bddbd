# SPDX-License-Identifier: BSD-3-Clause
"""Random words against the published vector and against Philox written with Python's integers."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import _backend

WORD = 0xFFFFFFFF


def philox(seed: int, number: int) -> list[int]:
    """Philox4x32-10 of one counter (Salmon et al. 2011, section 3.3)."""
    c = [number & WORD, number >> 32 & WORD, 0, 0]
    k = [seed & WORD, seed >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 & WORD, p0 >> 32 ^ c[3] ^ k[1], p0 & WORD]
        k = [(k[0] + 0x9E3779B9) & WORD, (k[1] + 0xBB67AE85) & WORD]
    return c


def words(seed: int, offset: int, n: int) -> tuple[list[int], np.ndarray]:
    cell = np.array([seed, offset], np.uint64).view(np.int64)
    made = np.empty(n, np.int64)
    _backend.kernels(made).random_bits(made, cell)
    return made.tolist(), cell


def test_the_published_vector() -> None:
    """The first of Random123's known answers: counter and key zero."""
    made, _ = words(0, 0, 4)
    assert made == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


@pytest.mark.parametrize("seed", [0, 1, 0x123456789ABCDEF0, 2**64 - 1])
@pytest.mark.parametrize("offset", [0, 5, 2**32 - 3, 2**63 - 2, 2**64 - 40])
@pytest.mark.parametrize("n", [1, 127, 128, 301])
def test_words_follow_the_definition(seed: int, offset: int, n: int) -> None:
    made, cell = words(seed, offset, n)
    blocks = [philox(seed, (offset + b) % 2**64) for b in range((n + 3) // 4)]
    assert made == [word for block in blocks for word in block][:n]
    assert cell.view(np.uint64)[1] == (offset + len(blocks)) % 2**64
