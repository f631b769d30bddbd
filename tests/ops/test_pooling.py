# SPDX-License-Identifier: BSD-3-Clause
"""Pooling beyond the case table: hostile arguments, threads, ties, half precision, torch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _backend, autograd, nn
from fastnn.nn import functional as F
from fastnn.ops import max_pool
from native_kernels import normal, same_on_any_number_of_threads

ONE = (1, 1, 1)


def pooled(kernels: Any, x: Any, out: Any, *options: Any) -> tuple[Any, Any]:
    y = np.full((x.shape[0], *out), 7, x.dtype)
    places = np.full(y.shape, -9, np.int32)
    kernels["max_pool_forward"](x, y, places, *options)
    return y, places


@pytest.mark.parametrize(
    "options",
    [
        ((2, 2), ONE, ONE, ONE),
        (ONE, (1, 0, 1), ONE, ONE),
        (ONE, ONE, (0, -1, 0), ONE),
        (ONE, ONE, ONE, (1, 1, 0)),
        (ONE, ONE, ONE, ()),
        ((2**62, 1, 1), ONE, ONE, ONE),
        (ONE, (1, 1, 2**62), ONE, ONE),
        ((), ONE, (), ()),
    ],
)
def test_sizes_that_make_no_sense_are_refused(kernels: Any, options: Any) -> None:
    with pytest.raises(ValueError, match="max_pool_forward"):
        pooled(kernels, normal((2, 1, 4, 4)), (1, 4, 4), *options)


def test_windows_may_lie_anywhere(kernels: Any) -> None:
    """An output larger than the windows that the input has, and windows in the padding alone."""
    x = normal((2, 1, 3, 3))
    far = (1, 2**20, 2**20)
    for options in ((ONE, ONE, far, ONE), (ONE, far, (0, 0, 0), ONE), (far, ONE, ONE, far)):
        y, places = pooled(kernels, x, (2, 5, 40), *options)
        assert places.max() < 9
        assert np.isin(y[places >= 0], x).all()
        assert (y[places == -1] == -np.inf).all()
        mean = np.empty_like(y)
        kernels["avg_pool_forward"](x, mean, *options[:3], True, 0)
        back = np.empty_like(x)
        kernels["avg_pool_backward"](y, back, *options[:3], False, 0)
        kernels["max_pool_backward"](y, places, back)


def test_empty_inputs_have_empty_windows(kernels: Any) -> None:
    y, places = pooled(kernels, np.empty((2, 1, 0, 3), np.float32), (1, 2, 3), (), (), (), ())
    assert (y == -np.inf).all()
    assert (places == -1).all()
    mean = np.full((2, 1, 2, 3), 7, np.float32)
    kernels["avg_pool_forward"](np.empty((2, 1, 0, 3), np.float32), mean, (), (), (), True, 0)
    assert (mean == 0).all()


@pytest.mark.parametrize("bad", [-2, 9, -(2**31), 2**31 - 1])
def test_places_outside_are_refused(kernels: Any, bad: int) -> None:
    places = np.array([[[[0, bad]]]], np.int32)
    with pytest.raises(IndexError, match="max_pool_backward"):
        kernels["max_pool_backward"](
            np.ones((1, 1, 1, 2), np.float32), places, np.empty((1, 1, 3, 3), np.float32)
        )


@pytest.mark.parametrize(
    ("out", "options"),
    [
        # Rows of a window that lie so far apart that only they are copied.
        ((2, 71, 38), ((1, 3, 3), ONE, (0, 0, 0), (1, 40, 1))),
        ((1, 46, 20), ((2, 3, 3), (1, 2, 2), (0, 20, 1), (1, 40, 1))),
        ((1, 23, 17), ((1, 64, 1), (1, 1, 3), (0, 0, 5), (1, 2, 1))),
        # Windows in the padding alone, in front and behind.
        ((2, 160, 40), ((1, 2, 1), ONE, (0, 5, 0), ONE)),
    ],
)
def test_rows_far_apart_are_found(kernels: Any, out: Any, options: Any) -> None:
    x = normal((3, 2, 151, 40))
    y, places = pooled(kernels, x, out, *options)
    want, at = np.empty_like(y), np.empty_like(places)
    max_pool.max_pool_forward(x, want, at, *options)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(places, at)


def test_the_first_of_equals_wins_and_nan_over_numbers() -> None:
    x = fastnn.zeros(1, 40, 40)
    _, places = F.max_pool2d(x, 2, return_indices=True)
    assert places[0, :, 0].tolist() == [80 * i for i in range(20)]
    x[0, 3, 5] = float("nan")
    y, places = F.max_pool2d(x, 2, return_indices=True)
    assert np.isnan(y[0, 1, 2].item())
    assert places[0, 1, 2].item() == 3 * 40 + 5


def test_bits_do_not_depend_on_threads(kernels: Any) -> None:
    x = normal((64, 1, 60, 61))
    options = ((1, 3, 3), (1, 2, 2), (0, 1, 1))
    y, places = pooled(kernels, x, (1, 30, 31), *options, ONE)
    g = normal(y.shape)

    def run() -> Any:
        maxima, at = pooled(kernels, x, (1, 30, 31), *options, ONE)
        back, mean, back_mean = np.empty_like(x), np.empty_like(y), np.empty_like(x)
        kernels["max_pool_backward"](g, at, back)
        kernels["avg_pool_forward"](x, mean, *options, True, 0)
        kernels["avg_pool_backward"](g, back_mean, *options, True, 0)
        return np.concatenate([a.ravel() for a in (maxima, at, back, mean, back_mean)])

    same_on_any_number_of_threads(run)
    assert (
        np.take_along_axis(x.reshape(64, -1), places.reshape(64, -1), 1) == y.reshape(64, -1)
    ).all()


def test_half_precision_adds_up_in_single() -> None:
    x = fastnn.tensor(np.full((1, 1, 100, 100), 1.001, np.float16)).requires_grad_()
    y = F.avg_pool2d(x, 100)
    y.sum().backward()
    assert y.dtype is fastnn.float16
    assert y.item() == np.float16(1.001)
    assert x.grad is not None
    assert x.grad.dtype is fastnn.float16


def test_modules() -> None:
    x = fastnn.randn(2, 3, 9, 8)
    y, places = nn.MaxPool2d(3, 2, 1, return_indices=True)(x)
    assert y.shape == places.shape == (2, 3, 5, 4)
    assert places.dtype is fastnn.int64
    assert nn.MaxPool1d(2)(x[0]).shape == (3, 9, 4)
    assert nn.AvgPool2d((2, 3), ceil_mode=True)(x).shape == (2, 3, 5, 3)
    assert nn.AvgPool1d(4, 1)(x[0]).shape == (3, 9, 5)
    assert nn.AdaptiveAvgPool2d((None, 3))(x).shape == (2, 3, 9, 3)
    assert nn.AdaptiveMaxPool1d(2, return_indices=True)(x[0])[1].shape == (3, 9, 2)


@pytest.mark.torch
def test_modules_read_as_torchs() -> None:
    torch = pytest.importorskip("torch")
    for make in (
        lambda m: m.MaxPool2d((3, 2), stride=2, padding=1, dilation=2, ceil_mode=True),
        lambda m: m.MaxPool1d(3),
        lambda m: m.AvgPool1d(3, 2, 1),
        lambda m: m.AvgPool2d(3, 2, 1, False, False, 4),
        lambda m: m.AdaptiveAvgPool2d((1, None)),
        lambda m: m.AdaptiveAvgPool1d(3),
        lambda m: m.AdaptiveMaxPool2d(5, True),
    ):
        assert repr(make(nn)) == repr(make(torch.nn))


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(40))
def test_random_windows_as_in_torch(seed: int) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    kernel = rng.integers(1, 5, 2).tolist()
    stride = rng.integers(1, 5, 2).tolist()
    padding = [int(rng.integers(0, k // 2 + 1)) for k in kernel]
    size = [int(k * 2 + rng.integers(0, 30)) for k in kernel]
    x = rng.normal(size=(2, 3, *size))
    ceil = bool(rng.integers(2))
    dilation = rng.integers(1, 3, 2).tolist()
    include = bool(rng.integers(2))
    calls = (
        lambda m, t: m.max_pool2d(t, kernel, stride, padding, dilation, ceil, return_indices=True),
        lambda m, t: (m.avg_pool2d(t, kernel, stride, padding, ceil, include),),
        lambda m, t: (m.adaptive_avg_pool2d(t, kernel),),
        lambda m, t: m.adaptive_max_pool2d(t, stride, return_indices=True),
    )
    for call, dtype in itertools.product(calls, ("float32", "float64")):
        ours = fastnn.tensor(x.astype(dtype)).requires_grad_()
        theirs = torch.tensor(x.astype(dtype), requires_grad=True)
        got, want = call(F, ours), call(torch.nn.functional, theirs)
        for g, w in zip(got, want, strict=True):
            np.testing.assert_allclose(g.detach().numpy(), w.detach().numpy(), rtol=2e-6, atol=1e-6)
        weight = rng.normal(size=got[0].shape).astype(dtype)
        (got[0] * fastnn.tensor(weight)).sum().backward()
        (want[0] * torch.tensor(weight)).sum().backward()
        assert ours.grad is not None
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_a_window_in_the_padding_alone_has_no_gradient(backend: str) -> None:
    if backend == "native" and _backend.name != "cpu":
        pytest.skip("the native CPU kernels are not in use")
    with _backend.use("numpy" if backend == "numpy" else "cpu"):
        x = fastnn.tensor([[[3.0, 5.0]]], requires_grad=True)
        y, places = F.max_pool1d(x, 2, 1, 1, 3, ceil_mode=True, return_indices=True)
        assert y.tolist() == [[[-np.inf]]]
        assert places.tolist() == [[[-1]]]
        x = fastnn.tensor([[[1.0, 3.0, 5.0, 2.0]]], requires_grad=True)
        y = F.max_pool1d(x, 2, 3, 1, 5)  # elements -1 and 4: both in the padding
        assert y.tolist() == [[[-np.inf]]]
        g = fastnn.ones(1, 1, 1, requires_grad=True)
        (dx,) = autograd.grad(y, x, g, create_graph=True)
        assert dx.tolist() == [[[0.0, 0.0, 0.0, 0.0]]]
        v = fastnn.ones(1, 1, 4, requires_grad=True)
        (dg,) = autograd.grad(dx, g, v, create_graph=True)
        assert dg.tolist() == [[[0.0]]]
        assert autograd.grad(dg.sum(), v)[0].tolist() == dx.tolist()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_images_without_channels_have_adaptive_windows_alone(n: int) -> None:
    x = fastnn.zeros(0, *(4,) * n, requires_grad=True)
    for kind in ("avg", "max"):
        y = getattr(F, f"adaptive_{kind}_pool{n}d")(x, 2)
        assert y.shape == (0, *(2,) * n)
        assert autograd.grad(y.sum(), x)[0].shape == x.shape
        with pytest.raises(RuntimeError, match="no size but n being 0"):
            getattr(F, f"{kind}_pool{n}d")(x, 2)
        with pytest.raises(RuntimeError, match="no size but the first being 0"):
            getattr(F, f"adaptive_{kind}_pool{n}d")(x[None], 2)


def test_steps_without_a_meaning_may_be_of_any_size() -> None:
    x = fastnn.arange(8.0).reshape(1, 1, 8)
    assert F.max_pool1d(x, 8, stride=2**62).tolist() == [[[7.0]]]
    assert F.max_pool1d(x, 1, dilation=2**62).tolist() == x.tolist()
    assert F.avg_pool1d(x, 8, stride=2**62).tolist() == [[[3.5]]]
    with pytest.raises(RuntimeError, match=r"avg_pool1d: expected .* up to 2\^20"):
        F.avg_pool1d(x, 2**40, padding=2**39)
    with pytest.raises(RuntimeError, match=r"adaptive_avg_pool1d: .* fewer than 2\^60"):
        F.adaptive_avg_pool1d(x, 2**62)
