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
