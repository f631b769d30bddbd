# SPDX-License-Identifier: BSD-3-Clause
"""Cross-entropy: hostile targets, ignored rows, large scores, threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn._backend import references
from native_kernels import normal, same_on_any_number_of_threads

NONE, MEAN, SUM = 0, 1, 2


def forward(
    kernels: Any, x: Any, target: Any, reduction: int, ignore: int = -100
) -> tuple[np.ndarray[Any, Any], ...]:
    loss = np.full(len(x) if reduction == NONE else 1, 7, x.dtype)
    logsumexp, count = np.full(len(x), 7, x.dtype), np.full(1, 7, x.dtype)
    kernels["cross_entropy_forward"](x, target, loss, logsumexp, count, reduction, ignore)
    return loss, logsumexp, count


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "c"), [(1, 1), (7, 10), (900, 10), (33, 257), (5, 3000)])
def test_losses_and_gradients(kernels: Any, n: int, c: int, dtype: str) -> None:
    x = normal((n, c), dtype) * 4
    target = np.random.default_rng(2).integers(0, c, n)
    target[::5] = -1
    kept = target != -1
    high = x.astype(np.longdouble)
    lse = np.log(np.exp(high - high.max(1, keepdims=True)).sum(1)) + high.max(1)
    expected = np.where(kept, lse - high[np.arange(n), target], 0)
    eps = np.finfo(dtype).eps
    for reduction in (NONE, MEAN, SUM):
        loss, logsumexp, count = forward(kernels, x, target, reduction, -1)
        assert count[0] == kept.sum()
        np.testing.assert_allclose(logsumexp, lse, rtol=0, atol=8 * eps * np.abs(x).max())
        whole = {NONE: expected, SUM: expected.sum()}
        whole[MEAN] = expected.sum() / kept.sum() if kept.any() else np.nan
        size = max(float(np.abs(np.nan_to_num(whole[reduction])).max()), 1.0)
        np.testing.assert_allclose(loss, whole[reduction], rtol=0, atol=16 * eps * size)
        g = np.full(loss.shape, 0.5, dtype)
        grad = np.full_like(x, 7)
        kernels["cross_entropy_backward"](x, target, logsumexp, count, g, grad, reduction, -1)
        p = np.exp(high - lse[:, None])
        p[np.arange(n)[kept], target[kept]] -= 1
        p = p * kept[:, None] * (0.5 / max(kept.sum(), 1) if reduction == MEAN else 0.5)
        np.testing.assert_allclose(grad, p, rtol=0, atol=32 * eps)
        assert not grad[~kept].any()


@pytest.mark.parametrize("bad", [-1, 10, -(2**63), 2**63 - 1, 2**40])
def test_a_target_that_is_no_class_changes_nothing(kernels: Any, bad: int) -> None:
    x = normal((5, 10))
    target = np.array([0, 3, 9, bad, 1])
    loss, logsumexp, count = (np.full(n, 7, np.float32) for n in (1, 5, 1))
    with pytest.raises(IndexError, match="cross_entropy_forward"):
        kernels["cross_entropy_forward"](x, target, loss, logsumexp, count, MEAN, -100)
    assert (loss == 7).all()
    assert (logsumexp == 7).all()
    grad = np.full_like(x, 7)
    with pytest.raises(IndexError, match="cross_entropy_backward"):
        kernels["cross_entropy_backward"](x, target, logsumexp, count, loss, grad, MEAN, -100)
    assert (grad == 7).all()
    assert np.isfinite(forward(kernels, x, target, MEAN, bad)[0])


def test_wrong_sizes_and_reductions(kernels: Any) -> None:
    x, target = normal((5, 10)), np.zeros(5, np.int64)
    with pytest.raises(ValueError, match="cross_entropy_forward"):
        forward(kernels, x, target, 3)
    with pytest.raises(ValueError, match="cross_entropy_forward"):
        forward(kernels, x, target[:4], MEAN)
    one, five = np.ones(1, np.float32), np.ones(5, np.float32)
    for loss, reduction in ((one, NONE), (five, MEAN), (five, SUM), (one, -1)):
        with pytest.raises(ValueError, match="cross_entropy_forward"):
            kernels["cross_entropy_forward"](x, target, loss, five.copy(), one.copy(), reduction, 0)
        with pytest.raises(ValueError, match="cross_entropy_backward"):
            kernels["cross_entropy_backward"](
                x, target, five.copy(), one.copy(), loss, x.copy(), reduction, 0
            )


def test_nothing_and_only_ignored_rows(kernels: Any) -> None:
    none = np.zeros(0, np.int64)
    for shape in ((0, 4), (0, 0)):
        loss, _, count = forward(kernels, np.empty(shape, np.float32), none, MEAN)
        assert np.isnan(loss[0])
        assert count[0] == 0
        assert forward(kernels, np.empty(shape, np.float32), none, SUM)[0] == 0
    ignored = np.full(3, -100)
    assert np.isnan(forward(kernels, normal((3, 4)), ignored, MEAN)[0])
    assert (forward(kernels, np.empty((3, 0), np.float32), ignored, NONE)[0] == 0).all()
    with pytest.raises(IndexError):
        forward(kernels, np.empty((3, 0), np.float32), np.zeros(3, np.int64), NONE)


def test_nan_in_an_ignored_row_stays_there(kernels: Any) -> None:
    x = normal((3, 20))
    x[1] = np.nan
    target = np.array([4, -100, 19])
    loss, logsumexp, count = forward(kernels, x, target, MEAN)
    assert np.isfinite(loss[0])
    for backward in (kernels["cross_entropy_backward"], references["cross_entropy_backward"]):
        grad = np.full_like(x, 7)
        backward(x, target, logsumexp, count, np.ones(1, np.float32), grad, MEAN, -100)
        assert np.isfinite(grad).all()
        assert not grad[1].any()


def test_large_scores_do_not_overflow(kernels: Any) -> None:
    x = np.array([[1e30, 0, -1e30], [-3e38, -3e38, -3e38]], np.float32)
    loss, _, _ = forward(kernels, x, np.array([0, 1]), NONE)
    np.testing.assert_allclose(loss, [0, np.log(3)], rtol=1e-6)


def test_bits_do_not_depend_on_threads(kernels: Any) -> None:
    for shape in ((30000, 10), (500, 1000)):
        x = normal(shape)
        target = np.arange(shape[0]) % shape[1]
        same_on_any_number_of_threads(
            lambda x=x, target=target: np.concatenate(forward(kernels, x, target, MEAN))
        )
