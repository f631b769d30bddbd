# SPDX-License-Identifier: BSD-3-Clause
"""Modules beside torch: keys, representation, values and gradients from one state_dict."""

# Hooks are called with fixed arguments, most of which a test does not need.
# ruff: noqa: ARG005
from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import nn

pytestmark = pytest.mark.torch


def build(lib):
    return lib.Sequential(
        lib.Flatten(),
        lib.Linear(6, 5),
        lib.ReLU(),
        lib.Dropout(0.3),
        lib.Linear(5, 4, bias=False),
        lib.Tanh(),
        lib.ModuleList([lib.Linear(4, 4), lib.Sigmoid()])[0],
    )


def test_a_torch_state_dict_loads_unchanged():
    torch = pytest.importorskip("torch")
    theirs, ours = build(torch.nn), build(nn)
    assert repr(theirs) == repr(ours)
    assert list(theirs.state_dict()) == list(ours.state_dict())
    assert theirs.state_dict()._metadata == ours.state_dict()._metadata
    ours.load_state_dict(theirs.state_dict())
    ours.eval()
    theirs.eval()
    x = np.random.default_rng(0).normal(size=(7, 2, 3)).astype("f4")
    target = np.arange(7) % 4
    a = theirs(torch.from_numpy(x))
    b = ours(fastnn.tensor(x))
    np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), rtol=1e-5, atol=1e-6)
    torch.nn.CrossEntropyLoss()(a, torch.from_numpy(target)).backward()
    nn.CrossEntropyLoss()(b, fastnn.tensor(target)).backward()
    for p, q in zip(theirs.parameters(), ours.parameters(), strict=True):
        np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_errors_of_load_state_dict_read_alike():
    torch = pytest.importorskip("torch")
    texts = []
    for lib, ones in ((torch.nn, torch.ones), (nn, fastnn.ones)):
        with pytest.raises(RuntimeError) as info:
            lib.Sequential(lib.Linear(2, 3)).load_state_dict({"x": ones(1), "0.bias": ones(4)})
        texts.append(str(info.value).replace("torch.Size([4])", "(4,)"))
    same, _, cure = texts[1].rpartition("\n\t")
    assert same == texts[0].replace("torch.Size([3])", "(3,)")
    assert cure.startswith("The entries must fit; ")


def test_hooks_see_what_torch_shows():
    torch = pytest.importorskip("torch")
    logs = []
    for lib, make in ((torch.nn, torch.tensor), (nn, fastnn.tensor)):
        layer, log = lib.Tanh(), []
        layer.register_forward_pre_hook(lambda m, a, log=log: log.append(len(a)))
        layer.register_full_backward_hook(
            lambda m, gi, go, log=log: log.append((gi[0].tolist(), go[0].tolist()))
        )
        x = make([0.0, 1.0])
        x.requires_grad_()
        layer(x).sum().backward()
        log.append(x.grad.tolist())
        logs.append(log)
    assert logs[0][0] == logs[1][0]
    np.testing.assert_allclose(logs[0][1], logs[1][1], rtol=1e-6)
    np.testing.assert_allclose(logs[0][2], logs[1][2], rtol=1e-6)
