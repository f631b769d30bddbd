# SPDX-License-Identifier: BSD-3-Clause
"""Many steps of each optimiser, against the formulae in plain NumPy and against torch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim

SHAPES = [(3, 5), (7,), (), (2, 3, 4), (1000,)]
STEPS = 12

SGD_OPTIONS = [
    {},
    {"weight_decay": 0.1},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05},
    {"momentum": 0.8, "nesterov": True},
    {"momentum": 0.8, "nesterov": True, "weight_decay": 0.2, "maximize": True},
]
ADAM_OPTIONS = [
    {},
    {"weight_decay": 0.1},
    {"betas": (0.5, 0.9), "eps": 1e-3},
    {"betas": (0.0, 0.99), "maximize": True},
    {"amsgrad": True},
    {"amsgrad": True, "weight_decay": 0.3, "eps": 1e-6},
]
CASES = [
    *(("SGD", o) for o in SGD_OPTIONS),
    *((name, o) for name, o in itertools.product(("Adam", "AdamW"), ADAM_OPTIONS)),
]
CASE_IDS = [f"{name}-{i}" for i, (name, _) in enumerate(CASES)]


def start_and_gradients(dtype):
    rng = np.random.default_rng(7)
    start = [rng.normal(size=s).astype(dtype) for s in SHAPES]
    grads = [
        [(rng.normal(size=s) * rng.uniform(0.1, 3)).astype(dtype) for s in SHAPES]
        for _ in range(STEPS)
    ]
    return start, grads


def learning_rate(step: int) -> float:
    return 0.05 / (1 + step)


def plain_sgd(p, g, state, step, lr, *, momentum=0, dampening=0, weight_decay=0, nesterov=False,
              maximize=False):  # fmt: skip
    g = (-g if maximize else g) + weight_decay * p
    if momentum:
        buffer = g if step == 0 else momentum * state["b"] + (1 - dampening) * g
        state["b"] = buffer
        g = g + momentum * buffer if nesterov else buffer
    return p - lr * g


def plain_adam(p, g, state, step, lr, *, decoupled, betas=(0.9, 0.999), eps=1e-8,
               weight_decay=0, amsgrad=False, maximize=False):  # fmt: skip
    t = step + 1
    g = -g if maximize else g
    if decoupled:
        p = p * (1 - lr * weight_decay)
    else:
        g = g + weight_decay * p
    m = state["m"] = betas[0] * state.get("m", 0) + (1 - betas[0]) * g
    v = state["v"] = betas[1] * state.get("v", 0) + (1 - betas[1]) * g * g
    if amsgrad:
        v = state["u"] = np.maximum(state.get("u", 0), v)
    return p - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


def plain_trajectory(name, options, dtype):
    params, grads = start_and_gradients(dtype)
    params = [p.astype("f8") for p in params]
    states = [{} for _ in params]
    for step in range(STEPS):
        for i, g in enumerate(grads[step]):
            args = (params[i], g.astype("f8"), states[i], step, learning_rate(step))
            if name == "SGD":
                params[i] = plain_sgd(*args, **options)
            else:
                given = {"weight_decay": 0.01, **options} if name == "AdamW" else options
                params[i] = plain_adam(*args, decoupled=name == "AdamW", **given)
    return params


def our_trajectory(name, options, dtype):
    start, grads = start_and_gradients(dtype)
    params = [nn.Parameter(fastnn.tensor(p)) for p in start]
    opt = getattr(optim, name)(params, lr=1.0, **options)
    for step in range(STEPS):
        opt.param_groups[0]["lr"] = learning_rate(step)
        for p, g in zip(params, grads[step], strict=True):
            p.grad = fastnn.tensor(g)
        opt.step()
    return [p.detach().numpy() for p in params]


@pytest.mark.parametrize(("dtype", "rtol", "atol"), [("f8", 1e-12, 1e-13), ("f4", 3e-5, 3e-6)])
@pytest.mark.parametrize(("name", "options"), CASES, ids=CASE_IDS)
def test_trajectory_is_the_formula(name, options, dtype, rtol, atol):
    expected = plain_trajectory(name, options, dtype)
    for got, want in zip(our_trajectory(name, options, dtype), expected, strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)


@pytest.mark.filterwarnings("ignore:.*expected a gradient for every parameter")
def test_a_parameter_that_joins_late_starts_its_own_count():
    a, b = nn.Parameter(fastnn.ones(2)), nn.Parameter(fastnn.ones(2))
    opt = optim.Adam([a, b], lr=0.1)
    for step in range(3):
        a.grad = fastnn.ones(2)
        if step == 2:
            b.grad = fastnn.ones(2)
        opt.step()
    assert opt.state[a]["step"].item() == 3
    assert opt.state[b]["step"].item() == 1
    # The first step of Adam is lr in the direction of the gradient, whatever its size.
    np.testing.assert_allclose(b.detach().numpy(), 0.9, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*expected a gradient for every parameter")
def test_momentum_of_a_parameter_that_joins_late_starts_with_its_gradient():
    a, b = nn.Parameter(fastnn.zeros(2)), nn.Parameter(fastnn.zeros(2))
    opt = optim.SGD([a, b], lr=1.0, momentum=0.5, dampening=0.5)
    a.grad = fastnn.ones(2)
    opt.step()
    b.grad = fastnn.ones(2)
    opt.step()
    assert a.tolist() == [-2.0, -2.0]
    assert b.tolist() == [-1.0, -1.0]


def test_weight_decay_zero_does_not_touch_infinite_parameters():
    for name in ("SGD", "Adam"):
        p = nn.Parameter(fastnn.tensor([float("inf"), 1.0]))
        p.grad = fastnn.ones(2)
        getattr(optim, name)([p], lr=0.1).step()
        assert p.detach().numpy()[0] == np.inf


def test_amsgrad_keeps_nan():
    p = nn.Parameter(fastnn.ones(2))
    opt = optim.Adam([p], amsgrad=True)
    for grad in (1.0, float("nan"), 1.0):
        p.grad = fastnn.tensor([grad, 1.0])
        opt.step()
    assert np.isnan(p.detach().numpy()[0])
    assert np.isfinite(p.detach().numpy()[1])


@pytest.mark.torch
@pytest.mark.parametrize(("dtype", "rtol", "atol"), [("f8", 1e-12, 1e-13), ("f4", 2e-6, 1e-6)])
@pytest.mark.parametrize(("name", "options"), CASES, ids=CASE_IDS)
def test_trajectory_is_torchs(name, options, dtype, rtol, atol):
    torch = pytest.importorskip("torch")
    start, grads = start_and_gradients(dtype)
    params = [torch.nn.Parameter(torch.tensor(p)) for p in start]
    opt = getattr(torch.optim, name)(params, lr=1.0, foreach=False, **options)
    for step in range(STEPS):
        opt.param_groups[0]["lr"] = learning_rate(step)
        for p, g in zip(params, grads[step], strict=True):
            p.grad = torch.tensor(g)
        opt.step()
    for got, want in zip(our_trajectory(name, options, dtype), params, strict=True):
        np.testing.assert_allclose(got, want.detach().numpy(), rtol=rtol, atol=atol)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_state_dict_and_repr_are_torchs(name):
    torch = pytest.importorskip("torch")
    options = {"lr": 0.1, **({"momentum": 0.9} if name == "SGD" else {"amsgrad": True})}
    theirs = [torch.nn.Parameter(torch.ones(2, 3)), torch.nn.Parameter(torch.ones(()))]
    ours = [nn.Parameter(fastnn.ones(2, 3)), nn.Parameter(fastnn.tensor(1.0))]
    a = getattr(torch.optim, name)(theirs, **options)
    b = getattr(optim, name)(ours, **options)
    assert repr(a) == repr(b)
    for p, q in zip(theirs, ours, strict=True):
        p.grad, q.grad = torch.ones_like(p), fastnn.ones_like(q)
    a.step()
    b.step()
    mine, other = b.state_dict(), a.state_dict()
    assert mine["param_groups"] == other["param_groups"]
    assert {k: list(v) for k, v in mine["state"].items()} == {
        k: list(v) for k, v in other["state"].items()
    }
    b.load_state_dict(other)
    for p, q in zip(theirs, ours, strict=True):
        p.grad, q.grad = torch.ones_like(p) * 2, fastnn.ones_like(q) * 2
    a.step()
    b.step()
    for p, q in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol=2e-6)
