# SPDX-License-Identifier: BSD-3-Clause
"""Optimisers whose step is a rule for every element: against their formulas in plain NumPy, and
beside torch, to which and from which their state goes."""

# The formulas are called alike, whether they depend on the step or not.
# ruff: noqa: ARG001
from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim

SHAPES = [(3, 5), (7,), (), (2, 3, 4)]

CASES = [
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("Adagrad", {"initial_accumulator_value": 0.3, "eps": 1e-3}),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.5, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.8, "momentum": 0.7, "weight_decay": 0.1}),
    ("RMSprop", {"centered": True, "eps": 1e-3}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "maximize": True, "eps": 1e-2}),
    ("NAdam", {}),
    ("NAdam", {"betas": (0.5, 0.9), "weight_decay": 0.1, "momentum_decay": 0.1, "maximize": True}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "eps": 1e-3}),
    ("RAdam", {}),
    ("RAdam", {"betas": (0.5, 0.9), "weight_decay": 0.1, "maximize": True}),
    ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "eps": 1e-3}),
    ("Adamax", {}),
    ("Adamax", {"betas": (0.5, 0.9), "weight_decay": 0.1, "eps": 1e-3, "maximize": True}),
    ("Rprop", {}),
    ("Rprop", {"etas": (0.4, 1.5), "step_sizes": (1e-3, 0.06), "maximize": True}),
    ("ASGD", {}),
    ("ASGD", {"lambd": 0.1, "alpha": 0.5, "t0": 4, "weight_decay": 0.1, "maximize": True}),
]
LION = [("Lion", {}), ("Lion", {"betas": (0.5, 0.9), "weight_decay": 0.1, "maximize": True})]


def named(cases):
    return pytest.mark.parametrize(
        ("name", "options"), cases, ids=[f"{name}-{i}" for i, (name, _) in enumerate(cases)]
    )


def learning_rate(step):
    return 0.05 / (1 + 0.1 * step)


def start_of(lib, dtype):
    rng = np.random.default_rng(7)
    return [lib.nn.Parameter(lib.tensor(rng.normal(size=s).astype(dtype))) for s in SHAPES]


def run(lib, opt, params, steps, first=0):
    """Steps with gradients that depend on the number of the step alone."""
    for step in range(first, first + steps):
        rng = np.random.default_rng(step)
        opt.param_groups[0]["lr"] = learning_rate(step)
        for p in params:
            grad = rng.normal(size=tuple(p.shape)) * rng.uniform(0.1, 3)
            p.grad = lib.tensor(np.asarray(grad), dtype=p.dtype)
        opt.step()


def arrays(params):
    return [p.detach().numpy() for p in params]


# ---- the formulas ----


def plain_adagrad(g, p, s, t, lr, lr_decay=0, initial_accumulator_value=0, eps=1e-10):
    s["s"] = s.get("s", initial_accumulator_value) + g**2
    return p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s["s"]) + eps)


def plain_adadelta(g, p, s, t, lr, rho=0.9, eps=1e-6):
    s["v"] = rho * s.get("v", 0) + (1 - rho) * g**2
    d = np.sqrt(s.get("u", 0) + eps) / np.sqrt(s["v"] + eps) * g
    s["u"] = rho * s.get("u", 0) + (1 - rho) * d**2
    return p - lr * d


def plain_rmsprop(g, p, s, t, lr, alpha=0.99, eps=1e-8, momentum=0, centered=False):
    v = s["v"] = alpha * s.get("v", 0) + (1 - alpha) * g**2
    a = s["a"] = alpha * s.get("a", 0) + (1 - alpha) * g
    d = g / (np.sqrt(v - a**2 if centered else v) + eps)
    b = s["b"] = momentum * s.get("b", 0) + d
    return p - lr * b


def moments(g, s, betas, t):
    m = s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    v = s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    return m, v, 1 - betas[0] ** t, 1 - betas[1] ** t


def plain_nadam(g, p, s, t, lr, betas=(0.9, 0.999), eps=1e-8, momentum_decay=4e-3):
    m, v, _, c2 = moments(g, s, betas, t)
    mu, following = (betas[0] * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))
    product = s["P"] = s.get("P", 1.0) * mu
    step = (1 - mu) / (1 - product) * g + following / (1 - product * following) * m
    return p - lr * step / (np.sqrt(v / c2) + eps)


def plain_radam(g, p, s, t, lr, betas=(0.9, 0.999), eps=1e-8):
    m, v, c1, c2 = moments(g, s, betas, t)
    most = 2 / (1 - betas[1]) - 1
    r = most - 2 * t * betas[1] ** t / c2
    if r <= 5:
        return p - lr * m / c1
    rectified = np.sqrt((r - 4) * (r - 2) * most / ((most - 4) * (most - 2) * r))
    return p - lr * m / c1 * rectified * np.sqrt(c2) / (np.sqrt(v) + eps)


def plain_adamax(g, p, s, t, lr, betas=(0.9, 0.999), eps=1e-8):
    m, _, c1, _ = moments(g, s, betas, t)
    u = s["u"] = np.maximum(betas[1] * s.get("u", 0), abs(g) + eps)
    return p - lr / c1 * m / u


def plain_rprop(g, p, s, t, lr, etas=(0.5, 1.2), step_sizes=(1e-6, 50)):
    along = np.sign(g * s.get("g", 0))
    size = s.get("z", lr) * np.select([along > 0, along < 0], [etas[1], etas[0]], 1.0)
    s["z"] = np.clip(size, *step_sizes)
    s["g"] = np.where(along < 0, 0, g)
    return p - np.sign(s["g"]) * s["z"]


def plain_asgd(g, p, s, t, lr, lambd=1e-4, alpha=0.75, t0=1e6):
    eta = s.get("eta", lr)
    p = p * (1 - lambd * eta) - eta * g
    s["ax"] = s.get("ax", 0) + (p - s.get("ax", 0)) * s.get("mu", 1)
    s["eta"], s["mu"] = lr / (1 + lambd * lr * t) ** alpha, 1 / max(1, t - t0)
    return p


def plain_lion(g, p, s, t, lr, betas=(0.9, 0.99)):
    m = s.get("m", 0 * g)
    s["m"] = betas[1] * m + (1 - betas[1]) * g
    return p - lr * np.sign(betas[0] * m + (1 - betas[0]) * g)


PLAIN = {k[6:]: f for k, f in globals().items() if k.startswith("plain_")}


@pytest.mark.parametrize(("dtype", "rtol", "atol"), [("f8", 2e-7, 1e-8), ("f4", 2e-4, 2e-5)])
@named([*CASES, *LION])
def test_trajectory_is_the_formula(name, options, dtype, rtol, atol):
    # The cells are float32, as torch's are: hence not nearer in float64.
    params = start_of(fastnn, dtype)
    values, states = [p.astype("f8") for p in arrays(params)], [{} for _ in params]
    opt = getattr(optim, name)(params, lr=learning_rate(0), **options)
    left = dict(options)
    sign, decay = -1 if left.pop("maximize", False) else 1, left.pop("weight_decay", 0)
    decoupled = left.pop("decoupled_weight_decay", name == "Lion")
    run(fastnn, opt, params, 12)
    for step in range(12):
        rng, lr = np.random.default_rng(step), learning_rate(step)
        for i, p in enumerate(values):
            g = sign * rng.normal(size=p.shape) * rng.uniform(0.1, 3)
            g = g.astype(dtype).astype("f8") if p.ndim else np.asarray(g, dtype).astype("f8")
            if decoupled:
                start = p * (1 - lr * decay)
            else:
                start, g = p, g + decay * p
            if name == "Rprop":  # the first step size is the optimiser's lr
                states[i].setdefault("z", learning_rate(0))
            values[i] = PLAIN[name.lower()](g, start, states[i], step + 1, lr, **left)
    for got, want in zip(arrays(params), values, strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)
    if name == "ASGD":
        for p, s in zip(params, states, strict=True):
            np.testing.assert_allclose(opt.state[p]["ax"].numpy(), s["ax"], rtol=rtol, atol=atol)


@named([*CASES, *LION])
def test_infinite_parameters_stay_infinite_and_nan_gradients_stay_where_they_are(name, options):
    p = nn.Parameter(fastnn.tensor([float("inf"), 1.0, 2.0]))
    left = {k: v for k, v in options.items() if k not in ("weight_decay", "lambd")}
    opt = getattr(optim, name)([p], lr=0.1, **left)
    for bad in (float("nan"), 1.0):
        p.grad = fastnn.tensor([1.0, bad, 1.0])
        opt.step()
    first, second, third = p.detach().numpy()
    assert first == np.inf
    assert np.isfinite(third)
    # A sign that is not known moves nothing.
    assert np.isfinite(second) == (name in ("Rprop", "Lion"))


def test_the_mean_of_asgd_begins_at_t0():
    p = nn.Parameter(fastnn.tensor([0.0]))
    opt = optim.ASGD([p], lr=1.0, lambd=0.0, t0=2)
    seen = []
    for _ in range(5):
        p.grad = fastnn.tensor([-1.0])
        opt.step()
        seen.append(opt.state[p]["ax"].item())
    assert seen == [1.0, 2.0, 3.0, 4.0, 4.5]


def test_rprop_takes_back_nothing_and_waits_a_step():
    p = nn.Parameter(fastnn.tensor([0.0]))
    opt = optim.Rprop([p], lr=1.0)
    seen = []
    for g in (1.0, 1.0, -1.0, -1.0, -1.0):
        p.grad = fastnn.tensor([g])
        opt.step()
        seen.append(round(p.item(), 6))
    assert seen == [-1.0, -2.2, -2.2, -1.6, -0.88]


def test_adagrad_has_its_state_before_the_first_step():
    p = nn.Parameter(fastnn.ones(2))
    opt = optim.Adagrad([p], initial_accumulator_value=0.5)
    assert opt.state[p]["sum"].tolist() == [0.5, 0.5]
    assert opt.state[p]["step"].item() == 0.0


def test_options_of_rmsprop_may_be_turned_on_later():
    p = nn.Parameter(fastnn.ones(2))
    opt = optim.RMSprop([p], lr=0.1)
    for options in ({}, {"centered": True}, {"momentum": 0.9}):
        opt.param_groups[0].update(options)
        p.grad = fastnn.ones(2)
        opt.step()
    assert list(opt.state[p]) == ["step", "square_avg", "grad_avg", "momentum_buffer"]


def test_other_types_and_a_changed_type_are_told_apart():
    p = nn.Parameter(fastnn.ones(2, dtype=fastnn.float16))
    opt = optim.Adagrad([p], lr=0.1, eps=1e-3)
    p.grad = fastnn.ones(2, dtype=fastnn.float16)
    opt.step()
    np.testing.assert_allclose(p.detach().numpy(), 0.9, rtol=1e-3)
    p.data = p.data.float()
    p.grad = fastnn.ones(2)
    with pytest.raises(RuntimeError, match="Adagrad: expected state of the parameter's type"):
        opt.step()
    opt.load_state_dict(opt.state_dict())
    opt.step()
    assert opt.state[p]["sum"].dtype is fastnn.float32


def test_cells_of_another_type_or_plain_numbers_are_taken_over():
    p = nn.Parameter(fastnn.ones(2, dtype=fastnn.float64))
    opt = optim.NAdam([p])
    p.grad = fastnn.ones(2, dtype=fastnn.float64)
    opt.step()
    state = opt.state_dict()
    state["state"][0] = {**state["state"][0], "step": 1, "mu_product": 0.45}
    opt.load_state_dict(state)
    for name in ("step", "mu_product"):
        assert opt.state[p][name].dtype is fastnn.float32
    opt.step()
    assert opt.state[p]["step"].item() == 2.0


def leaf():
    return nn.Parameter(fastnn.ones(2))


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        *(
            (name, {"lr": -1}, ValueError, f"{name}: Invalid learning rate: got -1")
            for name in ("Adagrad", "Adadelta", "RMSprop", "NAdam", "RAdam", "Adamax", "Rprop",
                         "ASGD", "Lion", "LBFGS", "NewtonCG", "Adafactor", "Muon")
        ),
        *(
            (name, {"differentiable": True}, NotImplementedError, f"{name}: .* differentiable")
            for name in ("Adagrad", "Adadelta", "RMSprop", "NAdam", "RAdam", "Adamax", "Rprop",
                         "ASGD", "Lion")
        ),
        *(
            (name, {"weight_decay": -1}, ValueError, f"{name}: Invalid weight_decay value")
            for name in ("Adagrad", "Adadelta", "RMSprop", "NAdam", "RAdam", "Adamax", "ASGD",
                         "Lion", "Adafactor", "Muon")
        ),
        *(
            (name, {"betas": (0.9, 1.0)}, ValueError, f"{name}: .* index 1: got 1.0")
            for name in ("NAdam", "RAdam", "Adamax", "Lion")
        ),
        *(
            (name, {"eps": -1}, ValueError, f"{name}: Invalid epsilon value: got -1")
            for name in ("Adagrad", "Adadelta", "RMSprop", "NAdam", "RAdam", "Adamax")
        ),
        ("Adagrad", {"lr_decay": -1}, ValueError, "Invalid lr_decay value"),
        ("Adagrad", {"initial_accumulator_value": -1}, ValueError, "accumulator_value value"),
        ("Adagrad", {"eps": "a"}, TypeError, "Adagrad: expected eps as a number, got 'a'"),
        ("Adadelta", {"rho": 1.5}, ValueError, "Adadelta: Invalid rho value: got 1.5"),
        ("Adadelta", {"rho": None}, TypeError, "Adadelta: expected rho as a number"),
        ("RMSprop", {"alpha": -1}, ValueError, "Invalid alpha value"),
        ("RMSprop", {"momentum": -1}, ValueError, "Invalid momentum value"),
        ("NAdam", {"momentum_decay": -1}, ValueError, "Invalid momentum_decay value"),
        ("NAdam", {"lr": fastnn.ones(2)}, ValueError, "NAdam: expected lr as a number or a 1-el"),
        ("RAdam", {"betas": 0.9}, TypeError, "RAdam: expected betas as two numbers, got 0.9"),
        ("Rprop", {"etas": (1.5, 1.2)}, ValueError, "Rprop: Invalid eta values: got 1.5, 1.2"),
        ("Rprop", {"step_sizes": 3}, TypeError, "step_sizes as two numbers, got 3"),
        ("ASGD", {"t0": "a"}, TypeError, "ASGD: expected t0 as a number"),
        ("Lion", {"betas": ("a", 0.9)}, TypeError, r"Lion: expected betas\[0\] as a number"),
    ],
)  # fmt: skip
def test_errors(name, options, error, message):
    with pytest.raises(error, match=message):
        getattr(optim, name)([leaf()], **options)


# ---- beside torch ----


@pytest.mark.torch
@pytest.mark.parametrize(("dtype", "rtol", "atol"), [("f8", 1e-6, 1e-9), ("f4", 1e-4, 1e-6)])
@named(CASES)
def test_trajectory_is_torchs(name, options, dtype, rtol, atol):
    torch = pytest.importorskip("torch")
    ours, theirs = start_of(fastnn, dtype), start_of(torch, dtype)
    a = getattr(optim, name)(ours, lr=0.05, **options)
    b = getattr(torch.optim, name)(theirs, lr=0.05, foreach=False, **options)
    run(fastnn, a, ours, 50)
    run(torch, b, theirs, 50)
    for got, want in zip(arrays(ours), arrays(theirs), strict=True):
        np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)


def to_torch(torch, state):
    """A state_dict of ours as torch reads it."""
    return {
        "state": {
            i: {name: torch.tensor(np.asarray(value)) for name, value in entries.items()}
            for i, entries in state["state"].items()
        },
        "param_groups": state["param_groups"],
    }


@pytest.mark.torch
@named(CASES)
def test_state_goes_to_torch_and_comes_back(name, options):
    torch = pytest.importorskip("torch")
    ours, theirs = start_of(fastnn, "f4"), start_of(torch, "f4")
    a = getattr(optim, name)(ours, lr=0.05, **options)
    b = getattr(torch.optim, name)(theirs, lr=0.05, **options)
    assert repr(a) == repr(b)
    run(torch, b, theirs, 7)
    state = b.state_dict()
    a.load_state_dict(state)
    for p, q in zip(ours, theirs, strict=True):
        p.data = fastnn.tensor(q.detach().numpy().copy())
    assert {k: list(v) for k, v in a.state_dict()["state"].items()} == {
        k: list(v) for k, v in state["state"].items()
    }
    assert a.state_dict()["param_groups"] == state["param_groups"]
    run(fastnn, a, ours, 7, first=7)
    run(torch, b, theirs, 7, first=7)
    for got, want in zip(arrays(ours), arrays(theirs), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    third = start_of(torch, "f4")
    c = getattr(torch.optim, name)(third, lr=0.05, **options)
    c.load_state_dict(to_torch(torch, a.state_dict()))
    for p, q in zip(third, ours, strict=True):
        p.data = torch.tensor(q.detach().numpy())
    run(torch, c, third, 5, first=14)
    run(torch, b, theirs, 5, first=14)
    for got, want in zip(arrays(third), arrays(theirs), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6)
