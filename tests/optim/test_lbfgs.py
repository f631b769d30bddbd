# SPDX-License-Identifier: BSD-3-Clause
"""Methods of second order: LBFGS with and without its line search, and Newton-CG."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.optim._line_search import Point, cubic_minimum, strong_wolfe


def rosenbrock(x):
    """Least, 0, where all elements are 1."""
    a, b = x[:-1], x[1:]
    return ((b - a * a) * (b - a * a) * 100.0 + (a - 1.0) * (a - 1.0)).sum()


def start(lib=fastnn, dtype="f8"):
    return [
        lib.nn.Parameter(lib.tensor(np.array([-1.2, 1.0, 0.5], dtype))),
        lib.nn.Parameter(lib.tensor(np.array([[2.0], [-0.5]], dtype))),
    ]


def loss_of(params):
    first, second = params
    return rosenbrock(first) + ((second - 3.0) * (second - 3.0)).sum()


def closure_of(opt, params):
    def closure():
        opt.zero_grad()
        loss = loss_of(params)
        loss.backward()
        return loss

    return closure


def at(params):
    return np.concatenate([p.detach().numpy().ravel() for p in params])


END = np.array([1.0, 1.0, 1.0, 3.0, 3.0])
OPTIONS = [
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "history_size": 3, "max_iter": 7, "lr": 0.7},
    {"line_search_fn": "strong_wolfe", "max_eval": 4},
    {"lr": 0.1},
    {"lr": 0.05, "max_iter": 6, "history_size": 2, "tolerance_change": 1e-5},
    {"lr": 0.1, "max_iter": 3, "max_eval": 2, "tolerance_grad": 1e-2},
]


def test_lbfgs_finds_the_minimum():
    params = start()
    opt = optim.LBFGS(params, line_search_fn="strong_wolfe", tolerance_change=1e-14)
    first = opt.step(closure_of(opt, params))
    assert float(first) == pytest.approx(float(loss_of(start())))
    for _ in range(3):
        opt.step(closure_of(opt, params))
    np.testing.assert_allclose(at(params), END, atol=1e-6)
    state = opt.state[params[0]]
    assert state["n_iter"] <= state["func_evals"] <= 5 * 25
    assert list(opt.state) == [params[0]]


def test_lbfgs_without_a_search_finds_the_minimum_of_a_parabola():
    p = nn.Parameter(fastnn.tensor([5.0, -3.0], dtype=fastnn.float64))
    scale = fastnn.tensor([1.0, 20.0], dtype=fastnn.float64)
    opt = optim.LBFGS([p], lr=1, max_iter=30, tolerance_change=1e-14)

    def closure():
        opt.zero_grad(set_to_none=False)  # gradients keep their memory
        loss = (p * p * scale).sum()
        loss.backward()
        return loss

    opt.step(closure)
    np.testing.assert_allclose(p.detach().numpy(), 0, atol=1e-6)


def test_single_precision_is_kept():
    for make, closed in (
        (optim.LBFGS, closure_of),
        (optim.NewtonCG, lambda _, p: lambda: loss_of(p)),
    ):
        params = start(dtype="f4")
        opt = make(params, max_iter=30)
        opt.step(closed(opt, params))
        assert float(loss_of(params)) < 0.1 * float(loss_of(start()))
        assert {p.dtype for p in params} == {fastnn.float32}


def test_lbfgs_stops():
    params = start()
    opt = optim.LBFGS(params, max_iter=4, max_eval=100)
    opt.step(closure_of(opt, params))
    state = opt.state[params[0]]
    assert (state["n_iter"], state["func_evals"]) == (4, 4)  # none after the last iteration
    opt = optim.LBFGS(start(), tolerance_grad=1e9)
    before = at(opt.param_groups[0]["params"])
    opt.step(closure_of(opt, opt.param_groups[0]["params"]))
    assert opt.state[opt.param_groups[0]["params"][0]] == {"func_evals": 1, "n_iter": 0}
    np.testing.assert_array_equal(at(opt.param_groups[0]["params"]), before)
    opt = optim.LBFGS(start(), tolerance_change=1e9)
    opt.step(closure_of(opt, opt.param_groups[0]["params"]))
    assert opt.state[opt.param_groups[0]["params"][0]]["n_iter"] == 1


def test_lbfgs_leaves_alone_what_has_no_gradient():
    params = start()
    params[1].requires_grad_(False)
    opt = optim.LBFGS(params, line_search_fn="strong_wolfe")

    def closure():
        opt.zero_grad()
        loss = rosenbrock(params[0])
        loss.backward()
        return float(loss)  # a number will do

    opt.step(closure)
    assert params[1].tolist() == [[2.0], [-0.5]]
    assert rosenbrock(params[0]).item() < 3.0


@pytest.mark.parametrize("options", OPTIONS, ids=range(len(OPTIONS)))
def test_lbfgs_goes_on_from_its_state(options):
    params = start()
    opt = optim.LBFGS(params, **options)
    opt.step(closure_of(opt, params))
    twins = [nn.Parameter(p.detach().clone()) for p in params]
    twin = optim.LBFGS(twins, **options)
    twin.load_state_dict(copy.deepcopy(opt.state_dict()))
    for _ in range(3):
        opt.step(closure_of(opt, params))
        twin.step(closure_of(twin, twins))
    np.testing.assert_array_equal(at(params), at(twins))


def along(function, slope):
    return lambda t: Point(t, function(t), fastnn.zeros(1), slope(t))


def test_the_line_search_keeps_its_conditions():
    for function, slope, first in (
        (lambda t: (t - 3.0) ** 2, lambda t: 2 * (t - 3.0), 1.0),  # grows
        (lambda t: (t - 0.01) ** 2, lambda t: 2 * (t - 0.01), 1.0),  # shrinks
        (lambda t: t**4 - t, lambda t: 4 * t**3 - 1, 50.0),
        (lambda t: -math.sin(9 * t) - t / 9, lambda t: -9 * math.cos(9 * t) - 1 / 9, 2.0),
    ):
        evaluate = along(function, slope)
        begin = evaluate(0.0)
        point, calls = strong_wolfe(evaluate, begin, first, 1.0, 1e-9, 25)
        assert point.loss <= begin.loss + 1e-4 * point.t * begin.slope
        assert abs(point.slope) <= 0.9 * abs(begin.slope)
        assert 1 <= calls <= 26
    rising = along(lambda t: t, lambda t: 1.0 + 0.0 * t)  # of a direction that leads up: stays
    begin = Point(0.0, 0.0, fastnn.zeros(1), -1.0)
    point, calls = strong_wolfe(rising, begin, 1.0, 1.0, 1e-9, 6)
    assert (point.t, calls) == (0.0, 7)


def test_the_minimum_of_a_cubic():
    f, g = (lambda t: t**3 - 3 * t), (lambda t: 3 * t**2 - 3)
    a, b = (Point(t, f(t), fastnn.zeros(1), g(t)) for t in (0.0, 2.0))
    assert cubic_minimum(a, b, 0.0, 2.0) == pytest.approx(1.0)
    assert cubic_minimum(b, a, 0.0, 2.0) == pytest.approx(1.0)
    assert cubic_minimum(a, b, 1.25, 2.0) == 1.25
    assert cubic_minimum(a, a, 0.0, 3.0) == 1.5  # one point only: the middle


def test_newton_solves_a_parabola_in_one_iteration():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    matrix = fastnn.tensor(root @ root.T + np.eye(6))
    p, q = (nn.Parameter(fastnn.tensor(rng.normal(size=s))) for s in ((2, 2), (2,)))
    target = fastnn.tensor(rng.normal(size=6))

    def closure():
        x = fastnn.cat([p.reshape(-1), q]) - target
        return (x * (matrix @ x)).sum() / 2

    opt = optim.NewtonCG([p, q], cg_tolerance=1e-12, tolerance_grad=1e-8)
    opt.step(closure)
    np.testing.assert_allclose(at([p, q]), target.numpy(), atol=1e-6)
    state = opt.state[p]
    assert state["n_iter"] == 1
    assert state["products"] <= 7


def test_newton_finds_the_minimum_where_the_curvature_is_negative_at_first():
    params = start()
    opt = optim.NewtonCG(params, max_iter=60, cg_tolerance=1e-4)
    first = opt.step(lambda: loss_of(params))
    assert float(first) == pytest.approx(float(loss_of(start())))
    np.testing.assert_allclose(at(params), END, atol=1e-5)
    p = nn.Parameter(fastnn.tensor([0.1], dtype=fastnn.float64))
    hill = optim.NewtonCG([p], max_iter=20)
    losses = [float(hill.step(lambda: fastnn.cos(p).sum())) for _ in range(2)]
    assert losses[1] == pytest.approx(-1.0)  # down from the top of a hill
    assert float(fastnn.cos(p).sum()) == pytest.approx(-1.0)


def loss_of_one(x):
    return x.sum()


def test_newton_with_damping_and_without_a_search():
    p = nn.Parameter(fastnn.tensor([4.0], dtype=fastnn.float64))
    opt = optim.NewtonCG([p], lr=0.5, damping=2.0, line_search=False)
    opt.step(lambda: loss_of_one(p * p))
    assert p.item() == pytest.approx(4.0 - 0.5 * 8.0 / (2.0 + 2.0))
    linear = optim.NewtonCG([p], line_search=False)
    linear.step(lambda: loss_of_one(p * 3.0))  # no curvature at all: down the slope
    assert p.item() == pytest.approx(3.0 - 3.0)


def test_newton_gives_up_a_step_that_does_not_help():
    p = nn.Parameter(fastnn.tensor([1.0], dtype=fastnn.float64))
    calls = []

    def closure():
        calls.append(p.item())
        return (p * p).sum() + (0.0 if len(calls) == 1 else 100.0)

    opt = optim.NewtonCG([p], max_iter=5)
    opt.step(closure)
    assert p.item() == 1.0
    assert opt.state[p]["n_iter"] == 1
    assert len(calls) == opt.state[p]["func_evals"]


def backwards(params):
    loss = loss_of(params)
    loss.backward()
    return loss


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: optim.LBFGS(start(), line_search_fn="armijo"), ValueError, "only 'strong_wolfe'"),
        (lambda: optim.LBFGS([{"params": p} for p in start()]), ValueError, "parameter groups"),
        (lambda: optim.LBFGS(start()).step(), TypeError, r"step\(closure\) with a function"),
        (lambda: optim.LBFGS(start(), history_size=0), ValueError, "history_size >= 1"),
        (lambda: optim.LBFGS(start(), max_iter="a"), TypeError, "max_iter as a number"),
        (lambda: optim.NewtonCG(start()).step(3), TypeError, "got int; it is called"),
        (lambda: optim.NewtonCG(start(), damping=-1), ValueError, "damping: got -1"),
        (lambda: optim.NewtonCG(start(), max_cg=0), ValueError, "max_cg >= 1"),
        (lambda: optim.NewtonCG([{"params": p} for p in start()]), ValueError, "got 2"),
        (lambda: optim.NewtonCG(start()).step(lambda: 3.0), RuntimeError, "with a graph, got flo"),
        (
            lambda: optim.NewtonCG(p := start()).step(lambda: backwards(p)),
            RuntimeError,
            "do not call backward",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_refused_group_is_not_kept():
    opt = optim.LBFGS(start())
    with pytest.raises(ValueError, match="one group, got 2"):
        opt.add_param_group({"params": start()})
    assert len(opt.param_groups) == 1


@pytest.mark.torch
@pytest.mark.parametrize("options", OPTIONS, ids=range(len(OPTIONS)))
def test_lbfgs_is_torchs(options):
    torch = pytest.importorskip("torch")
    results = []
    for lib in (fastnn, torch):
        params = start(lib)
        opt = lib.optim.LBFGS(params, **options)
        seen = []
        for _ in range(8):
            opt.step(closure_of(opt, params))
            state = opt.state_dict()["state"][0]
            seen.append([*at(params), state["func_evals"], state["n_iter"]])
        results.append(np.array(seen))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6, atol=1e-8)


@pytest.mark.torch
def test_a_state_of_torchs_lbfgs_goes_on_here():
    torch = pytest.importorskip("torch")
    options = {"max_iter": 4, "line_search_fn": "strong_wolfe"}
    theirs, ours = start(torch), start()
    a = torch.optim.LBFGS(theirs, **options)
    a.step(closure_of(a, theirs))
    b = optim.LBFGS(ours, **options)
    assert repr(a) == repr(b)
    b.load_state_dict(a.state_dict())
    for p, q in zip(ours, theirs, strict=True):
        p.data = fastnn.tensor(q.detach().numpy().copy())
    for _ in range(2):
        a.step(closure_of(a, theirs))
        b.step(closure_of(b, ours))
    np.testing.assert_allclose(at(ours), at(theirs), rtol=1e-6)
    mine = set(b.state_dict()["state"][0])
    assert mine == set(a.state_dict()["state"][0]) - {"al"} | ({"al"} & mine)
