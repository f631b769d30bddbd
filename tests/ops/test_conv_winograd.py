# SPDX-License-Identifier: BSD-3-Clause
"""Convolutions of 3 x 3 taps and many channels, whose kernels multiply transforms of tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import autograd
from fastnn.nn import functional as F

Array = np.ndarray[Any, Any]


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).uniform(-1, 1, shape).astype(np.float32)


def results(
    x: Array, w: Array, padding: Any, groups: int = 1, grad: Array | None = None
) -> list[Array]:
    """The output and the gradients of input, weight and bias."""
    a, b = (fastnn.from_numpy(array.copy()).requires_grad_() for array in (x, w))
    bias = fastnn.from_numpy(numbers(len(w), seed=2).astype(x.dtype)).requires_grad_()
    y = F.conv2d(a, b, bias, padding=padding, groups=groups)
    if grad is None:
        grad = numbers(*y.shape, seed=1)
    grads = autograd.grad([y], [a, b, bias], [fastnn.from_numpy(grad.astype(x.dtype))])
    return [y.detach().numpy(), *(g.numpy() for g in grads if g is not None)]


def doubles(*arrays: Array) -> list[Array]:
    return [array.astype(np.float64) for array in arrays]


# Images, channels and size of the input; output channels; padding; groups. Odd sizes, few rows or
# columns, channels that do not fill vectors, several blocks of channels, tiles of several images
# to a box, boxes that are a part of a row.
LAYERS: list[tuple[tuple[int, int, int, int], int, Any, int]] = [
    ((2, 16, 8, 8), 16, 1, 1),
    ((3, 32, 14, 14), 64, 1, 1),
    ((2, 64, 13, 15), 48, 0, 1),
    ((2, 64, 13, 15), 48, 2, 1),
    ((5, 128, 7, 7), 96, 1, 1),
    ((2, 200, 9, 33), 70, 1, 1),
    ((2, 64, 9, 9), 64, 1, 2),
    ((1, 31, 4, 5), 45, 1, 1),
    ((3, 32, 2, 40), 32, 1, 1),
    ((2, 32, 40, 3), 32, 2, 1),
    ((1, 64, 8, 300), 64, (0, 1), 1),
    ((9, 48, 6, 8), 64, (1, 2), 1),
    ((2, 128, 3, 500), 128, 1, 1),
    ((33, 24, 9, 10), 32, 1, 1),
]


@pytest.mark.parametrize(("x", "outputs", "padding", "groups"), LAYERS)
def test_single_precision_gives_what_double_precision_does(
    x: tuple[int, int, int, int], outputs: int, padding: Any, groups: int
) -> None:
    """Within a few roundings of the largest result, as a sum of products in order is."""
    arrays = numbers(*x), numbers(outputs, x[1] // groups, 3, 3)
    wants = results(*doubles(*arrays), padding, groups)
    for got, want in zip(results(*arrays, padding, groups), wants, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1.5e-6 * np.abs(want).max())


@pytest.mark.parametrize(("x", "outputs", "padding", "groups"), LAYERS)
def test_bits_depend_neither_on_threads_nor_on_the_batch(
    x: tuple[int, int, int, int], outputs: int, padding: Any, groups: int
) -> None:
    arrays = numbers(*x), numbers(outputs, x[1] // groups, 3, 3)
    before = fastnn.get_num_threads()
    seen = []
    try:
        for threads in (1, 2, 5):
            fastnn.set_num_threads(threads)
            seen.append([r.tobytes() for r in results(*arrays, padding, groups)])
    finally:
        fastnn.set_num_threads(before)
    assert seen[0] == seen[1] == seen[2]
    whole = results(*arrays, padding, groups)
    grad = numbers(*whole[0].shape, seed=1)
    for i in range(0, x[0], 4):
        one = results(arrays[0][i : i + 1], arrays[1], padding, groups, grad[i : i + 1])
        for part, all_images in zip(one[:2], whole[:2], strict=True):
            np.testing.assert_array_equal(part, all_images[i : i + 1])


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", ["input", "weight", "grad"])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_not_finite_reaches_what_the_definition_says(bad: float, place: str) -> None:
    x, w, g = numbers(3, 32, 10, 11), numbers(48, 32, 3, 3), numbers(3, 48, 10, 11, seed=1)
    clean = results(x, w, 1, grad=g)
    if place == "input":
        x[1, 5, 4, 4] = bad
    elif place == "weight":
        w[40, 7, 0, 2] = bad
    else:
        g[1, 9, 3, 8] = bad
    wants = results(*doubles(x, w), 1, grad=g)
    gots = results(x, w, 1, grad=g)
    for got, want in zip(gots, wants, strict=True):
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(want))
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-3)
    if place != "weight":  # the other images' bits are what they were
        for got, before in zip(gots[:2], clean[:2], strict=True):
            np.testing.assert_array_equal(got[::2], before[::2])


def test_sums_of_a_tile_may_overflow_where_the_result_does_not() -> None:
    x, w, g = numbers(2, 32, 8, 8), numbers(32, 32, 3, 3), numbers(2, 32, 8, 8, seed=1)
    w[:, 3] *= np.float32(1e-20)
    x[0, 3] = 3e38
    g[:] *= np.float32(1e-20)
    wants = results(*doubles(x, w), 1, grad=g)
    for got, want in zip(results(x, w, 1, grad=g), wants, strict=True):
        assert np.isfinite(want).all()
        assert np.abs(want).max() < 3e38
        np.testing.assert_allclose(got, want, rtol=0, atol=1.5e-6 * np.abs(want).max())


def test_gradients_are_added_to_those_that_are_there() -> None:
    x, w = numbers(4, 32, 12, 12), numbers(64, 32, 3, 3)
    a, b = fastnn.from_numpy(x), fastnn.from_numpy(w).requires_grad_()
    for times in (1, 2, 3):
        y = F.conv2d(a, b, padding=1)
        y.backward(fastnn.from_numpy(numbers(*y.shape, seed=1)))
        want = times * results(*doubles(x, w), 1)[2]
        assert b.grad is not None
        np.testing.assert_allclose(b.grad.numpy(), want, rtol=0, atol=2e-6 * np.abs(want).max())


@pytest.mark.filterwarnings("ignore:invalid value")
def test_gradients_that_are_not_finite_are_added_too() -> None:
    x, w, g = numbers(3, 32, 10, 11), numbers(48, 32, 3, 3), numbers(3, 48, 10, 11, seed=1)
    g[1, 9, 3, 8] = np.inf
    want = results(*doubles(x, w), 1, grad=g)[2]
    a, b = fastnn.from_numpy(x), fastnn.from_numpy(w).requires_grad_()
    b.grad = fastnn.ones(48, 32, 3, 3)
    F.conv2d(a, b, padding=1).backward(fastnn.from_numpy(g))
    np.testing.assert_array_equal(np.isnan(b.grad.numpy()), np.isnan(want))
    np.testing.assert_allclose(b.grad.numpy(), 1 + want, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("bias", "scale"), [(np.inf, 1.0), (3e38, 1e37)])
@pytest.mark.parametrize(
    ("image", "taps", "stride"), [((32, 14, 14), 3, 1), ((3, 32, 32), 7, 2), ((3, 32, 32), 8, 2)]
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_bits_do_not_depend_on_other_images_where_only_the_bias_makes_them_infinite(
    image: tuple[int, int, int], taps: int, stride: int, bias: float, scale: float
) -> None:
    x, w = numbers(2, *image), numbers(64, image[0], taps, taps) * np.float32(scale)
    b = np.zeros(64, np.float32)
    b[5] = bias
    alone = F.conv2d(*map(fastnn.from_numpy, (x[:1].copy(), w, b)), stride, padding=1).numpy()
    assert not np.isfinite(alone[0, 5]).all()
    x[1, 2, 3, 3] = np.nan
    both = F.conv2d(*map(fastnn.from_numpy, (x, w, b)), stride, padding=1).numpy()
    np.testing.assert_array_equal(both[:1], alone)


@pytest.mark.parametrize("count", [1, 40])
def test_sums_of_many_numbers_of_one_sign(count: int) -> None:
    """The gradients of the parameters grow far beyond what is added to them."""
    places = np.add.outer(np.arange(64) % 3, np.arange(64) % 5)
    x = np.broadcast_to(0.1 + 0.3 * places, (count, 32, 64, 64)).astype(np.float32)
    w = np.zeros((32, 32, 3, 3), np.float32)
    g = np.full((count, 32, 62, 62), 0.1, np.float32)
    wants = results(*doubles(x, w), 0, grad=g)
    for got, want in zip(results(x, w, 0, grad=g)[2:], wants[2:], strict=True):
        np.testing.assert_allclose(got, want, rtol=4e-6)
