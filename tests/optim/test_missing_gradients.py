# SPDX-License-Identifier: BSD-3-Clause
"""The warning for parameters that are in an optimiser and not in the loss."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import pytest

import fastnn
from fastnn import nn, optim


class Model(nn.Module):
    """With a head that forward() forgets."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        self.heads = nn.ModuleList([nn.Linear(3, 1) for _ in range(2)])

    def forward(self, x: fastnn.Tensor) -> Any:
        return self.heads[0](self.body(x))


def backward(model: Model) -> None:
    model(fastnn.ones(4, 2)).sum().backward()


@pytest.mark.parametrize("named", [False, True])
def test_parameters_without_gradient_are_named_once(named: bool) -> None:
    model = Model()
    given: Any = model.named_parameters() if named else model.parameters()
    optimizer = optim.SGD(given, lr=0.1)
    before = model.heads[1].weight.tolist()
    backward(model)
    with pytest.warns(
        UserWarning, match=r"got none for heads\.1\.weight \(1, 3\), heads\.1\.bi"
    ) as w:
        optimizer.step()
    assert w[0].filename == __file__
    assert "SGD: expected a gradient" in str(w[0].message)
    assert model.heads[1].weight.tolist() == before
    for _ in range(2):  # warnings are errors in this suite
        backward(model)
        optimizer.step()


def test_what_no_module_owns_is_named_by_its_place() -> None:
    used, unused = (nn.Parameter(fastnn.ones(2)) for _ in range(2))
    optimizer = optim.Adam([{"params": [used]}, {"params": [unused]}])
    used.sum().backward()
    with pytest.warns(UserWarning, match=r"none for param_groups\[1\]\['params'\]\[0\] \(2,\): "):
        optimizer.step()


def test_many_are_counted() -> None:
    parameters = [nn.Parameter(fastnn.ones(1)) for _ in range(9)]
    optimizer = optim.SGD(parameters, lr=0.1)
    parameters[0].sum().backward()
    with pytest.warns(UserWarning, match=r"\[4\] \(1,\), 4 more: the loss"):
        optimizer.step()


def test_no_warning_without_a_backward_for_the_frozen_and_after_a_closure() -> None:
    model = Model()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    optimizer.step()  # nothing has a gradient: a schedule is tried out
    model.heads[1].requires_grad_(False)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = model(fastnn.ones(4, 2)).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    model.heads[1].requires_grad_(True)
    optimizer.step(closure)  # was said, or was not to be said, at the first step


def test_a_group_that_is_added_is_looked_at_too() -> None:
    model = Model()
    optimizer = optim.SGD([*model.body.parameters(), *model.heads[0].parameters()], lr=0.1)
    backward(model)
    optimizer.step()
    optimizer.add_param_group({"params": list(model.heads[1].parameters())})
    with pytest.warns(UserWarning, match=r"heads\.1\.weight"):
        optimizer.step()
    copied = pickle.loads(pickle.dumps(optimizer))
    with warnings.catch_warnings(record=True) as caught:
        copied.step()  # of the copies none has a gradient
    assert not caught


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.LeakyReLU(0.2)])
def test_a_gradient_penalty_trains_all_that_it_goes_through(activation: nn.Module) -> None:
    """As in torch the biases get zeros from it: no warning, and no .grad that is None."""
    critic = nn.Sequential(nn.Linear(2, 3), activation, nn.Linear(3, 3), activation)
    optimizer = optim.SGD(critic.parameters(), lr=0.1)
    x = fastnn.rand(4, 2).requires_grad_()
    (g,) = fastnn.autograd.grad(critic(x).sum(), x, create_graph=True)
    ((g.norm(dim=1) - 1) ** 2).mean().backward()
    for p in critic.parameters():
        assert p.grad is not None
    optimizer.step()  # warnings are errors in this suite
