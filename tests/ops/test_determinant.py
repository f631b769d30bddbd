# SPDX-License-Identifier: BSD-3-Clause
"""Determinants of singular matrices, whose gradients are their cofactors too."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn


def cofactors(a: np.ndarray) -> np.ndarray:
    """c[i, j] = (-1)^(i + j) times the minor without row i and column j."""
    n = len(a)
    c = np.empty_like(a)
    for i in range(n):
        for j in range(n):
            minor = np.delete(np.delete(a, i, 0), j, 1)
            c[i, j] = (-1) ** (i + j) * np.linalg.det(minor)
    return c


@pytest.mark.parametrize("dtype", [fastnn.float32, fastnn.float64])
@pytest.mark.parametrize(
    "rows",
    [
        [[1, 2, 3], [2, 4, 6], [1, 0, 1]],  # of rank 2: the gradient is of rank 1
        [[1, 2, 3], [2, 4, 6], [3, 6, 9]],  # of rank 1: no minor is left
        [[0, 0], [0, 0]],
        [[3, 1, 4, 1], [5, 9, 2, 6], [8, 10, 6, 7], [1, 0, 0, 2]],
    ],
    ids=["rank 2 of 3", "rank 1 of 3", "zeros", "rank 3 of 4"],
)
def test_determinant_and_gradient_of_a_singular_matrix(rows, dtype):
    a = np.array(rows, np.float64)
    x = fastnn.tensor(rows, dtype=dtype, requires_grad=True)
    y = fastnn.det(x)
    y.backward()
    # A backward-stable elimination is off by some eps of the product of the rows' norms.
    scale = max(1.0, float(np.prod(np.linalg.norm(a, axis=1))))
    near = 8 * fastnn.finfo(dtype).eps * scale
    assert abs(y.item()) <= near
    np.testing.assert_allclose(x.grad.numpy(), cofactors(a), rtol=0, atol=near)
