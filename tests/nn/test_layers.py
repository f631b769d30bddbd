# SPDX-License-Identifier: BSD-3-Clause
"""The layers: values, initial values, representation, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastnn
from fastnn import nn


def test_linear_value_and_gradients():
    layer = nn.Linear(3, 2).double()
    x = fastnn.randn(4, 5, 3, dtype=fastnn.float64).requires_grad_()
    y = layer(x)
    w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    np.testing.assert_allclose(y.detach().numpy(), x.detach().numpy() @ w.T + b, rtol=1e-12)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.broadcast_to(w.sum(0), (4, 5, 3)), rtol=1e-12)
    np.testing.assert_allclose(layer.bias.grad.numpy(), [20.0, 20.0])
    assert nn.Linear(3, 2, bias=False).bias is None


def test_linear_initial_values_are_uniform_within_the_bound():
    fastnn.manual_seed(0)
    layer = nn.Linear(400, 300)
    bound = 1 / math.sqrt(400)
    for p in layer.parameters():
        values = p.detach().numpy()
        assert np.abs(values).max() <= bound
        assert abs(values.mean()) < 0.1 * bound
        assert abs(values.std() / (bound / math.sqrt(3)) - 1) < 0.1
    fastnn.manual_seed(0)
    np.testing.assert_array_equal(
        nn.Linear(400, 300).weight.detach().numpy(), layer.weight.detach().numpy()
    )
    assert nn.Linear(2, 3, dtype=fastnn.float64).weight.dtype is fastnn.float64
    assert nn.Linear(0, 3)(fastnn.ones(2, 0)).shape == (2, 3)


def test_init_functions():
    fastnn.manual_seed(1)
    w = fastnn.empty(200, 100)
    for fill, bound in (
        (nn.init.kaiming_uniform_, math.sqrt(6 / 100)),
        (lambda t: nn.init.kaiming_uniform_(t, a=math.sqrt(5)), 1 / math.sqrt(100)),
        (lambda t: nn.init.kaiming_uniform_(t, mode="fan_out"), math.sqrt(6 / 200)),
        (nn.init.xavier_uniform_, math.sqrt(6 / 300)),
        (lambda t: nn.init.uniform_(t, -3, 3), 3),
    ):
        assert fill(w) is w
        assert bound * 0.99 < np.abs(w.numpy()).max() <= bound
    p = nn.Parameter(fastnn.empty(3))
    assert nn.init.constant_(p, 2.5).tolist() == [2.5] * 3
    assert nn.init.ones_(p).tolist() == [1.0] * 3
    assert nn.init.zeros_(p).tolist() == [0.0] * 3
    assert p.is_leaf
    assert nn.init.calculate_gain("relu") == math.sqrt(2)
    assert nn.init.calculate_gain("leaky_relu", 1.0) == 1.0
    with pytest.raises(ValueError, match="sigmoid, got 'no'"):
        nn.init.calculate_gain("no")
    with pytest.raises(ValueError, match="2 or more dimensions for fan in"):
        nn.init.kaiming_uniform_(fastnn.empty(3))
    with pytest.raises(ValueError, match="'fan_in' or 'fan_out'"):
        nn.init.kaiming_uniform_(w, mode="both")


def test_activations():
    x = np.array([-2.0, -0.5, 0.0, 1.5])
    t = fastnn.tensor(x)
    e = np.exp(x - x.max())
    for layer, expected in (
        (nn.ReLU(), np.maximum(x, 0)),
        (nn.Tanh(), np.tanh(x)),
        (nn.Sigmoid(), 1 / (1 + np.exp(-x))),
        (nn.Softmax(dim=0), e / e.sum()),
        (nn.LogSoftmax(dim=-1), np.log(e / e.sum())),
        (nn.Identity(1, two=2), x),
    ):
        np.testing.assert_allclose(layer(t).numpy(), expected, rtol=1e-12)


def test_relu_in_place():
    t = fastnn.tensor([-1.0, 2.0])
    assert nn.ReLU(inplace=True)(t) is t
    assert t.tolist() == [0.0, 2.0]


def test_dropout_modes():
    layer = nn.Dropout(0.25)
    x = fastnn.ones(10000)
    fastnn.manual_seed(3)
    y = layer(x).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1) / np.float32(0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.02
    assert layer.eval()(x).tolist() == x.tolist()
    for p in (-0.1, 1.5):
        with pytest.raises(ValueError, match="between 0 and 1, got"):
            nn.Dropout(p)


def test_flatten():
    x = fastnn.ones(2, 3, 4, 5)
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(0, 1)(x).shape == (6, 4, 5)
    assert nn.Flatten(-2)(x).shape == (2, 3, 20)


def test_cross_entropy_loss():
    x = np.random.default_rng(0).normal(size=(6, 4))
    target = np.array([0, 3, 1, 1, 2, 0])
    logp = x - np.log(np.exp(x).sum(1, keepdims=True))
    each = -logp[np.arange(6), target]
    t, k = fastnn.tensor(x), fastnn.tensor(target)
    np.testing.assert_allclose(nn.CrossEntropyLoss()(t, k).item(), each.mean(), rtol=1e-12)
    for reduction, expected in (("sum", each.sum()), ("none", each)):
        got = nn.CrossEntropyLoss(reduction=reduction)(t, k).numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-12)
    got = nn.CrossEntropyLoss(ignore_index=1)(t, k).item()
    np.testing.assert_allclose(got, each[target != 1].mean(), rtol=1e-12)
    with pytest.raises(ValueError, match="got 'average'"):
        nn.CrossEntropyLoss(reduction="average")
    with pytest.raises(RuntimeError, match="label_smoothing between 0 and 1"):
        nn.CrossEntropyLoss(label_smoothing=1.5)


def test_cross_entropy_weight_is_a_buffer():
    loss = nn.CrossEntropyLoss(weight=fastnn.ones(4))
    assert list(loss.state_dict()) == ["weight"]
    assert list(nn.CrossEntropyLoss().state_dict()) == []


def test_linear_errors():
    with pytest.raises(ValueError, match="in_features >= 0"):
        nn.Linear(-1, 2)
    with pytest.raises(RuntimeError, match="linear"):
        nn.Linear(3, 2)(fastnn.ones(4, 5))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 3), nn.ReLU(inplace=True))
        self.heads = nn.ModuleList([nn.Linear(3, 1), nn.Linear(3, 1), nn.Tanh()])
        self.drop = nn.Dropout(0.1)
        self.none = None


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.Linear(20, 30), "Linear(in_features=20, out_features=30, bias=True)"),
        (nn.Linear(2, 3, bias=False), "Linear(in_features=2, out_features=3, bias=False)"),
        (nn.ReLU(), "ReLU()"),
        (nn.ReLU(inplace=True), "ReLU(inplace=True)"),
        (nn.Sigmoid(), "Sigmoid()"),
        (nn.Dropout(), "Dropout(p=0.5, inplace=False)"),
        (nn.Flatten(), "Flatten(start_dim=1, end_dim=-1)"),
        (nn.Softmax(dim=1), "Softmax(dim=1)"),
        (nn.LogSoftmax(), "LogSoftmax(dim=None)"),
        (nn.CrossEntropyLoss(), "CrossEntropyLoss()"),
        (nn.Sequential(), "Sequential()"),
        (nn.ModuleDict({"a": nn.Tanh()}), "ModuleDict(\n  (a): Tanh()\n)"),
    ],
)
def test_repr(layer, text):
    assert repr(layer) == text


def test_repr_of_a_tree():
    assert repr(Net()) == (
        "Net(\n"
        "  (body): Sequential(\n"
        "    (0): Linear(in_features=2, out_features=3, bias=True)\n"
        "    (1): ReLU(inplace=True)\n"
        "  )\n"
        "  (heads): ModuleList(\n"
        "    (0-1): 2 x Linear(in_features=3, out_features=1, bias=True)\n"
        "    (2): Tanh()\n"
        "  )\n"
        "  (drop): Dropout(p=0.1, inplace=False)\n"
        ")"
    )


def test_repr_with_several_extra_lines():
    class Talkative(nn.Module):
        def extra_repr(self):
            return "a=1\nb=2"

    assert repr(Talkative()) == "Talkative(\n  a=1\n  b=2\n)"
