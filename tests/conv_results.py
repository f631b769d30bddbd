# SPDX-License-Identifier: BSD-3-Clause
"""What tests of the transformed convolutions (decision 0005) compare: a layer's output and its
gradients, in single and double precision, by threads and by batch."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastnn
from fastnn import autograd
from fastnn.nn import functional as F

Array = np.ndarray[Any, Any]
Layer = tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]  # shapes of x and w, options


def numbers(*shape: int, seed: int = 0) -> Array:
    """Uniform numbers in single precision, the same for a shape and a seed."""
    return np.random.default_rng((seed, *shape)).uniform(-1, 1, shape).astype(np.float32)


def results(x: Array, w: Array, options: dict[str, Any], grad: Array | None = None) -> list[Array]:
    """The output and the gradients of input, weight and bias."""
    a, b = (fastnn.from_numpy(array.copy()).requires_grad_() for array in (x, w))
    bias = fastnn.from_numpy(numbers(len(w), seed=2).astype(x.dtype)).requires_grad_()
    y = F.conv2d(a, b, bias, **options)
    if grad is None:
        grad = numbers(*y.shape, seed=1)
    grads = autograd.grad([y], [a, b, bias], [fastnn.from_numpy(grad.astype(x.dtype))])
    return [y.detach().numpy(), *(g.numpy() for g in grads if g is not None)]


def doubles(x: Array, w: Array) -> tuple[Array, Array]:
    """The same in double precision."""
    return x.astype(np.float64), w.astype(np.float64)


def check_against_double_precision(layer: Layer) -> None:
    """Within a few roundings of the largest result, as a sum of products in order is."""
    x, w, options = layer
    arrays = numbers(*x), numbers(*w)
    wants = results(*doubles(*arrays), options)
    for got, want in zip(results(*arrays, options), wants, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1.5e-6 * np.abs(want).max())


def check_bits(layer: Layer, every: int = 1) -> None:
    """The same bits on any number of threads; every so many-th image alone as in the batch."""
    x, w, options = layer
    arrays = numbers(*x), numbers(*w)
    before = fastnn.get_num_threads()
    seen = []
    try:
        for threads in (1, 2, 5):
            fastnn.set_num_threads(threads)
            seen.append([r.tobytes() for r in results(*arrays, options)])
    finally:
        fastnn.set_num_threads(before)
    assert seen[0] == seen[1] == seen[2]
    whole = results(*arrays, options)[0]
    for i in range(0, x[0], every):
        one = results(arrays[0][i : i + 1], arrays[1], options)[0]
        np.testing.assert_array_equal(one, whole[i : i + 1])
