# SPDX-License-Identifier: BSD-3-Clause
"""Zeros of both signs where torch tells them apart, on the kernels and on the references."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fastnn
from fastnn import _backend
from fastnn.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Iterator

ZEROS = [-0.0, 0.0] * 20  # whole vectors and a rest


@pytest.fixture(params=["in use", "numpy"], autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "numpy":
        with _backend.use("numpy"):
            yield
    else:
        yield


def signs(t: Any) -> list[bool]:
    return np.signbit(t.detach().numpy()).ravel().tolist()


@pytest.mark.parametrize("dtype", [fastnn.float32, fastnn.float64])
def test_relu_keeps_them_alone_in_place_and_fused(dtype: Any) -> None:
    x = fastnn.tensor(ZEROS, dtype=dtype)
    kept = [True, False] * 20
    assert signs(fastnn.relu(x)) == kept
    assert signs(fastnn.relu(fastnn.tensor([-1.0, 1.0], dtype=dtype))) == [False, False]
    # The product and the bias are -0, so their sum is.
    row, weight = fastnn.zeros(3, 1, dtype=dtype), -fastnn.ones(40, 1, dtype=dtype)
    plain = F.relu(F.linear(row, weight, x))
    fused = fastnn.ops.linear(row, weight, x, activation="relu")
    assert signs(fused) == signs(plain)
    assert signs(x.relu_()) == kept


@pytest.mark.parametrize("dtype", [fastnn.float32, fastnn.float64])
@pytest.mark.parametrize("units", [1, 5, 40])
def test_relu_of_a_recurrent_layer_keeps_them(units: int, dtype: Any) -> None:
    """Sums of products that are negative and too small for the type: tanh shows their signs, which
    are those of -0 where a product is added without being rounded first."""
    tiny = 1e-30 if dtype is fastnn.float32 else 1e-200
    cell = fastnn.nn.RNNCell(1, units, nonlinearity="relu", bias=False, dtype=dtype)
    shown = fastnn.nn.RNNCell(1, units, bias=False, dtype=dtype)
    with fastnn.no_grad():
        for weight in cell.parameters():
            weight.fill_(-tiny)
    shown.load_state_dict(cell.state_dict())
    x, h = (fastnn.full((3, n), tiny, dtype=dtype) for n in (1, units))
    y = cell(x, h)
    assert y.tolist() == [[0.0] * units] * 3
    assert signs(y) == signs(shown(x, h))
    assert not any(signs(cell(-x, -h)))
    assert cell(x * float("nan")).isnan().all().item()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (fastnn.floor_divide, [True, False, False, True]),
        (lambda x, y: x.div(y, rounding_mode="trunc"), [True, False, False, True]),
        (lambda x, y: x / y, [True, False, False, True]),
        (lambda x, y: x * y, [True, False, False, True]),
        (fastnn.remainder, [True, False, True, False]),
        (fastnn.fmod, [True, False, True, False]),
        (lambda x, _: -x, [False, True, False, True]),
        (lambda x, _: x.abs(), [False, False, False, False]),
        (lambda x, _: x + x, [True, False, True, False]),
        (lambda x, _: fastnn.erf(x), [True, False, True, False]),
        (lambda x, _: x.tanh(), [True, False, True, False]),
        (lambda x, _: fastnn.where(x == 0, x, 1.0), [True, False, True, False]),
        (lambda x, _: x.clone().flip(0), [False, True, False, True]),
        (lambda x, _: fastnn.cumsum(x[::2], 0), [False, False]),
    ],
)
def test_of_one_and_two_operands(function: Any, expected: list[bool]) -> None:
    for dtype in (fastnn.float32, fastnn.float64):
        x = fastnn.tensor([-0.0, 0.0, -0.0, 0.0], dtype=dtype)
        y = fastnn.tensor([2.5, 2.5, -2.5, -2.5], dtype=dtype)
        assert signs(function(x, y)) == expected


def test_the_sum_of_no_loss_is_positive() -> None:
    x = fastnn.tensor([[0.0, 1.0]])
    assert signs(F.nll_loss(x, fastnn.tensor([0]))) == [False]
