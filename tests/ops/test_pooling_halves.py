# SPDX-License-Identifier: BSD-3-Clause
"""Pooling that halves an image, which has kernels of its own, against the references."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import autograd
from fastnn.nn import functional as F
from fastnn.ops import _max_pool_halves, avg_pool, max_pool
from native_kernels import normal, same_on_any_number_of_threads

# Kernel, stride, padding.
TWO = ((1, 2, 2), (1, 2, 2), (0, 0, 0))
THREE = ((1, 3, 3), (1, 2, 2), (0, 1, 1))
ONE = (1, 1, 1)
# Rows narrower than a vector, of whole vectors and others, a strip of a tall image, slices. The
# last one's gradient is large enough to go past the caches.
SHAPES = [
    (2, 1, 6, 8), (5, 1, 2, 2), (9, 1, 10, 10), (70, 1, 28, 28), (3, 1, 10, 32), (2, 1, 12, 70),
    (1, 1, 600, 66), (2, 3, 8, 36), (1361, 1, 56, 56),
]  # fmt: skip


def halved(x: Any) -> tuple[int, ...]:
    return (*x.shape[:2], x.shape[2] // 2, x.shape[3] // 2)


def framed(shape: tuple[int, ...], dtype: Any) -> tuple[Any, Any]:
    """An array of that shape, and what lies around it."""
    size = int(np.prod(shape))
    whole = np.full(3 * size, 7, dtype)
    return whole[size : 2 * size].reshape(shape), whole.reshape(3, size)[::2]


def hard(shape: Any, dtype: Any) -> Any:
    """With ties, windows of -inf, NaN and infinities of both signs."""
    x = np.round(normal(shape) * 2).astype(dtype)
    x[0, 0, 0, :4] = -np.inf
    x[-1, -1, 2:4, 4:6] = -np.inf
    if shape[0] > 1:
        x[1, 0, -1, :2] = np.nan
        x[1, 0, -1, -1] = np.nan
        x[0, -1, -1] = np.inf
    return x


def maxima(table: Any, x: Any, given: Any) -> tuple[Any, Any]:
    y, places = np.empty(halved(x), x.dtype), np.empty(halved(x), np.int32)
    table(x, y, places, *given, ONE)
    return y, places


def given_back(g: Any, places: Any, shape: Any) -> Any:
    """What max_pool_backward is to give: sums in the order of the outputs."""
    want = np.zeros((shape[0], np.prod(shape[1:])), g.dtype)
    flat, at = g.reshape(shape[0], -1), places.reshape(shape[0], -1)
    planes = np.broadcast_to(np.arange(shape[0])[:, None], at.shape)
    np.add.at(want, (planes[at >= 0], at[at >= 0]), flat[at >= 0])
    return want.reshape(shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("given", [TWO, THREE])
@pytest.mark.parametrize("shape", SHAPES)
def test_maxima_are_those_of_the_reference(
    kernels: Any, shape: Any, given: Any, dtype: Any
) -> None:
    x = hard(shape, dtype)
    y, places = maxima(kernels["max_pool_forward"], x, given)
    want, at = maxima(max_pool.max_pool_forward, x, given)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(places, at)
    alone = np.empty_like(y)
    kernels["max_pool_forward"](x, alone, None, *given, ONE)
    np.testing.assert_array_equal(alone, y)
    g = normal(y.shape).astype(dtype)
    back = np.full_like(x, 7)
    kernels["max_pool_backward"](g, places, back)
    np.testing.assert_array_equal(back, given_back(g, places, shape))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("shape", [*SHAPES, (5500, 1, 28, 28)])
def test_winners_are_those_of_the_reference(
    kernels: Any, shape: Any, kernel: int, dtype: Any
) -> None:
    """And nothing beyond the arrays is written, or read into a result."""
    shape = (shape[0] * shape[1], *shape[2:])
    out = (shape[0], shape[1] // 2, shape[2] // 2)
    x, around_x = framed(shape, dtype)
    x[...] = hard((shape[0], 1, *shape[1:]), dtype)[:, 0]
    (y, around_y), (winners, around_winners) = framed(out, dtype), framed(out, np.uint8)
    kernels["max_pool_halves_forward"](x, y, winners, kernel)
    want, won = np.empty_like(y), np.empty_like(winners)
    _max_pool_halves.max_pool_halves_forward(x, want, won, kernel)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(winners, won)
    (g, around_g), (back, around_back) = framed(out, dtype), framed(shape, dtype)
    g[...] = normal(out)
    winners[0, 0, 0] = 9  # names nothing
    kernels["max_pool_halves_backward"](g, winners, back, kernel)
    sums = np.empty_like(back)
    _max_pool_halves.max_pool_halves_backward(g, winners, sums, kernel)
    np.testing.assert_array_equal(back, sums)
    for rest in (around_x, around_y, around_winners, around_g, around_back):
        assert (rest == 7).all()


@pytest.mark.parametrize(
    ("shape", "out", "kernel"),
    [((4, 6), (2, 3), 4), ((4, 6), (2, 3), -(2**62)), ((5, 6), (2, 3), 2), ((4, 7), (2, 3), 3)],
)
def test_windows_that_do_not_halve_are_refused(
    kernels: Any, shape: Any, out: Any, kernel: int
) -> None:
    x, y, winners = normal((2, *shape)), normal((2, *out)), np.zeros((2, *out), np.uint8)
    with pytest.raises(ValueError, match="max_pool_halves_forward"):
        kernels["max_pool_halves_forward"](x, y, winners, kernel)
    with pytest.raises(ValueError, match="max_pool_halves_backward"):
        kernels["max_pool_halves_backward"](y, winners, x, kernel)


@pytest.mark.parametrize("options", [(2,), (3, 2, 1)])
@pytest.mark.parametrize("shape", [(3, 6, 36), (2, 3, 4, 10), (1, 2, 8194)])
def test_gradients_do_not_depend_on_what_is_kept(shape: Any, options: Any) -> None:
    """The layer by winners and by indices, which are kept where they are asked for."""
    values, weights = normal(shape), normal((*shape[:-2], shape[-2] // 2, shape[-1] // 2))
    grads = []
    for keep in (False, True):
        x = fastnn.tensor(values).requires_grad_()
        y = F.max_pool2d(x, *options, return_indices=keep)
        y = y[0] if keep else y
        loss = (y * y * fastnn.tensor(weights)).sum()
        (first,) = autograd.grad(loss, [x], create_graph=True)
        (second,) = autograd.grad((first * first).sum(), [x])
        grads += [first.detach().numpy(), second.numpy()]
    np.testing.assert_array_equal(grads[0], grads[2])
    np.testing.assert_array_equal(grads[1], grads[3])


@pytest.mark.parametrize("given", [TWO, THREE])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("include_pad", [False, True])
def test_means_are_those_of_the_reference(
    kernels: Any, shape: Any, given: Any, include_pad: bool
) -> None:
    x = normal(shape)
    y, want = np.empty(halved(x), x.dtype), np.empty(halved(x))
    kernels["avg_pool_forward"](x, y, *given, include_pad, 0)
    avg_pool.avg_pool_forward(x.astype(np.float64), want, *given, include_pad, 0)
    np.testing.assert_allclose(y, want, atol=2e-6)
    g = normal(y.shape)
    back, sums = np.full_like(x, 7), np.empty(shape)
    kernels["avg_pool_backward"](g, back, *given, include_pad, 0)
    avg_pool.avg_pool_backward(g.astype(np.float64), sums, *given, include_pad, 0)
    np.testing.assert_allclose(back, sums, atol=2e-6)


@pytest.mark.parametrize("shape", [(3, 1, 12, 70), (1361, 1, 56, 56)])
def test_places_of_other_windows_are_added_up_too(kernels: Any, shape: Any) -> None:
    places = maxima(kernels["max_pool_forward"], normal(shape), THREE)[1]
    width = shape[-1]
    g = normal(places.shape)
    for plane, row, column, place in [
        (0, 2, 0, 4 * width - 1),  # the end of the row above, beside the window on its left
        (1, 0, 3, width * shape[2] - 1),
        (1, 1, 1, -1),
        (2, 3, 30 % places.shape[-1], 0),
    ]:
        places[plane, 0, row, column] = place
    back = np.full(shape, 7, np.float32)
    kernels["max_pool_backward"](g, places, back)
    np.testing.assert_array_equal(back, given_back(g, places, shape))


@pytest.mark.parametrize("bad", [-2, 12 * 70, -(2**31), 2**31 - 1])
def test_places_outside_are_refused(kernels: Any, bad: int) -> None:
    x = normal((3, 1, 12, 70))
    places = maxima(kernels["max_pool_forward"], x, TWO)[1]
    places[1, 0, 0, 0] = bad
    with pytest.raises(IndexError, match="max_pool_backward"):
        kernels["max_pool_backward"](normal(places.shape), places, np.empty_like(x))


@pytest.mark.parametrize("shape", [(64, 1, 60, 60), (1361, 1, 56, 56), (600, 1, 28, 28)])
@pytest.mark.parametrize("given", [TWO, THREE])
def test_bits_do_not_depend_on_threads(kernels: Any, shape: Any, given: Any) -> None:
    x = normal(shape)
    g = normal(halved(x))

    def run() -> Any:
        top, at = maxima(kernels["max_pool_forward"], x, given)
        back, mean, back_mean = np.empty_like(x), np.empty_like(g), np.empty_like(x)
        kernels["max_pool_backward"](g, at, back)
        kernels["avg_pool_forward"](x, mean, *given, True, 0)
        kernels["avg_pool_backward"](g, back_mean, *given, True, 0)
        images, given_back = (x[:, 0], g[:, 0]), np.empty_like(x)
        best, winners = np.empty_like(images[1]), np.empty(images[1].shape, np.uint8)
        kernels["max_pool_halves_forward"](images[0], best, winners, given[0][1])
        kernels["max_pool_halves_backward"](images[1], winners, given_back[:, 0], given[0][1])
        results = (top, at, back, mean, back_mean, best, winners, given_back)
        return np.concatenate([a.ravel() for a in results])

    same_on_any_number_of_threads(run)


@pytest.mark.parametrize("given", [TWO, THREE])
@pytest.mark.parametrize(("slices", "out"), [(4, 1), (1, 4)])
def test_slices_without_a_partner_are_nobodys(
    kernels: Any, given: Any, slices: int, out: int
) -> None:
    """What the layers never ask for: nothing beyond the arrays is read or written."""
    x, g = normal((2, slices, 8, 64)), normal((2, out, 4, 32))
    y, around = framed(g.shape, x.dtype)
    places, around_places = framed(g.shape, np.int32)
    back, around_back = framed(x.shape, x.dtype)
    mean, around_mean = framed(g.shape, x.dtype)
    kernels["max_pool_forward"](x, y, places, *given, ONE)
    kernels["avg_pool_forward"](x, mean, *given, True, 0)
    kernels["avg_pool_backward"](g, back, *given, True, 0)
    wants = [np.empty_like(a) for a in (y, places, mean, back)]
    max_pool.max_pool_forward(x, wants[0], wants[1], *given, ONE)
    avg_pool.avg_pool_forward(x, wants[2], *given, True, 0)
    avg_pool.avg_pool_backward(g, wants[3], *given, True, 0)
    for got, want in zip((y, places, mean, back), wants, strict=True):
        np.testing.assert_allclose(got, want, atol=2e-6)
    for rest in (around, around_places, around_back, around_mean):
        assert (rest == 7).all()


_TALL = """
import numpy as np
from fastnn import _backend
from guard_pages import guarded

forward = _backend.cpu.kernels["max_pool_halves_forward"]
for width in (2, 4, 6, 10):
    for height in (*range(120, 142, 2), *range(250, 262, 2), 380, 510, 512, 514):
        x = guarded(np.zeros((1, height, width), np.float32))
        y = guarded(np.zeros((1, height // 2, width // 2), np.float32))
        for kernel in (2, 3):
            forward(x, y, np.zeros(y.shape, np.uint8), kernel)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="guard pages are made by mprotect")
@pytest.mark.usefixtures("kernels")
def test_nothing_beyond_a_narrow_tall_image_is_read() -> None:
    """Of its strips of rows, the last may be shorter than a vector."""
    here = Path(__file__).resolve().parent.parent
    code = f"import sys; sys.path.insert(0, {str(here)!r}){_TALL}"
    subprocess.run([sys.executable, "-c", code], check=True)
