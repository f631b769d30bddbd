# SPDX-License-Identifier: BSD-3-Clause
"""ReLU of large arrays, of which a bit per element is saved, against ReLU of small ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.ops import activation

LEAST = activation._LARGE
HARD = [0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1e-45, -1e-45, 1.0, -1.0]
SIZES = [0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 1000, 70_003, (4 << 20) + 5]


def _values(n: int, dtype: Any) -> Any:
    x = np.random.default_rng(n).standard_normal(n).astype(dtype)
    places = np.arange(n)[::-3][: 4 * len(HARD)]
    x[places] = np.resize(HARD, places.size)
    return x


def _framed(array: Any) -> tuple[Any, Any]:
    """A copy that begins within a line, and what lies around it."""
    whole = np.full(array.size + 14, 7, array.dtype)
    inside = whole[5 : 5 + array.size]
    inside[...] = array
    return inside, (whole[:5], whole[5 + array.size :])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", SIZES)
def test_kernels_are_as_their_references(kernels: Any, n: int, dtype: Any) -> None:
    x, g = _values(n, dtype), _values(n, dtype)[::-1].copy()
    for frame in (_framed, lambda array: (array.copy(), ())):
        (y, around_y), (back, around_back) = frame(np.full_like(x, 3)), frame(np.full_like(x, 3))
        bits, around_bits = frame(np.full((n + 7) // 8, 3, np.uint8))
        kernels["relu_bits_forward"](x, y, bits)
        kernels["relu_bits_backward"](bits, g, back)
        want, want_bits, want_back = np.empty_like(y), np.empty_like(bits), np.empty_like(y)
        activation.relu_bits_forward(x, want, want_bits)
        activation.relu_bits_backward(want_bits, g, want_back)
        np.testing.assert_array_equal(bits, want_bits)
        assert y.tobytes() == want.tobytes()
        assert back.tobytes() == want_back.tobytes()
        for part in (*around_y, *around_bits, *around_back):
            assert (part == 7).all()


def test_an_input_may_be_the_output(kernels: Any) -> None:
    x = _values(70_003, np.float32)
    y, bits = x.copy(), np.empty(8751, np.uint8)
    kernels["relu_bits_forward"](y, y, bits)
    np.testing.assert_array_equal(y, np.where(x < 0, 0, x))
    back = x.copy()
    kernels["relu_bits_backward"](bits, back, back)
    np.testing.assert_array_equal(back, np.where(y <= 0, 0, x))


@pytest.mark.parametrize("size", [0, 124, 126, 2**20])
def test_other_numbers_of_bits_are_refused(kernels: Any, size: int) -> None:
    x, bits = np.zeros(1000, np.float32), np.zeros(size, np.uint8)
    with pytest.raises(ValueError, match="relu_bits_forward"):
        kernels["relu_bits_forward"](x, np.empty_like(x), bits)
    with pytest.raises(ValueError, match="relu_bits_backward"):
        kernels["relu_bits_backward"](bits, x, np.empty_like(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_are_those_of_small_arrays(dtype: Any) -> None:
    n = LEAST // np.dtype(dtype).itemsize
    x, g = _values(n, dtype).reshape(4, -1), _values(n, dtype)[::-1].copy().reshape(4, -1)
    whole = fastnn.tensor(x).requires_grad_()
    fastnn.relu(whole).backward(fastnn.tensor(g))
    for i in range(4):
        row = fastnn.tensor(x[i]).requires_grad_()
        fastnn.relu(row).backward(fastnn.tensor(g[i]))
        assert whole.grad.numpy()[i].tobytes() == row.grad.numpy().tobytes()


def test_gradients_of_gradients() -> None:
    """d relu(x^2 - 1) / dx = 2 x where x^2 > 1, whose gradients are 2 there, then 0."""
    data = np.random.default_rng(1).standard_normal(LEAST // 8)
    x = fastnn.tensor(data).requires_grad_()
    (first,) = fastnn.autograd.grad(fastnn.relu(x * x - 1).sum(), x, create_graph=True)
    outside = data * data > 1
    np.testing.assert_array_equal(first.detach().numpy(), np.where(outside, 2 * data, 0))
    weights = fastnn.tensor(np.random.default_rng(2).standard_normal(data.size)).requires_grad_()
    (second,) = fastnn.autograd.grad((first * weights).sum(), x, create_graph=True)
    np.testing.assert_allclose(
        second.detach().numpy(), np.where(outside, 2 * weights.detach().numpy(), 0), rtol=1e-12
    )
    (third,) = fastnn.autograd.grad(second.sum(), weights)
    np.testing.assert_array_equal(third.numpy(), np.where(outside, 2.0, 0.0))


def test_transposed_inputs_and_gradients() -> None:
    data = np.random.default_rng(1).standard_normal((1024, 1024), dtype=np.float32)
    x = fastnn.tensor(data).requires_grad_()
    fastnn.relu(x.t()).t().backward(fastnn.tensor(data))
    np.testing.assert_array_equal(x.grad.numpy(), np.where(data > 0, data, 0))


def test_nothing_is_saved_where_no_gradient_is_asked_for() -> None:
    x = fastnn.tensor(_values(LEAST // 4, np.float32))
    assert not fastnn.relu(x).requires_grad
    with fastnn.no_grad():
        y = fastnn.relu(x.requires_grad_())
    assert not y.requires_grad
    np.testing.assert_array_equal(y.numpy(), np.where(x.detach().numpy() < 0, 0, x.detach()))
