# SPDX-License-Identifier: BSD-3-Clause
"""float16: sums of many terms are formed in single precision, as in torch."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

import fastnn
from fastnn.nn import functional as F


def half(array):
    return fastnn.tensor(np.asarray(array, np.float16)).requires_grad_()


@pytest.mark.parametrize("f", [fastnn.softmax, fastnn.log_softmax])
def test_softmax_of_many_classes(f):
    rng = np.random.default_rng(0)
    x = half(rng.normal(size=(2, 5000)))
    y = f(x, 1)
    weights = half(rng.normal(size=(2, 5000))).detach()
    (y * weights).sum().backward()
    assert y.dtype is x.grad.dtype is fastnn.float16
    wide = x.detach().double().requires_grad_()
    z = f(wide, 1)
    (z * weights.double()).sum().backward()
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=2e-3, atol=6e-8)
    np.testing.assert_allclose(x.grad.numpy(), wide.grad.numpy(), rtol=4e-3, atol=2e-4)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(70000, 2), (3, 70000)])
def test_cross_entropy_of_many_rows_or_classes(shape, reduction):
    rng = np.random.default_rng(1)
    x = half(rng.normal(size=shape) * (0.1 if reduction == "sum" else 1.0))
    target = fastnn.tensor(rng.integers(0, shape[1], shape[0]))
    loss = F.cross_entropy(x, target, reduction=reduction)
    loss.sum().backward()
    wide = x.detach().double().requires_grad_()
    expected = F.cross_entropy(wide, target, reduction=reduction)
    expected.sum().backward()
    assert loss.dtype is x.grad.dtype is fastnn.float16
    np.testing.assert_allclose(loss.detach().numpy(), expected.detach().numpy(), rtol=2e-3)
    np.testing.assert_allclose(x.grad.numpy(), wide.grad.numpy(), rtol=2e-3, atol=6e-8)


def test_the_second_derivative_keeps_the_type():
    x = half([[1.0, 2.0], [0.5, -1.0]])
    loss = F.cross_entropy(x, fastnn.tensor([0, 1]))
    (g,) = fastnn.autograd.grad(loss, x, create_graph=True)
    assert g.dtype is fastnn.float16
    (h,) = fastnn.autograd.grad((g * g).sum(), x)
    assert h.dtype is fastnn.float16
    assert np.isfinite(h.numpy()).all()


@pytest.mark.torch
def test_half_precision_as_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    a, t = rng.normal(size=(64, 3000)).astype("f2"), rng.integers(0, 3000, 64)
    x, y = half(a), torch.tensor(a, requires_grad=True)
    ours = F.cross_entropy(x, fastnn.tensor(t))
    theirs = torch.nn.functional.cross_entropy(y, torch.tensor(t))
    ours.backward()
    theirs.backward()
    np.testing.assert_allclose(ours.item(), theirs.item(), rtol=2e-3)
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-2, atol=1.2e-7)


BFLOAT16 = pytest.param(
    "bfloat16",
    marks=pytest.mark.skipif(
        importlib.util.find_spec("ml_dtypes") is None, reason="ml_dtypes is not installed"
    ),
)


@pytest.mark.parametrize("scale", [1.0, 1e-7])
@pytest.mark.parametrize("name", ["float16", BFLOAT16])
def test_norms_whose_powers_are_beyond_the_type(name, scale):
    """3, 4 and 12 hundred: the squares are beyond float16, those of the small ones below it."""
    dtype = getattr(fastnn, name)
    x = (fastnn.tensor([3e2, 4e2, 12e2], dtype=fastnn.float64) * scale).to(dtype).requires_grad_()
    wide = x.detach().double().requires_grad_()
    tolerance = {"rtol": 1e-2, "atol": 1e-6}
    for f in (
        fastnn.norm,
        fastnn.linalg.vector_norm,
        lambda x: fastnn.norm(x, 3),
        lambda x: fastnn.linalg.matrix_norm(x.reshape(1, 3)),
        lambda x: fastnn.dist(x, -x),
        lambda x: F.normalize(x, dim=0),
    ):
        y, z = f(x), f(wide)
        assert y.dtype is dtype
        np.testing.assert_allclose(y.detach().double().numpy(), z.detach().numpy(), **tolerance)
        x.grad = wide.grad = None
        y.sum().backward()
        z.sum().backward()
        if f is fastnn.norm:
            np.testing.assert_allclose(x.grad.double().numpy(), wide.grad.numpy(), **tolerance)
    one = F.cosine_similarity(x.detach(), x.detach(), dim=0)
    assert abs(one.item() - 1.0) < 0.01


@pytest.mark.parametrize("name", ["float16", BFLOAT16, "float32", "float64"])
def test_infinities_are_replaced_by_the_largest_numbers_of_the_type(name):
    dtype = getattr(fastnn, name)
    x = fastnn.tensor([np.inf, -np.inf, np.nan], dtype=dtype).nan_to_num()
    largest = fastnn.finfo(dtype).max
    assert x.tolist() == [largest, -largest, 0.0]
