# SPDX-License-Identifier: BSD-3-Clause
"""Optimisers that see matrices as such: Adafactor and Muon."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.optim.muon import orthogonal

SHAPES = {"Adafactor": [(3, 5), (7,), (), (2, 3, 4)], "Muon": [(3, 5), (6, 2), (4, 4)]}
CASES = [
    ("Adafactor", {}),
    ("Adafactor", {"lr": 0.5, "weight_decay": 0.1, "maximize": True}),
    ("Adafactor", {"lr": 0.1, "beta2_decay": -0.5, "eps": (1e-4, 1e-2), "d": 2.0}),
    ("Muon", {}),
    ("Muon", {"lr": 0.1, "nesterov": False, "adjust_lr_fn": "match_rms_adamw"}),
    ("Muon", {"lr": 0.1, "momentum": 0.5, "ns_steps": 3, "ns_coefficients": (3.0, -4.0, 1.5)}),
]
named = pytest.mark.parametrize(
    ("name", "options"), CASES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(CASES)]
)


def start(lib, name, dtype="f8"):
    rng = np.random.default_rng(3)
    return [lib.nn.Parameter(lib.tensor(rng.normal(size=s).astype(dtype))) for s in SHAPES[name]]


def run(lib, opt, params, steps):
    for step in range(steps):
        rng = np.random.default_rng(step)
        for p in params:
            p.grad = lib.tensor(np.asarray(rng.normal(size=tuple(p.shape))), dtype=p.dtype)
        opt.step()


def test_muon_makes_matrices_orthogonal():
    rng = np.random.default_rng(0)
    for shape in ((5, 9), (9, 5), (4, 4)):
        u, _, v = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
        given = (u * np.linspace(0.2, 2.0, len(v))) @ v
        found = orthogonal(fastnn.tensor(given), (3.4445, -4.775, 2.0315), 5, 1e-7).numpy()
        sizes = np.linalg.svd(found, compute_uv=False)
        assert (sizes > 0.6).all()
        assert (sizes < 1.3).all()
        # The singular vectors are the same: the product with the other's is symmetric.
        np.testing.assert_allclose(found.T @ given, given.T @ found, atol=1e-12)
    zero = orthogonal(fastnn.zeros(2, 3), (3.4445, -4.775, 2.0315), 5, 1e-7)
    assert zero.tolist() == [[0.0] * 3] * 2


def test_a_step_of_muon_is_its_formula():
    p = nn.Parameter(fastnn.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]], dtype=fastnn.float64))
    p.grad = fastnn.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]], dtype=fastnn.float64)
    optim.Muon([p], lr=0.1, weight_decay=0.5, ns_coefficients=(1.5, -0.5, 0.0), ns_steps=40).step()
    step = 0.1 * np.sqrt(3 / 2)  # these coefficients lead to 1 exactly
    np.testing.assert_allclose(
        p.detach().numpy(), [[2.85 - step, 0.0], [0.0, 3.8 - step], [0.0, 0.0]], atol=1e-12
    )


def test_a_step_of_adafactor_is_its_formula():
    rng = np.random.default_rng(1)
    value, g1, g2 = rng.normal(size=(3, 4, 6))
    p = nn.Parameter(fastnn.tensor(value))
    opt = optim.Adafactor([p], lr=0.3, weight_decay=0.1)
    rows, columns = np.zeros((4, 1)), np.zeros((1, 6))
    for t, g in ((1, g1), (2, g2)):
        p.grad = fastnn.tensor(g)
        opt.step()
        share = t**-0.8
        size = max(1e-3, np.sqrt((value**2).mean())) * min(0.3, t**-0.5)
        value = value * (1 - 0.3 * 0.1)
        rows += share * ((g**2).mean(1, keepdims=True) - rows)
        columns += share * ((g**2).mean(0, keepdims=True) - columns)
        u = g / np.sqrt(rows @ columns / rows.mean())
        value = value - size * u / max(1, np.sqrt((u**2).mean()))
        np.testing.assert_allclose(p.detach().numpy(), value, rtol=1e-12)
    shapes = [tuple(opt.state[p][name].shape) for name in ("row_var", "col_var")]
    assert shapes == [(4, 1), (1, 6)]


@named
def test_state_goes_on(name, options):
    params = start(fastnn, name)
    opt = getattr(optim, name)(params, **options)
    run(fastnn, opt, params, 3)
    twins, twin = copy.deepcopy((params, opt))
    fresh = [nn.Parameter(p.detach().clone()) for p in params]
    resumed = getattr(optim, name)(fresh, **options)
    resumed.load_state_dict(opt.state_dict())
    for o, ps in ((opt, params), (twin, twins), (resumed, fresh)):
        run(fastnn, o, ps, 2)
    for p, q, r in zip(params, twins, fresh, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
        np.testing.assert_array_equal(p.detach().numpy(), r.detach().numpy())


def test_empty_and_gradientless_parameters():
    a, b = nn.Parameter(fastnn.zeros(0, 3)), fastnn.ones(2, 2)
    for name in ("Adafactor", "Muon"):
        opt = getattr(optim, name)([a, b])
        a.grad = fastnn.zeros(0, 3)
        opt.step(lambda: 1.0)
        assert b.tolist() == [[1.0, 1.0], [1.0, 1.0]]
        assert list(opt.state) == [a]


def test_old_steps_of_adafactor_are_numbers():
    p = nn.Parameter(fastnn.ones(2))
    opt = optim.Adafactor([p])
    p.grad = fastnn.ones(2)
    opt.step()
    state = opt.state_dict()
    state["state"][0] = {**state["state"][0], "step": 1}
    opt.load_state_dict(state)
    opt.step()
    assert opt.state[p]["step"].item() == 2.0


def leaf(*shape):
    return nn.Parameter(fastnn.ones(*shape))


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("Adafactor", {"beta2_decay": 0.5}, ValueError, "beta2_decay: got 0.5"),
        ("Adafactor", {"eps": (-1, 1e-3)}, ValueError, "epsilon1: got -1"),
        ("Adafactor", {"eps": (None, -1)}, ValueError, "epsilon2: got -1"),
        ("Adafactor", {"eps": 1e-3}, TypeError, "eps as two numbers, got 0.001"),
        ("Adafactor", {"eps": (1e-3, None)}, TypeError, r"eps\[1\] as a number, got None"),
        ("Adafactor", {"d": 0.5}, ValueError, "threshold d: got 0.5"),
        ("Muon", {"momentum": -0.1}, ValueError, "Invalid momentum: got -0.1"),
        ("Muon", {"ns_steps": 100}, ValueError, "ns_steps from 0 to 99, got 100"),
        ("Muon", {"ns_coefficients": (1, 2)}, TypeError, "ns_coefficients as three numbers"),
        ("Muon", {"adjust_lr_fn": "x"}, ValueError, "function x is not supported"),
    ],
)
def test_errors(name, options, error, message):
    with pytest.raises(error, match=message):
        getattr(optim, name)([leaf(2, 2)], **options)


def test_muon_takes_matrices_alone():
    with pytest.raises(ValueError, match=r"only supports 2D parameters, got one of size \(3,\)"):
        optim.Muon([leaf(2, 2), leaf(3)])
    opt = optim.Muon([leaf(2, 2)])
    with pytest.raises(ValueError, match="2D"):
        opt.add_param_group({"params": [leaf(2, 2, 2)]})
    assert len(opt.param_groups) == 1


@pytest.mark.torch
@pytest.mark.parametrize(("dtype", "rtol", "atol"), [("f8", 1e-6, 1e-9), ("f4", 1e-4, 1e-5)])
@named
def test_trajectory_is_torchs(name, options, dtype, rtol, atol, monkeypatch):
    torch = pytest.importorskip("torch")
    # Without its rounding to bfloat16, which ours does not have.
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda t: t.clone())
    ours, theirs = start(fastnn, name, dtype), start(torch, name, dtype)
    a = getattr(optim, name)(ours, **options)
    b = getattr(torch.optim, name)(theirs, **options)
    assert repr(a) == repr(b)
    run(fastnn, a, ours, 50)
    run(torch, b, theirs, 50)
    for got, want in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(
            got.detach().numpy(), want.detach().numpy(), rtol=rtol, atol=atol
        )
    mine, other = a.state_dict(), b.state_dict()
    assert {k: list(v) for k, v in mine["state"].items()} == {
        k: list(v) for k, v in other["state"].items()
    }
    a.load_state_dict(other)
    b.load_state_dict({
        "state": {i: {n: torch.tensor(np.asarray(v)) for n, v in s.items()}
                  for i, s in mine["state"].items()},
        "param_groups": mine["param_groups"],
    })  # fmt: skip
    run(fastnn, a, ours, 3)
    run(torch, b, theirs, 3)
    for got, want in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(
            got.detach().numpy(), want.detach().numpy(), rtol=rtol, atol=atol
        )
