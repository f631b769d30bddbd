# SPDX-License-Identifier: BSD-3-Clause
"""Convolution beyond the case table: direct sums, laws, bits and arguments that must be refused."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _backend, autograd
from fastnn import nn as layers
from fastnn.nn import functional as F
from fastnn.ops._convolution import Convolution, Geometry
from fastnn.tensor import Tensor

Array = np.ndarray[Any, Any]


def tensor(*shape: int, seed: int = 0, dtype: Any = np.float64, grad: bool = False) -> Tensor:
    values = np.random.default_rng([seed, *shape]).uniform(-1, 1, shape).astype(dtype)
    t = fastnn.from_numpy(values)
    return t.requires_grad_() if grad else t


def direct(x: Array, w: Array, stride: int, padding: int, dilation: int, groups: int) -> Array:
    """The definition, element by element."""
    n, _, h, width = x.shape
    o, per, kh, kw = w.shape
    oh = (h + 2 * padding - dilation * (kh - 1) - 1) // stride + 1
    ow = (width + 2 * padding - dilation * (kw - 1) - 1) // stride + 1
    y = np.zeros((n, o, oh, ow))
    for b, k, i, j in np.ndindex(*y.shape):
        group = k // (o // groups)
        for d, s, t in np.ndindex(per, kh, kw):
            at = i * stride - padding + s * dilation, j * stride - padding + t * dilation
            if 0 <= at[0] < h and 0 <= at[1] < width:
                y[b, k, i, j] += w[k, d, s, t] * x[b, group * per + d, *at]
    return y


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [(1, 0, 1, 1), (2, 1, 1, 1), (3, 2, 2, 2), (1, 3, 1, 4), (2, 2, 3, 4)],
)
def test_it_is_the_sum_of_its_definition(
    stride: int, padding: int, dilation: int, groups: int
) -> None:
    x, w = tensor(2, 4, 7, 8), tensor(8, 4 // groups, 3, 2)
    y = F.conv2d(x, w, None, stride, padding, dilation, groups)
    want = direct(x.numpy(), w.numpy(), stride, padding, dilation, groups)
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-12, atol=1e-13)


def test_it_is_linear_in_input_and_weight() -> None:
    a, b, w, v = tensor(2, 3, 9), tensor(2, 3, 9, seed=1), tensor(5, 3, 4), tensor(5, 3, 4, seed=1)
    both = F.conv1d(a + 2.0 * b, w, padding=2)
    each = F.conv1d(a, w, padding=2) + 2.0 * F.conv1d(b, w, padding=2)
    np.testing.assert_allclose(both.numpy(), each.numpy(), rtol=1e-12, atol=1e-13)
    both = F.conv1d(a, w - v, stride=2)
    each = F.conv1d(a, w, stride=2) - F.conv1d(a, v, stride=2)
    np.testing.assert_allclose(both.numpy(), each.numpy(), rtol=1e-12, atol=1e-13)


def test_the_transposed_convolution_is_the_adjoint() -> None:
    """<conv(x), y> = <x, conv_transpose(y)>."""
    x, w = tensor(2, 4, 11, 9), tensor(6, 2, 3, 4)
    options: dict[str, Any] = {"stride": (2, 3), "padding": 1, "dilation": (2, 1), "groups": 2}
    y = F.conv2d(x, w, **options)
    g = tensor(*y.shape, seed=2)
    back = F.conv_transpose2d(g, w, output_padding=(0, 1), **options)
    assert back.shape == x.shape
    left, right = (y * g).sum().item(), (x * back).sum().item()
    assert left == pytest.approx(right, rel=1e-12)


def test_fold_is_the_adjoint_of_unfold() -> None:
    x = tensor(2, 3, 8, 9)
    options: dict[str, Any] = {"kernel_size": (3, 2), "stride": 2, "padding": 1, "dilation": (1, 2)}
    columns = F.unfold(x, **options)
    g = tensor(*columns.shape, seed=3)
    back = F.fold(g, (8, 9), **options)
    assert (columns * g).sum().item() == pytest.approx((x * back).sum().item(), rel=1e-12)


def test_it_is_unfold_and_a_matrix_product() -> None:
    x, w = tensor(1, 3, 8, 9), tensor(5, 3, 3, 3)
    columns = F.unfold(x, 3, padding=1)
    y = w.reshape(5, 27) @ columns[0]
    np.testing.assert_allclose(
        F.conv2d(x, w, padding=1).numpy().reshape(5, 72), y.numpy(), rtol=1e-12, atol=1e-13
    )


def test_three_directions_through_the_operation() -> None:
    x, w = tensor(2, 2, 4, 5, 6, grad=True), tensor(3, 2, 2, 3, 2, grad=True)
    geometry = Geometry((2, 1, 2), (1, 1, 0), (1, 2, 1), 1)
    out = (3, 3, 3)
    y = Convolution.apply((x, w, None), geometry, out)
    padded = np.pad(x.detach().numpy(), [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)])
    want = np.zeros((2, 3, *out))
    for a, b, c in itertools.product(range(2), range(3), range(2)):
        part = padded[:, :, a : a + 5 : 2, 2 * b : 2 * b + 3, c : c + 5 : 2][:, :, :3, :3, :3]
        want += np.einsum("oc,ncdhw->nodhw", w.detach().numpy()[:, :, a, b, c], part)
    np.testing.assert_allclose(y.detach().numpy(), want, rtol=1e-12, atol=1e-13)
    assert autograd.gradcheck(lambda *t: Convolution.apply((*t, None), geometry, out), [x, w])


# Sizes of x and the weight, and options. Columns of a row, rows, images and planes to a box; a
# source that is too far apart for boxes; weights that L2 does not hold; several blocks of k.
PARTS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 130, 1100), (16, 130, 3), {"padding": 1}),
    ((1, 130, 1500), (5, 130, 3), {"padding": 1}),
    ((1, 40, 70, 50), (16, 40, 3, 5), {"padding": 2}),
    ((45, 20, 2, 3), (12, 20, 3, 3), {"padding": 1}),
    ((2, 20, 33, 21), (24, 20, 5, 3), {"stride": 2, "padding": 2}),
    ((2, 30, 18, 19), (4, 30, 3, 3), {"stride": (2, 1)}),
    ((2, 2, 50), (16, 2, 3), {"padding": 70000, "dilation": 70000}),
    ((1, 260, 9, 9), (64, 260, 3, 3), {"padding": 1}),
    ((2, 4, 30, 40), (16, 4, 1, 1), {"stride": 3}),
    ((3, 300, 5, 5), (16, 300, 1, 1), {}),
    ((3, 5, 13, 12), (7, 5, 5, 5), {"padding": 2}),
    ((2, 40, 18, 9), (8, 40, 3, 3), {"padding": 1}),
    ((2, 31, 19, 14), (6, 31, 2, 5), {"stride": (1, 3)}),
]


@pytest.mark.parametrize(("x", "w", "options"), PARTS)
def test_however_the_work_is_cut(
    x: tuple[int, ...], w: tuple[int, ...], options: dict[str, Any]
) -> None:
    """y is the sum over the taps of a product of matrices, and the form is linear in both."""
    convolve = F.conv1d if len(x) == 3 else F.conv2d
    a, b = tensor(*x, grad=True), tensor(*w, grad=True)
    y = convolve(a, b, **options)
    g = tensor(*y.shape, seed=1)
    ga, gb = autograd.grad([y], [a, b], [g])
    assert ga is not None
    assert gb is not None
    steps, around, apart = (
        np.broadcast_to(options.get(name, default), len(x) - 2)
        for name, default in (("stride", 1), ("padding", 0), ("dilation", 1))
    )
    spread = [(0, 0), (0, 0), *((int(p), int(p)) for p in around)]
    padded = np.pad(a.detach().numpy(), spread)
    want_y, want_ga = np.zeros(y.shape), np.zeros_like(padded)
    want_gb = np.zeros(w)
    for tap in np.ndindex(*w[2:]):
        places = [
            slice(t * d, t * d + (size - 1) * s + 1, s)
            for t, d, s, size in zip(tap, apart, steps, y.shape[2:], strict=True)
        ]
        part = (slice(None), slice(None), *places)
        weight = b.detach().numpy()[(slice(None), slice(None), *tap)]
        want_y += np.moveaxis(np.tensordot(weight, padded[part], (1, 1)), 0, 1)
        want_ga[part] += np.moveaxis(np.tensordot(weight, g.numpy(), (0, 1)), 0, 1)
        axes = (0, *range(2, len(x)))
        want_gb[(slice(None), slice(None), *tap)] = np.tensordot(
            g.numpy(), padded[part], (axes, axes)
        )
    inside = tuple(slice(p, size - q) for (p, q), size in zip(spread, padded.shape, strict=True))
    for got, want in ((y.detach(), want_y), (ga, want_ga[inside]), (gb, want_gb)):
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-11, atol=1e-11)


# Few channels and a lane for each image: most of the lanes in use, padding of which whole tiles are
# left out, blocks of k that end within a channel, groups, steps, one direction.
IMAGES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((13, 4, 9, 11), (6, 4, 5, 5), {"padding": 4}),
    ((29, 6, 7, 18), (16, 6, 5, 5), {"padding": (1, 3)}),
    ((32, 10, 12, 9), (7, 10, 5, 4), {"stride": (1, 2), "dilation": (2, 1), "padding": 2}),
    ((16, 12, 8, 10), (16, 6, 3, 7), {"groups": 2, "padding": (0, 3)}),
    ((31, 8, 33), (5, 8, 13), {"padding": 9}),
]


# A single vector of output channels: tiles of rows of taps, which may end within a channel, and of
# neighbouring outputs, of which too few may be left for a tile.
TAPS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((7, 6, 14, 14), (16, 6, 5, 5), {}),
    ((5, 6, 20, 14), (11, 6, 5, 5), {"stride": (2, 1)}),
    ((5, 9, 21, 8), (16, 9, 3, 3), {}),
    ((5, 3, 21, 18), (15, 3, 3, 3), {"padding": 1}),
    ((6, 1, 17, 40), (13, 1, 3, 3), {"stride": 2}),
    ((5, 62, 19, 12), (24, 31, 3, 5), {"groups": 2, "padding": (0, 2), "stride": (2, 1)}),
    ((5, 110, 33), (12, 110, 3), {"stride": 2, "padding": 1}),
    ((5, 7, 20, 16), (14, 7, 3, 3), {"dilation": (2, 1), "padding": 2}),
    ((5, 7, 20, 16), (14, 7, 3, 3), {"dilation": (1, 2), "padding": 2}),
]


@pytest.mark.parametrize(("x", "w", "options"), IMAGES + TAPS)
def test_few_output_channels(
    x: tuple[int, ...], w: tuple[int, ...], options: dict[str, Any]
) -> None:
    """Single precision, which has kernels of its own, gives what double precision does."""
    convolve = F.conv1d if len(x) == 3 else F.conv2d
    results = []
    for dtype in (np.float64, np.float32):
        a, b = tensor(*x, dtype=dtype, grad=True), tensor(*w, dtype=dtype, grad=True)
        bias = tensor(w[0], dtype=dtype, grad=True)
        y = convolve(a, b, bias, **options)
        y.backward(tensor(*y.shape, dtype=dtype, seed=1))
        results.append([r.detach().numpy() for r in (y, a.grad, b.grad) if r is not None])
        if dtype is np.float32:
            part = convolve(a[3:5], b, bias, **options)
            np.testing.assert_array_equal(part.detach().numpy(), y.detach().numpy()[3:5])
    for want, got in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-6 * np.abs(want).max() * 20)


@pytest.mark.parametrize("width", [512, 515])
def test_a_large_output_of_one_tap(width: int) -> None:
    """It is written past the caches, where its rows are whole vectors."""
    x, w = tensor(1, 20, 512, width, dtype=np.float32), tensor(17, 20, 1, 1, dtype=np.float32)
    bias = tensor(17, dtype=np.float32)
    y = F.conv2d(x, w, bias).numpy().reshape(17, -1)
    want = w.numpy().reshape(17, 20) @ x.numpy().reshape(20, -1) + bias.numpy()[:, None]
    np.testing.assert_allclose(y, want, rtol=0, atol=1e-5)


SHAPES = [
    ((3, 8, 30, 31), (20, 8, 3, 3), 1, 1, 1),
    ((9, 16, 14, 14), (40, 16, 3, 3), 1, 1, 1),
    ((4, 3, 32, 32), (24, 3, 7, 7), 2, 3, 1),
    ((4, 32, 20, 20), (32, 1, 3, 3), 1, 1, 32),
    ((2, 64, 28, 28), (128, 64, 1, 1), 1, 0, 1),
    ((8, 2, 40, 40), (3, 2, 5, 5), 1, 2, 1),
    ((6, 32, 15, 15), (32, 32, 3, 3), 2, 1, 1),
    ((8, 24, 20, 21), (6, 24, 3, 3), 1, 1, 1),
    ((8, 3, 32, 32), (64, 3, 7, 7), 2, 3, 1),
    ((29, 6, 14, 15), (16, 6, 5, 5), 1, 1, 1),
    ((32, 6, 28, 27), (6, 6, 5, 5), 2, 2, 1),
    ((8, 44, 15, 16), (12, 44, 3, 5), 1, 1, 1),
    ((9, 3, 31, 33), (16, 3, 3, 3), 1, 1, 1),
    ((20, 6, 14, 14), (16, 6, 5, 5), 1, 0, 1),
]


@pytest.mark.parametrize(("x", "w", "stride", "padding", "groups"), SHAPES)
def test_bits_do_not_depend_on_threads(
    x: tuple[int, ...], w: tuple[int, ...], stride: int, padding: int, groups: int
) -> None:
    before = fastnn.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            fastnn.set_num_threads(threads)
            a = tensor(*x, dtype=np.float32, grad=True)
            b = tensor(*w, dtype=np.float32, grad=True)
            bias = tensor(w[0], dtype=np.float32, grad=True)
            y = F.conv2d(a, b, bias, stride, padding, 1, groups)
            g = tensor(*y.shape, dtype=np.float32, seed=1)
            grads = autograd.grad([y], [a, b, bias], [g])
            results.append([r.detach().numpy().tobytes() for r in (y, *grads) if r is not None])
    finally:
        fastnn.set_num_threads(before)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("outputs", [4, 10, 16])
def test_a_row_of_a_batch_has_the_bits_of_the_whole(outputs: int) -> None:
    """What an image gives does not depend on its neighbours, though panels go over them."""
    x, w = tensor(5, 6, 7, 7, dtype=np.float32), tensor(outputs, 6, 3, 3, dtype=np.float32)
    whole = F.conv2d(x, w, padding=1).numpy()
    for i in range(5):
        one = F.conv2d(x[i : i + 1], w, padding=1).numpy()
        np.testing.assert_array_equal(whole[i : i + 1], one)


def test_gradients_of_parameters_add_up() -> None:
    layer = layers.Conv2d(3, 4, 3, padding=1, dtype=fastnn.float64)
    x = tensor(2, 3, 6, 6)
    layer(x).sum().backward()
    assert layer.bias is not None
    once = [np.array(p.grad.numpy()) for p in (layer.weight, layer.bias) if p.grad is not None]
    layer(x).sum().backward()
    for p, g in zip((layer.weight, layer.bias), once, strict=True):
        assert p.grad is not None
        np.testing.assert_allclose(p.grad.numpy(), 2 * g, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble])
def test_other_types_go_to_the_reference(dtype: Any) -> None:
    x, w = tensor(2, 3, 5, 5, dtype=dtype), tensor(4, 3, 3, 3, dtype=dtype)
    y = F.conv2d(x, w, padding=1)
    assert y.array.dtype == dtype
    want = direct(x.numpy().astype(float), w.numpy().astype(float), 1, 1, 1, 1)
    np.testing.assert_allclose(y.numpy().astype(float), want, atol=2e-2)


def hostile() -> list[tuple[str, list[Any]]]:
    """Calls of the kernels themselves with arguments that do not go together."""
    x, w, y = np.zeros((2, 4, 1, 6, 6)), np.zeros((3, 4, 1, 3, 3)), np.zeros((2, 3, 1, 4, 4))
    one, zero = (1, 1, 1), (0, 0, 0)
    huge = (1 << 62, 1, 1 << 62)
    return [
        ("groups of zero", [x, w, None, y, one, zero, one, 0]),
        ("negative groups", [x, w, None, y, one, zero, one, -1]),
        ("groups that do not divide", [x, w, None, y, one, zero, one, 3]),
        ("stride zero", [x, w, None, y, (1, 0, 1), zero, one, 1]),
        ("dilation below zero", [x, w, None, y, one, zero, (1, 1, -3), 1]),
        ("negative padding", [x, w, None, y, one, (0, -1, 0), one, 1]),
        ("two directions", [x, w, None, y, (1, 1), zero, one, 1]),
        ("huge stride", [x, w, None, y, huge, zero, one, 1]),
        ("huge dilation", [x, w, None, y, one, zero, huge, 1]),
        ("other channels", [np.zeros((2, 5, 1, 6, 6)), w, None, y, one, zero, one, 1]),
        ("other batch", [x, w, None, np.zeros((3, 3, 1, 4, 4)), one, zero, one, 1]),
        ("bias of another size", [x, w, np.zeros(4), y, one, zero, one, 1]),
    ]


@pytest.mark.parametrize("case", hostile(), ids=lambda c: c[0])
def test_kernels_refuse_what_does_not_fit(case: tuple[str, list[Any]], kernels: Any) -> None:
    with pytest.raises(ValueError, match="conv_forward"):
        kernels["conv_forward"](*case[1])


def test_outputs_larger_than_the_input_reaches_read_zeros(kernels: Any) -> None:
    """Whatever the size of the output says, nothing outside the input is read."""
    x, w = np.ones((1, 4, 1, 3, 3)), np.ones((8, 4, 1, 2, 2))
    y = np.full((1, 8, 1, 9, 9), np.nan)
    kernels["conv_forward"](x, w, None, y, (1, 3, 2), (0, 1, 5), (1, 1, 7), 1)
    columns = np.full((1, 4, 1, 2, 2, 1, 9, 9), np.nan)
    kernels["im2col"](x, columns, (1, 3, 2), (0, 1, 5), (1, 1, 7))
    np.testing.assert_allclose(y[0, 0, 0], columns.sum(axis=(0, 1, 2, 3, 4, 5)))
    gx = np.full(x.shape, np.nan)
    kernels["conv_backward_input"](y, w, None, gx, (1, 3, 2), (0, 1, 5), (1, 1, 7), 1)
    assert np.isfinite(gx).all()


@pytest.mark.parametrize("sizes", [(0, 4, 5), (2, 0, 5), (2, 4, 0)])
def test_empty_arrays(sizes: tuple[int, int, int], kernels: Any) -> None:
    n, c, size = sizes
    x, w, bias = np.ones((n, c, 1, 1, size)), np.ones((3, c, 1, 1, 2)), np.arange(3.0)
    y, steps = np.full((n, 3, 1, 1, 4), np.nan), ((1, 1, 1), (0, 0, 1), (1, 1, 1), 1)
    kernels["conv_forward"](x, w, bias, y, *steps)
    if x.size == 0:
        np.testing.assert_array_equal(y, np.broadcast_to(bias.reshape(3, 1, 1, 1), y.shape))
    gw = np.full(w.shape, 7.0)
    kernels["conv_backward_weight"](x, y, gw, *steps, True)
    np.testing.assert_array_equal(gw, 7.0)
    kernels["conv_backward_weight"](x, y, gw, *steps, False)
    np.testing.assert_array_equal(gw, 0.0)
    gx = np.full(x.shape, np.nan)
    kernels["conv_backward_input"](y, w, None, gx, *steps)
    assert np.isfinite(gx).all()


def test_the_references_are_found_without_native_kernels() -> None:
    names = {"conv_forward", "conv_backward_input", "conv_backward_weight", "im2col", "col2im"}
    assert names <= set(_backend.references)


def test_transposed_convolutions_without_elements() -> None:
    """Of an empty batch, whose outputs may be of size 0."""
    x = fastnn.ones(0, 3, 1, 4, requires_grad=True)
    w = fastnn.ones(3, 5, 2, 2, requires_grad=True)
    b = fastnn.ones(5, requires_grad=True)
    y = F.conv_transpose2d(x, w, b, padding=(1, 0))
    assert y.shape == (0, 5, 0, 5)
    for t, g in zip((x, w, b), autograd.grad(y.sum(), (x, w, b)), strict=True):
        assert g.shape == t.shape
        assert not g.any()


def test_steps_without_a_meaning_may_be_of_any_size() -> None:
    x, w = fastnn.arange(4.0).reshape(1, 1, 4), fastnn.ones(1, 1, 4)
    assert F.conv1d(x, w, stride=2**62).tolist() == [[[6.0]]]
    assert F.conv1d(x, w[:, :, :1], dilation=2**62).tolist() == x.tolist()
    assert F.conv_transpose1d(x[:, :, :1], w, stride=2**62).shape == (1, 1, 4)
