# SPDX-License-Identifier: BSD-3-Clause
"""state_dict and load_state_dict: keys, sharing, metadata, errors, hooks, extra state."""

# Hooks are called with fixed arguments, most of which a test does not need.
# ruff: noqa: ARG001, ARG005
from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

import fastnn
from fastnn import nn


class Block(nn.Module):
    _version = 3

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.lin = nn.Linear(width, 2)
        self.scale = nn.Parameter(fastnn.ones(2))
        self.register_buffer("seen", fastnn.tensor(0))
        self.register_buffer("cache", fastnn.zeros(4), persistent=False)
        self.register_buffer("absent", None)


KEYS = ["scale", "seen", "lin.weight", "lin.bias"]


def values(module):
    return {k: v.numpy().copy() for k, v in module.state_dict().items()}


def test_keys_order_and_metadata():
    state = Block().state_dict()
    assert type(state) is OrderedDict
    assert list(state) == KEYS
    assert state._metadata[""] == {"version": 3}
    assert state._metadata["lin"] == {"version": 1}
    assert next(iter(Block().state_dict(prefix="a."))) == "a.scale"


def test_values_are_detached_and_share_memory():
    m = Block()
    state = m.state_dict()
    assert not state["lin.weight"].requires_grad
    with fastnn.no_grad():
        m.lin.weight.fill_(2.5)
    assert (state["lin.weight"].numpy() == 2.5).all()
    assert m.state_dict(keep_vars=True)["lin.weight"] is m.lin.weight


def test_destination_collects():
    into = OrderedDict()
    assert Block().state_dict(destination=into, prefix="x.") is into
    assert list(into) == ["x." + k for k in KEYS]


def test_round_trip_copies_values():
    a, b = Block(), Block()
    weight = b.lin.weight
    report = b.load_state_dict(a.state_dict())
    assert repr(report) == "<All keys matched successfully>"
    assert b.lin.weight is weight
    for key, value in values(a).items():
        np.testing.assert_array_equal(values(b)[key], value)
    with fastnn.no_grad():
        a.lin.weight.fill_(9.0)
    assert (b.lin.weight.detach().numpy() != 9.0).all()


def test_dtype_is_the_models_own():
    a, b = Block().double(), Block()
    b.load_state_dict(a.state_dict())
    assert b.lin.weight.dtype is fastnn.float32
    np.testing.assert_array_equal(values(b)["lin.weight"], values(a)["lin.weight"].astype("f4"))


def test_arrays_are_taken_as_they_are():
    b = Block()
    b.load_state_dict({k: v + 1 for k, v in values(b).items()})
    assert (values(b)["scale"] == 2.0).all()


def test_assign_puts_the_given_tensors_in_place():
    b = Block()
    b.scale.requires_grad_(False)
    given = {k: fastnn.tensor(v).double() if v.dtype == "f4" else fastnn.tensor(v)
             for k, v in values(Block()).items()}  # fmt: skip
    b.load_state_dict(given, assign=True)
    assert b.lin.weight.dtype is fastnn.float64
    assert isinstance(b.lin.weight, nn.Parameter)
    assert b.lin.weight.requires_grad
    assert not b.scale.requires_grad
    assert b.seen is given["seen"]
    ready = nn.Parameter(fastnn.zeros(2))
    b.load_state_dict({"scale": ready}, strict=False, assign=True)
    assert b.scale is ready


def test_strict_reports_everything_at_once():
    state = Block(4).state_dict()
    del state["scale"]
    state["ghost"] = fastnn.zeros(1)
    state["lin.more.deep"] = fastnn.zeros(1)
    with pytest.raises(RuntimeError) as info:
        Block().load_state_dict(state)
    text = str(info.value)
    assert text.startswith("Error(s) in loading state_dict for Block:\n\t")
    assert 'Missing key(s) in state_dict: "scale". ' in text
    assert 'Unexpected key(s) in state_dict: "ghost", "lin.more.deep". ' in text
    assert "size mismatch for lin.weight: copying a param with shape (2, 4) from checkpoint" in text
    assert "the shape in current model is (2, 3)." in text


def test_not_strict_returns_what_did_not_match():
    state = Block().state_dict()
    del state["lin.bias"]
    state["ghost"] = fastnn.zeros(1)
    report = Block().load_state_dict(state, strict=False)
    assert report.missing_keys == ["lin.bias"]
    assert report.unexpected_keys == ["ghost"]
    missing, unexpected = report
    assert (missing, unexpected) == (["lin.bias"], ["ghost"])
    assert "missing_keys=['lin.bias']" in repr(report)
    with pytest.raises(RuntimeError, match="size mismatch"):
        Block().load_state_dict(Block(5).state_dict(), strict=False)


def test_values_that_are_no_tensors_are_refused():
    with pytest.raises(TypeError, match="dict-like, got int"):
        Block().load_state_dict(3)
    with pytest.raises(RuntimeError, match='parameter named "scale", expected fastnn'):
        Block().load_state_dict({**Block().state_dict(), "scale": "text"})


def test_scalar_accepts_one_element():
    m = nn.Module()
    m.p = nn.Parameter(fastnn.tensor(1.0))
    m.load_state_dict({"p": fastnn.tensor([5.0])})
    assert m.p.item() == 5.0


def test_loading_is_not_recorded():
    m = Block()
    m.load_state_dict(Block().state_dict())
    assert all(p.is_leaf for p in m.parameters())
    assert all(p.requires_grad for p in m.parameters())


class Counter(nn.Module):
    def __init__(self, n: int = 0) -> None:
        super().__init__()
        self.n = n

    def get_extra_state(self):
        return {"n": self.n}

    def set_extra_state(self, state):
        self.n = state["n"]


def test_extra_state():
    state = nn.Sequential(Counter(4)).state_dict()
    assert list(state) == ["0._extra_state"]
    other = nn.Sequential(Counter())
    other.load_state_dict(state)
    assert other[0].n == 4
    with pytest.raises(RuntimeError, match=r'Missing key.*"0._extra_state"'):
        other.load_state_dict({})
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"0._extra_state"'):
        nn.Sequential(nn.ReLU()).load_state_dict(state)
    with pytest.raises(RuntimeError, match="must define both"):
        nn.Module().get_extra_state()


def test_state_hooks():
    m = Block()
    seen = []
    m.register_state_dict_pre_hook(lambda mod, prefix, keep: seen.append(("pre", prefix, keep)))
    post = m.register_state_dict_post_hook(lambda mod, sd, prefix, meta: sd.pop(prefix + "seen"))
    with pytest.raises(RuntimeError, match="must return None"):
        m.state_dict()
    post.remove()

    def drop(mod, sd, prefix, meta):
        del sd[prefix + "seen"]
        assert meta["version"] == 3

    m.register_state_dict_post_hook(drop)
    assert list(m.state_dict(prefix="p.")) == ["p.scale", "p.lin.weight", "p.lin.bias"]
    assert seen[-1] == ("pre", "p.", False)


def test_load_hooks_rename_and_forgive():
    m = nn.Sequential(Block())
    state = m.state_dict()
    state["0.old"] = state.pop("0.scale")

    def rename(mod, sd, prefix, meta, strict, missing, unexpected, errors):
        assert meta == {"version": 3}
        sd[prefix + "scale"] = sd.pop(prefix + "old")

    m[0].register_load_state_dict_pre_hook(rename)
    assert m.load_state_dict(state) == ([], [])

    del state["0.lin.bias"]
    m.register_load_state_dict_post_hook(lambda mod, keys: keys.missing_keys.clear())
    assert m.load_state_dict(state) == ([], [])
