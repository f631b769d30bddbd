# SPDX-License-Identifier: BSD-3-Clause
"""The loss kernels beside the case table: weights, hostile arguments, threads, extreme values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _backend, autograd
from fastnn._backend import references
from fastnn.nn import functional as F
from native_kernels import normal, same_on_any_number_of_threads

BINARY = ["binary_cross_entropy", "binary_cross_entropy_with_logits"]
POINTWISE: list[tuple[str, tuple[Any, ...]]] = [
    ("mse_loss", ()),
    ("l1_loss", ()),
    ("smooth_l1_loss", (0.5,)),
    ("huber_loss", (0.5,)),
    ("kl_div", (False,)),
    ("kl_div", (True,)),
]


def unit(shape: tuple[int, ...], dtype: str = "float32", seed: int = 3) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).uniform(0.05, 0.95, shape).astype(dtype)


def close(got: Any, plain: Any, exact: Any) -> None:
    eps = np.finfo(got.dtype).eps
    bound = 2 * np.abs(plain - exact).max() + 4 * eps * np.abs(exact).max()
    assert np.abs(got - exact).max() <= bound


def run_all(table: Any, name: str, arrays: list[Any], options: tuple[Any, ...]) -> list[Any]:
    """Losses, their mean and both gradients, by the kernels of a table."""
    x = arrays[0]
    losses, mean = np.full_like(x, 7), np.full(1, 7, x.dtype)
    grads = [np.full_like(x, 7) for _ in range(4)]
    n = float(x.size)
    table[name + "_forward"](*arrays, losses, False, 1.0, *options)
    table[name + "_forward"](*arrays, mean, True, n, *options)
    backward = table[name + "_backward"]
    backward(*arrays, unit(x.shape, x.dtype, 9), grads[0], grads[1], False, 1.0, *options)
    backward(*arrays, np.full(1, 0.5, x.dtype), grads[2], None, True, n, *options)
    backward(*arrays, np.full(1, 0.5, x.dtype), None, grads[3], True, n, *options)
    return [losses, mean, *grads]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 5, 64, 1000, 70001])
@pytest.mark.parametrize(("name", "options"), POINTWISE)
def test_native_losses_are_the_references(
    kernels: Any, name: str, options: tuple[Any, ...], n: int, dtype: str
) -> None:
    arrays = [unit((n,), dtype), unit((n,), dtype, 4)]
    higher = np.float64 if dtype == "float32" else np.longdouble
    got = run_all(kernels, name, arrays, options)
    plain = run_all(references, name, arrays, options)
    exact = run_all(references, name, [a.astype(higher) for a in arrays], options)
    for g, p, e in zip(got, plain, exact, strict=True):
        close(g, p, e)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("present", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("name", BINARY)
def test_binary_cross_entropy_with_weights(
    kernels: Any, name: str, present: tuple[int, int], dtype: str
) -> None:
    weights: list[Any] = [unit((999,), dtype, 5 + i) if p else None for i, p in enumerate(present)]
    arrays = [unit((999,), dtype), unit((999,), dtype, 4), *weights]
    if name == "binary_cross_entropy":
        arrays.pop()
    higher = np.float64 if dtype == "float32" else np.longdouble
    got = run_all(kernels, name, arrays, ())
    plain = run_all(references, name, arrays, ())
    exact = run_all(references, name, [a if a is None else a.astype(higher) for a in arrays], ())
    for g, p, e in zip(got, plain, exact, strict=True):
        close(g, p, e)


@pytest.mark.parametrize(("name", "options"), POINTWISE)
def test_losses_do_not_depend_on_threads_or_place(
    kernels: Any, name: str, options: tuple[Any, ...]
) -> None:
    x, t = unit((200_003,)), unit((200_003,), seed=4)

    def run(offset: int = 0) -> np.ndarray[Any, Any]:
        padded = np.zeros((2, x.size + offset), np.float32)
        padded[0, offset:], padded[1, offset:] = x, t
        arrays = [padded[0, offset:], padded[1, offset:]]
        return np.concatenate([np.ravel(a) for a in run_all(kernels, name, arrays, options)])

    assert same_on_any_number_of_threads(run) == run(3).tobytes()


@pytest.mark.parametrize("name", [*(n for n, _ in POINTWISE[:4]), "kl_div", *BINARY])
def test_kernels_refuse_what_does_not_fit(kernels: Any, name: str) -> None:
    options = {"smooth_l1_loss": (1.0,), "huber_loss": (1.0,), "kl_div": (False,)}.get(name, ())
    extra = {BINARY[0]: 1, BINARY[1]: 2}.get(name, 0)
    x, one, none = unit((6,)), np.ones(1, np.float32), [None] * extra
    forward, backward = kernels[name + "_forward"], kernels[name + "_backward"]
    for loss, reduce in ((one, False), (unit((6,)), True), (unit((5,)), False)):
        with pytest.raises(ValueError, match=name):
            forward(x, x.copy(), *none, loss, reduce, 1.0, *options)
        with pytest.raises(ValueError, match=name):
            backward(x, x.copy(), *none, loss, x.copy(), None, reduce, 1.0, *options)
    with pytest.raises(ValueError, match=name):
        forward(x, unit((5,)), *none, one, True, 1.0, *options)
    with pytest.raises(ValueError, match=name):
        backward(x, x.copy(), *none, one, unit((5,)), None, True, 1.0, *options)
    for w in range(extra):
        weights = [unit((5,)) if i == w else None for i in range(extra)]
        with pytest.raises(ValueError, match=name):
            forward(x, x.copy(), *weights, one, True, 1.0)


@pytest.mark.parametrize("bad", [-1e-6, 1.000001, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 70_000])
def test_probabilities_outside_of_their_range_are_refused(
    kernels: Any, bad: float, place: int
) -> None:
    x = unit((70_001,))
    x[place] = bad
    loss = np.full(1, 7, np.float32)
    with pytest.raises(ValueError, match="binary_cross_entropy_forward"):
        kernels["binary_cross_entropy_forward"](x, unit(x.shape), None, loss, True, 1.0)
    assert loss[0] == 7
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        F.binary_cross_entropy(fastnn.tensor(x), fastnn.tensor(unit(x.shape)))


def test_certain_probabilities_have_finite_losses() -> None:
    x = fastnn.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    t = fastnn.tensor([0.0, 1.0, 1.0, 0.0])
    loss = F.binary_cross_entropy(x, t, reduction="none")
    assert loss.tolist() == [0.0, 0.0, 100.0, 100.0]
    loss.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_large_logits_keep_their_digits() -> None:
    x = fastnn.tensor([-200.0, 200.0, -30.0, 30.0], requires_grad=True)
    t = fastnn.tensor([0.0, 1.0, 0.0, 1.0])
    loss = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    small = np.exp(np.float64(-30.0))
    np.testing.assert_allclose(loss.detach().numpy(), [0, 0, small, small], rtol=1e-6)
    loss.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [0, 0, small, -small], rtol=1e-6)


def class_arrays(dtype: str, shape: tuple[int, int, int]) -> tuple[Any, Any, Any]:
    n, c, m = shape
    target = np.random.default_rng(2).integers(0, c, (n, m))
    target.reshape(-1)[::5] = -1
    return normal(shape, dtype), target, unit((c,), dtype, 8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 10, 3), (30000, 3, 1), (2, 5, 20001), (3, 90, 2)])
@pytest.mark.parametrize("weighted", [False, True])
def test_nll_loss(kernels: Any, shape: tuple[int, int, int], weighted: bool, dtype: str) -> None:
    x, target, weight = class_arrays(dtype, shape)

    def run(table: Any, kind: Any) -> list[Any]:
        values, w = x.astype(kind), weight.astype(kind) if weighted else None
        results = []
        for reduction in (0, 1, 2):
            loss = np.full(target.shape if reduction == 0 else (1,), 7, kind)
            total, grad = np.full(1, 7, kind), np.full(shape, 7, kind)
            table["nll_loss_forward"](values, target, w, loss, total, reduction, -1)
            g = np.full(loss.shape, 0.5, kind)
            table["nll_loss_backward"](target, w, total, g, grad, reduction, -1)
            results += [loss, total, grad]
        return results

    higher = np.float64 if dtype == "float32" else np.longdouble
    with np.errstate(all="ignore"):
        got, plain, exact = run(kernels, dtype), run(references, dtype), run(references, higher)
    for g, p, e in zip(got, plain, exact, strict=True):
        if np.isfinite(e).all():
            close(g, p, e)
        else:
            np.testing.assert_array_equal(g, e.astype(dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (7, 10), (900, 10), (33, 257), (5, 3000)])
@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_with_weights_and_smoothing(
    kernels: Any, shape: tuple[int, int], smoothing: float, weighted: bool, dtype: str
) -> None:
    n, c = shape
    x, target, weight = (a if a.ndim == 1 else a[..., 0] for a in class_arrays(dtype, (n, c, 1)))
    x = np.ascontiguousarray(x * 4)
    target = np.ascontiguousarray(target)
    p = unit(shape, dtype, 6)

    def run(table: Any, kind: Any) -> list[Any]:
        values, w = x.astype(kind), weight.astype(kind) if weighted else None
        soft = p.astype(kind)
        results = []
        for reduction in (0, 1, 2):
            loss = np.full(n if reduction == 0 else 1, 7, kind)
            lse, total = np.full(n, 7, kind), np.full(1, 7, kind)
            options = (reduction, -1, smoothing)
            table["smooth_cross_entropy_forward"](values, target, w, loss, lse, total, *options)
            grads = [np.full(shape, 7, kind) for _ in range(3)]
            g = np.full(loss.shape, 0.5, kind)
            backward = table["smooth_cross_entropy_backward"]
            backward(values, target, w, lse, total, g, grads[0], *options)
            results += [loss, grads[0]]
            loss = np.full_like(loss, 7)
            table["soft_cross_entropy_forward"](values, soft, w, loss, lse, reduction, smoothing)
            backward = table["soft_cross_entropy_backward"]
            backward(values, soft, w, lse, g, grads[1], None, reduction, smoothing)
            backward(values, soft, w, lse, g, None, grads[2], reduction, smoothing)
            results += [loss, *grads[1:]]
        return results

    higher = np.float64 if dtype == "float32" else np.longdouble
    with np.errstate(all="ignore"):
        got, plain, exact = run(kernels, dtype), run(references, dtype), run(references, higher)
    for g, q, e in zip(got, plain, exact, strict=True):
        if np.isfinite(e).all():
            # Differences of the logarithm of a sum and an x: rounded where both are.
            size = np.finfo(dtype).eps * (np.abs(x).max() + np.log(c))
            assert np.abs(g - e).max() <= 2 * np.abs(q - e).max() + 4 * size * max(
                np.abs(e).max(), 1
            )
        else:
            np.testing.assert_array_equal(g, e.astype(dtype))


@pytest.mark.parametrize("bad", [-2, 10, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("name", ["nll_loss", "smooth_cross_entropy"])
def test_a_target_that_is_no_class_changes_nothing(kernels: Any, name: str, bad: int) -> None:
    target = np.array([0, 3, 9, bad, 1])
    loss, total, lse = (np.full(n, 7, np.float32) for n in (1, 1, 5))
    if name == "nll_loss":
        x = normal((5, 10, 1))
        forward: tuple[Any, ...] = (x, target[:, None], None, loss, total, 1, -1)
        back: tuple[Any, ...] = (target[:, None], None, total, loss, grad := x.copy(), 1, -1)
    else:
        x = normal((5, 10))
        forward = (x, target, None, loss, lse, total, 1, -1, 0.1)
        back = (x, target, None, lse, total, loss, grad := x.copy(), 1, -1, 0.1)
    with pytest.raises(IndexError, match=name):
        kernels[name + "_forward"](*forward)
    with pytest.raises(IndexError, match=name):
        kernels[name + "_backward"](*back)
    assert (loss == 7).all()
    np.testing.assert_array_equal(grad, x)


def test_class_kernels_refuse_what_does_not_fit(kernels: Any) -> None:
    x, target = normal((5, 10)), np.zeros(5, np.int64)
    one, five = np.ones(1, np.float32), np.ones(5, np.float32)
    smooth, soft = kernels["smooth_cross_entropy_forward"], kernels["soft_cross_entropy_forward"]
    for loss, reduction, smoothing in (
        (five, 1, 0.0), (one, 0, 0.0), (one, 3, 0.0), (one, -1, 0.0), (one, 1, 1.5),
        (one, 1, np.nan), (one, 1, -0.1),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="smooth_cross_entropy_forward"):
            smooth(x, target, None, loss, five.copy(), one.copy(), reduction, -1, smoothing)
        with pytest.raises(ValueError, match="soft_cross_entropy_forward"):
            soft(x, x.copy(), None, loss, five.copy(), reduction, smoothing)
    with pytest.raises(ValueError, match="weight"):
        smooth(x, target, five, one, five.copy(), one.copy(), 1, -1, 0.0)
    with pytest.raises(ValueError, match="target"):
        soft(x, normal((5, 9)), None, one, five.copy(), 1, 0.0)
    with pytest.raises(ValueError, match="target"):
        kernels["nll_loss_forward"](normal((5, 4, 2)), target[:, None], None, one, one, 1, -1)


def test_masked_scores_and_ignored_nans(kernels: Any) -> None:
    x = normal((3, 20))
    x[0, 5], x[1] = -np.inf, np.nan
    target = np.array([4, -100, 19])
    loss, lse, total = (np.full(n, 7, np.float32) for n in (1, 3, 1))
    kernels["smooth_cross_entropy_forward"](
        x, target, np.ones(20, np.float32), loss, lse, total, 1, -100, 0.0
    )
    assert np.isfinite(loss[0])
    grad = np.full_like(x, 7)
    kernels["smooth_cross_entropy_backward"](
        x, target, None, lse, total, np.ones(1, np.float32), grad, 1, -100, 0.0
    )
    assert np.isfinite(grad).all()
    assert not grad[1].any()


WEIGHTED: list[Any] = [
    lambda x, t, w: F.binary_cross_entropy(x.sigmoid(), t, w),
    F.binary_cross_entropy_with_logits,
    lambda x, t, w: F.binary_cross_entropy_with_logits(x, t, pos_weight=w),
    lambda x, t, w: F.binary_cross_entropy_with_logits(x, t, w, pos_weight=w, reduction="none"),
    F.cross_entropy,
    lambda x, t, w: F.cross_entropy(x, t, w, reduction="none", label_smoothing=0.2),
    lambda x, t, w: F.cross_entropy(x, (t * 9).long()[:, 0] % 4, w),
    lambda x, t, w: F.cross_entropy(x, (t * 9).long()[:, 0] % 4, w, label_smoothing=0.2),
    lambda x, t, w: F.cross_entropy(
        x, (t * 9).long()[:, 0] % 4, w, label_smoothing=0.2, ignore_index=1, reduction="sum"
    ),
    lambda x, t, w: F.nll_loss(x, (t * 9).long()[:, 0] % 4, w),
    lambda x, t, w: F.nll_loss(x, (t * 9).long()[:, 0] % 4, w, reduction="none", ignore_index=1),
]


@pytest.mark.parametrize("backend", ["numpy", "native"])
@pytest.mark.parametrize("i", range(len(WEIGHTED)))
def test_gradients_with_weights(i: int, backend: str) -> None:
    if backend == "native" and _backend.name != "cpu":
        pytest.skip("the native CPU kernels are not in use")
    x = fastnn.tensor(normal((6, 4), "float64"), requires_grad=True)
    t = fastnn.tensor(unit((6, 4), "float64"), requires_grad=i < 6)
    w = fastnn.tensor(unit((4,), "float64", 8))
    inputs = [x, t] if i < 6 else [x]
    with _backend.use("numpy" if backend == "numpy" else "cpu"):
        assert autograd.gradcheck(lambda *a: WEIGHTED[i](*a, t, w)
                                  if len(a) == 1 else WEIGHTED[i](*a, w), inputs)  # fmt: skip
        assert autograd.gradgradcheck(lambda *a: WEIGHTED[i](*a, t, w)
                                      if len(a) == 1 else WEIGHTED[i](*a, w), inputs)  # fmt: skip


def test_weights_that_require_grad_are_refused() -> None:
    x, t = fastnn.rand(3, 4), fastnn.rand(3, 4)
    w = fastnn.ones(4, requires_grad=True)
    for call in (
        lambda: F.binary_cross_entropy(x, t, w),
        lambda: F.binary_cross_entropy_with_logits(x, t, pos_weight=w),
        lambda: F.cross_entropy(x, t, w),
        lambda: F.nll_loss(x, fastnn.tensor([0, 1, 2]), w),
    ):
        with pytest.raises(RuntimeError, match=r"expected (pos_)?weight without grad"):
            call()


def test_types_meet_in_the_wider_one_where_torch_lets_them() -> None:
    x, t = fastnn.ones(3), fastnn.zeros(3, dtype=fastnn.float64)
    for f in (F.mse_loss, F.l1_loss, F.smooth_l1_loss):
        assert f(x, t).dtype is fastnn.float64
        assert f(x, t.long()).dtype is fastnn.float32
    for wide in (t, t.long()):
        assert F.huber_loss(x, wide).dtype is fastnn.float32  # the input's
        assert F.huber_loss(x, wide, weight=fastnn.ones(3)).dtype is fastnn.float32
    assert F.huber_loss(t, x).dtype is fastnn.float64
    x.requires_grad_()
    (F.huber_loss(x * 3.0, t, reduction="none") * 2.0).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [6.0, 6.0, 6.0]
    for labels in (fastnn.ones(1, 3, dtype=fastnn.int64), fastnn.ones(1, 3, dtype=fastnn.uint8)):
        half = fastnn.zeros(1, 3, dtype=fastnn.float16)
        assert F.multilabel_soft_margin_loss(half, labels).dtype is fastnn.float16
    with pytest.raises(RuntimeError, match="of input's type"):
        F.binary_cross_entropy(x, t)


def test_half_precision_adds_up_in_single() -> None:
    x, t = fastnn.ones(5000, dtype=fastnn.float16), fastnn.zeros(5000, dtype=fastnn.float16)
    for f in (F.mse_loss, F.l1_loss):
        loss = f(x, t, reduction="sum")
        assert loss.dtype is fastnn.float16
        assert loss.item() == 5000.0


def test_mean_divergence_warns() -> None:
    p = fastnn.rand(3, 4)
    with pytest.warns(UserWarning, match="batchmean"):
        loss = F.kl_div(p.log(), p)
    assert abs(loss.item()) < 1e-7
