# SPDX-License-Identifier: BSD-3-Clause
"""The named_* family, look-up by path, modes, apply and conversion."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.rest = nn.Sequential(nn.Tanh(), nn.Linear(4, 2, bias=False))
        self.register_buffer("count", fastnn.tensor(7))
        self.register_buffer("scale", fastnn.ones(2))

    def forward(self, x):
        return self.rest(self.first(x)) * self.scale


def test_names_in_order():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == [
        "first.weight",
        "first.bias",
        "rest.1.weight",
    ]
    assert next(net.named_parameters(prefix="net"))[0] == "net.first.weight"
    assert [n for n, _ in net.named_parameters(recurse=False)] == []
    assert [n for n, _ in net.named_buffers()] == ["count", "scale"]
    assert [n for n, _ in net.named_children()] == ["first", "rest"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "rest", "rest.0", "rest.1"]
    assert [type(m) for m in net.modules()] == [Net, nn.Linear, nn.Sequential, nn.Tanh, nn.Linear]
    assert list(net.children()) == [net.first, net.rest]
    assert list(net.parameters())[2] is net.rest[1].weight
    assert next(net.buffers()) is net.count


def test_shared_things_come_once():
    tied = nn.Module()
    tied.a = nn.Linear(2, 2)
    tied.b = tied.a
    tied.c = nn.Linear(2, 2)
    tied.c.weight = tied.a.weight
    assert [n for n, _ in tied.named_parameters()] == ["a.weight", "a.bias", "c.bias"]
    assert len(list(tied.named_parameters(remove_duplicate=False))) == 6
    assert [n for n, _ in tied.named_modules()] == ["", "a", "c"]
    assert [n for n, _ in tied.named_modules(remove_duplicate=False)] == ["", "a", "b", "c"]
    assert [n for n, _ in tied.named_children()] == ["a", "c"]


def test_lookup_by_path():
    net = Net()
    assert net.get_submodule("") is net
    assert net.get_submodule("rest.1") is net.rest[1]
    assert net.get_parameter("rest.1.weight") is net.rest[1].weight
    assert net.get_buffer("scale") is net.scale
    for call, message in (
        (lambda: net.get_submodule("rest.7"), "no attribute `7`"),
        (lambda: net.get_submodule("first.weight"), "expected an nn.Module at"),
        (lambda: net.get_parameter("first.nothing"), "no attribute `nothing`"),
        (lambda: net.get_parameter("scale"), "expected a parameter at"),
        (lambda: net.get_buffer("first.weight"), "expected a buffer at"),
    ):
        with pytest.raises(AttributeError, match=message):
            call()


def test_replacing_by_path():
    net = Net()
    new, other = nn.Linear(4, 2), nn.ReLU()
    net.set_submodule("rest.1", new)
    net.set_submodule("first.after", other)
    assert net.rest[1] is new
    assert len(net.rest) == 2
    assert [n for n, _ in net.named_modules()][1:3] == ["first", "first.after"]
    net.set_submodule("rest.0", other, strict=True)
    assert list(net.rest) == [other, new]
    for path, module, error, message in (
        ("", new, ValueError, "expected the path of a child and an nn.Module, got the path ''"),
        ("rest.", new, ValueError, "got the path 'rest.'"),
        ("first", fastnn.ones(1), ValueError, "a fastnn.tensor.Tensor; named_modules"),
        ("first.weight", new, AttributeError, "expected an nn.Module at `weight`"),
        ("nothing.1", new, AttributeError, "no attribute `nothing`"),
    ):
        with pytest.raises(error, match=message):
            net.set_submodule(path, module)
    with pytest.raises(AttributeError, match="no attribute `7`"):
        net.set_submodule("rest.7", new, strict=True)


def test_train_and_eval_reach_every_module():
    net = Net()
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    assert all(m.training for m in net.train().modules())
    with pytest.raises(ValueError, match="mode as a boolean, got str"):
        net.train("yes")


def test_requires_grad_and_zero_grad():
    net = Net()
    net(fastnn.ones(5, 3)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all(not p.grad.numpy().any() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.requires_grad_(False)
    assert not net(fastnn.ones(5, 3)).requires_grad


def test_apply_goes_from_the_leaves_up():
    net = Net()
    seen = []
    assert net.apply(seen.append) is net
    assert seen == [net.first, net.rest[0], net.rest[1], net.rest, net]


def test_conversion_keeps_the_parameter_objects():
    net = Net()
    net(fastnn.ones(2, 3)).sum().backward()
    before = list(net.parameters())
    values = [p.detach().numpy().copy() for p in before]
    assert net.double() is net
    assert all(a is b for a, b in zip(before, net.parameters(), strict=True))
    for p, value in zip(before, values, strict=True):
        assert p.dtype is fastnn.float64
        assert p.grad.dtype is fastnn.float64
        np.testing.assert_array_equal(p.detach().numpy(), value)
    assert net.scale.dtype is fastnn.float64
    assert net.count.dtype is fastnn.int64
    net.to(fastnn.float32).to("cpu").to(device="cpu", dtype=fastnn.float64)
    assert net.first.weight.dtype is fastnn.float64
    net.to(fastnn.ones(1))
    assert net.first.weight.dtype is fastnn.float32
    assert net.float().cpu().first.weight.dtype is fastnn.float32
    with pytest.raises(TypeError, match="expected a floating point dtype, got"):
        net.to(fastnn.int64)


def test_deepcopy_has_memory_of_its_own_and_keeps_sharing():
    net = Net()
    net.rest[1].extra = net.first.weight
    other = copy.deepcopy(net)
    assert other.rest[1].extra is other.first.weight
    assert other.first.weight is not net.first.weight
    with fastnn.no_grad():
        other.first.weight.fill_(0.0)
    assert net.first.weight.detach().numpy().any()
    assert isinstance(other.first.weight, nn.Parameter)
    assert other.first.weight.requires_grad


def test_pickle_round_trip():
    net = Net().eval()
    other = pickle.loads(pickle.dumps(net))
    assert not other.training
    x = fastnn.ones(2, 3)
    np.testing.assert_array_equal(net(x).detach().numpy(), other(x).detach().numpy())
    assert [n for n, _ in other.named_parameters()] == [n for n, _ in net.named_parameters()]
    assert all(isinstance(p, nn.Parameter) for p in other.parameters())


def test_module_without_forward():
    with pytest.raises(NotImplementedError, match=r"\[Empty\] is missing the required"):
        type("Empty", (nn.Module,), {})()(1)
