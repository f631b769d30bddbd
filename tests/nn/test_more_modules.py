# SPDX-License-Identifier: BSD-3-Clause
"""Bags of embeddings, distances, the bilinear form and random rectifiers, without torch."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn import functional as F


def close(a, b, atol=1e-6):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=atol)


def bag(**options):
    fastnn.manual_seed(0)
    return nn.EmbeddingBag(5, 3, **options)


def test_bags_by_offsets_and_by_rows_are_the_same():
    x = fastnn.tensor([[1, 4, 4], [0, 2, 3]])
    for mode in ("sum", "mean", "max"):
        b = bag(mode=mode)
        y = b(x)
        close(y, b(x.flatten(), fastnn.tensor([0, 3])))
        rows = b.weight[x]
        wanted = {"sum": rows.sum(1), "mean": rows.mean(1), "max": rows.max(1)[0]}
        close(y, wanted[mode])


def test_what_is_left_out_of_bags():
    x = fastnn.tensor([[1, 4, 4], [4, 4, 4]])
    for mode in ("sum", "mean", "max"):
        b = bag(mode=mode, padding_idx=-1)
        assert b.padding_idx == 4
        assert (b.weight[4] == 0).all()
        y = b(x)
        close(y[0], b.weight[1])
        assert (y[1] == 0).all()
        y.sum().backward()
        assert (b.weight.grad[4] == 0).all()
        assert b.weight.grad[1].tolist() == [1.0] * 3


def test_weights_of_samples_have_a_gradient():
    b = bag(mode="sum", include_last_offset=True)
    w = fastnn.tensor([0.5, -1.0, 2.0], requires_grad=True)
    x = fastnn.tensor([3, 1, 3])
    y = b(x, fastnn.tensor([0, 2, 3]), w)
    close(y[0], b.weight[3] * 0.5 - b.weight[1])
    y.sum().backward()
    close(w.grad, b.weight[x].sum(1))


def test_bags_of_rows_below_a_norm():
    b = bag(mode="sum", max_norm=0.5)
    b(fastnn.tensor([[0, 2]]))
    norms = b.weight.detach().norm(dim=1)
    assert (norms[[0, 2]] <= 0.5 + 1e-6).all()
    assert norms.max().item() > 0.5


def test_a_table_that_is_given_and_what_is_shown():
    table = fastnn.ones(4, 2)
    b = nn.EmbeddingBag.from_pretrained(table, mode="max", padding_idx=1)
    assert not b.weight.requires_grad
    assert (b.weight == 1).all()
    assert nn.EmbeddingBag.from_pretrained(table, freeze=False).weight.requires_grad
    assert repr(b) == "EmbeddingBag(4, 2, mode='max', padding_idx=1)"
    assert repr(bag(max_norm=1.0)) == "EmbeddingBag(5, 3, max_norm=1.0, mode='mean')"
    with pytest.raises(ValueError, match=r"expected padding_idx in \[-5, 4\], got 5; None"):
        bag(padding_idx=5)
    with pytest.raises(ValueError, match="expected a table"):
        nn.EmbeddingBag.from_pretrained(fastnn.ones(4))


def test_gradients_by_frequency():
    b = bag(mode="sum", scale_grad_by_freq=True)
    b(fastnn.tensor([[1, 1], [1, 2]])).sum().backward()
    assert b.weight.grad[1].tolist() == [1.0] * 3
    assert b.weight.grad[2].tolist() == [1.0] * 3


def test_distances_and_angles():
    x, y = fastnn.tensor([[3.0, 4.0], [1.0, 0.0]]), fastnn.tensor([[3.0, 4.0], [0.0, 2.0]])
    close(nn.CosineSimilarity()(x, y), fastnn.tensor([1.0, 0.0]))
    close(nn.CosineSimilarity(0)(x[:, 0], y[:, 0]), fastnn.tensor(9.0 / (10**0.5 * 3)))
    close(nn.PairwiseDistance(1.0, 0.0)(x, y), fastnn.tensor([0.0, 3.0]))
    close(nn.PairwiseDistance(keepdim=True)(x, y), fastnn.tensor([[0.0], [5**0.5]]), 2e-6)
    close(F.pdist(x), fastnn.tensor([20**0.5]))
    close(F.pairwise_distance(fastnn.tensor([1, 2]), fastnn.tensor([1, 4])), fastnn.tensor(2.0))


def test_equal_vectors_have_distance_and_gradient_zero():
    x = fastnn.ones(3, 2).requires_grad_()
    F.pdist(x).sum().backward()
    assert (x.grad == 0).all()


def test_a_vector_of_zeros_has_no_direction():
    x = fastnn.zeros(1, 3).requires_grad_()
    y = F.cosine_similarity(x, fastnn.ones(1, 3))
    assert y.item() == 0.0
    y.backward()
    assert not fastnn.isnan(x.grad).any()


def test_the_bilinear_module():
    fastnn.manual_seed(0)
    m = nn.Bilinear(3, 2, 4)
    assert {k: tuple(v.shape) for k, v in m.state_dict().items()} == {
        "weight": (4, 3, 2),
        "bias": (4,),
    }
    assert m.weight.detach().abs().max().item() <= 3**-0.5
    a, b = fastnn.randn(2, 5, 3), fastnn.randn(2, 5, 2)
    wanted = sum(
        a[..., i : i + 1] * b[..., j : j + 1] * m.weight[:, i, j]
        for i in range(3)
        for j in range(2)
    )
    close(m(a, b), wanted + m.bias, 1e-5)
    shown = "Bilinear(in1_features=3, in2_features=2, out_features=4, bias=False)"
    assert repr(nn.Bilinear(3, 2, 4, bias=False)) == shown
    with pytest.raises(ValueError, match="in1_features >= 1"):
        nn.Bilinear(0, 2, 4)


def test_random_slopes_below_zero():
    fastnn.manual_seed(0)
    m = nn.RReLU(0.2, 0.4)
    x = fastnn.full((200,), -1.0)
    y = -m(x)
    assert (y >= 0.2).all()
    assert (y < 0.4).all()
    assert y.std().item() > 0.03
    close(m(-x), -x, 0)
    m.eval()
    close(m(x), x * 0.3)
    given = x.clone()
    assert nn.RReLU(0.2, 0.4, inplace=True).eval()(given) is given
    close(given, x * 0.3)
    assert F.rrelu_(given, 0.5, 0.5) is given
    close(given, x * 0.15)
    assert repr(nn.RReLU(0.2, 0.4, True)) == "RReLU(lower=0.2, upper=0.4, inplace=True)"


def test_the_slope_that_was_drawn_is_the_gradient():
    x = fastnn.tensor([-2.0, 3.0, -1.0], requires_grad=True)
    y = F.rrelu(x, training=True)
    y.sum().backward()
    close(x.grad, y / x)


def test_hard_draws_are_one_hot_with_soft_gradients():
    logits = fastnn.zeros(400, 3)
    logits[:, 1] = 2.0
    logits.requires_grad_()
    fastnn.manual_seed(5)
    hard = F.gumbel_softmax(logits, 0.7, hard=True)
    assert ((hard == 0) | ((hard - 1).abs() < 1e-6)).all()
    close(hard.sum(1), fastnn.ones(400))
    # Draws of a categorical distribution: e^2 / (e^2 + 2) are of the second class.
    assert abs(hard[:, 1].mean().item() - 0.787) < 0.06
    (hard[:, 0] * 2.0).sum().backward()
    got, logits.grad = logits.grad, None
    fastnn.manual_seed(5)
    (F.gumbel_softmax(logits, 0.7)[:, 0] * 2.0).sum().backward()
    close(got, logits.grad)
    assert F.gumbel_softmax(fastnn.tensor(1.0), hard=True).item() == 1.0
    assert F.gumbel_softmax(fastnn.zeros(0, 3), hard=True).shape == (0, 3)
