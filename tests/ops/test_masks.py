# SPDX-License-Identifier: BSD-3-Clause
"""Rows where a mask is true: the kernels beyond the case table, and indexing with masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from native_kernels import normal, same_on_any_number_of_threads

DTYPES = ("float32", "float64", "int64", "int32", "uint8", "bool")
LEAST, MOST = -(2**63), 2**63 - 1


def starts_of(kernels: Any, mask: Any, block: int) -> Any:
    starts = np.full(-(-mask.size // block) + 1, -7, np.int64)
    kernels["true_starts"](mask, starts, block)
    return starts


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("outer", "inner"), [(1, 1), (3, 1), (2, 3), (2, 20), (0, 2), (2, 0)])
@pytest.mark.parametrize(("n", "share"), [(0, 0.5), (64, 0.0), (65, 0.3), (300, 1.0)])
def test_rows_where_a_mask_is_true(
    kernels: Any, dtype: str, n: int, outer: int, inner: int, share: float
) -> None:
    mask = np.random.default_rng(n).random(n) < share
    m = int(mask.sum())
    x = (normal((outer, n, inner)) * 100).astype(dtype)
    for block in (1, 64, 2**62):
        starts = starts_of(kernels, mask, block)
        assert starts[-1] == m
        places = np.full(m, -1, np.int64)
        kernels["true_places"](mask, starts, places, block)
        np.testing.assert_array_equal(places, mask.nonzero()[0])
        y = np.full((outer, m, inner), 1, dtype)
        kernels["take_true"](x, mask, starts, y, block)
        np.testing.assert_array_equal(y, x[:, mask])
        z = x.copy()
        kernels["put_true"](np.ones_like(y), mask, starts, z, block)
        want = x.copy()
        want[:, mask] = 1
        np.testing.assert_array_equal(z, want)


@pytest.mark.parametrize(
    ("starts", "block"),
    [
        ((0, 2, 3), 0),
        ((0, 2, 3), -1),
        ((0, 2, 3), 2**62),
        ((0, 2, 3), 1),
        ((1, 2, 3), 3),
        ((0, 2, 2), 3),
        ((0, 4, 3), 3),
        ((0, -1, 3), 3),
        ((0, LEAST, 3), 3),
        ((0, MOST, 3), 3),
        ((0, 3), 3),
    ],
)
def test_starts_that_are_not_those_of_the_mask_are_refused(
    kernels: Any, starts: Any, block: int
) -> None:
    mask, given = np.array([1, 0, 1, 1, 0], bool), np.array(starts, np.int64)
    x, y = np.full((1, 5, 1), 7.0), np.zeros((1, 3, 1))
    for name, arguments in (
        ("take_true", (x, mask, given, y.copy(), block)),
        ("put_true", (y, mask, given, x, block)),
        ("true_places", (mask, given, np.zeros(3, np.int64), block)),
    ):
        with pytest.raises(ValueError, match=name):
            kernels[name](*arguments)
    assert (x == 7).all()


def test_a_mask_that_lost_elements_since_it_was_counted_leaves_zeros(kernels: Any) -> None:
    mask = np.array([1, 0, 1, 1, 0], bool)
    starts = starts_of(kernels, mask, 2)
    y, places = np.full((1, 3, 1), 9.0), np.full(3, 9)
    kernels["take_true"](np.full((1, 5, 1), 7.0), np.zeros(5, bool), starts, y, 2)
    kernels["true_places"](np.zeros(5, bool), starts, places, 2)
    assert not y.any()
    assert not places.any()


def test_bits_of_masked_rows_do_not_depend_on_threads(kernels: Any) -> None:
    mask = np.random.default_rng(5).random(300_000) < 0.4
    x = normal((2, mask.size, 1))
    m = int(mask.sum())

    def run() -> Any:
        starts = starts_of(kernels, mask, 4096)
        kernels["take_true"](x, mask, starts, y := np.empty((2, m, 1), np.float32), 4096)
        kernels["put_true"](y[::-1].copy(), mask, starts, z := x.copy(), 4096)
        return np.concatenate([y.ravel(), z.ravel(), starts])

    same_on_any_number_of_threads(run)


def test_a_mask_may_change_after_it_picked() -> None:
    x = fastnn.arange(4.0).requires_grad_()
    mask = fastnn.tensor([True, False, True, False])
    y, z = x[mask], x.clone()
    z[mask] = fastnn.tensor([5.0, 6.0])
    mask.fill_(True)
    (gx,) = fastnn.autograd.grad(y.sum() + (2 * z).sum(), x)
    assert gx.tolist() == [1.0, 2.0, 1.0, 2.0]


def test_assignment_of_a_number_where_a_mask_holds_needs_no_copies() -> None:
    x = fastnn.arange(24.0).reshape(2, 3, 4)
    view = x.permute(2, 0, 1)  # (4, 2, 3), not contiguous
    view[:, fastnn.tensor([[True, False, True], [False, True, False]])] = -1.0
    assert (x.reshape(6, 4)[:, 0] == -1).tolist() == [True, False, True, False, True, False]
    assert x[0, 1].tolist() == [4.0, 5.0, 6.0, 7.0]
    assert (x == -1).sum() == 12


def test_an_index_may_be_the_tensor_that_is_changed() -> None:
    places = fastnn.tensor([2, 0, 1])
    places[places] = places + 5
    assert places.tolist() == [5, 6, 7]
    x = fastnn.tensor([[True], [False], [True]])
    x[x] = False
    assert not x.any()
    x = fastnn.tensor([True, False, True])
    x[x] = fastnn.tensor([False, True])
    assert x.tolist() == [False, False, True]
    x = fastnn.tensor([[True, True], [False, True], [True, False]])
    x[x[:, 0]] = False
    assert x.tolist() == [[False, False], [False, True], [False, False]]
    x = fastnn.tensor([[True], [False]])
    x[x[:, 0]] = fastnn.tensor([[False]])
    assert not x.any()
