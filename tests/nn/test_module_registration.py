# SPDX-License-Identifier: BSD-3-Clause
"""Attributes of a module: what is filed where, and which assignments are refused."""

from __future__ import annotations

import copy

import pytest

import fastnn
from fastnn import nn
from fastnn._backend import mutation_stamp


class Holder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(fastnn.ones(2, 3))
        self.register_buffer("mean", fastnn.zeros(3))
        self.register_buffer("scratch", fastnn.zeros(1), persistent=False)
        self.child = nn.Linear(3, 2)
        self.plain = 5


def test_attributes_are_filed_by_kind():
    m = Holder()
    assert list(m._parameters) == ["weight"]
    assert list(m._buffers) == ["mean", "scratch"]
    assert list(m._modules) == ["child"]
    assert m.plain == 5
    assert m.weight is m._parameters["weight"]
    assert {"weight", "mean", "child", "plain", "forward"} <= set(dir(m))


def test_assignment_moves_a_name_between_kinds():
    m = Holder()
    m.plain = nn.Parameter(fastnn.zeros(1))
    assert "plain" in m._parameters
    assert "plain" not in m.__dict__
    m.mean = nn.Parameter(fastnn.zeros(3))
    assert "mean" in m._parameters
    assert "mean" not in m._buffers
    m.weight = None
    assert m.weight is None
    assert [name for name, _ in m.named_parameters(recurse=False)] == ["plain", "mean"]


def test_buffers_by_assignment():
    values = fastnn.ones(2)
    m = nn.Module()
    m.kept = nn.Buffer(values)
    m.passing = nn.Buffer(values, persistent=False)
    assert isinstance(m.kept, fastnn.Tensor)
    assert m.kept.data_ptr() == values.data_ptr()
    assert [n for n, _ in m.named_buffers()] == ["kept", "passing"]
    assert list(m.state_dict()) == ["kept"]
    assert type(m.kept * 2) is fastnn.Tensor
    copied = copy.deepcopy(m)
    assert copied.kept.data_ptr() != values.data_ptr()
    assert list(copied.state_dict()) == ["kept"]
    m.kept = fastnn.zeros(2)  # a plain tensor in its place stays a buffer
    assert list(m.state_dict()) == ["kept"]
    m.weight = nn.Parameter(values)
    m.weight = nn.Buffer(values, persistent=False)
    assert list(m.parameters()) == []
    assert not m.double().weight.requires_grad
    assert m.weight.dtype is fastnn.float64
    assert nn.Buffer().shape == (0,)
    assert not nn.Buffer(nn.Parameter(values)).requires_grad
    with pytest.raises(TypeError, match="Buffer: expected a Tensor, got list; make one"):
        nn.Buffer([1.0])
    with pytest.raises(TypeError):
        nn.Buffer(values, False)
    with pytest.raises(AttributeError, match=r"before Module\.__init__"):
        nn.Module.__new__(nn.Module).kept = nn.Buffer(values)


def test_delattr_forgets_the_name():
    m = Holder()
    del m.weight, m.scratch, m.child, m.plain
    assert not m._parameters
    assert not m._modules
    assert m._non_persistent_buffers_set == set()
    with pytest.raises(AttributeError, match="plain"):
        del m.plain


def test_assignments_that_torch_refuses():
    m = Holder()
    with pytest.raises(TypeError, match=r"as parameter 'weight' \(fastnn.nn.Parameter or None"):
        m.weight = fastnn.ones(2, 3)
    with pytest.raises(TypeError, match="as child module 'child'"):
        m.child = 3
    with pytest.raises(TypeError, match="as buffer 'mean'"):
        m.mean = [0.0]
    with pytest.raises(AttributeError, match="'Holder' object has no attribute 'absent'"):
        _ = m.absent


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (lambda: nn.Parameter(fastnn.zeros(1)), "cannot assign parameters before"),
        (nn.ReLU, "cannot assign module before Module.__init__"),
    ],
)
def test_assignment_before_init_says_so(value, what):
    class Late(nn.Module):
        def __init__(self) -> None:
            self.thing = value()

    with pytest.raises(AttributeError, match=what):
        Late()


def test_call_before_init_says_so():
    class Never(nn.Module):
        def __init__(self) -> None:
            pass

    with pytest.raises(AttributeError, match=r"super\(\).__init__"):
        Never()(1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.register_parameter(3, None), TypeError, "name as a string, got int"),
        (lambda m: m.register_parameter("a.b", None), KeyError, "without a dot, got"),
        (lambda m: m.register_parameter("", None), KeyError, "got an empty string"),
        (lambda m: m.register_parameter("plain", None), KeyError, "already exists"),
        (lambda m: m.register_parameter("p", fastnn.zeros(1)), TypeError, "Parameter or None"),
        (lambda m: m.register_buffer("weight", None), KeyError, "already exists"),
        (lambda m: m.register_buffer("b", 3), TypeError, "a Tensor or None, got"),
        (lambda m: m.add_module("m", "no"), TypeError, "is not a Module subclass"),
        (lambda m: m.add_module("a.b", None), KeyError, "without a dot, got"),
        (lambda m: m.register_module("plain", None), KeyError, "already exists"),
    ],
)
def test_registration_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(Holder())


def test_parameter_must_be_a_leaf():
    p = nn.Parameter(fastnn.ones(2))
    derived = nn.Parameter(fastnn.ones(2))
    derived._node = (p * 2)._node
    with pytest.raises(ValueError, match="cannot assign non-leaf"):
        nn.Module().register_parameter("p", derived)


def test_parameter_is_a_tensor_that_shares_memory():
    data = fastnn.zeros(3)
    p = nn.Parameter(data)
    assert isinstance(p, fastnn.Tensor)
    assert p.requires_grad
    assert p.is_leaf
    data.fill_(4.0)
    assert p.tolist() == [4.0, 4.0, 4.0]
    assert type(p * 1) is fastnn.Tensor
    assert repr(p).startswith("Parameter containing:\ntensor([4., 4., 4.]")
    assert not nn.Parameter(data, requires_grad=False).requires_grad
    with pytest.raises(TypeError, match=r"make one first"):
        nn.Parameter([1.0])


@pytest.mark.parametrize(
    "change",
    [
        lambda m: setattr(m, "plain", 6),
        lambda m: setattr(m, "weight", nn.Parameter(fastnn.zeros(1))),
        lambda m: m.register_buffer("other", None),
        lambda m: m.add_module("other", None),
        lambda m: delattr(m, "plain"),
        lambda m: m.eval(),
        lambda m: m.requires_grad_(False),
        lambda m: m.load_state_dict(m.state_dict()),
        lambda m: m.double(),
    ],
)
def test_changes_move_the_mutation_stamp(change):
    m = Holder()
    before = mutation_stamp()
    change(m)
    assert mutation_stamp() > before


def test_calling_does_not_move_the_mutation_stamp():
    m = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Dropout(0.5))
    x = fastnn.ones(4, 3)
    m(x)
    before = mutation_stamp()
    m(x)
    assert mutation_stamp() == before
