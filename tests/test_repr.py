# SPDX-License-Identifier: BSD-3-Clause
"""How tensors print: what torch prints, but for the names of types and of operations."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

import fastnn

NAN, INF = float("nan"), float("inf")
RNG = np.random.default_rng(3)
ARRAYS: list[Any] = [
    [True],
    [True, False],
    True,
    [1.0, NAN],
    [NAN],
    [NAN, 1.5],
    [1.0, INF, -INF],
    [-INF],
    [0.1, 2.0, INF, NAN],
    [0.0],
    [-0.0],
    [-0.0, 1.0],
    [[1.0, -2.5], [1e6, 3.0]],
    [1e-8, 1.0],
    [1e10, 1.0],
    3.5,
    NAN,
    7,
    -7.0,
    [1000, -2],
    [0.5, 1e5],
    [1e5],
    [99999999.0],
    [1e8],
    [2e8],
    [1e-5],
    [1e-4],
    [1.0, 1001.0],
    [1.0, 1000.0],
    [[[1.0] * 4] * 3] * 2,
    np.arange(2000).reshape(100, 20),
    np.arange(1200),
    np.arange(1200.0),
    np.zeros(2000, bool),
    np.arange(1001.0) * 1.5,
    np.arange(40.0),
    np.arange(100) * 100,
    np.arange(60.0).reshape(2, 30) / 7,
    np.arange(2401).reshape(7, 7, 49),
    np.arange(1002.0).reshape(501, 2),
    np.zeros((0,)),
    np.zeros((2, 0)),
    np.zeros((0,), np.int64),
    np.zeros(3, np.uint8),
    np.ones(3, np.float64),
    np.arange(12, dtype=np.int32),
    np.arange(12, dtype=np.int16) - 300,
    np.ones((3, 3), np.float16) * 0.3,
    np.arange(30, dtype=np.float64) / 3,
    RNG.standard_normal((40, 40)) > 0,
    RNG.standard_normal((5, 7)),
    RNG.standard_normal(8) * 1e-3,
    RNG.integers(-9, 99, (3, 1, 2)),
    np.zeros((1, 1, 0)),
    np.full(3, 2.0**60),
]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([True], "tensor([True])"),
        ([True, False], "tensor([ True, False])"),
        ([1.0, NAN], "tensor([1., nan])"),
        ([1.5, NAN], "tensor([1.5000,    nan])"),
        (NAN, "tensor(nan)"),
        ([1e-8, 1.0], "tensor([1.0000e-08, 1.0000e+00])"),
        (np.arange(1200), "tensor([   0,    1,    2,  ..., 1197, 1198, 1199])"),
        (np.zeros((2, 0), np.uint8), "tensor([], size=(2, 0), dtype=fastnn.uint8)"),
        ([[1.0], [-2.0]], "tensor([[ 1.],\n        [-2.]])"),
    ],
)
def test_text(data: Any, text: str) -> None:
    assert repr(fastnn.tensor(data)) == text


def test_a_long_line_is_broken_before_what_follows_the_numbers() -> None:
    x = fastnn.arange(12.0) / 7
    x = fastnn.cat([x[:8]]).double().requires_grad_()
    lines = repr(x).split("\n")
    assert all(len(line) <= 80 for line in lines)
    assert lines[-1] == "       dtype=fastnn.float64, requires_grad=True)"


@pytest.mark.torch
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("i", range(len(ARRAYS)))
def test_the_text_is_that_of_torch(i: int, requires_grad: bool) -> None:
    torch = importlib.import_module("torch")
    ours, theirs = fastnn.tensor(ARRAYS[i]), torch.tensor(ARRAYS[i])
    if requires_grad and ours.is_floating_point():
        ours.requires_grad_()
        theirs.requires_grad_()
    # As long as torch's, so that lines break alike.
    assert repr(ours).replace("fastnn.", "torch.") == repr(theirs) or (
        repr(ours).replace("fastnn.", "torch.").split() == repr(theirs).split()
        and "dtype" in repr(theirs)
    )
