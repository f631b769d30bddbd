# SPDX-License-Identifier: BSD-3-Clause
"""Convolutions of few channels, seven or eight rows of taps and a stride of 2 down the columns,
whose kernels multiply transforms of four outputs, rows of taps and of the gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from conv_results import (
    Layer,
    check_against_double_precision,
    check_bits,
    doubles,
    numbers,
    results,
)
from fastnn.nn import functional as F

Array = np.ndarray[Any, Any]


# Outputs that do not fill the last tile or vector, one channel, several blocks of k and panels,
# groups, steps along the rows, boxes that are a part of a row, of several rows, of several images.
LAYERS: list[Layer] = [
    ((3, 3, 64, 64), (64, 3, 7, 7), {"stride": 2, "padding": 3}),
    ((5, 3, 33, 41), (24, 3, 7, 7), {"stride": 2, "padding": 3}),
    ((2, 1, 30, 30), (16, 1, 8, 5), {"stride": (2, 1), "padding": 2}),
    ((3, 6, 29, 50), (64, 3, 7, 3), {"stride": (2, 3), "padding": 1, "groups": 2}),
    ((2, 9, 22, 40), (112, 9, 7, 7), {"stride": 2, "padding": (0, 6), "dilation": (1, 2)}),
    ((1, 2, 15, 300), (31, 2, 7, 4), {"stride": (2, 1), "padding": (8, 0)}),
    ((21, 3, 15, 9), (32, 3, 8, 7), {"stride": 2, "padding": 3}),
]


@pytest.mark.parametrize("layer", LAYERS)
def test_single_precision_gives_what_double_precision_does(layer: Layer) -> None:
    check_against_double_precision(layer)


@pytest.mark.parametrize("layer", LAYERS)
def test_bits_depend_neither_on_threads_nor_on_the_batch(layer: Layer) -> None:
    check_bits(layer, every=4)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", ["input", "weight", "grad"])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_not_finite_reaches_what_the_definition_says(bad: float, place: str) -> None:
    options: dict[str, Any] = {"stride": 2, "padding": 3}
    x, w, g = numbers(3, 3, 32, 34), numbers(32, 3, 7, 7), numbers(3, 32, 16, 17, seed=1)
    clean = results(x, w, options, g)
    if place == "input":
        x[1, 2, 9, 4] = bad
    elif place == "weight":
        w[20, 1, 0, 2] = bad
    else:
        g[1, 9, 3, 8] = bad
    wants = results(*doubles(x, w), options, g)
    gots = results(x, w, options, g)
    for got, want in zip(gots, wants, strict=True):
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(want))
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-3)
    if place != "weight":  # the other images' bits are what they were
        np.testing.assert_array_equal(gots[0][::2], clean[0][::2])


def test_sums_of_a_tile_may_overflow_where_the_result_does_not() -> None:
    options: dict[str, Any] = {"stride": 2, "padding": 3}
    x, w, g = numbers(2, 3, 32, 32), numbers(32, 3, 7, 7), numbers(2, 32, 16, 16, seed=1)
    w[:, 1] *= np.float32(1e-20)
    x[0, 1] = 3e38
    g[:] *= np.float32(1e-20)
    wants = results(*doubles(x, w), options, g)
    for got, want in zip(results(x, w, options, g), wants, strict=True):
        assert np.isfinite(want).all()
        assert np.abs(want).max() < 3e38
        np.testing.assert_allclose(got, want, rtol=0, atol=1.5e-6 * np.abs(want).max())


def test_gradients_are_added_to_those_that_are_there() -> None:
    options: dict[str, Any] = {"stride": 2, "padding": 3}
    x, w = numbers(4, 3, 32, 32), numbers(48, 3, 7, 7)
    a, b = fastnn.from_numpy(x), fastnn.from_numpy(w).requires_grad_()
    for times in (1, 2, 3):
        y = F.conv2d(a, b, **options)
        y.backward(fastnn.from_numpy(numbers(*y.shape, seed=1)))
        want = times * results(*doubles(x, w), options)[2]
        assert b.grad is not None
        np.testing.assert_allclose(b.grad.numpy(), want, rtol=0, atol=2e-6 * np.abs(want).max())
