# SPDX-License-Identifier: BSD-3-Clause
"""gradcheck and gradgradcheck: torch's keywords, and what cannot be checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import autograd
from fastnn.autograd import gradcheck, gradgradcheck


def double(*shape: int) -> Any:
    return fastnn.rand(*shape, dtype=fastnn.float64).requires_grad_()


@pytest.mark.parametrize(
    "options",
    [
        {"nondet_tol": 0.0, "fast_mode": True, "check_undefined_grad": False},
        {"nondet_tol": 1e-9, "check_grad_dtypes": True, "masked": True},
        {"check_batched_grad": False, "check_backward_ad": True, "masked": False},
        {"check_forward_ad": False, "check_batched_forward_grad": False, "fast_mode": False},
    ],
)
def test_gradcheck_takes_torchs_keywords(options: dict[str, Any]) -> None:
    assert gradcheck(lambda a, b: (a * b).tanh(), (double(3), double(2, 3)), **options)


@pytest.mark.parametrize(
    "options",
    [
        {"nondet_tol": 0.0, "fast_mode": True, "check_undefined_grad": False, "masked": False},
        {"gen_non_contig_grad_outputs": True, "check_grad_dtypes": True},
        {"check_batched_grad": False, "check_fwd_over_rev": False, "check_rev_over_rev": True},
    ],
)
def test_gradgradcheck_takes_torchs_keywords(options: dict[str, Any]) -> None:
    assert gradgradcheck(lambda a, b: (a * b).tanh(), (double(3), double(2, 3)), **options)
    x = double(2)
    assert gradgradcheck(lambda a: a.exp(), x, double(2), **options)


@pytest.mark.parametrize(
    ("check", "key", "error"),
    [
        (gradcheck, "check_forward_ad", NotImplementedError),
        (gradcheck, "check_batched_grad", NotImplementedError),
        (gradcheck, "check_batched_forward_grad", NotImplementedError),
        (gradgradcheck, "check_batched_grad", NotImplementedError),
        (gradgradcheck, "check_fwd_over_rev", NotImplementedError),
        (gradcheck, "check_backward_ad", ValueError),
        (gradgradcheck, "check_rev_over_rev", ValueError),
    ],
)
def test_checks_that_there_are_not_are_refused(check: Any, key: str, error: Any) -> None:
    with pytest.raises(error, match=f"{check.__name__}: expected {key}=.*leave it out"):
        check(lambda a: a * 2, double(2), **{key: error is NotImplementedError})


def test_inputs_whose_elements_cannot_be_changed_are_refused() -> None:
    wide = fastnn.rand(2, 1, dtype=fastnn.float64).expand(2, 3).requires_grad_()
    for options in ({}, {"raise_exception": False}):
        with pytest.raises(RuntimeError, match=r"input 0 an expanded one.*; clone\(\) it first"):
            gradcheck(lambda a: a * 2, wide, **options)
    with pytest.raises(RuntimeError, match="input 0 an expanded one"):
        gradgradcheck(lambda a: a * a, wide)
    fixed = fastnn.from_numpy(np.frombuffer(np.ones(3).tobytes())).requires_grad_()
    with pytest.raises(RuntimeError, match="input 1 one on read-only memory"):
        gradcheck(lambda a, b: a * b, (double(3), fixed))
    assert gradcheck(lambda a, b: a * b, (double(3, 1), fixed.detach()))


class Restless(autograd.Op):
    """x, whose backward gives another gradient each time."""

    calls = 0

    def forward(self, x: Any) -> Any:
        return x.copy()

    def backward(self, g: Any) -> tuple[Any, ...]:
        Restless.calls += 1
        return (g + 1e-7 * Restless.calls,)


def test_a_backward_that_is_not_reentrant_is_found() -> None:
    def restless(x: Any) -> Any:
        return Restless.apply((x,))

    x = double(3)
    with pytest.raises(RuntimeError, match="not reentrant"):
        gradcheck(restless, x)
    assert not gradcheck(restless, x, raise_exception=False)
    assert gradcheck(restless, x, nondet_tol=1e-3, atol=1e-3)
