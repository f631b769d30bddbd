# SPDX-License-Identifier: BSD-3-Clause
"""The normalisations: what the case table cannot say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _backend, autograd
from fastnn.nn import functional as F


def tensors(*shapes: tuple[int, ...], seed: int = 0, dtype: Any = np.float32) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [fastnn.tensor(rng.normal(size=s).astype(dtype)) for s in shapes]


def bits(function: Any, inputs: list[Any]) -> list[bytes]:
    leaves = [t.detach().clone().requires_grad_() for t in inputs]
    out = function(*leaves)
    weight = tensors(out.shape, seed=9)[0]
    grads = autograd.grad([out], leaves, [weight])
    return [t.detach().numpy().tobytes() for t in (out, *grads)]


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        # Few channels are cut into segments, many are pieces themselves, short rows are columns.
        (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), [(9, 3, 9000), (3,), (3,)]),
        (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), [(5, 40, 1000), (40,), (40,)]),
        (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), [(500, 300), (300,), (300,)]),
        (lambda x, w, b: F.layer_norm(x, [70], w, b), [(3000, 70), (70,), (70,)]),
        (lambda x, w, b: F.layer_norm(x, [9000], w, b), [(20, 9000), (9000,), (9000,)]),
        (lambda x, w: F.rms_norm(x, [70], w), [(3000, 70), (70,)]),
        (lambda x, w, b: F.group_norm(x, 4, w, b), [(6, 8, 5000), (8,), (8,)]),
    ],
)
def test_the_bits_do_not_depend_on_the_number_of_threads(function: Any, shapes: Any) -> None:
    inputs = tensors(*shapes)
    before = fastnn.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 5):
            fastnn.set_num_threads(threads)
            found.append(bits(function, inputs))
    finally:
        fastnn.set_num_threads(before)
    assert found[0] == found[1] == found[2]


@pytest.mark.skipif(_backend.name != "cpu", reason="NumPy adds columns up one after the other")
@pytest.mark.parametrize("shape", [(9, 3, 9000), (2, 17, 700), (300, 20), (40, 5, 3)])
def test_variance_far_from_zero_is_exact(shape: tuple[int, ...]) -> None:
    """Of numbers around 4096 with deviations around 1, where squares in float32 lose it all."""
    (x,) = tensors(shape)
    x = x + 4096.0
    mean, var = fastnn.zeros(shape[1]), fastnn.zeros(shape[1])
    y = F.batch_norm(x, mean, var, training=True, momentum=1.0)
    exact = np.moveaxis(x.numpy().astype(np.float64), 1, 0).reshape(shape[1], -1)
    np.testing.assert_allclose(mean.numpy(), exact.mean(1), rtol=1e-7)
    np.testing.assert_allclose(var.numpy(), exact.var(1, ddof=1), rtol=1e-5)
    # The mean is rounded to float32 before it is taken off.
    assert abs(float(y.mean())) < 4e-4


def test_running_statistics_are_changed_in_place_in_any_layout() -> None:
    (x,) = tensors((4, 3, 5))
    wide = fastnn.zeros(3, 2)
    mean, var = wide[:, 0], fastnn.ones(3)
    version = var._version
    F.batch_norm(x, mean, var, training=True, momentum=0.25)
    rows = x.numpy().transpose(1, 0, 2).reshape(3, -1)
    np.testing.assert_allclose(wide.numpy()[:, 0], 0.25 * rows.mean(1), rtol=1e-5)
    assert not wide.numpy()[:, 1].any()
    np.testing.assert_allclose(var.numpy(), 0.75 + 0.25 * rows.var(1, ddof=1), rtol=1e-5)
    assert var._version > version
    kept = mean.tolist()
    F.batch_norm(x, mean, var)
    assert mean.tolist() == kept


def test_backward_in_inference_notices_changed_statistics() -> None:
    x, w = tensors((4, 3), (3,))
    mean, var = fastnn.zeros(3), fastnn.ones(3)
    y = F.batch_norm(x, mean, var, w.requires_grad_())
    F.batch_norm(x, mean, var, training=True)
    with pytest.raises(RuntimeError, match="changed by an in-place"):
        y.sum().backward()


def test_statistics_that_cannot_be_changed_are_refused() -> None:
    (x,) = tensors((4, 3))
    with pytest.raises(RuntimeError, match="expanded"):
        F.batch_norm(x, fastnn.zeros(1).expand(3), None, training=True)
    frozen = np.zeros(3, np.float32)
    frozen.flags.writeable = False
    with pytest.raises(RuntimeError, match="read-only"):
        F.batch_norm(x, fastnn.Tensor._wrap(frozen), None, training=True)


@pytest.mark.parametrize("shape", [(0, 3, 4), (0, 3), (2, 3, 0)])
def test_an_empty_batch_changes_nothing(shape: tuple[int, ...]) -> None:
    mean, var, w = fastnn.ones(3), fastnn.full((3,), 2.0), fastnn.ones(3).requires_grad_()
    x = fastnn.ones(*shape).requires_grad_()
    y = F.batch_norm(x, mean, var, w, training=True)
    y.sum().backward()
    assert y.shape == x.grad.shape == shape
    assert mean.tolist() == [1.0] * 3
    assert var.tolist() == [2.0] * 3
    assert w.grad.tolist() == [0.0] * 3


def test_parameter_gradients_are_added_into_grad() -> None:
    for function, shape in (
        (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (6, 4, 30)),
        (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (6, 4)),
        (lambda x, w, b: F.layer_norm(x, [4], w, b), (6, 4)),
        (lambda x, w, b: F.layer_norm(x, [4], w, b), (200, 4)),
        (lambda x, w, b: F.group_norm(x, 2, w, b), (6, 4, 5)),
    ):
        x, w, b = tensors(shape, (4,), (4,))
        w, b = w.requires_grad_(), b.requires_grad_()
        function(x, w, b).sum().backward()
        once = w.grad.numpy().copy(), b.grad.numpy().copy()
        function(x, w, b).sum().backward()
        np.testing.assert_allclose(w.grad.numpy(), 2 * once[0], rtol=1e-6)
        np.testing.assert_allclose(b.grad.numpy(), 2 * once[1], rtol=1e-6)


def test_group_norm_without_positions() -> None:
    w = fastnn.ones(4).requires_grad_()
    y = F.group_norm(fastnn.ones(2, 4, 0), 2, w)
    y.sum().backward()
    assert y.shape == (2, 4, 0)
    assert w.grad.tolist() == [0.0] * 4


@pytest.mark.skipif(_backend.name != "cpu", reason="the native CPU kernels are not in use")
def test_kernels_refuse_what_does_not_fit() -> None:
    kernels = _backend.cpu.kernels
    x, y = np.ones((2, 4, 3), np.float32), np.empty((2, 4, 3), np.float32)
    w = np.ones(4, np.float32)
    for groups in (3, 0, 5):
        mean, rstd = (np.empty((2, groups), np.float32) for _ in range(2))
        with pytest.raises((ValueError, RuntimeError)):
            kernels["group_norm_forward"](x, w, w.copy(), y, mean, rstd, 1e-5)
    with pytest.raises((ValueError, RuntimeError)):
        kernels["layer_norm_forward"](x[0], w, None, y[0], w.copy(), w.copy(), 1e-5)
    with pytest.raises((ValueError, RuntimeError)):
        kernels["batch_norm_train"](x, w, w, y, w, w, None, None, 0.1, 1e-5)
    for momentum, eps in ((float("nan"), -1.0), (float("inf"), float("nan")), (-1e300, 1e300)):
        stats = [np.ones(4, np.float32) for _ in range(4)]
        kernels["batch_norm_train"](x, None, None, y, *stats, momentum, eps)


@pytest.mark.torch
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (2, 3, 4, 5), (3, 3, 2, 2, 3)])
def test_running_statistics_are_torchs(shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    (x,) = tensors(shape, dtype=np.float64)
    statistics = []
    for lib, G, value in (
        (torch, torch.nn.functional, torch.from_numpy(x.numpy())),
        (fastnn, F, x),
    ):
        mean, var = (lib.full((3,), v, dtype=lib.float64) for v in (0.5, 2.0))
        outs = [G.batch_norm(value, mean, var, training=True, momentum=0.3)]
        outs.append(G.batch_norm(value, mean, var))
        if len(shape) > 2:
            outs.append(G.instance_norm(value, mean, var, momentum=0.2))
            outs.append(G.instance_norm(value, mean, var, use_input_stats=False))
        statistics.append([t.numpy() for t in (*outs, mean, var)])
    for theirs, ours in zip(*statistics, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [513, 1025, 1027, 2049, 2055, 4097, 4103, 8200])
def test_a_row_does_not_depend_on_the_next_one(d: int, dtype: Any) -> None:
    """Also where the last chunk of a long row is shorter than a vector."""
    n = 30
    x = np.random.default_rng(1).normal(size=(n, d)).astype(dtype)
    found = []
    for _ in range(2):
        t = fastnn.tensor(x)
        over_rows = F.layer_norm(t, [d]).numpy()[::2]
        over_channels = F.batch_norm(t.reshape(1, n, d), None, None, None, None, True)
        found.append((over_rows.tobytes(), over_channels.numpy()[0, ::2].tobytes()))
        x[1::2] = 100 * x[1::2] - 3
    assert found[0] == found[1]


@pytest.mark.parametrize("first", [1, 16])
def test_an_outlier_may_stand_anywhere(first: int) -> None:
    """Numbers whose squares are beyond float32 beside its guess of the mean, and are not."""
    x = np.zeros((1, 4096), np.float32)
    x[0, :first] = 1e19 if first == 1 else 1e18
    rows = [F.layer_norm(fastnn.tensor(np.roll(x, r)), [4096]).numpy() for r in (0, 100, 4000)]
    assert rows[0].max() > 10
    for r, row in zip((100, 4000), rows[1:], strict=True):
        np.testing.assert_allclose(np.roll(row, -r), rows[0], rtol=1e-4)
