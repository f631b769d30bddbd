# SPDX-License-Identifier: BSD-3-Clause
"""create_graph=True for every operation of the case table that has a gradient."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import autograd, nn, testing
from fastnn.tensor import Tensor

# The fused recurrent kernels, which have none, and the cells that their errors name.
FUSED = {"lstm_layer": "LSTM", "gru_layer": "GRU", "rnn_layer": "RNN", "lstm_variant_layer": "LSTM"}
CASES = [c for c in testing.all_cases() if c.grad and not c.bench]


def roots_and_leaves(case):
    """The differentiable results of a case, gradients for them, and its inputs; new every time."""
    arguments = testing.make_tensors(case, np.float64, requires_grad=True)
    roots = [o for o in testing.call(case, arguments) if o.requires_grad]
    rng = np.random.default_rng(5)
    weights = [Tensor._wrap(np.asarray(rng.uniform(-1, 1, o.shape))) for o in roots]
    return roots, weights, [a for a in arguments if isinstance(a, Tensor) and a.requires_grad]


@pytest.mark.parametrize("name", sorted({c.name for c in CASES} - set(FUSED)))
def test_recorded_gradients_are_the_same_and_can_be_differentiated(name):
    for case in [c for c in CASES if c.name == name]:
        roots, weights, leaves = roots_and_leaves(case)
        if not roots:
            continue
        plain = autograd.grad(roots, leaves, weights, allow_unused=True)
        roots, weights, leaves = roots_and_leaves(case)
        for w in weights:
            w.requires_grad_()
        graph = autograd.grad(roots, leaves, weights, create_graph=True, allow_unused=True)
        for p, g in zip(plain, graph, strict=True):
            assert (p is None) == (g is None), case.id
            if g is not None:
                np.testing.assert_allclose(
                    g.detach().numpy(), p.numpy(), rtol=1e-9, atol=1e-11, err_msg=case.id
                )
        recorded = [g for g in graph if g is not None and g.requires_grad]
        # Gradients are linear in those of the results: unless they are zero, they depend on these.
        assert recorded or all(g is None or not g.numpy().any() for g in graph), case.id
        if recorded:
            autograd.grad(sum(g.sum() for g in recorded), [*leaves, *weights], allow_unused=True)


@pytest.mark.parametrize("name", FUSED)
def test_fused_recurrent_kernels_refuse_and_name_the_cell(name):
    case = next(c for c in CASES if c.name == name)
    roots, weights, leaves = roots_and_leaves(case)
    message = f"{name}: expected an operation with a second derivative .*{FUSED[name]} cell"
    with pytest.raises(RuntimeError, match=message):
        autograd.grad(roots, leaves, weights, create_graph=True, allow_unused=True)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"])
def test_layers_and_cells_refuse_and_name_the_cell(kind):
    layer = getattr(nn, kind)(2, 3)
    x = fastnn.ones((1, 2) if kind.endswith("Cell") else (4, 1, 2))
    out = layer(x)
    while isinstance(out, tuple):
        out = out[0]
    with pytest.raises(RuntimeError, match=f"{kind.removesuffix('Cell')} cell"):
        out.sum().backward(create_graph=True)


def test_only_the_fused_kernels_are_without():
    """What the case table says is what the nodes say."""
    operations = {c.name.split()[0] for c in CASES}
    with_second = {c.name.split()[0] for c in CASES if c.double_grad}
    assert operations - with_second == set(FUSED)


F = fastnn.nn.functional
X = (1, 2, 4, 4)  # where every value is left out by no function below


def of_inner(function, shape=X):
    """Of function(h), h = w x: the gradients of w and, under create_graph, of x."""
    x = fastnn.rand(shape, dtype=fastnn.float64).requires_grad_()
    w = fastnn.full(shape, 0.5, dtype=fastnn.float64).requires_grad_()
    y = function(w * x)
    (gx,) = autograd.grad(y.sum(), x, create_graph=True)
    return x, w, gx


# Their gradients are step functions of h, which torch computes them from.
STEPS = {
    "relu": F.relu,
    "relu of much": lambda h: F.relu(h.expand(1 << 16, 2, 4, 4)),
    "fused relu": lambda h: F.linear(h, fastnn.ones(3, 4, dtype=h.dtype), activation="relu"),
    "relu_": lambda h: F.relu_(h * 1.0),
    "leaky_relu": F.leaky_relu,
    "hardtanh": F.hardtanh,
    "relu6": F.relu6,
    "threshold": lambda h: F.threshold(h, 0.1, 0.0),
    "hardshrink": F.hardshrink,
    "softshrink": F.softshrink,
    "avg_pool2d": lambda h: F.avg_pool2d(h, 3, 1),
    "adaptive_avg_pool2d": lambda h: F.adaptive_avg_pool2d(h, 3),
    "max_pool2d": lambda h: F.max_pool2d(h, 3, 1),
    "max_pool2d halving": lambda h: F.max_pool2d(h, 2),
    "adaptive_max_pool2d": lambda h: F.adaptive_max_pool2d(h, 3),
    "pad reflect": lambda h: F.pad(h, (1, 1, 1, 1), mode="reflect"),
    "pad replicate": lambda h: F.pad(h, (1, 1, 1, 1), mode="replicate"),
    "nll_loss": lambda h: F.nll_loss(h, fastnn.zeros(1, 4, 4, dtype=fastnn.int64)),
    "x^1": lambda h: h**1,
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_function_as_gradient_gives_zeros_to_what_it_was_computed_from(name):
    x, w, gx = of_inner(STEPS[name])
    assert gx.requires_grad
    gx.sum().backward()
    # d gx / dw is the step, and the way through h adds zeros; x is reached through h alone.
    assert w.grad is not None
    assert x.grad is not None
    assert x.grad.shape == x.shape
    assert not x.grad.numpy().any()


def test_the_gradient_of_a_step_functions_gradient_is_tied_again():
    x = fastnn.ones(3, requires_grad=True)
    v = fastnn.ones(3, requires_grad=True)
    (g,) = autograd.grad(F.leaky_relu(x), x, v, create_graph=True)
    gv, gx = autograd.grad(g.sum(), (v, x), create_graph=True)
    assert gv.requires_grad
    assert not gx.requires_grad
    assert not gx.numpy().any()
    (again,) = autograd.grad(gv.sum(), x)
    assert again.tolist() == [0.0, 0.0, 0.0]


def test_powers_can_be_differentiated_until_they_vanish():
    x = fastnn.tensor([2.0], requires_grad=True)
    for power, wanted in ((3, [12.0, 12.0, 6.0, 0.0]), (2, [4.0, 2.0, 0.0]), (1, [1.0, 0.0])):
        g, found = x**power, []
        for _ in wanted:
            (g,) = autograd.grad(g, x, create_graph=True)
            found.append(g.item())
        assert found == wanted


@pytest.mark.parametrize("kind", ["conv", "conv_transpose", "layer_norm", "batch_norm"])
def test_all_gradients_of_one_operation_require_grad_together(kind):
    x = fastnn.rand(2, 3, 4).requires_grad_()
    bias = fastnn.rand(3).requires_grad_()
    call = {
        "conv": lambda: F.conv1d(x, fastnn.ones(3, 3, 2), bias),
        "conv_transpose": lambda: F.conv_transpose1d(x, fastnn.ones(3, 3, 2), bias),
        "layer_norm": lambda: F.layer_norm(x.mT, (3,), None, bias),
        "batch_norm": lambda: F.batch_norm(x, None, None, None, bias, training=True),
    }[kind]
    (gb,) = autograd.grad(call().sum(), bias, create_graph=True)
    assert gb.requires_grad
    # It does not vary with x, which gets none, as in torch.
    assert autograd.grad(gb.sum(), x, allow_unused=True) == (None,)
    gb = autograd.grad(call().sum(), bias, create_graph=True)[0]
    gb.sum().backward()
    assert x.grad is None
