# SPDX-License-Identifier: BSD-3-Clause
"""Depthwise convolution of planes: widths around those of vectors, tall planes, borders, bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import autograd
from fastnn.nn import functional as F

Array = np.ndarray[Any, Any]

# height, width, taps, padding, outputs to a channel
PLANES = [
    *[(9, width, 3, 1, 1) for width in (1, 2, 4, 5, 8, 9, 15, 16, 17, 18, 31, 32, 33, 48, 49)],
    *[(7, width, 5, 2, 1) for width in (1, 3, 7, 8, 9, 10, 16, 17, 18, 19, 33, 35)],
    (1, 20, 3, 1, 1),
    (2, 20, 5, 2, 2),
    (12, 21, 3, 0, 1),
    (12, 21, 3, 2, 3),
    (12, 21, 5, 0, 1),
    (12, 21, 5, 4, 2),
    (150, 70, 3, 1, 1),
    (150, 70, 5, 2, 1),
]


def operands(plane: tuple[int, ...], dtype: Any, images: int = 3, channels: int = 5) -> list[Array]:
    height, width, taps, _, per = plane
    rng = np.random.default_rng(plane)
    shapes = [(images, channels, height, width), (channels * per, 1, taps, taps), (channels * per,)]
    return [rng.uniform(-1, 1, shape).astype(dtype) for shape in shapes]


def results(arrays: list[Array], padding: int) -> list[Array]:
    """The output and the gradients of input, weight and bias."""
    x, w, b = leaves = [fastnn.from_numpy(a).requires_grad_() for a in arrays]
    y = F.conv2d(x, w, b, padding=padding, groups=x.shape[1])
    seed = np.random.default_rng(y.shape).uniform(-1, 1, y.shape).astype(arrays[0].dtype)
    grads = autograd.grad(y, leaves, fastnn.from_numpy(seed))
    return [y.detach().numpy(), *(g.numpy() for g in grads)]


@pytest.mark.parametrize("plane", PLANES, ids=str)
def test_it_is_what_the_reference_says(plane: tuple[int, ...]) -> None:
    arrays = operands(plane, np.float64)
    want = results([a.astype(np.longdouble) for a in arrays], plane[3])
    for got, right in zip(results(arrays, plane[3]), want, strict=True):
        np.testing.assert_allclose(got, right.astype(np.float64), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("plane", [PLANES[8], PLANES[20], *PLANES[-2:]], ids=str)
def test_bits_depend_neither_on_threads_nor_on_the_batch(plane: tuple[int, ...]) -> None:
    arrays = operands(plane, np.float32, images=6, channels=40)
    before = fastnn.get_num_threads()
    try:
        fastnn.set_num_threads(1)
        once = results(arrays, plane[3])
        fastnn.set_num_threads(3)
        again = results(arrays, plane[3])
    finally:
        fastnn.set_num_threads(before)
    for a, b in zip(once, again, strict=True):
        np.testing.assert_array_equal(a, b)
    x, w, bias = arrays
    for n in range(len(x)):
        one = F.conv2d(
            *map(fastnn.from_numpy, (x[n : n + 1], w, bias)), padding=plane[3], groups=40
        )
        np.testing.assert_array_equal(one.numpy()[0], once[0][n])


def test_an_infinite_input_reaches_only_the_taps_that_read_it() -> None:
    """The gradient of a weight whose tap lies outside for the corner of the plane stays finite."""
    x = np.ones((1, 1, 6, 20))
    x[0, 0, 0, 0] = np.inf
    grad = results([x, np.ones((1, 1, 3, 3)), np.zeros(1)], 1)[2][0, 0]
    assert not np.isfinite(grad[:2, :2]).any()
    assert np.isfinite(grad[2]).all()
    assert np.isfinite(grad[:, 2]).all()


def test_gradients_are_added_to_those_that_are_there() -> None:
    layer = fastnn.nn.Conv2d(4, 8, 3, padding=1, groups=4)
    x = fastnn.from_numpy(operands(PLANES[9], np.float32, channels=4)[0])
    layer(x).sum().backward()
    parameters = list(layer.parameters())
    once = [np.array(p.grad.numpy()) for p in parameters if p.grad is not None]
    layer(x).sum().backward()
    for p, g in zip(parameters, once, strict=True):
        assert p.grad is not None
        np.testing.assert_allclose(p.grad.numpy(), 2 * g, rtol=1e-6)


@pytest.mark.parametrize("channels", [3, 8, 33])
@pytest.mark.parametrize("plane", PLANES, ids=str)
def test_one_output_of_many_channels(plane: tuple[int, ...], channels: int) -> None:
    """Sums of planes; the bits of an image are those that it has in any batch."""
    height, width, taps, padding, _ = plane
    rng = np.random.default_rng((channels, *plane))
    x = rng.uniform(-1, 1, (3, channels, height, width))
    w, bias = rng.uniform(-1, 1, (1, channels, taps, taps)), rng.uniform(-1, 1, 1)
    for dtype, tolerance in ((np.float64, 1e-14), (np.float32, 5e-6)):
        a, b, c = (fastnn.from_numpy(v.astype(dtype)) for v in (x, w, bias))
        y = F.conv2d(a, b, c, padding=padding).numpy()
        places = [(0, 0), (0, 0), (padding, padding), (padding, padding)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, places), (taps, taps), (2, 3))
        want = np.einsum("ncijhw,chw->nij", windows, w[0])[:, None] + bias
        np.testing.assert_allclose(y, want, rtol=0, atol=tolerance * channels**0.5 * taps)
        one = F.conv2d(a[1:2], b, c, padding=padding).numpy()
        np.testing.assert_array_equal(one, y[1:2])
        turned = F.conv_transpose2d(a, fastnn.from_numpy(w[0][:, None].astype(dtype)), c).numpy()
        double = [fastnn.from_numpy(v) for v in (x, w[0][:, None], bias)]
        exact = F.conv_transpose2d(*double).numpy()
        np.testing.assert_allclose(turned, exact, rtol=0, atol=tolerance * channels**0.5 * taps)
