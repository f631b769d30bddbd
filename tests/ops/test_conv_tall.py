# SPDX-License-Identifier: BSD-3-Clause
"""Convolutions of 9 to 16 output channels, of few steps up to 32, and three taps down the columns,
whose kernels (of 16 lanes) multiply transforms of tiles of four rows; and those of few steps that
have other taps, whose sums go from registers to their places."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from conv_results import (
    Layer,
    check_against_double_precision,
    check_bits,
    doubles,
    numbers,
    results,
)
from fastnn.nn import functional as F

Array = np.ndarray[Any, Any]


# Tiles and vectors that the outputs do not fill, strips of rows of two images and of the last few,
# channels that do not fill tiles, one channel, groups, rows of taps that are not three, dilation
# along the rows, padding beyond the source, fewer rows than a tile has.
LAYERS: list[Layer] = [
    ((5, 16, 32, 32), (16, 16, 3, 3), {"padding": 1}),
    ((3, 3, 32, 32), (16, 3, 3, 3), {"padding": 1}),
    ((4, 11, 18, 29), (13, 11, 3, 3), {}),
    ((2, 9, 23, 64), (9, 9, 3, 5), {"padding": (1, 2)}),
    ((2, 30, 16, 33), (30, 15, 3, 3), {"groups": 2, "padding": 1}),
    ((3, 12, 13, 30), (16, 12, 3, 3), {"padding": (1, 2), "dilation": (1, 2)}),
    ((2, 14, 9, 47), (10, 14, 3, 3), {"padding": 5}),
    ((3, 16, 4, 16), (16, 16, 3, 1), {"padding": (1, 0)}),
    ((1, 12, 3, 200), (16, 12, 3, 3), {"padding": 1}),
    ((3, 3, 32, 32), (32, 3, 3, 3), {"padding": 1}),
    ((2, 3, 19, 33), (21, 3, 3, 3), {}),
    ((1, 6, 21, 45), (58, 3, 3, 3), {"groups": 2, "padding": 1}),
    ((5, 1, 28, 28), (32, 1, 5, 5), {"padding": 2}),
    ((2, 1, 11, 31), (25, 1, 5, 5), {}),
    ((3, 2, 9, 40), (18, 2, 2, 7), {"padding": (1, 3)}),
    ((17, 1, 29, 14), (20, 1, 5, 5), {"dilation": (2, 1)}),
]


@pytest.mark.parametrize("layer", LAYERS)
def test_single_precision_gives_what_double_precision_does(layer: Layer) -> None:
    check_against_double_precision(layer)


@pytest.mark.parametrize("layer", LAYERS)
def test_bits_depend_neither_on_threads_nor_on_the_batch(layer: Layer) -> None:
    check_bits(layer)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", ["input", "weight", "grad"])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_not_finite_reaches_what_the_definition_says(bad: float, place: str) -> None:
    options: dict[str, Any] = {"padding": 1}
    x, w, g = numbers(3, 16, 17, 32), numbers(16, 16, 3, 3), numbers(3, 16, 17, 32, seed=1)
    clean = results(x, w, options, g)
    if place == "input":
        x[1, 2, 9, 4] = bad
    elif place == "weight":
        w[10, 1, 0, 2] = bad
    else:
        g[1, 9, 3, 8] = bad
    wants = results(*doubles(x, w), options, g)
    gots = results(x, w, options, g)
    for got, want in zip(gots, wants, strict=True):
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(want))
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-3)
    if place != "weight":  # the other images' bits are what they were
        np.testing.assert_array_equal(gots[0][::2], clean[0][::2])
        np.testing.assert_array_equal(gots[1][::2], clean[1][::2])


def test_sums_of_a_tile_may_overflow_where_the_result_does_not() -> None:
    options: dict[str, Any] = {"padding": 1}
    x, w, g = numbers(2, 16, 12, 32), numbers(16, 16, 3, 3), numbers(2, 16, 12, 32, seed=1)
    w[:, 1] *= np.float32(1e-20)
    x[0, 1] = 3e38
    g[:] *= np.float32(1e-20)
    wants = results(*doubles(x, w), options, g)
    for got, want in zip(results(x, w, options, g), wants, strict=True):
        assert np.isfinite(want).all()
        assert np.abs(want).max() < 3e38
        np.testing.assert_allclose(got, want, rtol=0, atol=1.5e-6 * np.abs(want).max())


@pytest.mark.parametrize(
    ("x", "w", "padding"),
    [((8, 64, 20, 20), (16, 64, 3, 3), 1), ((8, 32, 21, 21), (16, 32, 3, 5), (1, 2)),
     ((33, 64, 6, 64), (16, 64, 3, 3), 1)],
)  # fmt: skip
def test_an_image_has_its_bits_in_every_batch(
    x: tuple[int, ...], w: tuple[int, ...], padding: Any
) -> None:
    """Boxes are cut by the size of the batch; with them the kernel was chosen by it too."""
    rng = np.random.default_rng(0)
    images, weight = rng.standard_normal(x, np.float32), rng.standard_normal(w, np.float32)
    out = rng.standard_normal((w[1], *w[:1], *w[2:]), np.float32)  # the layer the other way round
    for kernel, given in ((weight, images), (out, rng.standard_normal(x, np.float32))):
        transposed = kernel is out
        conv = F.conv_transpose2d if transposed else F.conv2d
        many = fastnn.from_numpy(given[:, : kernel.shape[0]] if transposed else given)
        whole = conv(many, fastnn.from_numpy(kernel), padding=padding).numpy()
        for n in (1, 2, 3, x[0] - 1):
            part = conv(many[:n], fastnn.from_numpy(kernel), padding=padding).numpy()
            assert part.tobytes() == whole[:n].tobytes()
    images[0, 0, 0, 0] = np.nan
    once = F.conv2d(fastnn.from_numpy(images), fastnn.from_numpy(weight), padding=padding).numpy()
    clean = F.conv2d(fastnn.from_numpy(images[1:]), fastnn.from_numpy(weight), padding=padding)
    assert np.isnan(once[0]).any()
    assert once[1:].tobytes() == clean.numpy().tobytes()


_EVERY_OTHER_ROW = """
import numpy as np
from fastnn import _backend
from guard_pages import guarded

backward = _backend.cpu.kernels["conv_backward_input"]
given = ((1, 2, 1), (0, 1, 1), (1, 2, 1), 1)
rng = np.random.default_rng(0)
grad_y = rng.standard_normal((2, 16, 1, 5, 30), np.float32)
weight = rng.standard_normal((16, 16, 1, 3, 3), np.float32)
grad_x = guarded(np.full((2, 16, 1, 12, 30), 7, np.float32))
backward(grad_y, weight, None, grad_x, *given)
clean = grad_x.copy()
grad_y[0, 0, 0, 0, 0] = np.nan
backward(grad_y, weight, None, grad_x, *given)
assert np.isnan(grad_x[0]).any()
assert grad_x[1].tobytes() == clean[1].tobytes()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="guard pages are made by mprotect")
@pytest.mark.usefixtures("kernels")
def test_rows_that_leave_others_out_are_written_alone() -> None:
    """A stride and a dilation of 2: only every other row has taps, and nothing beyond is read."""
    here = Path(__file__).resolve().parent.parent
    code = f"import sys; sys.path.insert(0, {str(here)!r}){_EVERY_OTHER_ROW}"
    subprocess.run([sys.executable, "-c", code], check=True)
