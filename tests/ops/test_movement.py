# SPDX-License-Identifier: BSD-3-Clause
"""Padding, embedding, gather and scatter, advanced indexing: beyond the case table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn import functional as F
from native_kernels import normal, same_on_any_number_of_threads

DTYPES = ("float32", "float64", "int64", "int32", "uint8", "bool")
LEAST, MOST = -(2**63), 2**63 - 1


# ---- padding ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", range(4))
def test_pad_of_every_type(kernels: Any, dtype: str, mode: int) -> None:
    x = (normal((3, 5, 7)) * 100).astype(dtype)
    widths = [(0, 0), (2, 1), (3, 4)]
    y = np.full((3, 8, 14), 1, dtype)
    kernels["pad_forward"](x, np.ones(1, dtype), y, (0, 2, 3), mode)
    names = ("constant", "reflect", "edge", "wrap")
    options: Any = {} if mode else {"constant_values": 1}
    np.testing.assert_array_equal(y, np.pad(x, widths, mode=names[mode], **options))


@pytest.mark.parametrize(
    ("shape", "low", "mode"),
    [
        ((2, 9), (0, 3), 1),  # mirrored beyond its size
        ((2, 9), (0, 4), 3),
        ((2, 2), (0, 1), 1),  # cut
        ((2, 4), (0, -1), 2),
        ((2, 4), (0,), 0),
        ((2, 4), (0, 0, 0), 0),
        ((2, 4), (0, 0), 4),
        ((2, 4), (0, 0), -1),
        ((2, 4), (0, MOST), 0),
        ((2, 4), (0, LEAST), 0),
        ((2, 4, 1), (0, 0), 0),
    ],
)
def test_pads_that_make_no_sense_are_refused(kernels: Any, shape: Any, low: Any, mode: int) -> None:
    x, value = normal((2, 3)), np.zeros(1, np.float32)
    with pytest.raises(ValueError, match="pad_forward"):
        kernels["pad_forward"](x, value, np.empty(shape, np.float32), low, mode)
    with pytest.raises(ValueError, match="pad_backward"):
        kernels["pad_backward"](np.empty(shape, np.float32), x, low, mode)


def test_pad_modules() -> None:
    x = fastnn.arange(6.0).reshape(1, 2, 3)
    assert nn.ZeroPad1d((1, 0))(x)[0, 0].tolist() == [0, 0, 1, 2]
    assert nn.ConstantPad1d(1, 9.0)(x)[0, 1].tolist() == [9, 3, 4, 5, 9]
    assert nn.ReflectionPad1d(2)(x)[0, 0].tolist() == [2, 1, 0, 1, 2, 1, 0]
    assert nn.ReplicationPad1d((0, 2))(x)[0, 0].tolist() == [0, 1, 2, 2, 2]
    assert nn.CircularPad2d((1, 0, 1, 0))(x)[0].tolist() == [
        [5, 3, 4, 5],
        [2, 0, 1, 2],
        [5, 3, 4, 5],
    ]
    with pytest.raises(ValueError, match="ZeroPad2d: expected padding as an int or 4 ints"):
        nn.ZeroPad2d((1, 2))


# ---- embedding ----------------------------------------------------------------------------------


def test_embedding_gradient_in_order_on_any_number_of_threads(kernels: Any) -> None:
    g, index = normal((5000, 70)), np.random.default_rng(0).integers(0, 400, 5000)
    start = normal((400, 70), seed=4)
    for accumulate in (False, True):
        want = start.copy() if accumulate else np.zeros_like(start)
        for k, j in enumerate(index):
            if j != 7:
                want[j] += g[k]

        def run(accumulate: bool = accumulate) -> Any:
            out = start.copy()
            kernels["embedding_backward"](g, index, out, 7, accumulate)
            return out

        assert same_on_any_number_of_threads(run) == want.tobytes()


@pytest.mark.parametrize("bad", [-1, 4, LEAST, MOST])
def test_embedding_backward_checks_first(kernels: Any, bad: int) -> None:
    out = np.full((4, 3), 7, np.float32)
    with pytest.raises(IndexError, match="embedding_backward"):
        kernels["embedding_backward"](normal((2, 3)), np.array([0, bad]), out, -1, False)
    assert (out == 7).all()


def test_embedding_module() -> None:
    fastnn.manual_seed(0)
    layer = nn.Embedding(5, 3, padding_idx=-2)
    assert layer.padding_idx == 3
    assert layer.weight[3].tolist() == [0.0, 0.0, 0.0]
    index = fastnn.tensor([[1, 3], [1, 0]])
    for times in (1, 2):  # the second time straight into .grad
        layer(index).sum().backward()
        assert layer.weight.grad is not None
        assert layer.weight.grad[:, 0].tolist() == [times, 2 * times, 0, 0, 0]
    table = fastnn.ones(2, 4)
    fixed = nn.Embedding.from_pretrained(table)
    assert not fixed.weight.requires_grad
    assert fixed(fastnn.tensor(1)).tolist() == [1.0] * 4
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad
    with pytest.raises(ValueError, match="padding_idx"):
        nn.Embedding(5, 3, padding_idx=5)


# ---- gather, scatter, put -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("outer", "inner"), [(1, 1), (3, 1), (2, 5), (1, 600)])
def test_gather_and_scatter_of_every_type(kernels: Any, dtype: str, outer: int, inner: int) -> None:
    x = (normal((outer, 9, inner)) * 100).astype(dtype)
    y = (normal((outer, 40, inner), seed=5) * 100).astype(dtype)
    index = np.random.default_rng(1).integers(0, 9, y.shape)
    got = np.empty_like(y)
    kernels["gather"](x, index, got)
    np.testing.assert_array_equal(got, np.take_along_axis(x, index, 1))
    put, added, want = x.copy(), x.copy(), x.copy()
    kernels["scatter"](y, index, put)
    for k in range(40):
        np.put_along_axis(want, index[:, k : k + 1], y[:, k : k + 1], 1)
    np.testing.assert_array_equal(put, want)
    if dtype in ("float32", "float64", "int64"):
        want = x.copy()
        for k in range(40):
            at = index[:, k : k + 1]
            np.put_along_axis(want, at, np.take_along_axis(want, at, 1) + y[:, k : k + 1], 1)
        kernels["scatter_add"](y, index, added)
        np.testing.assert_array_equal(added, want)


@pytest.mark.parametrize("bad", [-1, 4, LEAST, MOST])
def test_numbers_outside_change_nothing(kernels: Any, bad: int) -> None:
    x = np.full((1, 4, 1), 7, np.float32)
    index = np.array([[[0], [bad]]])
    y = np.full((1, 2, 1), 3, np.float32)
    for name, arguments in (
        ("gather", (x, index, y)),
        ("scatter", (y, index, x)),
        ("scatter_add", (y, index, x)),
    ):
        with pytest.raises(IndexError, match=name):
            kernels[name](*arguments)
    assert (x == 7).all()
    assert (y == 3).all()


@pytest.mark.parametrize("bad", [-5, 4, LEAST, MOST])
def test_put_rows_and_linear_index_check_their_numbers(kernels: Any, bad: int) -> None:
    x = np.full((1, 4, 1), 7, np.float32)
    with pytest.raises(IndexError, match="put_rows"):
        kernels["put_rows"](np.zeros((1, 2, 1), np.float32), np.array([0, bad]), x)
    assert (x == 7).all()
    out = np.empty(1, np.int64)
    with pytest.raises(IndexError, match="linear_index"):
        kernels["linear_index"](np.array([[0], [bad]]), out, (2, 4))
    for sizes in ((2,), (2, -1), (2**40, 2**40)):
        with pytest.raises(ValueError, match="linear_index"):
            kernels["linear_index"](np.array([[0], [0]]), out, sizes)


def test_bits_of_scatter_add_and_put_do_not_depend_on_threads(kernels: Any) -> None:
    y, index = normal((2, 4000, 70)), np.random.default_rng(2).integers(0, 50, (2, 4000, 70))

    def run() -> Any:
        x = np.zeros((2, 50, 70), np.float32)
        kernels["scatter_add"](y, index, x)
        kernels["put_rows"](y, index[0, :, 0] - 25, z := x.copy())
        return np.concatenate([x, z])

    same_on_any_number_of_threads(run)


# ---- indexing -----------------------------------------------------------------------------------


def test_assignment_through_masks_and_lists() -> None:
    x = fastnn.arange(12.0).reshape(3, 4)
    x[x > 6] = -1.0
    assert x.tolist() == [[0, 1, 2, 3], [4, 5, 6, -1], [-1] * 4]
    x[:, [0, -1]] = fastnn.tensor([[10.0, 20.0]])
    assert x[:, 0].tolist() == [10.0] * 3
    assert x[:, 3].tolist() == [20.0] * 3
    x.t()[[1, 1], [0, 0]] = fastnn.tensor([5.0, 6.0])  # not contiguous; the last one stays
    assert x[0, 1].item() == 6.0
    x[[0, 1]] = x[[1, 0]]
    assert x[1, 1].item() == 6.0
    version = x._version
    x[True] = 0.0
    assert x._version > version
    assert x.sum().item() == 0.0


def test_assignment_of_parts_of_itself() -> None:
    x = fastnn.arange(5.0)
    x[[1, 2, 3, 4]] = x[:4]
    assert x.tolist() == [0.0, 0.0, 1.0, 2.0, 3.0]


def test_gradients_add_up_where_an_element_is_picked_twice() -> None:
    x = fastnn.arange(4.0).requires_grad_()
    y = x[fastnn.tensor([[0, 0], [3, 0]])]
    y.backward(fastnn.tensor([[1.0, 10.0], [100.0, 1000.0]]))
    assert x.grad is not None
    assert x.grad.tolist() == [1011.0, 0.0, 0.0, 100.0]


def test_gradient_of_an_assignment_does_not_see_later_changes_of_the_index() -> None:
    x = fastnn.ones(3, requires_grad=True)
    v = fastnn.ones(1, requires_grad=True)
    index = fastnn.tensor([1])
    y = x * 1.0
    y[index] = v
    index[0] = 2
    (y * fastnn.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad is not None
    assert v.grad is not None
    assert x.grad.tolist() == [1.0, 0.0, 100.0]
    assert v.grad.tolist() == [10.0]


PARTS: tuple[Any, ...] = (
    0, -1, slice(None), slice(1, None, 2), None, Ellipsis, [1, 0, -1], [[0], [1]], True, False,
    "mask1", "mask2", "int0d",
)  # fmt: skip


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(300))
def test_random_indices_as_in_torch(seed: int) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 5, int(rng.integers(1, 5))).tolist())
    x = rng.normal(size=shape)
    chosen, at, dots = [], 0, False
    for _ in range(int(rng.integers(1, 6))):
        p = PARTS[int(rng.integers(len(PARTS)))]
        if (p is Ellipsis and dots) or at >= len(shape):
            continue
        dots = dots or p is Ellipsis
        width = {"mask2": 2}.get(p if isinstance(p, str) else "", 1)
        if isinstance(p, str) and p.startswith("mask"):
            if dots or at + width > len(shape):
                continue
            p = rng.random(shape[at : at + width]) < 0.6
        elif p == "int0d":
            p = np.array(1)
        elif isinstance(p, list):
            p = np.array(p)
        chosen.append(p)
        at += 0 if p is None or p is Ellipsis or isinstance(p, bool) else width

    def index(make: Any) -> Any:
        return tuple(make(p) if isinstance(p, np.ndarray) else p for p in chosen)

    ours = fastnn.tensor(x).requires_grad_()
    theirs = torch.tensor(x, requires_grad=True)
    try:
        want = theirs[index(torch.tensor)]
    except IndexError:
        with pytest.raises(IndexError):
            ours[index(fastnn.tensor)]
        return
    got = ours[index(fastnn.tensor)]
    assert got.shape == tuple(want.shape)
    np.testing.assert_array_equal(got.detach().numpy(), want.detach().numpy())
    weight = rng.normal(size=got.shape)
    got.backward(fastnn.tensor(weight))
    want.backward(torch.tensor(weight))
    assert ours.grad is not None
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-13)
    a, b = fastnn.tensor(x), torch.tensor(x)
    a[index(fastnn.tensor)] = 2.5
    b[index(torch.tensor)] = 2.5
    np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.torch
def test_modules_read_as_torchs() -> None:
    torch = pytest.importorskip("torch")
    for make in (
        lambda m: m.Embedding(3, 4),
        lambda m: m.Embedding(3, 4, padding_idx=-1),
        lambda m: m.ZeroPad1d(1),
        lambda m: m.ZeroPad2d((1, 2, 3, 4)),
        lambda m: m.ConstantPad1d(2, 3.5),
        lambda m: m.ConstantPad2d(2, 1),
        lambda m: m.ReflectionPad2d(2),
        lambda m: m.ReplicationPad1d((1, 2)),
        lambda m: m.CircularPad2d(1),
    ):
        assert repr(make(nn)) == repr(make(torch.nn))


@pytest.mark.torch
def test_padding_index_as_in_torch() -> None:
    torch = pytest.importorskip("torch")
    index, table = np.array([[0, 2, 2], [1, 2, 0]]), normal((3, 4), "float64")
    ours, theirs = fastnn.tensor(table).requires_grad_(), torch.tensor(table, requires_grad=True)
    y = F.embedding(fastnn.tensor(index), ours, padding_idx=-1)
    z = torch.nn.functional.embedding(torch.tensor(index), theirs, padding_idx=-1)
    (g,) = fastnn.autograd.grad((y * y).sum(), ours, create_graph=True)
    (h,) = torch.autograd.grad((z * z).sum(), theirs, create_graph=True)
    np.testing.assert_allclose(g.detach().numpy(), h.detach().numpy(), rtol=1e-13)
    (g * g).sum().backward()
    (h * h).sum().backward()
    assert ours.grad is not None
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-13)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_padding_of_nothing_has_a_gradient(mode: str) -> None:
    for shape, pad in (((2, 3, 0), ()), ((0, 3), ()), ((0, 3, 4), (0, 0)), ((0, 3, 4), (1, 2))):
        x = fastnn.zeros(shape, requires_grad=True)
        y = fastnn.nn.functional.pad(x, pad, mode)
        y.sum().backward()
        assert x.grad is not None
        assert x.grad.shape == shape
    x = fastnn.zeros(4, 0, requires_grad=True)
    layers = fastnn.nn.ReflectionPad2d(0), fastnn.nn.ReplicationPad2d(0)
    for layer in layers:  # torch has none of these either
        with pytest.raises(RuntimeError, match="pad: expected dimensions with elements"):
            layer(x)


@pytest.mark.parametrize("n", [60, 61, 200, 3601])
def test_any_number_of_tensors_is_joined(n: int) -> None:
    parts = [fastnn.tensor([float(i), -float(i)], requires_grad=i % 50 == 0) for i in range(n)]
    want = np.arange(n, dtype="f4")[:, None] * np.array([1, -1], "f4")
    for joined in (fastnn.stack(parts), fastnn.cat(parts).reshape(n, 2)):
        np.testing.assert_array_equal(joined.detach().numpy(), want)
        (joined * fastnn.tensor(want)).sum().backward()
    grad = parts[50].grad
    assert grad is not None
    assert grad.tolist() == [100.0, -100.0]
