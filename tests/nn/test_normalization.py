# SPDX-License-Identifier: BSD-3-Clause
"""Normalisation layers: values, buffers, modes, names, representation."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import nn

LAYERS = [
    ("BatchNorm1d", (3,), {}, (4, 3)),
    ("BatchNorm1d", (3,), {"affine": False}, (4, 3, 5)),
    ("BatchNorm2d", (3,), {"momentum": None}, (2, 3, 4, 5)),
    ("BatchNorm2d", (3,), {"track_running_stats": False}, (2, 3, 4, 5)),
    ("BatchNorm3d", (3, 0.1, 0.3), {}, (2, 3, 2, 3, 2)),
    ("BatchNorm2d", (3,), {"bias": False}, (2, 3, 4, 5)),
    ("LayerNorm", (5,), {}, (4, 3, 5)),
    ("LayerNorm", ((3, 5),), {"bias": False}, (4, 3, 5)),
    ("LayerNorm", ([3, 5],), {"elementwise_affine": False}, (4, 3, 5)),
    ("RMSNorm", (5,), {}, (4, 3, 5)),
    ("RMSNorm", ((3, 5), 1e-3), {"elementwise_affine": False}, (4, 3, 5)),
    ("GroupNorm", (2, 4), {}, (3, 4, 5)),
    ("GroupNorm", (4, 4), {"affine": False}, (3, 4, 5)),
    ("InstanceNorm1d", (3,), {}, (2, 3, 5)),
    ("InstanceNorm1d", (3,), {"affine": True}, (3, 5)),
    ("InstanceNorm2d", (3,), {"affine": True, "track_running_stats": True}, (2, 3, 4, 5)),
    ("InstanceNorm3d", (3,), {"track_running_stats": True}, (3, 2, 4, 5)),
]


@pytest.mark.torch
@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
def test_layers_do_what_torchs_do(name, args, kwargs, shape):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, name)(*args, **kwargs, dtype=torch.float64)
    ours = getattr(nn, name)(*args, **kwargs, dtype=fastnn.float64)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert ours.state_dict()._metadata == theirs.state_dict()._metadata
    rng = np.random.default_rng(1)
    for key, value in theirs.state_dict().items():
        np.testing.assert_array_equal(ours.state_dict()[key].numpy(), value.numpy())
        if value.is_floating_point():
            value.copy_(torch.from_numpy(rng.uniform(0.5, 2.0, value.shape)))
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    for mode in (True, True, False, True, False):
        theirs.train(mode)
        ours.train(mode)
        x, g = rng.normal(size=shape), rng.normal(size=shape)
        a = torch.from_numpy(x).requires_grad_()
        b = fastnn.tensor(x).requires_grad_()
        y, z = theirs(a), ours(b)
        np.testing.assert_allclose(z.detach().numpy(), y.detach().numpy(), rtol=1e-11, atol=1e-12)
        y.backward(torch.from_numpy(g))
        z.backward(fastnn.tensor(g))
        np.testing.assert_allclose(b.grad.numpy(), a.grad.numpy(), rtol=1e-10, atol=1e-12)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].numpy(), value.numpy(), rtol=1e-12)
    for p, q in zip(theirs.parameters(), ours.parameters(), strict=True):
        np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
def test_training_normalises(name, args, kwargs, shape):
    layer = getattr(nn, name)(*args, **kwargs)
    x = fastnn.tensor(np.random.default_rng(2).normal(3.0, 5.0, shape).astype("f4"))
    y = layer(x).detach().numpy()
    if name != "RMSNorm":
        assert abs(y.mean()) < 1e-5
    assert abs((y * y).mean() - 1) < 1e-2
    copied = copy.deepcopy(layer)
    assert repr(pickle.loads(pickle.dumps(copied))) == repr(layer)
    layer.eval()
    again = copy.deepcopy(layer)(x)
    np.testing.assert_array_equal(layer(x).tolist(), again.tolist())


def test_batch_norm_keeps_its_statistics():
    layer = nn.BatchNorm1d(2)
    assert list(layer.state_dict()) == [
        "weight", "bias", "running_mean", "running_var", "num_batches_tracked",
    ]  # fmt: skip
    assert layer.num_batches_tracked.dtype is fastnn.int64
    x = fastnn.tensor([[1.0, 2.0], [3.0, 6.0]])
    layer(x)
    assert layer.num_batches_tracked.item() == 1
    np.testing.assert_allclose(layer.running_mean.tolist(), [0.2, 0.4], rtol=1e-6)
    np.testing.assert_allclose(layer.running_var.tolist(), [1.1, 1.7], rtol=1e-6)
    layer.eval()(x)
    assert layer.num_batches_tracked.item() == 1
    layer.reset_running_stats()
    assert layer.running_mean.tolist() == [0.0, 0.0]
    assert layer.running_var.tolist() == [1.0, 1.0]
    assert layer.num_batches_tracked.item() == 0
    half = nn.BatchNorm1d(2).double()
    assert half.running_mean.dtype is fastnn.float64
    assert half.num_batches_tracked.dtype is fastnn.int64


def test_batch_norm_cumulative_average():
    layer = nn.BatchNorm1d(1, momentum=None)
    batches = [np.array([[1.0], [2.0]]), np.array([[5.0], [9.0]]), np.array([[0.0], [1.0]])]
    for batch in batches:
        layer(fastnn.tensor(batch.astype("f4")))
    np.testing.assert_allclose(layer.running_mean.item(), np.mean([b.mean() for b in batches]))


def test_batch_norm_without_statistics_uses_the_batch_always():
    layer = nn.BatchNorm1d(2, track_running_stats=False).eval()
    assert layer.running_mean is None
    assert list(layer.state_dict()) == ["weight", "bias"]
    y = layer(fastnn.tensor([[1.0, 2.0], [3.0, 6.0]]))
    np.testing.assert_allclose(y.tolist(), [[-1, -1], [1, 1]], rtol=1e-4)


def test_old_files_without_a_count_load():
    layer = nn.BatchNorm1d(2)
    state = dict(layer.state_dict())
    del state["num_batches_tracked"]
    nn.BatchNorm1d(2).load_state_dict(state)


@pytest.mark.parametrize(
    ("layer", "shape", "error", "text"),
    [
        (nn.BatchNorm2d(3), (2, 3), ValueError, r"BatchNorm2d: expected 4D input \(got 2D"),
        (nn.BatchNorm1d(3), (2, 3, 2, 2), ValueError, "expected 2D or 3D input"),
        (nn.BatchNorm1d(3), (1, 3), ValueError, "more than 1 value per channel when training"),
        (nn.BatchNorm1d(3), (2, 4), RuntimeError, r"running_mean of shape \(4,\)"),
        (nn.InstanceNorm1d(3), (2, 3, 2, 2), ValueError, "expected 2D or 3D input"),
        (nn.InstanceNorm1d(3, affine=True), (2, 4, 5), ValueError, "expected 3 channels"),
        (nn.InstanceNorm1d(3), (2, 3, 1), ValueError, "more than 1 spatial element"),
        (nn.LayerNorm(4), (2, 3), RuntimeError, r"got \(4,\) for an input of shape \(2, 3\)"),
        (nn.GroupNorm(2, 4), (2, 6, 3), RuntimeError, r"weight of shape \(6,\)"),
    ],
)
def test_errors(layer, shape, error, text):
    with pytest.raises(error, match=text):
        layer(fastnn.ones(*shape))


def test_errors_of_construction():
    with pytest.raises(ValueError, match="must be divisible by num_groups"):
        nn.GroupNorm(2, 3)
    with pytest.raises(ValueError, match="num_features >= 0"):
        nn.BatchNorm1d(-1)
    with pytest.warns(UserWarning, match="without affine it is not used"):
        nn.InstanceNorm1d(3)(fastnn.ones(2, 4, 5))


@pytest.mark.torch
@pytest.mark.parametrize("args", [(1,), (2,), (3, 1.0, 0.5, 2), (7, 0.5, 1.5, 0.25)])
@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 5, 3, 4), (1, 4, 2, 1, 3), (2, 3, 0)])
def test_local_response_norm_does_what_torchs_does(args, shape):
    torch = pytest.importorskip("torch")
    ours, theirs = nn.LocalResponseNorm(*args), torch.nn.LocalResponseNorm(*args)
    assert repr(ours) == repr(theirs)
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=shape), rng.normal(size=shape)
    a = torch.from_numpy(x).transpose(1, 2).requires_grad_()
    b = fastnn.tensor(x).transpose(1, 2).requires_grad_()
    y, z = theirs(a.transpose(1, 2)), ours(b.transpose(1, 2))
    np.testing.assert_allclose(z.detach().numpy(), y.detach().numpy(), rtol=1e-12)
    y.backward(torch.from_numpy(g))
    z.backward(fastnn.tensor(g))
    np.testing.assert_allclose(b.grad.numpy(), a.grad.numpy(), rtol=1e-10, atol=1e-13)


def test_local_response_norm_of_nothing_is_its_input():
    x = fastnn.ones(0, 3, 4)
    assert nn.LocalResponseNorm(2)(x) is x


@pytest.mark.torch
@pytest.mark.parametrize(
    "kwargs",
    [
        {"p": 0},
        {"p": -1},
        {"p": 0.5},
        {"p": "fro", "dim": None},
        {"p": float("inf"), "dim": (0, 1)},
        {"eps": 2.0},
        {"eps": -1.0},
        {"dim": [1, 0], "p": 1.5},
    ],
)
def test_normalize_does_what_torchs_does(kwargs):
    torch = pytest.importorskip("torch")
    x = np.array([[3.0, -4.0, 0.5], [0.0, 0.0, 0.0], [np.nan, 1.0, 2.0], [1e-13, 0.0, 0.0]])
    rows = x if kwargs.get("dim", 1) == 1 else x[:2]
    a, b = torch.from_numpy(rows).requires_grad_(), fastnn.tensor(rows).requires_grad_()
    y, z = torch.nn.functional.normalize(a, **kwargs), nn.functional.normalize(b, **kwargs)
    np.testing.assert_allclose(z.detach().numpy(), y.detach().numpy(), rtol=1e-12)
    if kwargs.get("eps") == -1.0:  # divides by the norm 0
        return
    y.sum().backward()
    z.sum().backward()
    np.testing.assert_allclose(b.grad.numpy(), a.grad.numpy(), rtol=1e-10, atol=1e-13)


def test_normalize_into_a_tensor():
    x, out = fastnn.tensor([[3.0, 4.0], [0.0, 0.0]]), fastnn.zeros(2, 2)
    assert nn.functional.normalize(x, out=out) is out
    np.testing.assert_allclose(out.numpy(), [[0.6, 0.8], [0, 0]], rtol=1e-6)
    with pytest.raises(RuntimeError, match=r"normalize: expected out as .* \(2, 2\), got"):
        nn.functional.normalize(x, out=fastnn.zeros(2))
    with pytest.raises(TypeError, match="normalize: expected out as a Tensor, got list"):
        nn.functional.normalize(x, out=[])
    x.requires_grad_()
    with pytest.raises(RuntimeError, match="do not require grad beside out"):
        nn.functional.normalize(x, out=out)
    with fastnn.no_grad():
        assert not nn.functional.normalize(x, out=out).requires_grad
