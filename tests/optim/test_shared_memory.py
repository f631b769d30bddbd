# SPDX-License-Identifier: BSD-3-Clause
"""Parameters that share memory, were converted after a step, or cannot be written."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim

METHODS = [
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True}),
    ("AdamW", {"lr": 0.1}),
]


def overlapping(lib):
    base = lib.arange(6.0)
    a, b = base[:4].detach().requires_grad_(), base[2:].detach().requires_grad_()
    a.grad, b.grad = lib.ones(4), lib.full((4,), 2.0)
    return [a, b]


def overlapping_columns(lib):
    base = lib.arange(12.0).reshape(3, 4)
    parts = [base[:, :3].detach().requires_grad_(), base[:, 1:].detach().requires_grad_()]
    for p in parts:
        p.grad = lib.ones(3, 3)
    return parts


def own_gradient(lib):
    a = lib.arange(4.0).requires_grad_()
    a.grad = a.detach()
    return [a]


def shifted_gradient(lib):
    base = lib.arange(6.0)
    a = base[:4].detach().requires_grad_()
    a.grad = base[2:]
    return [a]


def gradient_of_another(lib):
    a, b = lib.arange(4.0).requires_grad_(), lib.zeros(4).requires_grad_()
    a.grad, b.grad = lib.ones(4), a.detach()
    return [a, b]


def transposed_gradient_of_another(lib):
    a, b = lib.ones(2, 3).requires_grad_(), lib.zeros(3, 2).requires_grad_()
    a.grad, b.grad = lib.ones(2, 3), a.detach().t()
    return [a, b]


SCENES = [
    overlapping,
    overlapping_columns,
    own_gradient,
    shifted_gradient,
    gradient_of_another,
    transposed_gradient_of_another,
]


def run(lib, method, options, scene):
    params = scene(lib)
    method = getattr(lib.optim, method)(params, **options)
    for _ in range(3):
        method.step()
    return [p.detach().numpy() for p in params]


def test_overlapping_parameters_are_updated_one_after_the_other():
    a, _ = params = overlapping(fastnn)
    base = a.detach()
    optim.SGD(params, lr=0.5).step()
    # [0 1 2 3 4 5] - 0.5 on the first four, then - 1 on the last four.
    assert base.tolist() == [-0.5, 0.5, 0.5, 1.5]
    assert params[1].tolist() == [0.5, 1.5, 3.0, 4.0]


def test_a_gradient_is_read_when_its_parameters_turn_has_come():
    params = gradient_of_another(fastnn)
    optim.SGD(params, lr=0.5).step()
    assert params[0].tolist() == [-0.5, 0.5, 1.5, 2.5]
    assert params[1].tolist() == [0.25, -0.25, -0.75, -1.25]


@pytest.mark.torch
@pytest.mark.parametrize("scene", SCENES, ids=lambda s: s.__name__)
@pytest.mark.parametrize(("method", "options"), METHODS, ids=[m for m, _ in METHODS])
def test_shared_memory_as_torch(method, options, scene):
    torch = pytest.importorskip("torch")
    ours, theirs = (run(lib, method, options, scene) for lib in (fastnn, torch))
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-6)


def trained_then_converted(method):
    model = nn.Linear(2, 2)
    optimizer = method(model.parameters())
    model(fastnn.ones(1, 2)).sum().backward()
    optimizer.step()
    model.double()
    optimizer.zero_grad()
    model(fastnn.ones(1, 2).double()).sum().backward()
    return model, optimizer


def test_momentum_keeps_its_type_when_the_model_is_converted():
    model, optimizer = trained_then_converted(lambda p: optim.SGD(p, lr=0.1, momentum=0.5))
    before = model.weight.detach().numpy().copy()
    optimizer.step()
    np.testing.assert_allclose(before - model.weight.detach().numpy(), 0.15, rtol=1e-6)
    assert optimizer.state[model.weight]["momentum_buffer"].dtype is fastnn.float32


@pytest.mark.parametrize("method", [optim.Adam, optim.AdamW])
def test_adam_names_the_cure_when_the_model_is_converted(method):
    model, optimizer = trained_then_converted(method)
    with pytest.raises(RuntimeError, match=r"got float32 for a parameter of float64.*load_state"):
        optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step()
    assert optimizer.state[model.weight]["exp_avg"].dtype is fastnn.float64


@pytest.mark.parametrize(("method", "options"), METHODS, ids=[m for m, _ in METHODS])
@pytest.mark.parametrize("layout", ["dense", "transposed"])
def test_parameters_on_read_only_memory_are_copied_when_they_are_written(method, options, layout):
    frozen = np.arange(6, dtype="f4").reshape(2, 3)
    frozen = frozen.T if layout == "transposed" else frozen
    results = []
    for memory in (frozen, frozen.copy()):
        memory.flags.writeable = memory is not frozen
        p = fastnn.from_numpy(memory).requires_grad_()
        optimizer = getattr(optim, method)([p], **options)
        for _ in range(2):
            p.grad = fastnn.ones(*memory.shape)
            optimizer.step()
        results.append(p.tolist())
    assert results[0] == results[1]
    assert frozen.ravel("K").tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("method", "options"), METHODS, ids=[m for m, _ in METHODS])
def test_parameters_that_cannot_be_written_are_named(method, options):
    p = fastnn.tensor(1.0).expand(3).detach()
    p.requires_grad_()
    p.grad = fastnn.ones(3)
    with pytest.raises(RuntimeError, match=rf"{method}: expected a parameter.*clone\(\)"):
        getattr(optim, method)([p], **options).step()


@pytest.mark.parametrize(("method", "options"), METHODS, ids=[m for m, _ in METHODS])
def test_gradients_that_cannot_be_written_are_read(method, options):
    results = []
    for grad in (fastnn.tensor(2.0).expand(3), fastnn.full((3,), 2.0)):
        p = fastnn.arange(3.0).requires_grad_()
        p.grad = grad
        getattr(optim, method)([p], **options).step()
        results.append(p.tolist())
    assert results[0] == results[1]


def test_a_gradient_of_another_shape_is_refused():
    p = fastnn.ones(1).requires_grad_()
    p.grad = fastnn.ones(1)
    p.data = fastnn.ones(4)
    with pytest.raises((RuntimeError, ValueError)):
        optim.SGD([p], lr=0.1).step()
