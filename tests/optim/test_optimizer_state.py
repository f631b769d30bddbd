# SPDX-License-Identifier: BSD-3-Clause
"""state_dict, load_state_dict, deepcopy and pickle of optimisers."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from optimizer_cases import ALL, IDS, assert_same, give_gradients, parameters, values


@pytest.mark.parametrize("make", ALL, ids=IDS)
def test_state_dict_resumes_exactly(make):
    params, others = parameters(), parameters()
    opt, straight = make(params), make(others)
    for i in range(3):
        for p, o in ((params, opt), (others, straight)):
            give_gradients(p, i)
            o.step()
    fresh = [nn.Parameter(p.detach().clone()) for p in params]
    resumed = make(fresh)
    state = opt.state_dict()
    assert set(state) == {"state", "param_groups"}
    assert sorted(state["state"]) == [0, 1, 2, 3]
    assert state["param_groups"][0]["params"] == [0, 1, 2, 3]
    assert type(state["param_groups"][0]) is dict
    resumed.load_state_dict(state)
    for i in range(3, 6):
        for p, o in ((fresh, resumed), (others, straight)):
            give_gradients(p, i)
            o.step()
    assert_same(values(fresh), values(others))


def test_loaded_state_has_memory_of_its_own():
    params = parameters()
    opt = ALL[0](params)
    give_gradients(params, 0)
    opt.step()
    state = opt.state_dict()
    other = ALL[0](parameters())
    other.load_state_dict(state)
    before = state["state"][0]["momentum_buffer"].numpy().copy()
    give_gradients(other.param_groups[0]["params"], 1)
    other.step()
    np.testing.assert_array_equal(state["state"][0]["momentum_buffer"].numpy(), before)


def test_load_converts_state_to_the_parameters_dtype_but_not_the_step():
    params = parameters()
    opt = ALL[1](params)
    give_gradients(params, 0)
    opt.step()
    wide = [nn.Parameter(p.detach().double()) for p in params]
    other = ALL[1](wide)
    other.load_state_dict(opt.state_dict())
    state = other.state[wide[0]]
    assert state["exp_avg"].dtype is fastnn.float64
    assert state["step"].dtype is fastnn.float32
    assert state["step"].item() == 1.0


def test_load_accepts_arrays_and_old_steps():
    params = parameters()
    opt = optim.Adam(params)
    give_gradients(params, 0)
    opt.step()
    state = opt.state_dict()
    plain = {
        k: {"step": 1, **{n: t.numpy().copy() for n, t in v.items() if n != "step"}}
        for k, v in state["state"].items()
    }
    other = optim.Adam(parameters(5))
    other.load_state_dict({"state": plain, "param_groups": state["param_groups"]})
    first = other.param_groups[0]["params"][0]
    assert other.state[first]["step"].item() == 1.0
    give_gradients(other.param_groups[0]["params"], 1)
    other.step()
    assert other.state[first]["step"].item() == 2.0


def test_load_keeps_groups_that_lack_newer_options():
    params = parameters()
    opt = optim.SGD(params, lr=0.1, momentum=0.9)
    state = opt.state_dict()
    del state["param_groups"][0]["maximize"]
    opt.load_state_dict(state)
    assert opt.param_groups[0]["maximize"] is False


def test_load_errors():
    opt = optim.SGD(parameters(), lr=0.1)
    good = opt.state_dict()
    two = [*good["param_groups"], *good["param_groups"]]
    short = [{**good["param_groups"][0], "params": [0]}]
    for groups, message in ((two, "different number of parameter groups"),
                            (short, "parameters in group 0, got")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            opt.load_state_dict({"state": {}, "param_groups": groups})
    with pytest.raises(ValueError, match="'param_groups' is missing"):
        opt.load_state_dict({"state": {}})


@pytest.mark.parametrize("make", ALL, ids=IDS)
def test_deepcopy_and_pickle(make):
    model = nn.Linear(3, 2)
    opt = make(model.parameters())
    model(fastnn.ones(4, 3)).sum().backward()
    opt.step()
    for copied in (copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))):
        twin, twin_opt = copied((model, opt))
        assert twin_opt.param_groups[0]["params"][0] is twin.weight
        assert twin.weight is not model.weight
        assert twin.weight in twin_opt.state
        give_gradients(twin.parameters(), 1)
        twin_opt.step()
        reference = copy.deepcopy((model, opt))
        give_gradients(reference[0].parameters(), 1)
        reference[1].step()
        assert_same(values(twin.parameters()), values(reference[0].parameters()))
