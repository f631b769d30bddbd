# SPDX-License-Identifier: BSD-3-Clause
"""Schedules of learning rates: their formulas, their state, and beside torch."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import optim
from fastnn.optim import SGD, lr_scheduler

RATES = (0.5, 0.02)


def optimizer_of(lib: Any, tensor_rates: bool = False) -> Any:
    groups = [
        {"params": [lib.zeros(2, requires_grad=True)],
         "lr": lib.tensor(rate, dtype=lib.float64) if tensor_rates else rate}
        for rate in RATES
    ]  # fmt: skip
    return lib.optim.SGD(groups)


def trajectory(scheduler: Any, steps: int, metrics: Any = None) -> np.ndarray[Any, Any]:
    """The rates before every step of the optimiser, and those of get_last_lr."""
    rates = []
    for i in range(steps):
        now = [float(g["lr"]) for g in scheduler.optimizer.param_groups]
        assert [float(r) for r in scheduler.get_last_lr()] == now
        rates.append(now)
        scheduler.optimizer.step()
        scheduler.step(*([] if metrics is None else [metrics[i]]))
    return np.array(rates)


class Half:
    """A function with state."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, epoch: int) -> float:
        self.calls += 1
        return 0.5**epoch


def sequential(s: Any, o: Any) -> Any:
    parts = [s.LinearLR(o, 0.1, total_iters=4), s.CosineAnnealingLR(o, 10), s.ExponentialLR(o, 0.9)]
    return s.SequentialLR(o, parts, [5, 12])


def nested(s: Any, o: Any) -> Any:
    inner = s.SequentialLR(o, [s.StepLR(o, 2), s.MultiStepLR(o, [2, 3])], [4])
    return s.SequentialLR(o, [inner, s.ExponentialLR(o, 0.5)], [9])


SCHEDULES: dict[str, Any] = {
    "lambda": lambda s, o: s.LambdaLR(o, lambda t: 1 / (1 + t)),
    "lambdas": lambda s, o: s.LambdaLR(o, [lambda t: 0.9**t, Half()]),
    "step": lambda s, o: s.StepLR(o, 3),
    "step 1": lambda s, o: s.StepLR(o, 1, gamma=0.7),
    "multistep": lambda s, o: s.MultiStepLR(o, [2, 5, 5, 11], gamma=0.3),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.93),
    "linear": lambda s, o: s.LinearLR(o),
    "linear down": lambda s, o: s.LinearLR(o, 1.0, 0.25, total_iters=9),
    "linear to 0": lambda s, o: s.LinearLR(o, 0.5, 0.0, total_iters=4),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 25),
    "cosine again": lambda s, o: s.CosineAnnealingLR(o, 6, eta_min=0.01),
    "sequential": sequential,
    "nested": nested,
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda t: 0.8 if t < 6 else 1.1),
    "multiplicatives": lambda s, o: s.MultiplicativeLR(o, [lambda t: 0.9**t, Half()]),
    "constant": lambda s, o: s.ConstantLR(o),
    "constant for 9": lambda s, o: s.ConstantLR(o, 0.7, total_iters=9),
    "polynomial": lambda s, o: s.PolynomialLR(o),
    "polynomial 2.5": lambda s, o: s.PolynomialLR(o, total_iters=11, power=2.5),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 4, eta_min=0.001),
    "restarts later": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, T_mult=2),
    "restarts in turn": lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o), s.CosineAnnealingWarmRestarts(o, 5)], [4]
    ),
    "chained": lambda s, o: s.ChainedScheduler(
        [s.ExponentialLR(o, 0.9), s.LinearLR(o), s.MultiplicativeLR(o, lambda t: 1 - 0.1 / t)]
    ),
    "cyclic": lambda s, o: s.CyclicLR(o, 0.01, 0.2, step_size_up=4, step_size_down=3),
    "cyclic halved": lambda s, o: s.CyclicLR(
        o, [0.01, 0.1], [0.2, 0.3], step_size_up=3, mode="triangular2", base_momentum=[0.1, 0.2]
    ),
    "cyclic of a power": lambda s, o: s.CyclicLR(
        o, 0.01, 0.2, step_size_up=3, mode="exp_range", gamma=0.95, cycle_momentum=False
    ),
    "cyclic of a function": lambda s, o: s.CyclicLR(
        o, 0.01, 0.2, step_size_up=3, scale_fn=Half(), scale_mode="iterations"
    ),
    "one cycle": lambda s, o: s.OneCycleLR(o, [0.5, 0.1], total_steps=25),
    "one cycle of three": lambda s, o: s.OneCycleLR(
        o, 0.5, epochs=3, steps_per_epoch=9, pct_start=0.25, three_phase=True,
        anneal_strategy="linear", div_factor=5.0, final_div_factor=50.0, cycle_momentum=False
    ),
}  # fmt: skip
OURS_ALONE = {
    "inverse time": lambda s, o: s.InverseTimeLR(o, 0.3),
    "inverse time 0.6": lambda s, o: s.InverseTimeLR(o, 0.3, power=0.6),
}
METRICS = [5, 4, 4, 4, 3, 3, 3, 3, 3, 3, 2.99999, 1, 1, 1, 1, 1, 1, 1, 1, math.nan, 1, 1, 1, 1, 1]
PLATEAUS: dict[str, dict[str, Any]] = {
    "default": {"patience": 2},
    "max": {"patience": 1, "mode": "max"},
    "abs": {"patience": 1, "threshold_mode": "abs", "threshold": 0.5, "factor": 0.5},
    "max abs": {"patience": 1, "mode": "max", "threshold_mode": "abs", "threshold": 0.5},
    "cooldown": {"patience": 0, "cooldown": 3, "factor": 0.5},
    "least": {"patience": 0, "min_lr": 0.01},
    "least of each": {"patience": 0, "min_lr": [0.1, 0.001]},
    "eps": {"patience": 0, "eps": 0.01},
}
STEPS = 25
# A schedule of schedules makes the first step of those inside twice, and warns, as in torch.
nesting = pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")


@nesting
@pytest.mark.torch
@pytest.mark.parametrize("tensor_rates", [False, True])
@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_are_torchs(name: str, tensor_rates: bool) -> None:
    torch = pytest.importorskip("torch")
    got, want = (
        trajectory(SCHEDULES[name](lib.optim.lr_scheduler, optimizer_of(lib, tensor_rates)), STEPS)
        for lib in (fastnn, torch)
    )
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=0)


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
@pytest.mark.parametrize("name", ["cyclic", "cyclic halved", "one cycle", "one cycle of momentum"])
def test_momenta_are_torchs(name: str, kind: str) -> None:
    torch = pytest.importorskip("torch")
    results = []
    for lib in (fastnn, torch):
        params = [{"params": [lib.zeros(2, requires_grad=True)]} for _ in RATES]
        optimizer, s = getattr(lib.optim, kind)(params), lib.optim.lr_scheduler
        if name in SCHEDULES:
            scheduler = SCHEDULES[name](s, optimizer)
        else:
            scheduler = s.OneCycleLR(optimizer, 0.1, 25, base_momentum=0.5, three_phase=True)
        momenta = []
        for _ in range(STEPS):
            momenta.append([g["momentum"] if kind == "SGD" else g["betas"][0]
                            for g in optimizer.param_groups])  # fmt: skip
            optimizer.step()
            scheduler.step()
        results.append(momenta)
    np.testing.assert_allclose(results[0], results[1], rtol=1e-12)
    assert len(np.unique(results[0])) > 5


@pytest.mark.torch
def test_restarts_at_a_given_time_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    results = []
    for lib in (fastnn, torch):
        rates = []
        for growth in (1, 2):
            scheduler = lib.optim.lr_scheduler.CosineAnnealingWarmRestarts(
                optimizer_of(lib), 4, growth, 0.001
            )
            for time in (0, 0.5, 3.75, None, 4.2, 13, None, 28, 1.5):
                scheduler.step(time)
                rates.append(scheduler.get_last_lr()[0])
        results.append(rates)
    np.testing.assert_allclose(results[0], results[1], rtol=1e-12)


@pytest.mark.torch
@pytest.mark.parametrize("name", PLATEAUS)
def test_plateaus_are_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    got, want = (
        trajectory(
            lib.optim.lr_scheduler.ReduceLROnPlateau(optimizer_of(lib), **PLATEAUS[name]),
            STEPS,
            METRICS,
        )
        for lib in (fastnn, torch)
    )
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=0)
    assert len(np.unique(got[:, 0])) > 1


@pytest.mark.torch
@pytest.mark.parametrize("name", [n for n in SCHEDULES if n != "nested"])
def test_a_state_of_torch_goes_on_here(name: str) -> None:
    torch = pytest.importorskip("torch")
    theirs = SCHEDULES[name](torch.optim.lr_scheduler, optimizer_of(torch))
    trajectory(theirs, 8)
    ours = SCHEDULES[name](lr_scheduler, optimizer_of(fastnn))
    ours.optimizer.load_state_dict(theirs.optimizer.state_dict())
    ours.load_state_dict(theirs.state_dict())
    np.testing.assert_allclose(trajectory(ours, 12), trajectory(theirs, 12), rtol=1e-12)
    assert set(ours.state_dict()) == set(theirs.state_dict())


@pytest.mark.torch
def test_chained_schedules_and_a_given_epoch_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    results = []
    for lib in (fastnn, torch):
        optimizer, s = optimizer_of(lib), lib.optim.lr_scheduler
        both = [s.ExponentialLR(optimizer, 0.9), s.StepLR(optimizer, 4)]
        rates = []
        for _ in range(12):
            optimizer.step()
            for scheduler in both:
                scheduler.step()
            rates.append(optimizer.param_groups[0]["lr"])
        for name in ("step", "multistep", "exponential", "linear", "cosine", "lambda", "constant",
                     "polynomial 2.5"):  # fmt: skip
            scheduler = SCHEDULES[name](s, optimizer_of(lib))
            scheduler.optimizer.step()
            for epoch in (7, 3):
                with pytest.warns(UserWarning, match="epoch parameter"):
                    scheduler.step(epoch)
                rates.append(scheduler.get_last_lr()[0])
        results.append(rates)
    np.testing.assert_allclose(results[0], results[1], rtol=1e-12)


def test_formulas() -> None:
    t = np.arange(STEPS)
    base = np.array(RATES)
    want = {
        "step": 0.1 ** (t // 3),
        "multistep": 0.3 ** (1.0 * (t >= 2) + 2 * (t >= 5) + (t >= 11)),
        "exponential": 0.93**t,
        "linear": 1 / 3 + (1 - 1 / 3) * np.minimum(t, 5) / 5,
        "cosine": (1 + np.cos(np.pi * t / 25)) / 2,
        "lambda": 1 / (1 + t),
        "multiplicative": 0.8 ** np.minimum(t, 5) * 1.1 ** np.maximum(t - 5, 0),
        "constant": np.where(t < 5, 1 / 3, 1.0),
        "polynomial 2.5": (1 - np.minimum(t, 11) / 11) ** 2.5,
        "restarts later": (1 + np.cos(np.pi * np.array(
            [i / n for n in (3, 6, 12, 24) for i in range(n)][:STEPS]))) / 2,
        "inverse time": 1 / (1 + 0.3 * t),
        "inverse time 0.6": (1 + 0.3 * t) ** -0.6,
    }  # fmt: skip
    for name, factor in want.items():
        got = trajectory(
            {**SCHEDULES, **OURS_ALONE}[name](lr_scheduler, optimizer_of(fastnn)), STEPS
        )
        np.testing.assert_allclose(got, factor[:, None] * base, rtol=1e-12, atol=1e-17)


def test_a_cycle_goes_up_and_down() -> None:
    optimizer = optimizer_of(fastnn)
    scheduler = lr_scheduler.CyclicLR(optimizer, 1.0, 3.0, 4, 2)
    momenta, rates = [], []
    for _ in range(8):
        rates.append(scheduler.get_last_lr()[0])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(rates, [1.0, 1.5, 2.0, 2.5, 3.0, 2.0, 1.0, 1.5])
    np.testing.assert_allclose(momenta, 0.9 - 0.05 * (np.array(rates) - 1))
    one = trajectory(lr_scheduler.OneCycleLR(optimizer_of(fastnn), 1.0, 11, pct_start=0.5), 11)
    np.testing.assert_allclose(one[0], 0.04)
    np.testing.assert_allclose(one[-1], 0.04e-4)
    assert one[:, 0].argmax() in (4, 5)


def test_a_constant_of_zero_ends_where_it_began() -> None:
    got = trajectory(lr_scheduler.ConstantLR(optimizer_of(fastnn), 0.0, 2), 4)
    np.testing.assert_array_equal(got, [[0.0, 0.0], [0.0, 0.0], RATES, RATES])


@nesting
def test_chained_schedules_in_a_sequence_start_anew() -> None:
    s, o = lr_scheduler, optimizer_of(fastnn)
    both = s.ChainedScheduler([s.ExponentialLR(o, 0.5), s.StepLR(o, 2)])
    scheduler = s.SequentialLR(o, [both, s.ConstantLR(o, 0.5)], [3])
    assert [type(part) for part in scheduler._schedulers] == [s.ChainedScheduler, s.ConstantLR]
    rates = trajectory(scheduler, 5)[:, 0]
    np.testing.assert_allclose(rates[3:], [0.25, 0.25])


@nesting
@pytest.mark.parametrize("name", [*SCHEDULES, *OURS_ALONE])
@pytest.mark.parametrize("stop", [0, 1, 5, 12])
def test_a_saved_schedule_goes_on(name: str, stop: int) -> None:
    make = {**SCHEDULES, **OURS_ALONE}[name]
    whole = trajectory(make(lr_scheduler, optimizer_of(fastnn)), STEPS)
    first = make(lr_scheduler, optimizer_of(fastnn))
    trajectory(first, stop)
    state, optimizer_state = first.state_dict(), first.optimizer.state_dict()
    second = make(lr_scheduler, optimizer_of(fastnn))
    second.optimizer.load_state_dict(optimizer_state)
    second.load_state_dict(state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(trajectory(second, STEPS - stop), whole[stop:])


@pytest.mark.parametrize("name", PLATEAUS)
def test_a_saved_plateau_goes_on(name: str) -> None:
    def made() -> Any:
        return lr_scheduler.ReduceLROnPlateau(optimizer_of(fastnn), **PLATEAUS[name])

    whole = trajectory(made(), STEPS, METRICS)
    first, second = made(), made()
    trajectory(first, 9, METRICS)
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(trajectory(second, STEPS - 9, METRICS[9:]), whole[9:])


@pytest.mark.parametrize("name", ["step", "multistep", "exponential", "linear", "cosine", "lambda"])
def test_last_epoch_resumes(name: str) -> None:
    whole = trajectory(SCHEDULES[name](lr_scheduler, optimizer_of(fastnn)), STEPS)
    first = SCHEDULES[name](lr_scheduler, optimizer_of(fastnn))
    trajectory(first, 8)
    makers: dict[str, Any] = {
        "step": lambda o: lr_scheduler.StepLR(o, 3, last_epoch=7),
        "multistep": lambda o: lr_scheduler.MultiStepLR(o, [2, 5, 5, 11], 0.3, last_epoch=8),
        "exponential": lambda o: lr_scheduler.ExponentialLR(o, 0.93, last_epoch=8),
        "linear": lambda o: lr_scheduler.LinearLR(o, last_epoch=8),
        "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 25, last_epoch=8),
        "lambda": lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t), last_epoch=7),
    }
    second = makers[name](first.optimizer)
    at = second.last_epoch
    np.testing.assert_allclose(second.get_last_lr(), whole[8], rtol=1e-12)
    assert at in (8, 9)
    assert second.base_lrs == list(RATES)


def test_milestones_survive_a_file_of_strings() -> None:
    scheduler = SCHEDULES["multistep"](lr_scheduler, optimizer_of(fastnn))
    state = scheduler.state_dict()
    state["milestones"] = {str(k): v for k, v in state["milestones"].items()}
    other = SCHEDULES["multistep"](lr_scheduler, optimizer_of(fastnn))
    other.load_state_dict(state)
    assert other.milestones == scheduler.milestones


def test_a_schedule_before_the_optimizer_warns_once() -> None:
    scheduler = lr_scheduler.StepLR(optimizer_of(fastnn), 3)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        scheduler.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()
        scheduler.optimizer.step()
        scheduler.step()


def test_asking_for_the_rates_by_the_inner_name_warns() -> None:
    scheduler = lr_scheduler.StepLR(optimizer_of(fastnn), 3)
    with pytest.warns(UserWarning, match="get_last_lr"):
        scheduler.get_lr()


def test_rates_that_are_tensors_stay_the_same_objects() -> None:
    optimizer = optimizer_of(fastnn, tensor_rates=True)
    before = [g["lr"] for g in optimizer.param_groups]
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    scheduler.step()
    after = [g["lr"] for g in optimizer.param_groups]
    assert all(a is b for a, b in zip(after, before, strict=True))
    assert [float(r) for r in after] == [0.25, 0.01]
    assert [float(g["initial_lr"]) for g in optimizer.param_groups] == list(RATES)
    assert scheduler.get_last_lr()[0] is not after[0]


def test_the_step_uses_the_new_rate() -> None:
    p = fastnn.ones(1, requires_grad=True)
    optimizer = SGD([p], lr=1.0)
    scheduler = lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    for want in (0.0, -0.5, -0.75):
        p.grad = fastnn.ones(1)
        optimizer.step()
        scheduler.step()
        assert p.tolist() == [want]


def test_a_group_may_join_a_plateau() -> None:
    optimizer = optimizer_of(fastnn)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
    strict = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, min_lr=[0.1, 0.1])
    optimizer.add_param_group({"params": [fastnn.zeros(1, requires_grad=True)], "lr": 4.0})
    for metric in (1.0, 1.0):
        scheduler.step(metric)
    assert scheduler.get_last_lr() == [0.25, 0.01, 2.0]
    strict.step(fastnn.tensor(1.0))
    with pytest.raises(RuntimeError, match="min_lrs"):
        strict.step(1.0)


def test_errors() -> None:
    o, s = optimizer_of(fastnn), lr_scheduler
    other = optimizer_of(fastnn)
    without = optim.Adagrad([fastnn.zeros(2, requires_grad=True)])
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: s.StepLR(None, 3), TypeError, "is not an Optimizer"),  # type: ignore[arg-type]
        (lambda: s.ReduceLROnPlateau(3), TypeError, "is not an Optimizer"),  # type: ignore[arg-type]
        (lambda: s.StepLR(optimizer_of(fastnn), 3, last_epoch=2), KeyError, "initial_lr"),
        (lambda: s.LambdaLR(o, [float]), ValueError, "expected 2 lr_lambdas"),
        (lambda: s.LinearLR(o, 0.0), ValueError, "Starting multiplicative factor"),
        (lambda: s.LinearLR(o, 1.5), ValueError, "Starting multiplicative factor"),
        (lambda: s.LinearLR(o, 0.5, 1.5), ValueError, "Ending multiplicative factor"),
        (lambda: s.ReduceLROnPlateau(o, factor=1.0), ValueError, "expected a factor < 1"),
        (lambda: s.ReduceLROnPlateau(o, mode="avg"), ValueError, "'min' or 'max', got 'avg'"),
        (lambda: s.ReduceLROnPlateau(o, threshold_mode="x"), ValueError, "'rel' or 'abs', got 'x'"),
        (lambda: s.ReduceLROnPlateau(o, min_lr=[0.1]), ValueError, "expected 2 min_lrs"),
        (lambda: s.SequentialLR(o, [], []), ValueError, "one more than"),
        (lambda: s.SequentialLR(o, [s.StepLR(o, 1)], [3]), ValueError, "one more than"),
        (lambda: s.SequentialLR(o, [s.StepLR(other, 1)], []), ValueError, "same optimizer"),
        (lambda: s.SequentialLR(o, [s.ReduceLROnPlateau(o)], []), ValueError, "metric"),
        (lambda: s.SequentialLR(o, [3], []), TypeError, "attribute"),  # type: ignore[list-item]
        (lambda: s.LRScheduler(o), NotImplementedError, "get_lr"),
        (lambda: s.MultiplicativeLR(o, [abs]), ValueError, "expected 2 lr_lambdas"),
        (lambda: s.MultiplicativeLR(o, 0.5), TypeError, "lr_lambda as a function"),  # type: ignore[arg-type]
        (lambda: s.ConstantLR(o, 1.5), ValueError, "between 0 and 1, got 1.5"),
        (lambda: s.ConstantLR(o, -0.1), ValueError, "between 0 and 1, got -0.1"),
        (lambda: s.PolynomialLR(o, power="a"), TypeError, "power as a number"),  # type: ignore[arg-type]
        (lambda: s.InverseTimeLR(o, -1.0), ValueError, "gamma >= 0, got -1"),
        (lambda: s.InverseTimeLR(o, 1.0, math.nan), ValueError, "power >= 0, got nan"),
        (lambda: s.CosineAnnealingWarmRestarts(o, 0), ValueError, "T_0 as a positive int, got 0"),
        (lambda: s.CosineAnnealingWarmRestarts(o, 2, 0), ValueError, "T_mult as a positive int"),
        (lambda: s.CosineAnnealingWarmRestarts(o, 2, 1, "a"), ValueError, "eta_min"),  # type: ignore[arg-type]
        (lambda: s.CosineAnnealingWarmRestarts(o, 2).step(-1), ValueError, "non-negative epoch"),
        (lambda: s.ChainedScheduler([]), ValueError, "at least one scheduler"),
        (lambda: s.ChainedScheduler(s.StepLR(o, 1)), TypeError, "schedulers as a list"),  # type: ignore[arg-type]
        (lambda: s.ChainedScheduler([3]), TypeError, "attribute"),  # type: ignore[list-item]
        (lambda: s.ChainedScheduler([s.ReduceLROnPlateau(o)]), ValueError, "metric"),
        (lambda: s.ChainedScheduler([s.StepLR(o, 1)], other), ValueError, "same optimizer"),
        (lambda: s.ChainedScheduler([s.StepLR(o, 1)]).step(3), TypeError, "expected no epoch"),
        (lambda: s.CyclicLR(3, 0.1, 0.2), TypeError, "is not an Optimizer"),  # type: ignore[arg-type]
        (lambda: s.CyclicLR(o, [0.1], 0.2), ValueError, "base_lr must have the same length"),
        (lambda: s.CyclicLR(o, 0.1, 0.2, mode="x"), ValueError, "got 'x', which is invalid"),
        (lambda: s.CyclicLR(o, 0.1, 0.2, scale_fn=3), TypeError, "scale_fn as a function"),  # type: ignore[arg-type]
        (lambda: s.CyclicLR(o, 0.1, 0.2, 0), ValueError, "step_size_up > 0"),
        (lambda: s.CyclicLR(without, 0.1, 0.2), ValueError, "must support momentum or beta1"),
        (lambda: s.OneCycleLR(o, 0.1), ValueError, r"total_steps OR \(epochs"),
        (lambda: s.OneCycleLR(o, 0.1, 0), ValueError, "total_steps as a positive int, got 0"),
        (lambda: s.OneCycleLR(o, 0.1, epochs=1.5, steps_per_epoch=2), ValueError, "epochs as a"),  # type: ignore[arg-type]
        (lambda: s.OneCycleLR(o, 0.1, 9, pct_start=1.5), ValueError, "between 0 and 1, got 1.5"),
        (lambda: s.OneCycleLR(o, 0.1, 9, anneal_strategy="x"), ValueError, "'cos' or 'linear'"),
        (lambda: s.OneCycleLR(without, 0.1, 9), ValueError, "must support momentum or beta1"),
        (lambda: trajectory(s.OneCycleLR(o, 0.1, 1), 3), ValueError, "at most 1 steps"),
        (
            lambda: s.SequentialLR(o, [s.StepLR(o, 1)], []).step(3),
            TypeError,
            "expected no epoch",
        ),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()


def test_a_schedule_derived_from_the_older_name_of_the_base():
    class Halves(lr_scheduler._LRScheduler):
        def get_lr(self):
            return [base * 0.5**self.last_epoch for base in self.base_lrs]

    optimizer = fastnn.optim.SGD([fastnn.ones(1, requires_grad=True)], lr=1.0)
    schedule = Halves(optimizer)
    optimizer.step()
    schedule.step()
    assert schedule.get_last_lr() == [0.5]
    assert isinstance(lr_scheduler.StepLR(optimizer, 1), lr_scheduler._LRScheduler)
