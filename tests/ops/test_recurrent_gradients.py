# SPDX-License-Identifier: BSD-3-Clause
"""The gradients of recurrent weights: the kernel against its reference, bits, hostile calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _backend, ops
from fastnn.ops import _recurrent
from fastnn.tensor import Tensor

# (t, b, i, h, g): one block and several, edges of tiles and vectors, one step, more than is packed
# at a time.
SHAPES = [
    (3, 2, 4, 5, 7), (1, 3, 17, 2, 20), (40, 33, 28, 70, 52), (5, 9, 1, 100, 300),
    (50, 40, 500, 620, 20),
]  # fmt: skip


def arrays(shape: Any, dtype: str = "f4") -> list[Any]:
    """d, x, states, h0, and where the gradients go."""
    t, b, i, h, g = shape
    rng = np.random.default_rng(0)
    sizes = [(t, b, g), (t, b, i), (t, b, h), (b, h), (g, i), (g, h), (g,)]
    return [rng.normal(size=s).astype(dtype) for s in sizes]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", SHAPES)
def test_kernel_is_its_reference(kernels: Any, shape: Any, dtype: str, reverse: bool) -> None:
    for state in (True, False) if shape[0] > 1 else (True,):
        for adds in ((False, True), (True, False)):
            given = arrays(shape, dtype)
            want = [a.astype("f8") for a in given]
            for a in (given, want):
                a[3] = a[3] if state else None
            kernels["recurrent_gradients"](*given, *adds, reverse)
            _recurrent.recurrent_gradients(*want, *adds, reverse)
            bound = (2e-6 if dtype == "f4" else 4e-15) * shape[0] * shape[1]
            for a, b in zip(given[4:], want[4:], strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=bound)


@pytest.mark.parametrize("shape", SHAPES)
def test_bits_depend_on_neither_the_threads_nor_what_else_is_wanted(
    kernels: Any, shape: Any
) -> None:
    want = arrays(shape)
    kernels["recurrent_gradients"](*want, False, False, False)
    before = fastnn.get_num_threads()
    try:
        for threads in (1, 2, 5):
            fastnn.set_num_threads(threads)
            for wanted in ({4, 5, 6}, {4}, {5}, {6}):
                given: list[Any] = arrays(shape)
                given[4:] = [a if k in wanted else None for k, a in enumerate(given[4:], 4)]
                kernels["recurrent_gradients"](*given, False, False, False)
                for k in wanted:
                    np.testing.assert_array_equal(given[k], want[k])
    finally:
        fastnn.set_num_threads(before)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_without_a_state_the_first_step_has_no_part_in_its_weights(
    kernels: Any, reverse: bool
) -> None:
    for run in (kernels["recurrent_gradients"], _recurrent.recurrent_gradients):
        given: list[Any] = arrays((3, 2, 4, 5, 7))
        given[0][-1 if reverse else 0] = np.nan
        given[3] = None
        run(*given, False, False, reverse)
        assert np.isnan(given[4]).all()
        assert np.isfinite(given[5]).all()


def test_kernel_refuses_what_is_no_product(kernels: Any) -> None:
    for shape, state in (
        ((3, 2, 0, 5, 7), True), ((3, 2, 4, 0, 7), True), ((0, 2, 4, 5, 7), True),
        ((3, 0, 4, 5, 7), True), ((1, 2, 4, 5, 7), False),
    ):  # fmt: skip
        given = arrays(shape)
        given[3] = given[3] if state else None
        with pytest.raises(ValueError, match="recurrent_gradients"):
            kernels["recurrent_gradients"](*given, False, False, False)


@pytest.mark.parametrize("twice", [False, True])
def test_a_weight_for_input_and_state_gets_both_gradients(twice: bool) -> None:
    rng = np.random.default_rng(0)
    x = Tensor._wrap(rng.normal(size=(4, 3, 6)))
    w = rng.normal(size=(24, 6)) / 3
    apart = [Tensor._wrap(w.copy()).requires_grad_() for _ in range(2)]
    one = Tensor._wrap(w).requires_grad_()
    for _ in range(1 + twice):
        ops.lstm_layer(x, *apart)[0].sum().backward()
        ops.lstm_layer(x, one, one)[0].sum().backward()
    first, second = (a.grad for a in apart)
    assert first is not None
    assert second is not None
    assert one.grad is not None
    np.testing.assert_allclose(one.grad.numpy(), (first + second).numpy(), rtol=1e-12)


@pytest.mark.skipif(_backend.name != "cpu", reason="NumPy's BLAS rounds by the number of rows")
@pytest.mark.parametrize("biases", [0, 1, 2])
@pytest.mark.parametrize(("width", "units"), [(5, 90), (64, 33), (383, 200)])
def test_many_rows_have_the_bits_of_one(width: int, units: int, biases: int) -> None:
    """With many, a step multiplies the input and the state at once."""
    rng = np.random.default_rng(0)
    sizes = [(4, 1, width), (4 * units, width), (4 * units, units), *[(4 * units,)] * biases]
    arguments = [Tensor._wrap(rng.normal(size=s).astype("f4") / 8) for s in sizes]
    one = ops.lstm_layer(*arguments)[0].numpy()
    many = ops.lstm_layer(arguments[0].expand(4, 21, width), *arguments[1:])[0].numpy()
    np.testing.assert_array_equal(many, np.broadcast_to(one, many.shape))
