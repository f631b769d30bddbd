# SPDX-License-Identifier: BSD-3-Clause
"""Forward hooks, forward pre-hooks and full backward hooks."""

# Hooks are called with fixed arguments, most of which a test does not need.
# ruff: noqa: ARG001, ARG002, ARG005
from __future__ import annotations

import copy

import numpy as np
import pytest

import fastnn
from fastnn import nn


class Affine(nn.Module):
    def forward(self, x, factor=1.0):
        return x * factor + 1.0


def test_forward_hooks_see_and_replace():
    m, seen = Affine(), []
    m.register_forward_pre_hook(lambda mod, args: seen.append(("pre", args[0].item())))
    m.register_forward_hook(lambda mod, args, out: seen.append(("post", out.item())))
    m.register_forward_pre_hook(lambda mod, args: args[0] * 10.0)
    m.register_forward_hook(lambda mod, args, out: out + 0.5)
    assert m(fastnn.tensor(2.0)).item() == 21.5
    assert seen == [("pre", 2.0), ("post", 21.0)]


def test_hooks_with_kwargs():
    m = Affine()
    m.register_forward_pre_hook(
        lambda mod, args, kwargs: (args, {**kwargs, "factor": 3.0}), with_kwargs=True
    )
    m.register_forward_hook(lambda mod, args, kwargs, out: out + kwargs["factor"], with_kwargs=True)
    assert m(fastnn.tensor(2.0), factor=100.0).item() == 10.0
    m.register_forward_pre_hook(lambda mod, args, kwargs: args, with_kwargs=True)
    with pytest.raises(RuntimeError, match="tuple of \\(new_args, new_kwargs\\)"):
        m(fastnn.tensor(2.0))


def test_handle_removes_and_prepend_comes_first():
    m, seen = Affine(), []
    late = m.register_forward_hook(lambda *a: seen.append("late"))
    m.register_forward_hook(lambda *a: seen.append("early"), prepend=True)
    m(fastnn.ones(1))
    assert seen == ["early", "late"]
    late.remove()
    late.remove()
    with m.register_forward_pre_hook(lambda *a: seen.append("pre")):
        m(fastnn.ones(1))
    m(fastnn.ones(1))
    assert seen == ["early", "late", "pre", "early", "early"]


def test_hook_may_remove_itself():
    m, seen = Affine(), []

    def once(mod, args, out):
        seen.append(1)
        handle.remove()

    handle = m.register_forward_hook(once)
    m(fastnn.ones(1))
    m(fastnn.ones(1))
    assert seen == [1]


def test_always_call_runs_when_forward_raises():
    class Bad(nn.Module):
        def forward(self, x):
            message = "inside"
            raise KeyError(message)

    m, seen = Bad(), []
    m.register_forward_hook(lambda mod, args, out: seen.append(out), always_call=True)
    m.register_forward_hook(lambda mod, args, out: seen.append("never"))
    with pytest.raises(KeyError, match="inside"):
        m(1)
    assert seen == [None]


def test_deepcopy_has_hooks_of_its_own():
    m, seen = Affine(), []
    handle = m.register_forward_hook(lambda *a: seen.append(1))
    other = copy.deepcopy(m)
    handle.remove()
    m(fastnn.ones(1))
    assert seen == []
    other(fastnn.ones(1))
    assert seen == [1]


def test_full_backward_hook_sees_both_gradients():
    m = nn.Linear(3, 2)
    x = fastnn.ones(4, 3, requires_grad=True)
    seen = []
    m.register_full_backward_hook(lambda mod, gi, go: seen.append((mod, gi, go)))
    (m(x) * 2.0).sum().backward()
    ((mod, (grad_in,), (grad_out,)),) = seen
    assert mod is m
    np.testing.assert_array_equal(grad_out.numpy(), np.full((4, 2), 2.0, "f4"))
    np.testing.assert_array_equal(grad_in.numpy(), x.grad.numpy())
    assert m.weight.grad is not None


def test_full_backward_hook_replaces_grad_input():
    m = nn.Tanh()
    x = fastnn.ones(3, requires_grad=True)
    m.register_full_backward_hook(lambda mod, gi, go: (gi[0] * 10.0,))
    m(x).sum().backward()
    plain = fastnn.ones(3, requires_grad=True)
    nn.Tanh()(plain).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 10 * plain.grad.numpy(), rtol=1e-6)


def test_full_backward_pre_hook_replaces_grad_output():
    m = nn.Linear(3, 2)
    x = fastnn.ones(4, 3, requires_grad=True)
    m.register_full_backward_pre_hook(lambda mod, go: (go[0] * 0.0,))
    m(x).sum().backward()
    assert not x.grad.numpy().any()
    assert not m.weight.grad.numpy().any()


def test_backward_hook_without_differentiable_input():
    m, seen = nn.Linear(3, 2), []
    m.register_full_backward_hook(lambda mod, gi, go: seen.append((gi, go[0].tolist())))
    m(fastnn.ones(1, 3)).sum().backward()
    assert seen == [((None,), [[1.0, 1.0]])]


def test_backward_hook_with_several_inputs_and_outputs():
    class Two(nn.Module):
        def forward(self, a, n, b):
            return a * b, n, a + b

    m, seen = Two(), []
    m.register_full_backward_hook(
        lambda mod, *grads: seen.append([[g and g.item() for g in part] for part in grads])
    )
    a = fastnn.tensor(2.0, requires_grad=True)
    b = fastnn.tensor(5.0, requires_grad=True)
    out = m(a, 3, b)
    assert isinstance(out, tuple)
    assert out[1] == 3
    (out[0] + out[2]).backward()
    assert seen == [[[6.0, None, 3.0], [1.0, None, 1.0]]]


def test_backward_hook_result_must_fit():
    m = nn.Tanh()
    m.register_full_backward_hook(lambda mod, gi, go: (gi[0], gi[0]))
    y = m(fastnn.ones(3, requires_grad=True)).sum()
    with pytest.raises(RuntimeError, match="invalid number of grad_input, got 2, but expected 1"):
        y.backward()


def test_backward_hooks_leave_values_and_second_derivatives():
    m = nn.Tanh()
    x = fastnn.tensor([0.3, -1.2], dtype=fastnn.float64, requires_grad=True)
    plain = m(x)
    m.register_full_backward_hook(lambda mod, gi, go: None)
    np.testing.assert_array_equal(m(x).detach().numpy(), plain.detach().numpy())
    (g,) = fastnn.autograd.grad(m(x).sum(), x, create_graph=True)
    (gg,) = fastnn.autograd.grad(g.sum(), x)
    t = np.tanh(x.detach().numpy())
    np.testing.assert_allclose(gg.numpy(), -2 * t * (1 - t * t), rtol=1e-12)


def test_backward_hooks_are_off_without_grad():
    m, seen = nn.Tanh(), []
    m.register_full_backward_hook(lambda *a: seen.append(1))
    with fastnn.no_grad():
        assert not m(fastnn.ones(3, requires_grad=True)).requires_grad
    assert seen == []


def test_old_backward_hooks_see_the_last_operation():
    seen = []
    layer = nn.Linear(2, 3)
    handle = layer.register_backward_hook(lambda m, into, out: seen.append((m, into, out)))
    x = fastnn.ones(1, 2, requires_grad=True)
    (layer(x) * 2.0).sum().backward()
    ((module, into, out),) = seen
    assert module is layer
    assert len(out) == 1
    assert out[0].tolist() == [[2.0, 2.0, 2.0]]
    assert sorted(tuple(g.shape) for g in into) == [(1, 2), (3,), (3, 2)]
    with pytest.raises(RuntimeError, match="backward hooks of one kind"):
        layer.register_full_backward_hook(print)
    handle.remove()
    layer.register_full_backward_hook(lambda m, into, out: None)
    with pytest.raises(RuntimeError, match="Linear: expected backward hooks of one kind"):
        layer.register_backward_hook(print)

    class Named(nn.Module):
        def forward(self, x):
            return {"text": "none", "values": (x * 3.0,)[0]}

    named = Named()
    named.register_backward_hook(lambda m, into, out: (into[0] * 10.0, into[1]))
    x.grad = None
    named(x)["values"].sum().backward()
    assert x.grad.tolist() == [[30.0, 30.0]]
    with fastnn.no_grad():
        named(x)
