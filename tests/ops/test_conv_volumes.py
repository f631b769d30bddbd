# SPDX-License-Identifier: BSD-3-Clause
"""Convolution of volumes beyond the case table: every kernel that takes three directions, bits on
any number of threads, arrays that end where memory does, laws."""

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
from fastnn.tensor import Tensor

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).uniform(-1, 1, shape)


def by_taps(x: Array, w: Array, g: Array | None, **options: Any) -> tuple[Array, ...]:
    """y, and the gradients of x and w for g: a product of matrices for each tap and group."""
    stride, padding, dilation = (
        np.broadcast_to(options.get(name, default), 3).tolist()
        for name, default in (("stride", 1), ("padding", 0), ("dilation", 1))
    )
    groups = options.get("groups", 1)
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    of = list(zip(padded.shape[2:], w.shape[2:], stride, dilation, strict=True))
    out = [(size - d * (k - 1) - 1) // s + 1 for size, k, s, d in of]
    y = np.zeros((x.shape[0], w.shape[0], *out))
    g = np.zeros_like(y) if g is None else g
    gx, gw = np.zeros_like(padded), np.zeros_like(w)
    rows, per = w.shape[0] // groups, w.shape[1]
    for tap in np.ndindex(*w.shape[2:]):
        places = [
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, n, (_, _, s, d) in zip(tap, out, of, strict=True)
        ]
        for i in range(groups):
            mine = slice(i * rows, (i + 1) * rows)
            part = (slice(None), slice(i * per, (i + 1) * per), *places)
            one = w[(mine, slice(None), *tap)]
            y[:, mine] += np.moveaxis(np.tensordot(one, padded[part], (1, 1)), 0, 1)
            gx[part] += np.moveaxis(np.tensordot(one, g[:, mine], (0, 1)), 0, 1)
            over = (0, 2, 3, 4)
            gw[(mine, slice(None), *tap)] = np.tensordot(g[:, mine], padded[part], (over, over))
    inside = tuple(slice(p, p + n) for p, n in zip(padding, x.shape[2:], strict=True))
    return y, gx[:, :, *inside], gw


# Full vectors of channels, boxes of planes; boxes of rows, several to a plane, two panels; the same
# with a stride of 2 and of 3 in every direction, whose gradient has 8 and 27 phases; few channels,
# vectors that begin with each row and that go on over the ends of rows; channels by themselves;
# columns; one tap; what is too far apart for boxes; images for vectors were there no depth.
LAYERS: list[tuple[Shape, Shape, dict[str, Any]]] = [
    ((2, 20, 6, 9, 11), (16, 20, 3, 3, 3), {"padding": 1}),
    ((1, 40, 9, 18, 10), (27, 40, 2, 3, 5), {"padding": (1, 1, 2)}),
    ((2, 16, 7, 6, 10), (18, 16, 4, 4, 4), {"stride": 2, "padding": 1}),
    ((2, 18, 7, 8, 9), (16, 18, 4, 3, 4), {"stride": 3, "padding": 2}),
    ((2, 30, 5, 9, 33), (4, 30, 3, 1, 3), {"stride": (1, 2, 1)}),
    ((2, 3, 8, 9, 13), (7, 3, 3, 3, 3), {"padding": 1}),
    ((2, 12, 6, 7, 40), (12, 1, 3, 3, 3), {"groups": 12, "padding": 1}),
    ((1, 4, 7, 15, 20), (8, 1, 5, 5, 5), {"groups": 4, "stride": 2, "padding": 2}),
    ((2, 8, 6, 7, 5), (17, 8, 1, 1, 1), {"stride": (1, 3, 2), "padding": (1, 0, 1)}),
    ((2, 48, 4, 8, 9), (48, 48, 1, 1, 1), {}),
    ((1, 2, 3, 4, 20), (16, 2, 2, 1, 3), {"padding": (0, 0, 9000), "dilation": (1, 1, 9000)}),
    ((17, 6, 2, 9, 8), (6, 6, 2, 5, 5), {"padding": (0, 2, 2)}),
    ((3, 24, 5, 6, 7), (24, 12, 2, 2, 2), {"groups": 2, "dilation": (2, 1, 3)}),
]


@pytest.mark.parametrize(("x", "w", "options"), LAYERS)
def test_values_and_gradients_on_any_number_of_threads(
    x: Shape, w: Shape, options: dict[str, Any]
) -> None:
    a, b, bias = random(*x), random(*w), random(w[0])
    (y, *_) = by_taps(a, b, None, **options)
    g = random(*y.shape, seed=1)
    y, ga, gb = by_taps(a, b, g, **options)
    want = [y + bias[:, None, None, None], ga, gb, g.sum(axis=(0, 2, 3, 4))]
    longest = max(b[0].size, x[0] * y[0, 0].size)  # sum of products
    before = fastnn.get_num_threads()
    for dtype, bound in ((np.float64, 1e-14), (np.float32, 4e-6)):
        bits = []
        for threads in (1, 2, 5):
            fastnn.set_num_threads(threads)
            try:
                leaves = [fastnn.from_numpy(v.astype(dtype)).requires_grad_() for v in (a, b, bias)]
                result = F.conv3d(*leaves, **options)
                grads = autograd.grad([result], leaves, [fastnn.from_numpy(g.astype(dtype))])
            finally:
                fastnn.set_num_threads(before)
            got = [t.detach().numpy() for t in (result, *grads) if t is not None]
            bits.append([v.tobytes() for v in got])
            for v, wanted in zip(got, want, strict=True):
                assert v.dtype == dtype
                np.testing.assert_allclose(v, wanted, rtol=0, atol=bound * longest**0.5)
        assert bits[0] == bits[1] == bits[2]


def test_the_transposed_convolution_is_the_adjoint() -> None:
    """<conv(x), y> = <x, conv_transpose(y)>."""
    x, w = fastnn.from_numpy(random(2, 4, 6, 7, 5)), fastnn.from_numpy(random(6, 2, 3, 2, 4))
    options: dict[str, Any] = {
        "stride": (2, 3, 1), "padding": (1, 0, 2), "dilation": (1, 2, 1), "groups": 2,
    }  # fmt: skip
    y = F.conv3d(x, w, **options)
    g = fastnn.from_numpy(random(*y.shape, seed=2))
    back = F.conv_transpose3d(g, w, output_padding=(1, 1, 0), **options)
    assert back.shape == x.shape
    assert (y * g).sum().item() == pytest.approx((x * back).sum().item(), rel=1e-12)


def test_a_volume_of_one_plane_is_an_image() -> None:
    x, w = (fastnn.from_numpy(random(*s).astype("f4")) for s in ((2, 20, 9, 12), (24, 20, 3, 3)))
    flat = F.conv2d(x, w, padding=1)
    assert F.conv3d(x[:, :, None], w[:, :, None], padding=(0, 1, 1))[:, :, 0].equal(flat)
    back = F.conv_transpose2d(flat, w, padding=1)
    volume = F.conv_transpose3d(flat[:, :, None], w[:, :, None], padding=(0, 1, 1))
    assert volume[:, :, 0].equal(back)


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_no_direction_is_special(order: Shape) -> None:
    x, w, stride, padding = random(2, 3, 4, 6, 7), random(5, 3, 2, 3, 4), (1, 2, 3), (1, 0, 2)
    axes = (0, 1, *(2 + i for i in order))

    def turned(a: Array) -> Tensor:
        return fastnn.from_numpy(np.ascontiguousarray(a.transpose(axes)))

    y = F.conv3d(fastnn.from_numpy(x), fastnn.from_numpy(w), None, stride, padding)
    steps, around = (tuple(v[i] for i in order) for v in (stride, padding))
    got = F.conv3d(turned(x), turned(w), None, steps, around)
    np.testing.assert_allclose(got.numpy(), y.numpy().transpose(axes), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("sizes", [(0, 3, 2, 3, 4), (2, 0, 2, 3, 4)])
def test_of_nothing(sizes: Shape) -> None:
    x = fastnn.ones(*sizes, requires_grad=True)
    w = fastnn.ones(5, sizes[1], 2, 2, 2, requires_grad=True)
    b = fastnn.arange(5.0).requires_grad_()
    y = F.conv3d(x, w, b)
    assert y.shape == (sizes[0], 5, 1, 2, 3)
    assert (y.detach() == b.detach().reshape(5, 1, 1, 1)).all()
    gx, gw, gb = autograd.grad(y.sum(), (x, w, b))
    assert [t.shape for t in (gx, gw)] == [x.shape, w.shape]
    assert not gx.any()
    assert not gw.any()
    assert gb.tolist() == [6.0 * sizes[0]] * 5


def test_a_transposed_convolution_without_elements() -> None:
    x, w = fastnn.ones(0, 3, 1, 4, 2, requires_grad=True), fastnn.ones(3, 5, 2, 2, 2)
    y = F.conv_transpose3d(x, w, padding=(1, 0, 0))
    assert y.shape == (0, 5, 0, 5, 3)
    (gx,) = autograd.grad(y.sum(), (x,))
    assert gx.shape == x.shape
    with pytest.raises(RuntimeError, match=r"conv_transpose3d: .* output of \(0, 5, 3\); use less"):
        F.conv_transpose3d(fastnn.ones(2, 3, 1, 4, 2), w, padding=(1, 0, 0))


_AT_THE_END_OF_MEMORY = """
import numpy as np
from fastnn import _backend
from guard_pages import guarded

K = _backend.cpu.kernels
rng = np.random.default_rng(0)
# Images, channels and sizes of x; of the weight; stride, padding, dilation; groups.
layers = [
    ((1, 3, 4, 5, 7), (5, 3, 3, 3, 3), 1, 1, 1, 1),
    ((2, 5, 3, 5, 9), (19, 5, 2, 3, 3), 2, 1, 1, 1),
    ((1, 20, 3, 3, 5), (20, 20, 2, 2, 2), (1, 2, 2), (0, 1, 2), 1, 1),
    ((3, 2, 3, 4, 33), (3, 2, 1, 3, 5), 1, (1, 0, 2), (1, 1, 2), 1),
    ((1, 7, 4, 3, 17), (7, 1, 3, 3, 3), (2, 1, 1), 1, 1, 7),
    ((1, 17, 2, 3, 43), (17, 17, 1, 1, 1), 1, 0, 1, 1),
    ((1, 3, 5, 3, 7), (9, 3, 1, 1, 1), (2, 1, 3), 0, 1, 1),
    ((1, 6, 4, 4, 5), (4, 3, 2, 3, 4), 3, 2, (2, 1, 1), 2),
]
for x, w, *steps, groups in layers:
    steps = [tuple(np.broadcast_to(v, 3).tolist()) for v in steps]
    of = zip(x[2:], w[2:], *steps)
    out = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in of]
    for dtype in (np.float32, np.float64):
        a, b, bias, g, extra = (
            rng.uniform(-1, 1, n).astype(dtype) for n in (x, w, w[:1], (x[0], w[0], *out), x[1])
        )
        results = []
        for place in (np.array, guarded):
            y, gx, gw, gb = (place(np.full(v.shape, np.nan, dtype)) for v in (g, a, b, bias))
            at, bt, biast, gt, extrat = map(place, (a, b, bias, g, extra))
            K["conv_forward"](at, bt, biast, y, *steps, groups)
            K["conv_backward_input"](gt, bt, extrat, gx, *steps, groups)
            K["conv_backward_parameters"](at, gt, gw, gb, *steps, groups, False, False)
            assert all(np.isfinite(v).all() for v in (y, gx, gw, gb)), (x, w)
            results.append([v.tobytes() for v in (y, gx, gw, gb)])
        assert results[0] == results[1], (x, w, dtype)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="guard pages are made by mprotect")
@pytest.mark.usefixtures("kernels")
def test_nothing_is_read_beyond_the_arrays() -> None:
    here = Path(__file__).resolve().parent.parent
    code = f"import sys; sys.path.insert(0, {str(here)!r}){_AT_THE_END_OF_MEMORY}"
    subprocess.run([sys.executable, "-c", code], check=True)
