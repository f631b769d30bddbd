# SPDX-License-Identifier: BSD-3-Clause
"""Images in other resolutions beside torch: values and gradients over sizes, scales and modes."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

import fastnn

pytestmark = pytest.mark.torch


def compare(call, *inputs, rtol=1e-6, atol=1e-6):
    """Values and gradients of a function of a library and tensors of it."""
    torch = pytest.importorskip("torch")
    a = [torch.tensor(x, requires_grad=True) for x in inputs]
    b = [fastnn.tensor(x, requires_grad=True) for x in inputs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted, found = call(torch.nn.functional, *a), call(fastnn.nn.functional, *b)
    np.testing.assert_allclose(found.detach().numpy(), wanted.detach().numpy(), rtol, atol)
    w = np.random.default_rng(4).normal(size=wanted.shape).astype(inputs[0].dtype)
    (wanted * torch.tensor(w)).sum().backward()
    (found * fastnn.tensor(w)).sum().backward()
    for t, u in zip(a, b, strict=True):
        np.testing.assert_allclose(u.grad.numpy(), t.grad.numpy(), rtol, 10 * atol)


SPATIAL = {1: (7,), 2: (6, 5), 3: (3, 4, 5)}
MODES = [(n, m) for n in (1, 2, 3) for m in ("nearest", "nearest-exact", "area")]
MODES += [(1, "linear"), (2, "bilinear"), (2, "bicubic"), (3, "trilinear")]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("n", "mode"), MODES)
def test_interpolation(n, mode, dtype):
    x = np.random.default_rng(0).normal(size=(2, 1, *SPATIAL[n])).astype(dtype)
    tight = {"rtol": 1e-5, "atol": 2e-6} if dtype == "f4" else {"rtol": 1e-9, "atol": 1e-10}
    corners = (None,) if "near" in mode[:4] or mode == "area" else (True, False)
    for align in corners:
        for size in (1, 3, 4, 7, 11):
            compare(lambda F, t, s=size, c=align: F.interpolate(t, s, None, mode, c), x, **tight)
        for scale in (0.4, 0.7, 1.0, 1.2, 1.99, 3):
            for again in (None, True):
                if (n, mode, scale, again) == (3, "nearest", 1.2, None):
                    continue  # torch's gradient is not the derivative, as its gradcheck says
                compare(
                    lambda F, t, s=scale, c=align, r=again: F.interpolate(t, None, s, mode, c, r),
                    x,
                    **tight,
                )


def test_the_nearest_of_many_elements():
    """Which is nearest is decided by numbers of single precision, as torch does it."""
    torch = pytest.importorskip("torch")
    for dtype, (n, m) in itertools.product(
        ("f4", "f8"), ((100, 37), (255, 1000), (7, 21), (1000, 999), (333, 111))
    ):
        x = np.arange(n, dtype=dtype).reshape(1, 1, n)
        for mode in ("nearest", "nearest-exact"):
            a = torch.nn.functional.interpolate(torch.tensor(x), m, mode=mode)
            b = fastnn.nn.functional.interpolate(fastnn.tensor(x), m, mode=mode)
            np.testing.assert_array_equal(b.numpy(), a.numpy())


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "lanczos"])
def test_antialiasing(mode):
    x = np.random.default_rng(0).normal(size=(1, 2, 11, 9))
    for size, align in itertools.product(((4, 3), (11, 20), (5, 9), (1, 1)), (False, True)):
        if align and mode == "lanczos":
            continue
        compare(
            lambda F, t, s=size, c=align: F.interpolate(t, s, None, mode, c, antialias=True),
            x,
            rtol=1e-5,
            atol=1e-6,
        )
    compare(
        lambda F, t: F.interpolate(t, scale_factor=(0.35, 1.3), mode=mode, antialias=True),
        x,
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_reading_at_places(mode, padding):
    rng = np.random.default_rng(0)
    x, grid = rng.normal(size=(2, 3, 4, 5)), rng.uniform(-2.5, 2.5, (2, 3, 6, 2))
    grid[0, 0, :2] = [[1.0, -1.0], [0.5, 1.0]]  # at the ends, where slopes change
    cube, places = rng.normal(size=(1, 2, 3, 4, 2)), rng.uniform(-1.6, 1.6, (1, 2, 3, 2, 3))
    line = rng.normal(size=(2, 3, 1, 5))
    for align in (True, False):
        for image in (x, line):
            compare(
                lambda F, t, g, c=align: F.grid_sample(t, g, mode, padding, c),
                image,
                grid,
                rtol=1e-9,
                atol=1e-9,
            )
        if mode != "bicubic":
            compare(
                lambda F, t, g, c=align: F.grid_sample(t, g, mode, padding, c),
                cube,
                places,
                rtol=1e-9,
                atol=1e-9,
            )


def test_places_of_affine_maps():
    rng = np.random.default_rng(0)
    for align, (theta, size) in itertools.product(
        (True, False), (((2, 2, 3), (2, 1, 3, 4)), ((1, 3, 4), (1, 2, 2, 1, 3)))
    ):
        compare(
            lambda F, t, s=size, c=align: F.affine_grid(t, s, c),
            rng.normal(size=theta),
            rtol=1e-9,
            atol=1e-9,
        )


@pytest.mark.parametrize("ceil_mode", [True, False])
def test_pooling_by_norms(ceil_mode):
    x = np.random.default_rng(0).uniform(-1.0, 2.0, (2, 3, 7, 5))
    cube = np.random.default_rng(1).uniform(0.1, 2.0, (1, 2, 5, 4, 3))
    for p in (2.0, float("inf")):
        compare(
            lambda F, t, p=p: F.lp_pool3d(t, p, (2, 3, 2), None, ceil_mode),
            cube,
            rtol=1e-9,
            atol=1e-9,
        )
    for p in (2.0, float("inf"), float("-inf"), 3.0):
        y = abs(x) if p == 3.0 else x
        compare(lambda F, t, p=p: F.lp_pool2d(t, p, 3, 2, ceil_mode), y, rtol=1e-9, atol=1e-9)
        compare(
            lambda F, t, p=p: F.lp_pool1d(t, p, 2, ceil_mode=ceil_mode), y[0], rtol=1e-9, atol=1e-9
        )
