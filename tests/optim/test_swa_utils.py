# SPDX-License-Identifier: BSD-3-Clause
"""Averages of weights: AveragedModel, update_bn and SWALR."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.optim import swa_utils


def model_of(lib, value=0.0):
    model = lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.BatchNorm1d(3))
    with lib.no_grad():
        for i, p in enumerate(model.parameters()):
            p.copy_(lib.arange(p.numel()).reshape(p.shape) * 0.1 + i + value)
        model[1].running_mean.fill_(value)
    return model


def values(model):
    return [p.detach().numpy().copy() for p in model.parameters()]


def updated(lib, steps, **options):
    """An average of models whose parameters all grow by 1."""
    average = lib.optim.swa_utils.AveragedModel(model_of(lib, 9.0), **options)
    for i in range(steps):
        average.update_parameters(model_of(lib, float(i * i)))
    return average


def test_the_average_is_the_mean():
    average = updated(fastnn, 4)
    first = values(model_of(fastnn))
    for got, want in zip(values(average), first, strict=True):
        np.testing.assert_allclose(got, want + np.mean([0, 1, 4, 9]), rtol=1e-6)
    assert int(average.n_averaged) == 4
    assert list(average.state_dict())[:2] == ["n_averaged", "module.0.weight"]
    np.testing.assert_array_equal(average.module[1].running_mean.numpy(), 9.0)  # the last model's
    x = fastnn.ones(4, 2)
    np.testing.assert_array_equal(
        average.eval()(x).detach().numpy(), average.module(x).detach().numpy()
    )


def test_averages_of_functions_and_buffers():
    u = swa_utils
    want = 0.0
    for value in (1.0, 4.0):
        want = 0.9 * want + 0.1 * value
    for options in (
        {"avg_fn": u.get_ema_avg_fn(0.9)},
        {"multi_avg_fn": u.get_ema_multi_avg_fn(0.9)},
        {"avg_fn": lambda mean, value, n: 0.9 * mean + 0.1 * value},  # noqa: ARG005
        {"multi_avg_fn": u.get_ema_multi_avg_fn(0.9), "use_buffers": True},
    ):
        average = updated(fastnn, 3, **options)
        for got, first in zip(values(average), values(model_of(fastnn)), strict=True):
            np.testing.assert_allclose(got, first + want, rtol=1e-6)
        buffer = average.module[1].running_mean.numpy()
        np.testing.assert_allclose(buffer, want if options.get("use_buffers") else 4.0, rtol=1e-6)
    average = updated(fastnn, 4, use_buffers=True)  # of whole numbers too
    np.testing.assert_allclose(average.module[1].running_mean.numpy(), np.mean([0, 1, 4, 9]))
    assert int(average.module[1].num_batches_tracked) == 0
    for function in (u.get_swa_avg_fn(), u.get_ema_avg_fn(0.75)):
        assert function(fastnn.tensor(1.0), fastnn.tensor(5.0), 3).item() == 2.0
    mean = fastnn.tensor([1.0])
    u.get_swa_multi_avg_fn()([mean], [fastnn.tensor([5.0])], 3)
    assert mean.tolist() == [2.0]


def test_the_state_of_an_average_goes_on_and_copies_are_apart():
    average = updated(fastnn, 2)
    other = swa_utils.AveragedModel(model_of(fastnn))
    other.load_state_dict(average.state_dict())
    twin = copy.deepcopy(average)
    for one in (average, other, twin):
        one.update_parameters(model_of(fastnn, 3.0))
    for a, b, c in zip(values(average), values(other), values(twin), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    source = model_of(fastnn)
    average = swa_utils.AveragedModel(source)
    assert average.module[0].weight is not source[0].weight


def test_update_bn_is_the_mean_over_the_batches():
    rng = np.random.default_rng(0)
    batches = [fastnn.tensor(rng.normal(size=(8, 3)).astype("f4")) for _ in range(3)]
    model = nn.Sequential(nn.BatchNorm1d(3, momentum=0.25), nn.BatchNorm1d(3))
    model[0].running_mean.fill_(7.0)
    model.eval()
    swa_utils.update_bn([(b, 1) for b in batches], model)
    want = [np.mean([f(b.numpy()) for b in batches], 0)
            for f in (lambda b: b.mean(0), lambda b: b.var(0, ddof=1))]  # fmt: skip
    np.testing.assert_allclose(model[0].running_mean.numpy(), want[0], atol=1e-6)
    np.testing.assert_allclose(model[0].running_var.numpy(), want[1], rtol=1e-5)
    assert int(model[0].num_batches_tracked) == 3
    assert (model[0].momentum, model[1].momentum, model.training) == (0.25, 0.1, False)
    plain = nn.Linear(2, 2)
    swa_utils.update_bn(iter([]), plain)
    with pytest.raises(ZeroDivisionError):
        swa_utils.update_bn((b for b in [1 / 0]), model)
    assert (model[0].momentum, model.training) == (0.25, False)


def swalr(lib, strategy, epochs, rates=0.05):
    groups = [{"params": [lib.zeros(2, requires_grad=True)], "lr": r} for r in (0.5, 0.02)]
    optimizer = lib.optim.SGD(groups)
    return lib.optim.swa_utils.SWALR(optimizer, rates, epochs, strategy)


def trajectory(scheduler, steps):
    rates = []
    for _ in range(steps):
        rates.append([g["lr"] for g in scheduler.optimizer.param_groups])
        assert scheduler.get_last_lr() == rates[-1]
        scheduler.optimizer.step()
        scheduler.step()
    return np.array(rates)


def test_swalr_goes_to_its_rate_and_stays():
    t = np.minimum(np.arange(8) / 5, 1)[:, None]
    start = np.array([0.5, 0.02])
    got = trajectory(swalr(fastnn, "linear", 5), 8)
    np.testing.assert_allclose(got, start + t * (0.05 - start), rtol=1e-12)
    got = trajectory(swalr(fastnn, "cos", 5, [0.1, 0.2]), 8)
    end = np.array([0.1, 0.2])
    np.testing.assert_allclose(got, start + (1 - np.cos(np.pi * t)) / 2 * (end - start), rtol=1e-12)
    np.testing.assert_allclose(trajectory(swalr(fastnn, "linear", 0), 2), 0.05)


def test_a_saved_swalr_goes_on():
    whole = trajectory(swalr(fastnn, "cos", 6), 9)
    first, second = swalr(fastnn, "cos", 6), swalr(fastnn, "linear", 2)
    trajectory(first, 4)
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.load_state_dict(first.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(trajectory(second, 5), whole[4:])


def decays(value):
    return lambda: swa_utils.get_ema_avg_fn(value)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: swa_utils.AveragedModel(3), TypeError, "expected a Module, got int"),
        (
            lambda: swa_utils.AveragedModel(nn.ReLU(), None, max, max),
            AssertionError,
            "Only one of avg_fn and multi_avg_fn",
        ),
        (
            lambda: swa_utils.AveragedModel(nn.Linear(2, 3)).update_parameters(nn.Linear(2, 2)),
            ValueError,
            r"shapes \[\(3, 2\), \(3,\)\], got",
        ),
        (
            lambda: swa_utils.AveragedModel(nn.ReLU()).update_parameters(3),
            TypeError,
            "expected a Module",
        ),
        (decays(1.5), ValueError, r"in \[0,1\] range, got 1.5"),
        (decays("a"), ValueError, "get_ema_avg_fn: .* got 'a'"),
        (lambda: swa_utils.get_ema_multi_avg_fn(-1), ValueError, "get_ema_multi_avg_fn: .* got -1"),
        (lambda: swa_utils.update_bn([], 3), TypeError, "update_bn: expected a Module"),
        (lambda: swa_utils.SWALR(3, 0.1), TypeError, "is not an Optimizer"),
        (lambda: swalr(fastnn, "x", 5), ValueError, "'cos' or 'linear', got 'x'"),
        (lambda: swalr(fastnn, "cos", -1), ValueError, "equal or greater than 0, got -1"),
        (lambda: swalr(fastnn, "cos", 5, [0.1]), ValueError, "swa_lr must have the same length"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_swa_utils_is_part_of_optim():
    assert optim.swa_utils is swa_utils


@pytest.mark.torch
def test_schedules_and_averages_are_torchs():
    torch = pytest.importorskip("torch")
    for strategy, epochs in (("cos", 4), ("linear", 5), ("linear", 0)):
        ours, theirs = (swalr(lib, strategy, epochs) for lib in (fastnn, torch))
        np.testing.assert_allclose(trajectory(ours, 9), trajectory(theirs, 9), rtol=1e-12)
        assert set(ours.state_dict()) == set(theirs.state_dict())
        ours.load_state_dict(theirs.state_dict())
    for make in (
        lambda u: {},  # noqa: ARG005
        lambda u: {"avg_fn": u.get_ema_avg_fn(0.9)},
        lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(), "use_buffers": True},
    ):
        a, b = (updated(lib, 4, **make(lib.optim.swa_utils)) for lib in (fastnn, torch))
        mine, other = a.state_dict(), b.state_dict()
        assert list(mine) == list(other)
        for key, value in mine.items():
            np.testing.assert_allclose(value.numpy(), other[key].numpy(), rtol=1e-6)
        swa_utils.AveragedModel(model_of(fastnn)).load_state_dict(other)
