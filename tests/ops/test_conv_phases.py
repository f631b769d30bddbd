# SPDX-License-Identifier: BSD-3-Clause
"""Gradients of the input of convolutions with a stride of 2 along the rows: outputs of two phases
stand in turn and are written together, or with the zeros or biases that no tap reaches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.nn import functional as F

Array = np.ndarray[Any, Any]

# Input of the transposed convolution, weight, options: widths that end within a vector or within
# its first half, several panels of channels, one tap (with padding: in the second place), taps that
# reach every third row alone, groups, an odd width, one direction.
LAYERS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((3, 20, 16, 16), (20, 24, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    ((2, 20, 9, 5), (20, 70, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    ((2, 33, 7, 23), (33, 16, 4, 4), {"stride": 2, "padding": 1}),
    ((5, 16, 8, 8), (16, 32, 1, 1), {"stride": 2, "output_padding": 1}),
    ((5, 16, 8, 9), (16, 32, 1, 1), {"stride": 2, "padding": (0, 1), "output_padding": 1}),
    ((2, 16, 6, 13), (16, 48, 2, 3), {"stride": (3, 2), "padding": (0, 1), "output_padding": 1}),
    ((2, 32, 6, 10), (32, 16, 5, 5), {"stride": 2, "groups": 2, "output_padding": 1}),
    ((2, 32, 6, 10), (32, 32, 3, 3), {"stride": 2}),
    ((4, 24, 11), (24, 18, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
]


def result(x: Array, w: Array, bias: Array | None, options: dict[str, Any]) -> Array:
    transpose = F.conv_transpose2d if x.ndim == 4 else F.conv_transpose1d
    extra = None if bias is None else fastnn.from_numpy(bias)
    y = transpose(fastnn.from_numpy(x), fastnn.from_numpy(w), extra, **options)
    return np.asarray(y.numpy())


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(("x", "w", "options"), LAYERS)
def test_values_and_bits(
    x: tuple[int, ...], w: tuple[int, ...], options: dict[str, Any], biased: bool
) -> None:
    rng = np.random.default_rng(7)
    outputs = w[1] * options.get("groups", 1)
    values, weight, bias = (rng.uniform(-1, 1, size) for size in (x, w, outputs))
    want = result(values, weight, bias if biased else None, options)
    singles = [a.astype(np.float32) for a in (values, weight, bias)]
    before = fastnn.get_num_threads()
    try:
        for threads in (1, 2, 5):
            fastnn.set_num_threads(threads)
            got = result(singles[0], singles[1], singles[2] if biased else None, options)
            if threads == 1:
                first = got
            np.testing.assert_array_equal(got, first)
    finally:
        fastnn.set_num_threads(before)
    np.testing.assert_allclose(first, want, rtol=0, atol=2e-6 * np.abs(want).max())
    one = result(singles[0][1:2], singles[1], singles[2] if biased else None, options)
    np.testing.assert_array_equal(one, first[1:2])


def test_each_element_is_the_sum_of_its_definition() -> None:
    x, w = np.ones((2, 16, 5, 6)), np.zeros((16, 16, 3, 3))
    w[:, :, 1, 1], w[:, :, 1, 0] = np.eye(16), 2 * np.eye(16)
    y = result(x, w, np.full(16, 0.5), {"stride": 2, "padding": 1, "output_padding": 1})
    want = np.full((2, 16, 10, 12), 0.5)
    want[:, :, ::2, ::2] += 1
    want[:, :, ::2, 1:-1:2] += 2
    np.testing.assert_array_equal(y, want)
