# SPDX-License-Identifier: BSD-3-Clause
"""Gradients of convolutions of one tap, all of which one kernel computes: values and bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.nn import functional as F

Array = np.ndarray[Any, Any]

# Shape of x, output channels, groups: full and partial tiles of both matrices, blocks of unequal
# length, images that end within a vector or after one of a panel, more outputs than one block of
# a product takes, one to three directions, groups.
LAYERS: list[tuple[tuple[int, ...], int, int]] = [
    ((3, 64, 16, 17), 256, 1),
    ((2, 16, 16, 16), 16, 1),
    ((1, 32, 23, 31), 45, 1),
    ((2, 48, 19, 27), 512, 1),
    ((3, 16, 1111), 37, 1),
    ((2, 64, 18, 18), 96, 2),
    ((1, 80, 15, 21), 83, 1),
    ((5, 32, 21, 40), 130, 1),
]


def gradients(
    x: Array, w: Array, bias: Array | None, g: Array, groups: int, times: int
) -> list[Array]:
    inputs = [None if a is None else fastnn.from_numpy(a) for a in (x, w, bias)]
    given = [t for t in inputs if t is not None]
    for t in given:
        t.requires_grad_()
    conv = F.conv1d if x.ndim == 3 else F.conv2d
    for _ in range(times):
        conv(*inputs, groups=groups).backward(fastnn.from_numpy(g))
    return [np.asarray(t.grad.numpy()) for t in given]


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(("size", "outputs", "groups"), LAYERS)
def test_values_and_bits(size: tuple[int, ...], outputs: int, groups: int, biased: bool) -> None:
    rng = np.random.default_rng(8)
    shapes = [size, (outputs, size[1] // groups, *(1,) * len(size[2:])), (outputs,)]
    shapes.append((size[0], outputs, *size[2:]))
    arrays: list[Any] = [rng.uniform(-1, 1, shape) for shape in shapes]
    if not biased:
        arrays[2] = None
    x, w, _, g = arrays
    flat = [a.reshape(*a.shape[:2], -1) for a in (x, g)]
    xs, gs = (a.reshape(size[0], groups, -1, a.shape[2]) for a in flat)
    ws = w.reshape(groups, outputs // groups, -1)
    want = [
        np.einsum("ngop,goc->ngcp", gs, ws).reshape(x.shape),
        np.einsum("ngop,ngcp->goc", gs, xs).reshape(w.shape),
        flat[1].sum(axis=(0, 2)),
    ]
    before = fastnn.get_num_threads()
    single = [None if a is None else a.astype(np.float32) for a in arrays]
    try:
        for threads in (1, 2, 5):
            fastnn.set_num_threads(threads)
            got = gradients(*single, groups, 1)
            if threads == 1:
                first = got
            for a, b in zip(got, first, strict=True):
                np.testing.assert_array_equal(a, b)
    finally:
        fastnn.set_num_threads(before)
    for a, b in zip(first, want, strict=False):
        np.testing.assert_allclose(a, b, rtol=0, atol=3e-6 * np.abs(b).max())
    for a, b in zip(gradients(*arrays, groups, 2), want, strict=False):  # added to what is there
        np.testing.assert_allclose(a, 2 * b, rtol=0, atol=1e-13 * np.abs(b).max())


def test_gradients_alone_have_the_same_bits() -> None:
    """The input's gradient does not depend on which other gradients are wanted."""
    rng = np.random.default_rng(9)
    x, g = (rng.uniform(-1, 1, (2, c, 20, 20)).astype(np.float32) for c in (32, 70))
    w = rng.uniform(-1, 1, (70, 32, 1, 1)).astype(np.float32)
    both = gradients(x, w, None, g, 1, 1)
    a = fastnn.from_numpy(x).requires_grad_()
    F.conv2d(a, fastnn.from_numpy(w)).backward(fastnn.from_numpy(g))
    np.testing.assert_array_equal(np.asarray(a.grad.numpy()), both[0])


def test_kernel_refuses_other_shapes(kernels: Any) -> None:
    """Fewer outputs than channels are not this kernel's."""
    x, g = np.ones((1, 32, 1, 16, 16), np.float32), np.ones((1, 16, 1, 16, 16), np.float32)
    w = np.ones((16, 32, 1, 1, 1), np.float32)
    outputs = np.empty_like(x), np.empty_like(w), None
    with pytest.raises((RuntimeError, ValueError), match="conv_backward_pointwise"):
        kernels["conv_backward_pointwise"](x, g, w, *outputs, 1, False, False)


def test_gradients_that_share_memory() -> None:
    """One is added after the other."""
    rng = np.random.default_rng(10)
    x, w, b = (
        fastnn.from_numpy(rng.uniform(-1, 1, shape)).requires_grad_()
        for shape in ((2, 16, 16, 16), (20, 16, 1, 1), (20,))
    )
    F.conv2d(x, w, b).sum().backward()
    once = [np.array(t.grad.numpy()) for t in (w, b)]
    shared = fastnn.zeros(20 * 16, dtype=x.dtype)
    w.grad, b.grad = shared.reshape(20, 16, 1, 1), shared[:20]
    F.conv2d(x, w, b).sum().backward()
    want = once[0].reshape(-1)
    want[:20] += once[1]
    np.testing.assert_allclose(shared.numpy(), want, rtol=1e-12)
