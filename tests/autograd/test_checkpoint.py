# SPDX-License-Identifier: BSD-3-Clause
"""utils.checkpoint: the same gradients from a second run of the forward pass."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

import fastnn
from fastnn import autograd, nn
from fastnn.utils.checkpoint import (
    CheckpointError,
    checkpoint,
    checkpoint_sequential,
    set_checkpoint_early_stop,
)

BOTH = pytest.mark.parametrize("use_reentrant", [False, True])


def leaf(*shape):
    rng = np.random.default_rng(4)
    return fastnn.tensor(rng.standard_normal(shape), requires_grad=True)


def layers():
    fastnn.manual_seed(1)
    return nn.Sequential(
        nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.GELU(), nn.Dropout(0.5), nn.Linear(4, 2)
    ).double()


def gradients(model, x):
    return [x.grad.numpy().copy(), *[p.grad.numpy().copy() for p in model.parameters()]]


def run(call):
    """Output and gradients of a model that ``call(model, x)`` runs."""
    model, x = layers(), leaf(5, 3)
    out = call(model, x)
    (out * out).sum().backward()
    return [out.detach().numpy(), *gradients(model, x)]


@BOTH
def test_values_and_gradients_are_those_of_a_plain_call(use_reentrant):
    plain = run(lambda model, x: model(x))
    state = fastnn.get_rng_state()
    again = run(lambda model, x: checkpoint(model, x, use_reentrant=use_reentrant))
    for a, b in zip(plain, again, strict=True):
        np.testing.assert_array_equal(a, b)
    # The second run's draws are taken back.
    np.testing.assert_array_equal(np.asarray(fastnn.get_rng_state()), np.asarray(state))


@BOTH
@pytest.mark.parametrize("segments", [1, 2, 3, 6])
def test_sequential(use_reentrant, segments):
    plain = run(lambda model, x: model(x))
    for as_list in (False, True):
        again = run(
            lambda model, x, as_list=as_list: checkpoint_sequential(
                list(model) if as_list else model, segments, x, use_reentrant=use_reentrant
            )
        )
        for a, b in zip(plain, again, strict=True):
            np.testing.assert_array_equal(a, b)


@BOTH
def test_the_function_runs_twice_and_keeps_little(use_reentrant):
    runs = []

    def function(x):
        runs.append(fastnn.is_grad_enabled())
        return x.exp().sin().exp()

    x = leaf(4)
    y = checkpoint(function, x, use_reentrant=use_reentrant)
    assert runs == [not use_reentrant]
    y.sum().backward()
    assert runs == [not use_reentrant, True]
    want = autograd.grad(x.exp().sin().exp().sum(), [x])[0]
    np.testing.assert_array_equal(x.grad.numpy(), want.numpy())


def test_saved_memory_is_given_back():
    x = leaf(64)

    def function(t):
        return t.exp().sin().tanh()

    y = checkpoint(function, x, use_reentrant=False)
    node = y.grad_fn
    while node is not None and hasattr(node, "saved"):
        assert not any(hasattr(s, "shape") for s in node.saved)
        node = node.next_functions[0][0]


@BOTH
def test_random_draws_can_be_left_alone(use_reentrant):
    def masks(preserve):
        seen = []

        def function(x):
            seen.append(fastnn.rand(3).tolist())
            return x * fastnn.tensor(seen[-1]).double()

        fastnn.manual_seed(3)
        x = leaf(3)
        y = checkpoint(function, x, use_reentrant=use_reentrant, preserve_rng_state=preserve)
        fastnn.rand(1)
        y.sum().backward()
        return seen

    first, second = masks(True)
    assert first == second
    first, second = masks(False)
    assert first != second


@BOTH
def test_several_arguments_and_results(use_reentrant):
    x, y = leaf(3), leaf(3)

    def function(a, scale, b, nothing):
        assert nothing is None
        return a * b * scale, "text", a + 1

    product, text, moved = checkpoint(function, x, 2.0, y, None, use_reentrant=use_reentrant)
    assert text == "text"
    (product.sum() + moved.sum()).backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * y.detach().numpy() + 1)
    np.testing.assert_allclose(y.grad.numpy(), 2 * x.detach().numpy())


def test_keyword_arguments_and_grad_and_second_derivatives():
    x, w = leaf(3), leaf(3)

    def function(t, *, factor, weight):
        return (t * factor * weight).exp()

    def call(t):
        return checkpoint(function, t, factor=2.0, weight=w, use_reentrant=False)

    got = autograd.grad(call(x).sum(), [x, w])
    want = autograd.grad(function(x, factor=2.0, weight=w).sum(), [x, w])
    for g, v in zip(got, want, strict=True):
        np.testing.assert_array_equal(g.numpy(), v.numpy())
    assert autograd.gradgradcheck(call, [x])
    y = call(x)
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * want[0].numpy())
    with pytest.raises(ValueError, match=r"no keyword arguments .*, got factor"):
        checkpoint(function, x, factor=2.0, use_reentrant=True)


def test_parameters_alone_need_gradients():
    model = layers()
    x = fastnn.ones(2, 3).double()
    checkpoint(model, x, use_reentrant=False).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    with pytest.warns(UserWarning, match="gradients will be None"):
        assert not checkpoint(model, x, use_reentrant=True).requires_grad


def test_checkpoints_inside_of_checkpoints():
    def inner(t):
        return t.sin().exp()

    def outer(t):
        return checkpoint(inner, t.exp() * 2, use_reentrant=False).tanh()

    x, plain = leaf(3), leaf(3)
    for twice in (1, 2):
        y = checkpoint(outer, x, use_reentrant=False)
        y.sum().backward(retain_graph=twice == 1)
    inner(plain.exp() * 2).tanh().sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * plain.grad.numpy(), rtol=1e-14)
    assert autograd.gradgradcheck(lambda t: checkpoint(outer, t, use_reentrant=False), [plain])


def test_the_second_run_ends_early():
    ends = []

    def function(x):
        y = x.exp()
        ends.append("half")
        y = y + 1  # saves nothing
        ends.append("end")
        return y

    def count(**options):
        ends.clear()
        checkpoint(function, leaf(2), use_reentrant=False, **options).sum().backward()
        return ends.count("end")

    assert count() == 1
    assert count(early_stop=False) == 2
    with set_checkpoint_early_stop(False):
        assert count() == 2
    assert count() == 1


def test_contexts_of_the_two_runs():
    seen = []

    @contextlib.contextmanager
    def named(name):
        seen.append(name)
        yield

    x = leaf(2)
    y = checkpoint(
        lambda t: t.exp(), x, use_reentrant=False, context_fn=lambda: (named("1"), named("2"))
    )
    assert seen == ["1"]
    y.sum().backward()
    assert seen == ["1", "2"]
    with pytest.raises(ValueError, match="no context_fn and no debug"):
        checkpoint(lambda t: t, x, use_reentrant=True, debug=True)


def test_a_second_run_that_differs_is_an_error():
    runs = []

    def shorter(x):
        runs.append(None)
        return x.exp().sin() if len(runs) == 1 else x.exp()

    def other_shape(x):
        runs.append(None)
        return (x if len(runs) == 1 else x[:1]).exp()

    for function, message in ((shorter, "different number of tensors"), (other_shape, "metadata")):
        runs.clear()
        y = checkpoint(function, leaf(3), use_reentrant=False)
        with pytest.raises(CheckpointError, match=f"checkpoint: expected .*{message}"):
            y.sum().backward()


def test_reentrant_checkpoints_are_for_backward_alone():
    x = leaf(3)
    y = checkpoint(lambda t: t.exp(), x, use_reentrant=True).sum()
    for call in (
        lambda: autograd.grad(y, [x], retain_graph=True),
        lambda: y.backward(inputs=[x], retain_graph=True),
        lambda: y.backward(create_graph=True),
    ):
        with pytest.raises(RuntimeError, match="pass use_reentrant=False"):
            call()
    constant = checkpoint(lambda t: t.detach(), x, use_reentrant=True)
    with pytest.raises(RuntimeError, match="output that requires grad from the second run"):
        constant.sum().backward()


def test_arguments():
    x = leaf(3)
    with pytest.warns(UserWarning, match="use_reentrant to be given"):
        checkpoint(lambda t: t * 2, x)
    with pytest.warns(UserWarning, match="use_reentrant to be given"):
        checkpoint_sequential([lambda t: t * 2], 1, x)
    with pytest.raises(ValueError, match="'default' or 'none', got 'all'"):
        checkpoint(lambda t: t, x, use_reentrant=False, determinism_check="all")
    with pytest.raises(ValueError, match="preserve_rng_state alone by name, got other"):
        checkpoint_sequential([lambda t: t], 1, x, use_reentrant=False, other=1)
    with pytest.raises(ValueError, match=r"segments in \[1, 1\], got 2"):
        checkpoint_sequential([lambda t: t], 2, x, use_reentrant=False)
    y = checkpoint(lambda t: t.exp(), x, use_reentrant=False, determinism_check="none", debug=True)
    y.sum().backward()
