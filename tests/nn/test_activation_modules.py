# SPDX-License-Identifier: BSD-3-Clause
"""Activation modules: representation, parameters, in-place forms, and torch beside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn

MADE: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("ReLU", (), {"inplace": True}),
    ("ReLU", (), {}),
    ("Tanh", (), {}),
    ("Sigmoid", (), {}),
    ("LeakyReLU", (0.2,), {}),
    ("LeakyReLU", (), {"inplace": True}),
    ("ELU", (0.5,), {}),
    ("ELU", (), {"inplace": True}),
    ("CELU", (0.5,), {}),
    ("SELU", (), {}),
    ("Hardtanh", (), {}),
    ("Hardtanh", (-0.5, 2.0), {"inplace": True}),
    ("ReLU6", (), {}),
    ("Hardsigmoid", (), {}),
    ("Hardswish", (), {}),
    ("Threshold", (0.1, 20.0), {}),
    ("Hardshrink", (), {}),
    ("Softshrink", (0.25,), {}),
    ("GELU", (), {}),
    ("GELU", ("tanh",), {}),
    ("SiLU", (), {}),
    ("Mish", (), {"inplace": True}),
    ("Softplus", (), {}),
    ("Softplus", (2, 10), {}),
    ("LogSigmoid", (), {}),
    ("Softsign", (), {}),
    ("Tanhshrink", (), {}),
    ("Softmax", (1,), {}),
    ("LogSoftmax", (-1,), {}),
    ("Softmin", (0,), {}),
    ("Softmax2d", (), {}),
    ("GLU", (), {}),
    ("GLU", (1,), {}),
    ("PReLU", (), {}),
    ("PReLU", (4,), {"init": 0.1}),
]


def inputs() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(scale=2, size=(2, 4, 3, 6)).astype(np.float32)


@pytest.mark.torch
@pytest.mark.parametrize(("name", "args", "kwargs"), MADE)
def test_values_gradients_and_representation_are_torchs(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)
    assert repr(ours) == repr(theirs)
    x, y = fastnn.tensor(inputs()), torch.tensor(inputs())
    x.requires_grad_()
    y.requires_grad_()
    a, b = ours(x * 1.0), theirs(y * 1.0)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=2e-5, atol=2e-6)
    (a * a).sum().backward()
    (b * b).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-4, atol=1e-5)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-4)


@pytest.mark.parametrize(("name", "args", "kwargs"), [m for m in MADE if "inplace" in m[2]])
def test_in_place_writes_into_the_input(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    plain = getattr(nn, name)(*args)
    x = fastnn.tensor(inputs())
    want = plain(x).numpy().copy()
    y = getattr(nn, name)(*args, **kwargs)(x)
    assert y is x
    np.testing.assert_array_equal(x.numpy(), want)


def test_step_is_the_perceptrons_unit() -> None:
    x = fastnn.tensor([-1.0, 0.0, 0.5, float("nan")], requires_grad=True)
    y = nn.Step()(x)
    assert y.tolist() == [0.0, 0.0, 1.0, 0.0]
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0] * 4


def test_maxout_is_the_largest_piece() -> None:
    fastnn.manual_seed(0)
    layer = nn.Maxout(5, 4, 3)
    assert repr(layer).startswith("Maxout(\n  in_features=5, out_features=4, pieces=3")
    assert {k: v.shape for k, v in layer.state_dict().items()} == {
        "linear.weight": (12, 5),
        "linear.bias": (12,),
    }
    x = fastnn.randn(2, 7, 5)
    w, b = layer.linear.weight.detach().numpy(), layer.linear.bias.detach().numpy()
    want = (x.numpy() @ w.T + b).reshape(2, 7, 4, 3).max(-1)
    y = layer(x)
    np.testing.assert_allclose(y.detach().numpy(), want, rtol=1e-5, atol=1e-6)
    y.sum().backward()
    # Every output passes its gradient to one piece.
    assert layer.linear.bias.grad.sum().item() == 2 * 7 * 4
    assert nn.Maxout(5, 4, 2, bias=False).linear.bias is None


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match="min_val < max_val"):
        nn.Hardtanh(1.0, -1.0)
    with pytest.raises(ValueError, match="num_parameters >= 1"):
        nn.PReLU(0)
    with pytest.raises(ValueError, match="pieces >= 1"):
        nn.Maxout(2, 3, 0)
    with pytest.raises(ValueError, match="Softmax2d: expected"):
        nn.Softmax2d()(fastnn.zeros(2, 3))
