# SPDX-License-Identifier: BSD-3-Clause
"""Convolution where the kernel depends on how many images there are: bits, infinities, sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.nn import functional as F
from fastnn.ops import _convolution_reference as reference

Array = np.ndarray[Any, Any]


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).uniform(-1, 1, shape).astype(np.float32)


# channels and size of the input, outputs, taps, options
LAYERS: list[tuple[tuple[int, int, int], int, int, dict[str, Any]]] = [
    ((10, 28, 28), 6, 5, {"stride": 2}),
    ((200, 9, 9), 8, 1, {}),
    ((256, 8, 33), 16, 1, {}),
    ((400, 17, 17), 16, 1, {}),
    ((256, 15, 21), 8, 1, {}),
    ((12, 14, 14), 7, 5, {"padding": 2}),
    ((40, 12, 12), 6, 3, {"padding": 1}),
    ((40, 12, 12), 12, 3, {"padding": 1}),
]


@pytest.mark.parametrize(("image", "outputs", "taps", "options"), LAYERS)
@pytest.mark.parametrize("images", [1, 2, 7, 12])
def test_an_image_has_its_bits_in_any_batch(
    image: tuple[int, int, int], outputs: int, taps: int, options: dict[str, Any], images: int
) -> None:
    x, w = numbers(16, *image), numbers(outputs, image[0], taps, taps)

    def results(count: int) -> tuple[Array, Array]:
        a = fastnn.from_numpy(x[:count].copy()).requires_grad_()
        y = F.conv2d(a, fastnn.from_numpy(w), **options)
        y.backward(fastnn.from_numpy(numbers(16, *y.shape[1:], seed=1)[:count].copy()))
        assert a.grad is not None
        return y.detach().numpy(), a.grad.numpy()

    for part, whole in zip(results(images), results(16), strict=True):
        np.testing.assert_array_equal(part, whole[:images])


@pytest.mark.parametrize("images", [11, 12, 13, 16])
def test_an_infinite_input_leaves_the_other_gradients_alone(images: int, kernels: Any) -> None:
    """The lanes without an image take no part."""
    x = np.ones((images, 6, 14, 14), np.float32)
    x[0, 2, 5, 5] = np.inf
    shapes = [(1, 1, 1), (0, 0, 0), (1, 1, 1), 1]
    g, got = np.ones((images, 6, 1, 10, 10), np.float32), np.empty((6, 6, 1, 5, 5), np.float32)
    want = np.empty_like(got)
    kernels["conv_backward_weight"](x[:, :, None], g, got, *shapes, False)
    reference.conv_backward_weight(x[:, :, None], g, want, *shapes, False)
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("images", [2, 12, 16])
@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_the_padding_takes_part_as_zero(images: int, bad: float, kernels: Any) -> None:
    x, w = numbers(images, 10, 1, 14, 14), numbers(6, 10, 1, 5, 5)
    w[0, 0, 0, 0, 0] = bad
    shapes = [(1, 1, 1), (0, 2, 2), (1, 1, 1), 1]
    for name, inputs, shape in (
        ("conv_forward", (x, w), (images, 6, 1, 14, 14)),
        ("conv_backward_input", (numbers(images, 6, 1, 14, 14), w), x.shape),
    ):
        got, want = np.empty(shape, np.float32), np.empty(shape, np.float32)
        kernels[name](*inputs, None, got, *shapes)
        getattr(reference, name)(*inputs, None, want, *shapes)
        np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.parametrize(
    ("images", "channels", "outputs", "groups", "size", "taps"),
    [
        (2, 2, 2, 2, 1024, 3),
        (32, 64, 64, 16, 128, 1),
        (64, 16, 16, 1, 128, 1),
        (64, 4, 4, 4, 56, 3),
    ],
)
def test_the_gradient_of_a_bias_is_exact(
    images: int, channels: int, outputs: int, groups: int, size: int, taps: int, kernels: Any
) -> None:
    """A sum of many equal numbers, which grows far beyond them."""
    x = np.zeros((images, channels, 1, size, size), np.float32)
    g = np.full((images, outputs, 1, size, size), 0.1, np.float32)
    weight = np.empty((outputs, channels // groups, 1, taps, taps), np.float32)
    bias = np.empty(outputs, np.float32)
    half = taps // 2
    shapes = [(1, 1, 1), (0, half, half), (1, 1, 1), groups]
    kernels["conv_backward_parameters"](x, g, weight, bias, *shapes, False, False)
    want = float(np.float32(0.1)) * images * size * size
    np.testing.assert_allclose(bias, want, rtol=1e-6)


def test_gradients_of_weight_and_bias_that_share_memory() -> None:
    """One is added after the other."""
    x, w = fastnn.from_numpy(numbers(2, 3, 8, 8)), fastnn.from_numpy(numbers(4, 3, 3, 3))
    b = fastnn.from_numpy(numbers(4))
    w.requires_grad_()
    b.requires_grad_()
    F.conv2d(x, w, b).sum().backward()
    assert w.grad is not None
    assert b.grad is not None
    once = [w.grad.numpy().copy(), b.grad.numpy().copy()]
    shared = fastnn.zeros(4 * 27)
    w.grad, b.grad = shared.reshape(4, 3, 3, 3), shared[:4]
    F.conv2d(x, w, b).sum().backward()
    want = once[0].reshape(-1).copy()
    want[:4] += once[1]
    np.testing.assert_allclose(shared.numpy(), want, rtol=1e-5)
