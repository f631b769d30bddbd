# SPDX-License-Identifier: BSD-3-Clause
"""Modules and parameters in plain lists are warned of, once."""

from __future__ import annotations

import warnings

import pytest

import fastnn
from fastnn import nn


class Net(nn.Module):
    def __init__(self, **held):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        for name, value in held.items():
            setattr(self, name, value)


def told(module):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(module.parameters())
    assert all(w.filename == __file__ for w in caught)
    return [str(w.message) for w in caught]


def test_a_list_that_is_filled_later_is_found_once():
    net = Net(layers=[])
    net.layers.append(nn.Linear(1, 1))
    (text,) = told(net)
    assert text.startswith("Net.layers is a plain list that holds a module (Linear)")
    assert "use nn.ModuleList" in text
    assert told(net) == []
    net.other = nn.Tanh()
    assert told(net) == []


@pytest.mark.parametrize(
    ("held", "instead"),
    [
        ((nn.Tanh(),), "nn.ModuleList"),
        ({"a": nn.Tanh()}, "nn.ModuleDict"),
        ([nn.Parameter(fastnn.ones(1))], "nn.ParameterList"),
        ({"a": nn.Parameter(fastnn.ones(1))}, "nn.ParameterDict"),
    ],
)
def test_what_to_use_instead(held, instead):
    inner = Net(held=held)
    (text,) = told(nn.Sequential(inner))
    assert text.endswith(instead)


def test_what_is_registered_too_or_is_no_module_is_left_alone():
    net = Net(numbers=[1, 2], names={"a": "b"}, sizes=(3, 4))
    net.order = [net.layer, net.layer.weight]
    assert told(net) == []
    assert told(nn.ModuleList([net])) == []


def test_another_object_is_told_of_again():
    assert len(told(Net(layers=[nn.Tanh()]))) == 1
    assert len(told(Net(layers=[nn.Tanh()]))) == 1
