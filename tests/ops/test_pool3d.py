# SPDX-License-Identifier: BSD-3-Clause
"""Pooling of volumes beyond the case table: the kernels, ties and NaN, layers, torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import autograd, nn
from fastnn.nn import functional as F
from fastnn.ops import avg_pool, max_pool
from native_kernels import normal, same_on_any_number_of_threads

ONE, NONE = (1, 1, 1), (0, 0, 0)
# Input, output, kernel, stride, padding, dilation; averages have no dilation.
VOLUMES: list[tuple[Any, ...]] = [
    ((2, 4, 6, 40), (2, 3, 20), (2, 2, 2), (2, 2, 2), NONE, ONE),
    ((3, 5, 5, 37), (3, 3, 19), (3, 3, 3), (2, 2, 2), ONE, ONE),
    ((2, 4, 5, 19), (4, 5, 19), (3, 3, 3), ONE, ONE, ONE),
    ((2, 7, 4, 3), (2, 4, 2), (4, 1, 2), (3, 1, 1), (1, 0, 0), ONE),  # narrower than a vector
    ((1, 5, 6, 33), (2, 3, 9), (5, 5, 5), (3, 2, 4), (2, 2, 2), ONE),
    ((1, 6, 5, 20), (2, 3, 10), (6, 5, 5), (3, 2, 2), (3, 2, 2), ONE),  # too many for vectors
    ((2, 5, 4, 9), (2, 3, 4), (), (), (), ()),  # windows of several sizes
    ((2, 6, 7, 21), (2, 5, 17), (3, 2, 3), (2, 1, 1), (1, 0, 0), (2, 2, 2)),
    ((1, 4, 4, 9), (2, 2, 6), (2, 2, 2), (4, 3, 2), ONE, (5, 4, 1)),  # all of one in the padding
]
PLAIN = [v for v in VOLUMES if v[-1] in ((), ONE)]


def hard(shape: Any, dtype: Any) -> Any:
    """With ties, windows of -inf, NaN and infinities of both signs."""
    x = np.round(normal(shape) * 2).astype(dtype)
    x[0, :2, :2, :2] = -np.inf
    x[-1, -1, 2, 0] = np.inf
    x[-1, 1, 1, 1] = x[-1, 2, 1, 1] = x[0, 3, 3, 2] = np.nan
    return x


def maxima(table: Any, x: Any, out: Any, *options: Any) -> tuple[Any, Any]:
    y, places = np.full((len(x), *out), 7, x.dtype), np.full((len(x), *out), -9, np.int32)
    table(x, y, places, *options)
    return y, places


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("volume", VOLUMES)
def test_maxima_are_those_of_the_reference(kernels: Any, volume: Any, dtype: Any) -> None:
    shape, *options = volume
    for x in (hard(shape, dtype), np.round(normal(shape)).astype(dtype)):
        y, places = maxima(kernels["max_pool_forward"], x, *options)
        want, at = maxima(max_pool.max_pool_forward, x, *options)
        np.testing.assert_array_equal(y, want)
        np.testing.assert_array_equal(places, at)
        alone = np.empty_like(y)
        kernels["max_pool_forward"](x, alone, None, *options[1:])
        np.testing.assert_array_equal(alone, y)
    g, back, sums = normal(y.shape).astype(dtype), np.full_like(x, 7), np.full_like(x, 7)
    kernels["max_pool_backward"](g, places, back)
    max_pool.max_pool_backward(g, places, sums)
    np.testing.assert_array_equal(back, sums)


@pytest.mark.parametrize("counts", [(True, 0), (False, 0), (True, -3)])
@pytest.mark.parametrize("volume", PLAIN)
def test_means_are_those_of_the_reference(kernels: Any, volume: Any, counts: Any) -> None:
    shape, out, *options, _ = volume
    x = normal(shape)
    y, want = np.full((shape[0], *out), 7, x.dtype), np.empty((shape[0], *out))
    kernels["avg_pool_forward"](x, y, *options, *counts)
    avg_pool.avg_pool_forward(x.astype(np.float64), want, *options, *counts)
    # Rounding errors of a sum grow with the size of the terms, of which a window has up to 150.
    size = 1.0 if counts[1] == 0 else 30.0
    np.testing.assert_allclose(y, want, atol=2e-6 * size)
    g, back, sums = normal(y.shape), np.full_like(x, 7), np.empty(shape)
    kernels["avg_pool_backward"](g, back, *options, *counts)
    avg_pool.avg_pool_backward(g.astype(np.float64), sums, *options, *counts)
    np.testing.assert_allclose(back, sums, atol=4e-6)


_GUARDED = """
import numpy as np
from fastnn import _backend
from guard_pages import guarded
from test_pool3d import VOLUMES, PLAIN

table = _backend.cpu.kernels
for dtype in (np.float32, np.float64):
    for shape, out, *options in VOLUMES:
        x, back = guarded(np.ones(shape, dtype)), guarded(np.ones(shape, dtype))
        y, places = (guarded(np.ones((shape[0], *out), t)) for t in (dtype, np.int32))
        table["max_pool_forward"](x, y, places, *options)
        table["max_pool_forward"](x, y, None, *options)
        table["max_pool_backward"](y, places, back)
        if (shape, out, *options) in PLAIN:
            table["avg_pool_forward"](x, y, *options[:3], False, 0)
            table["avg_pool_backward"](y, back, *options[:3], False, 0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="guard pages are made by mprotect")
@pytest.mark.usefixtures("kernels")
def test_nothing_beyond_a_volume_is_read() -> None:
    here = Path(__file__).resolve().parent
    code = f"import sys; sys.path[:0] = {[str(here), str(here.parent)]!r}{_GUARDED}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bits_do_not_depend_on_threads(kernels: Any) -> None:
    x, out = normal((12, 9, 20, 35)), (5, 10, 18)
    options = ((3, 3, 3), (2, 2, 2), ONE)
    g = normal((12, *out))

    def run() -> Any:
        y, places = maxima(kernels["max_pool_forward"], x, out, *options, ONE)
        back, mean, back_mean = np.empty_like(x), np.empty_like(g), np.empty_like(x)
        kernels["max_pool_backward"](g, places, back)
        kernels["avg_pool_forward"](x, mean, *options, False, 0)
        kernels["avg_pool_backward"](g, back_mean, *options, False, 0)
        return np.concatenate([a.ravel() for a in (y, places, back, mean, back_mean)])

    same_on_any_number_of_threads(run)


def test_the_first_of_equals_wins_and_nan_over_numbers() -> None:
    x = fastnn.zeros(1, 4, 4, 6)
    y, places = F.max_pool3d(x, 2, return_indices=True)
    assert places.dtype is fastnn.int64
    assert places.tolist() == [
        [[[48 * i + 12 * j + 2 * k for k in range(3)] for j in range(2)] for i in range(2)]
    ]
    x[0, 2, 1, 3] = x[0, 3, 0, 2] = float("nan")
    y, places = F.max_pool3d(x, 2, return_indices=True)
    assert np.isnan(y[0, 1, 0, 1].item())
    assert np.isnan(y.numpy()).sum() == 1
    assert places[0, 1, 0, 1].item() == (3 * 4 + 0) * 6 + 2
    y, places = F.adaptive_max_pool3d(x, (1, 2, 3), return_indices=True)
    assert places[0, 0, 0].tolist() == [0, (3 * 4 + 0) * 6 + 2, 4]


def test_sizes_that_divide_make_plain_windows() -> None:
    x = fastnn.randn(2, 2, 4, 6, 9)
    for pair in (
        (F.adaptive_avg_pool3d(x, (2, 3, 3)), F.avg_pool3d(x, (2, 2, 3))),
        (F.adaptive_max_pool3d(x, (2, 3, 3)), F.max_pool3d(x, (2, 2, 3))),
    ):
        np.testing.assert_array_equal(*(t.numpy() for t in pair))


def test_maxima_of_a_volume_go_back_to_their_places() -> None:
    x = fastnn.randn(2, 3, 5, 4, 7)
    y, places = nn.MaxPool3d(2, return_indices=True)(x)
    z = nn.MaxUnpool3d(2)(y, places, output_size=x.shape)
    assert z.shape == x.shape
    kept = z.numpy() != 0
    assert kept.sum() == y.numel()
    np.testing.assert_array_equal(z.numpy()[kept], x.numpy()[kept])


def test_modules() -> None:
    x = fastnn.randn(2, 3, 5, 9, 8)
    y, places = nn.MaxPool3d(3, 2, 1, return_indices=True)(x)
    assert y.shape == places.shape == (2, 3, 3, 5, 4)
    assert nn.AvgPool3d((1, 2, 3), ceil_mode=True)(x).shape == (2, 3, 5, 5, 3)
    assert nn.AvgPool3d(2, 1, divisor_override=1)(x[0]).shape == (3, 4, 8, 7)
    assert nn.AdaptiveAvgPool3d((None, 1, 3))(x).shape == (2, 3, 5, 1, 3)
    assert nn.AdaptiveMaxPool3d(2, return_indices=True)(x[0])[1].shape == (3, 2, 2, 2)


def test_integers_and_half_precision() -> None:
    x = fastnn.arange(-13, 14).reshape(1, 3, 3, 3)
    y, places = F.max_pool3d(x, 2, 1, return_indices=True)
    assert y.dtype is fastnn.int64
    assert y.flatten().tolist() == [0, 1, 3, 4, 9, 10, 12, 13]
    assert places.flatten().tolist() == [13, 14, 16, 17, 22, 23, 25, 26]
    z = fastnn.tensor(np.full((1, 1, 20, 20, 20), 1.001, np.float16)).requires_grad_()
    mean = F.avg_pool3d(z, 20)  # 8000 terms: half precision would stop at 2048
    assert mean.dtype is fastnn.float16
    assert mean.item() == np.float16(1.001)
    (grad,) = autograd.grad(mean.sum(), z)
    assert grad.dtype is fastnn.float16


@pytest.mark.torch
def test_modules_read_as_torchs() -> None:
    torch = pytest.importorskip("torch")
    for make in (
        lambda m: m.MaxPool3d((3, 2, 1), stride=2, padding=1, dilation=2, ceil_mode=True),
        lambda m: m.MaxPool3d(3, return_indices=True),
        lambda m: m.AvgPool3d(3, 2, 1, False, False, 4),
        lambda m: m.AvgPool3d((1, 2, 3)),
        lambda m: m.AdaptiveAvgPool3d((1, None, 2)),
        lambda m: m.AdaptiveMaxPool3d(5, True),
        lambda m: m.LPPool3d(2, 3, stride=2),
        lambda m: m.MaxUnpool3d((2, 1, 2), padding=1),
    ):
        assert repr(make(nn)) == repr(make(torch.nn))


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(20))
def test_random_windows_as_in_torch(seed: int) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    kernel, stride = rng.integers(1, 5, 3).tolist(), rng.integers(1, 5, 3).tolist()
    padding = [int(rng.integers(0, k // 2 + 1)) for k in kernel]
    dilation = [int(rng.integers(1, 3)) if p == 0 else 1 for p in padding]
    size = [int(k * 2 + rng.integers(0, 9)) for k in kernel]
    ceil, include = rng.integers(2, size=2).astype(bool).tolist()
    divisor = rng.choice([None, 3, -2])
    x = rng.normal(size=(2, 2, *size)[int(rng.integers(2)) :])
    if seed % 3 == 0:
        x = np.round(x)  # ties
    if seed % 4 == 0:
        x[rng.random(x.shape) < 0.02] = np.nan
    p = [seed % 2 + 1, *kernel[1:]]
    calls = (
        lambda m, t: m.max_pool3d(t, kernel, stride, padding, dilation, ceil, return_indices=True),
        lambda m, t: (m.avg_pool3d(t, kernel, stride, padding, ceil, include, divisor),),
        lambda m, t: (m.adaptive_avg_pool3d(t, p),),
        lambda m, t: m.adaptive_max_pool3d(t, p, return_indices=True),
        lambda m, t: (m.lp_pool3d(t * t, 2.0, kernel, stride, ceil),),
    )
    for call in calls:
        ours, theirs = fastnn.tensor(x).requires_grad_(), torch.tensor(x, requires_grad=True)
        got, want = call(F, ours), call(torch.nn.functional, theirs)
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            np.testing.assert_allclose(g.detach().numpy(), w.detach().numpy(), 1e-12, 1e-13)
        weight = rng.normal(size=got[0].shape)
        (got[0] * fastnn.tensor(weight)).sum().backward()
        (want[0] * torch.tensor(weight)).sum().backward()
        assert ours.grad is not None
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), 1e-11, 1e-12)
