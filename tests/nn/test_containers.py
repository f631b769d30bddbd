# SPDX-License-Identifier: BSD-3-Clause
"""Sequential, ModuleList and ModuleDict."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

import fastnn
from fastnn import nn


def three():
    return nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)


def names(module):
    return [name for name, _ in module.named_children()]


def test_sequential_applies_in_order():
    a, r, b = three()
    x = fastnn.randn(5, 2)
    expected = b(r(a(x)))
    np.testing.assert_array_equal(
        nn.Sequential(a, r, b)(x).detach().numpy(), expected.detach().numpy()
    )


def test_sequential_indexing_and_slicing():
    a, r, b = three()
    s = nn.Sequential(a, r, b)
    assert len(s) == 3
    assert list(s) == [a, r, b]
    assert s[0] is a
    assert s[-1] is b
    assert list(s[1:]) == [r, b]
    assert names(s[1:]) == ["1", "2"]
    with pytest.raises(IndexError, match="expected an index of its 3 modules, got 3"):
        s[3]
    s[1] = nn.Tanh()
    assert isinstance(s[1], nn.Tanh)
    del s[0]
    assert names(s) == ["0", "1"]
    assert s[1] is b
    del s[:]
    assert len(s) == 0
    x = fastnn.ones(2)
    assert s(x) is x


def test_sequential_of_names():
    a, r, b = three()
    s = nn.Sequential(OrderedDict([("first", a), ("act", r)]))
    assert names(s) == ["first", "act"]
    assert s.first is a
    assert s[0] is a
    assert names(s[:1]) == ["first"]
    s[0] = b
    assert s.first is b


def test_sequential_grows():
    a, r, b = three()
    s = nn.Sequential(a)
    assert s.append(r) is s
    assert s.extend([b]) is s
    s.insert(0, nn.Flatten())
    s.insert(-1, nn.Tanh())
    assert [type(m).__name__ for m in s] == ["Flatten", "Linear", "ReLU", "Tanh", "Linear"]
    assert names(s) == list("01234")
    assert s.pop() is b
    assert s.pop(0).start_dim == 1
    assert names(s) == list("012")
    assert list(s + nn.Sequential(b)) == [*s, b]
    s += [b]
    assert s[-1] is b


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: s.__add__([nn.ReLU()]), TypeError, "expected a Sequential to add, got"),
        (lambda s: s.insert(0, 3), TypeError, "expected a Module, got int"),
        (lambda s: s.insert(9, nn.ReLU()), IndexError, "index from -3 to 3, got 9"),
        (lambda s: s.append("x"), TypeError, "not a Module subclass"),
        (lambda s: s.extend(3), TypeError, "iterable of modules"),
        (lambda s: s.pop(7), IndexError, "its 3 modules, got"),
        (lambda _: nn.Sequential(3), TypeError, "got int, which is not a Module subclass"),
    ],
)
def test_sequential_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(nn.Sequential(*three()))


def test_module_list():
    a, r, b = three()
    m = nn.ModuleList([a, r])
    m.append(b)
    assert [n for n, _ in m.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert isinstance(m[1:], nn.ModuleList)
    assert names(m[1:]) == ["0", "1"]
    m[0] = r
    assert m[0] is r
    assert list(m + nn.ModuleList([a])) == [r, r, b, a]
    m += [a]
    assert len(m) == 4
    del m[0]
    assert list(m) == [r, b, a]
    assert b in list(m)
    with pytest.raises(NotImplementedError):
        m(1)


def test_module_dict():
    a, r, b = three()
    d = nn.ModuleDict({"a": a, "r": r})
    d["b"] = b
    assert list(d) == list(d.keys()) == ["a", "r", "b"]
    assert list(d.values()) == [a, r, b]
    assert dict(d.items())["r"] is r
    assert "a" in d
    assert len(d) == 3
    assert d.pop("a") is a
    del d["r"]
    d.update([("z", r)])
    d.update(nn.ModuleDict({"y": a}))
    assert list(d) == ["b", "z", "y"]
    assert d.z is r
    d.clear()
    assert len(d) == 0
    with pytest.raises(TypeError, match="key/value pairs"):
        d.update(3)
    with pytest.raises(TypeError, match="as element #0, got 3"):
        d.update([3])


def test_state_dict_through_containers():
    m = nn.ModuleDict({"enc": nn.ModuleList([nn.Linear(1, 1, bias=False)])})
    assert list(m.state_dict()) == ["enc.0.weight"]
