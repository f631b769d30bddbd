# SPDX-License-Identifier: BSD-3-Clause
"""Mixed precision: off it changes nothing, on it is refused; scaling is torch's."""

from __future__ import annotations

import math
import warnings

import pytest

import fastnn
from fastnn import nn, optim
from fastnn.amp import GradScaler, autocast

needs_no_gpu = pytest.mark.skipif(fastnn.cuda.is_available(), reason="CUDA is there")


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0"])
def test_autocast_switched_off_changes_nothing(device):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fastnn.autocast(device_type=device, dtype=fastnn.bfloat16, enabled=False) as context:
            y = nn.Linear(2, 3)(fastnn.ones(1, 2))
        assert type(context) is autocast
        assert y.dtype is fastnn.float32

        @fastnn.amp.autocast(device, enabled=False)
        def twice(x):
            """Doubles."""
            return 2 * x

        assert twice(3) == 6
        assert twice.__doc__ == "Doubles."
        with fastnn.cuda.amp.autocast(enabled=False):
            pass


def test_autocast_switched_on_is_refused():
    for dtype in (None, fastnn.bfloat16, fastnn.float16):
        with pytest.raises(NotImplementedError, match=r"autocast: expected enabled=False.*\.to\("):
            autocast("cpu", dtype)


@needs_no_gpu
def test_autocast_warns_where_torch_disables_it():
    with pytest.warns(UserWarning, match="autocast: expected CUDA, got none") as warned:
        autocast("cuda")
    assert warned[0].filename == __file__
    with pytest.warns(UserWarning, match="autocast: expected CUDA, got none"):
        fastnn.cuda.amp.autocast()
    with pytest.warns(UserWarning, match="expected bfloat16 or float16 on the CPU"):
        autocast("cpu", fastnn.float32)


def test_autocast_of_no_device():
    with pytest.raises(ValueError, match="device_type as a text, got int"):
        autocast(3)
    with pytest.raises(RuntimeError, match="device"):
        autocast("foo", enabled=False)


def model_and_optimizer():
    fastnn.manual_seed(0)
    model = nn.Linear(3, 2)
    return model, optim.SGD(model.parameters(), lr=0.1)


def train(scaler, steps=3):
    model, optimizer = model_and_optimizer()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(fastnn.ones(1, 3)).square().sum()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
    return model.weight.detach().tolist()


def test_scaled_training_is_plain_training():
    """The scale is a power of two, so it rounds nothing."""
    plain = train(GradScaler("cuda", enabled=False))
    scaler = GradScaler("cpu", growth_interval=2)
    assert train(scaler) == plain
    assert scaler.get_scale() == 2.0**17  # grew once, after two steps
    assert train(fastnn.cuda.amp.GradScaler(enabled=False)) == plain


def test_an_infinite_gradient_leaves_the_step_out():
    model, optimizer = model_and_optimizer()
    scaler = GradScaler("cpu")
    before = model.weight.detach().tolist()
    scaler.scale(model(fastnn.full((1, 3), math.inf)).sum()).backward()
    assert scaler.step(optimizer) is None
    assert model.weight.detach().tolist() == before
    scaler.update()
    assert scaler.get_scale() == 2.0**15
    scaler.update(3.0)
    assert scaler.get_scale() == 3.0
    scaled = scaler.scale([fastnn.ones(1), (fastnn.ones(1),)])
    assert scaled[0].tolist() == scaled[1][0].tolist() == [3.0]


def test_the_state_of_a_scaler():
    scaler = GradScaler("cpu", init_scale=8.0, growth_factor=4.0)
    state = scaler.state_dict()
    assert state == {
        "scale": 8.0, "growth_factor": 4.0, "backoff_factor": 0.5, "growth_interval": 2000,
        "_growth_tracker": 0,
    }  # fmt: skip
    other = GradScaler("cpu")
    other.load_state_dict(state)
    assert other.state_dict() == state
    other.set_growth_factor(3.0)
    other.set_backoff_factor(0.25)
    other.set_growth_interval(7)
    got = (other.get_growth_factor(), other.get_backoff_factor(), other.get_growth_interval())
    assert got == (3.0, 0.25, 7)
    off = GradScaler("cpu", enabled=False)
    assert (off.state_dict(), off.get_scale(), off.is_enabled()) == ({}, 1.0, False)
    off.load_state_dict({})
    with pytest.raises(RuntimeError, match="empty state dict"):
        other.load_state_dict({})


def test_losses_of_half_precision_are_scaled_in_single():
    scaler = GradScaler("cpu")
    loss = fastnn.tensor(2.0, dtype=fastnn.float16, requires_grad=True)
    scaled = scaler.scale(loss)
    assert (scaled.dtype, scaled.item()) == (fastnn.float32, 131072.0)
    assert scaler.scale(fastnn.ones(2, dtype=fastnn.float16)).dtype is fastnn.float16
    assert scaler.scale(fastnn.ones(2, dtype=fastnn.float64)).dtype is fastnn.float64


def test_calls_out_of_turn_are_refused():
    model, optimizer = model_and_optimizer()
    scaler = GradScaler("cpu")
    for call in (lambda: scaler.step(optimizer), scaler.update):
        with pytest.raises(AssertionError, match=r"expected scale\(\) before"):
            call()
    scaler.scale(model(fastnn.ones(1, 3)).sum()).backward()
    with pytest.raises(AssertionError, match="No inf checks were recorded prior to update"):
        scaler.update()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="already been called on this optimizer"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"step\(\) has already been called"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"called after step\(\)"):
        scaler.unscale_(optimizer)
    scaler.update()
    with pytest.raises(RuntimeError, match="Closure use"):
        scaler.step(optimizer, closure=lambda: 1)
    optimizer.zero_grad()
    with pytest.raises(AssertionError, match="recorded for this optimizer"):
        scaler.step(optimizer)
    with pytest.raises(ValueError, match="a Tensor or an iterable of Tensors, got float"):
        scaler.scale(1.0)
    half = nn.Parameter(fastnn.ones(1, dtype=fastnn.float16))
    half.grad = fastnn.ones(1, dtype=fastnn.float16)
    with pytest.raises(ValueError, match="got float16"):
        scaler.unscale_(optim.SGD([half]))
    for options in ({"growth_factor": 1.0}, {"backoff_factor": 1.0}):
        with pytest.raises(AssertionError, match="GradScaler: expected"):
            GradScaler("cpu", **options)


@needs_no_gpu
def test_a_scaler_without_cuda_is_disabled():
    with pytest.warns(UserWarning, match="GradScaler: expected CUDA, got none"):
        assert not GradScaler().is_enabled()
