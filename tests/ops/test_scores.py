# SPDX-License-Identifier: BSD-3-Clause
"""The warning for a softmax in front of cross_entropy, which takes one itself."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn import functional as F

MESSAGE = re.escape("cross_entropy: expected unnormalised scores, got rows of numbers in [0, 1]")


def scores(*shape: int, dtype: Any = "float32") -> fastnn.Tensor:
    return fastnn.tensor(np.random.default_rng(3).normal(size=shape).astype(dtype))


def classes(x: fastnn.Tensor) -> fastnn.Tensor:
    return fastnn.zeros(x.shape[:1] + x.shape[2:] if x.ndim > 1 else (), dtype=fastnn.int64)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 4), (4,), (5, 2), (2, 3, 4), (2, 70, 3, 3)])
def test_probabilities_are_told_from_scores(shape: tuple[int, ...], dtype: str) -> None:
    x = scores(*shape, dtype=dtype)
    p = F.softmax(x, 0 if x.ndim == 1 else 1)
    with pytest.warns(UserWarning, match=MESSAGE) as caught:
        F.cross_entropy(p, classes(p))
    assert caught[0].filename == __file__
    for other in (x, p.log(), p * 0.9, p + 0.01, p - 0.3, x.relu(), p * 0, p * float("nan")):
        F.cross_entropy(other, classes(x))  # warnings are errors in this suite


def test_every_way_through_cross_entropy_warns() -> None:
    p = F.softmax(scores(5, 4), 1)
    t = classes(p)
    for call in (
        lambda: F.cross_entropy(p, p),
        lambda: F.cross_entropy(p, t, weight=fastnn.ones(4)),
        lambda: F.cross_entropy(p, t, label_smoothing=0.1),
        lambda: F.cross_entropy(p, t, reduction="sum"),
        lambda: nn.CrossEntropyLoss()(nn.Softmax(1)(scores(5, 4)), t),
    ):
        with pytest.warns(UserWarning, match=MESSAGE) as caught:
            call()
        assert caught[0].filename == __file__


def test_a_line_is_told_once() -> None:
    p = F.softmax(scores(5, 4), 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            F.cross_entropy(p, classes(p))
        F.cross_entropy(p, classes(p))
    assert len(caught) == 2


def test_one_class_and_no_rows_are_not_judged() -> None:
    F.cross_entropy(fastnn.ones(3, 1), fastnn.zeros(3, dtype=fastnn.int64))
    F.cross_entropy(fastnn.ones(0, 2), fastnn.zeros(0, dtype=fastnn.int64), reduction="sum")
    with pytest.raises(ValueError, match="expected input"):
        F.cross_entropy(fastnn.tensor(1.0), fastnn.tensor(0))
