# SPDX-License-Identifier: BSD-3-Clause
"""Attention, its module and the layers of transformers, without torch."""

from __future__ import annotations

import copy
import math
import warnings

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn import functional as F

ENCODER_LAYER = [
    "self_attn.in_proj_weight", "self_attn.in_proj_bias", "self_attn.out_proj.weight",
    "self_attn.out_proj.bias", "linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias",
    "norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias",
]  # fmt: skip


def sequence(*shape, seed=0):
    x = np.random.default_rng(seed).normal(size=shape)
    return fastnn.tensor(x.astype("f4"))


def close(a, b, atol=1e-5):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=atol)


def attention(**options):
    fastnn.manual_seed(3)
    return nn.MultiheadAttention(6, 2, **options)


def test_a_query_without_keys_gives_zero_and_no_gradient():
    q, k, v = (sequence(1, 3, 4, seed=i).requires_grad_() for i in range(3))
    seen = fastnn.tensor([[True, False, True], [False, False, False], [True, True, True]])
    y = F.scaled_dot_product_attention(q, k, v, seen)
    assert (y[0, 1] == 0).all()
    added = fastnn.zeros(3, 3).masked_fill(~seen, -math.inf)
    close(y, F.scaled_dot_product_attention(q, k, v, added))
    y.sum().backward()
    assert (q.grad[0, 1] == 0).all()
    assert not fastnn.isnan(q.grad).any()
    close(y[0, 2], F.scaled_dot_product_attention(q[:, 2:], k, v)[0, 0])


def test_weights_are_dropped_with_the_default_generator():
    q = sequence(2, 5, 4)
    fastnn.manual_seed(1)
    y = F.scaled_dot_product_attention(q, q, q, dropout_p=0.5)
    fastnn.manual_seed(1)
    weights = F.dropout(F.softmax(q @ q.transpose(1, 2) / 2.0, -1), 0.5)
    close(y, weights @ q)


def test_batch_first_only_turns_the_dimensions():
    a = attention()
    b = attention(batch_first=True)
    b.load_state_dict(a.state_dict())
    x, m = sequence(4, 3, 6), sequence(5, 3, 6, seed=1)
    y, w = a(x, m, m)
    z, u = b(x.transpose(0, 1), m.transpose(0, 1), m.transpose(0, 1))
    close(y, z.transpose(0, 1))
    close(w, u)
    one, alone = b(x[:, 0], m[:, 0], m[:, 0])
    close(one, y[:, 0])
    close(alone, w[0])


def test_weights_of_the_heads_and_their_mean():
    a, x = attention(), sequence(4, 3, 6)
    y, mean = a(x, x, x)
    z, each = a(x, x, x, average_attn_weights=False)
    assert each.shape == (3, 2, 4, 4)
    close(each.mean(1), mean)
    close(each.sum(-1), fastnn.ones(3, 2, 4))
    plain, none = a(x, x, x, need_weights=False)
    assert none is None
    close(y, z)
    close(y, plain)


@pytest.mark.parametrize("need_weights", [True, False])
def test_padding_leaves_keys_out(need_weights):
    a, x, m = attention(), sequence(4, 2, 6), sequence(5, 2, 6, seed=1)
    padding = fastnn.tensor([[False, False, False, True, True]] * 2)
    y, _ = a(x, m, m, key_padding_mask=padding, need_weights=need_weights)
    short, _ = a(x, m[:3], m[:3])
    close(y, short)
    added = fastnn.zeros(2, 5).masked_fill(padding, -math.inf)
    same, _ = a(x, m, m, key_padding_mask=added, need_weights=need_weights)
    close(y, same)


@pytest.mark.parametrize("need_weights", [True, False])
def test_a_causal_mask_hides_what_comes_later(need_weights):
    a, x = attention(), sequence(4, 2, 6)
    mask = nn.Transformer.generate_square_subsequent_mask(4)
    options = {"attn_mask": mask, "need_weights": need_weights, "is_causal": True}
    y, _ = a(x, x, x, **options)
    z = x.clone()
    z[3] = 9.0
    w, _ = a(z, z, z, **options)
    close(y[:3], w[:3])
    hidden = fastnn.ones(4, 4, dtype=fastnn.bool).triu(1)
    same, _ = a(x, x, x, attn_mask=hidden, need_weights=need_weights)
    close(y, same)
    heads = fastnn.stack([mask] * 4)
    each, _ = a(x, x, x, attn_mask=heads, need_weights=need_weights)
    close(y, each)


def test_parameters_of_an_attention_by_its_options():
    assert list(attention(bias=False).state_dict()) == ["in_proj_weight", "out_proj.weight"]
    a = attention(kdim=3, vdim=5, add_bias_kv=True)
    shapes = {k: tuple(v.shape) for k, v in a.state_dict().items()}
    assert shapes == {
        "q_proj_weight": (6, 6), "k_proj_weight": (6, 3), "v_proj_weight": (6, 5),
        "in_proj_bias": (18,), "bias_k": (1, 1, 6), "bias_v": (1, 1, 6),
        "out_proj.weight": (6, 6), "out_proj.bias": (6,),
    }  # fmt: skip
    assert (a.in_proj_bias == 0).all()
    assert (a.out_proj.bias == 0).all()
    y, w = a(sequence(4, 2, 6), sequence(5, 2, 3), sequence(5, 2, 5))
    assert (y.shape, w.shape) == ((4, 2, 6), (2, 4, 6))
    _, w = attention(add_zero_attn=True)(*[sequence(4, 2, 6)] * 3)
    assert w.shape == (2, 4, 5)


def test_dropout_of_weights_is_for_training():
    a, x = attention(dropout=0.5), sequence(4, 2, 6)
    assert not np.allclose(a(x, x, x)[0].detach().numpy(), a(x, x, x)[0].detach().numpy())
    a.eval()
    close(a(x, x, x)[0], a(x, x, x)[0], 0)


def test_the_layers_compute_their_formulas():
    x, m = sequence(4, 2, 6), sequence(5, 2, 6, seed=1)
    for first in (False, True):
        fastnn.manual_seed(0)
        e = nn.TransformerEncoderLayer(6, 2, 8, 0.0, F.gelu, norm_first=first)
        d = nn.TransformerDecoderLayer(6, 2, 8, 0.0, "relu", norm_first=first)
        for p in (*e.parameters(), *d.parameters()):
            fastnn.nn.init.uniform_(p, -0.5, 0.5)

        def fed(layer, y, function):
            return layer.linear2(function(layer.linear1(y)))

        if first:
            n = e.norm1(x)
            y = x + e.self_attn(n, n, n)[0]
            close(e(x), y + fed(e, e.norm2(y), F.gelu))
            n = d.norm1(x)
            y = x + d.self_attn(n, n, n)[0]
            y = y + d.multihead_attn(d.norm2(y), m, m)[0]
            close(d(x, m), y + fed(d, d.norm3(y), F.relu))
        else:
            y = e.norm1(x + e.self_attn(x, x, x)[0])
            close(e(x), e.norm2(y + fed(e, y, F.gelu)))
            y = d.norm1(x + d.self_attn(x, x, x)[0])
            y = d.norm2(y + d.multihead_attn(y, m, m)[0])
            close(d(x, m), d.norm3(y + fed(d, y, F.relu)))


def test_stacks_hold_copies_and_end_with_the_norm():
    layer = nn.TransformerEncoderLayer(6, 2, 8, 0.0)
    assert list(layer.state_dict()) == ENCODER_LAYER
    stack = nn.TransformerEncoder(layer, 2, nn.LayerNorm(6))
    names = [f"layers.{i}.{n}" for i in (0, 1) for n in ENCODER_LAYER]
    assert list(stack.state_dict()) == [*names, "norm.weight", "norm.bias"]
    assert len({id(p) for p in stack.parameters()}) == 2 * len(ENCODER_LAYER) + 2
    x = sequence(4, 2, 6)
    close(stack(x), stack.norm(stack.layers[1](stack.layers[0](x))))
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(6, 2, 8, 0.0), 2)
    close(decoder(x, x), decoder.layers[1](decoder.layers[0](x, x), x))
    assert (nn.TransformerEncoder(layer, 0)(x) == x).all()


def test_a_transformer_sees_only_what_its_masks_show():
    fastnn.manual_seed(0)
    t = nn.Transformer(6, 2, 2, 2, 8, 0.0, batch_first=True)
    assert t.encoder.norm is not None
    src, tgt = sequence(2, 5, 6), sequence(2, 4, 6, seed=1)
    padding = fastnn.tensor([[False] * 3 + [True] * 2] * 2)
    causal = t.generate_square_subsequent_mask(4)
    options = {
        "tgt_mask": causal, "tgt_is_causal": True, "src_key_padding_mask": padding,
        "memory_key_padding_mask": padding,
    }  # fmt: skip
    y = t(src, tgt, **options)
    later, unseen = tgt.clone(), src.clone()
    later[:, 3] = 5.0
    unseen[:, 3:] = -7.0
    z = t(unseen, later, **options)
    close(y[:, :3], z[:, :3])
    assert not np.allclose(y[:, 3].detach().numpy(), z[:, 3].detach().numpy())
    close(copy.deepcopy(t)(src, tgt, **options), y, 0)
    y.sum().backward()
    assert all(p.grad is not None for p in t.parameters())


def test_custom_stacks_are_taken():
    class Twice(nn.Module):
        def forward(self, x, *args, **kwargs):
            del args, kwargs
            return x * 2.0

    class Add(nn.Module):
        def forward(self, tgt, memory, **kwargs):
            del kwargs
            return tgt + memory

    x = sequence(3, 2, 4)
    close(nn.Transformer(4, 2, custom_encoder=Twice(), custom_decoder=Add())(x, x), x * 3.0)


def test_masks_of_two_types_are_warned_of():
    a, x = attention(), sequence(4, 2, 6)
    padding = fastnn.zeros(2, 4, dtype=fastnn.bool)
    mask = fastnn.zeros(4, 4)
    with pytest.warns(UserWarning, match="use one type for both"):
        a(x, x, x, key_padding_mask=padding, attn_mask=mask)
    stack = nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 8), 3)
    with pytest.warns(UserWarning, match="TransformerEncoder: .*use one type") as caught:
        stack(x, mask, padding)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack(x, mask, fastnn.zeros(2, 4))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.MultiheadAttention(6, 4), ValueError, "embed_dim and num_heads"),
        (lambda: nn.MultiheadAttention(6, 0), ValueError, "got 6 and 0; every head"),
        (lambda: nn.MultiheadAttention(6.0, 2), TypeError, "embed_dim as an int"),
        (lambda: nn.TransformerEncoderLayer(6, 2, activation="tanh"), RuntimeError, "'gelu'"),
        (lambda: nn.TransformerDecoderLayer(6, 2, activation="tanh"), RuntimeError, "'gelu'"),
        (lambda: nn.TransformerEncoder(nn.Identity(), -1), ValueError, "num_layers >= 0"),
        (lambda: attention()(*[sequence(4, 6)] * 2, sequence(4, 2, 6)), RuntimeError, "(l, n, e)"),
        (lambda: attention()(*[sequence(4, 2, 5)] * 3), RuntimeError, "expected query (l, n, 6)"),
        (
            lambda: attention()(*[sequence(4, 2, 6)] * 3, attn_mask=fastnn.zeros(3, 4)),
            RuntimeError,
            "expected attn_mask (4, 4)",
        ),
        (
            lambda: attention()(*[sequence(4, 2, 6)] * 3, key_padding_mask=fastnn.zeros(2, 3)),
            RuntimeError,
            "expected key_padding_mask (2, 4)",
        ),
        (
            lambda: attention()(*[sequence(4, 2, 6)] * 3, is_causal=True),
            RuntimeError,
            "attn_mask beside the hint",
        ),
        (
            lambda: nn.Transformer(6, 2, 1, 1, 8)(sequence(4, 2, 6), sequence(4, 3, 6)),
            RuntimeError,
            "Transformer: expected src and tgt of one batch",
        ),
        (
            lambda: nn.Transformer(6, 2, 1, 1, 8)(sequence(4, 2, 6), sequence(4, 2, 5)),
            RuntimeError,
            "and 6 features",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, error, text):
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert text in message
    assert "expected" in message
    assert "; " in message


def test_higher_derivatives_of_attention_exist():
    a = attention().double()
    x = fastnn.randn(3, 1, 6, dtype=fastnn.float64).requires_grad_()
    for need in (True, False):
        assert fastnn.autograd.gradgradcheck(
            lambda t, need=need: a(t, t, t, need_weights=need)[0].sum(), (x,)
        )
