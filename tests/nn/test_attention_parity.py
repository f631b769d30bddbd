# SPDX-License-Identifier: BSD-3-Clause
"""Attention and transformers beside torch: values, weights and gradients from one state_dict."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import nn

pytestmark = pytest.mark.torch

MASK = np.triu(np.full((3, 3), -np.inf, "f4"), 1)
HIDDEN = MASK < 0
PADDING = np.array([[False, False, True], [False, False, False]])


def arrays(*shapes):
    rng = np.random.default_rng(1)
    return [rng.normal(size=s).astype("f4") for s in shapes]


def compare(make, call, inputs):
    """Outputs, then gradients of inputs and parameters for a fixed direction."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs, ours = make(torch.nn), make(nn)
    for p in theirs.parameters():  # biases are 0 and norms 1 at first, which tells little
        torch.nn.init.normal_(p, std=0.3)
    assert repr(theirs) == repr(ours)
    assert list(theirs.state_dict()) == list(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())
    a = [torch.tensor(x, requires_grad=True) for x in inputs]
    b = [fastnn.tensor(x, requires_grad=True) for x in inputs]
    wanted, found = call(theirs, a, torch.tensor), call(ours, b, fastnn.tensor)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    found = found if isinstance(found, tuple) else (found,)
    assert [y is None for y in wanted] == [y is None for y in found]
    total, mine = 0.0, 0.0
    for y, z in zip(wanted, found, strict=True):
        if y is not None:
            np.testing.assert_allclose(z.detach().numpy(), y.detach().numpy(), rtol=1e-4, atol=2e-5)
            (w,) = arrays(tuple(y.shape))
            total, mine = total + (y * torch.tensor(w)).sum(), mine + (z * fastnn.tensor(w)).sum()
    total.backward()
    mine.backward()
    pairs = [*zip(a, b, strict=True), *zip(theirs.parameters(), ours.parameters(), strict=True)]
    for p, q in pairs:
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False, "batch_first": True},
        {"add_bias_kv": True, "add_zero_attn": True},
        {"kdim": 3, "vdim": 5},
    ],
    ids=str,
)
def test_multi_head_attention(options, need_weights):
    sizes = [options.get("kdim", 4), options.get("vdim", 4)]
    inputs = arrays((3, 2, 4), *((3, 2, s) for s in sizes))
    if options.get("batch_first"):
        inputs = [x.swapaxes(0, 1).copy() for x in inputs]
    for mask, padding in ((None, None), (MASK, None), (HIDDEN, PADDING), (None, PADDING)):
        compare(
            lambda lib: lib.MultiheadAttention(4, 2, **options),
            lambda m, x, t, mask=mask, padding=padding: m(
                *x,
                attn_mask=None if mask is None else t(mask),
                key_padding_mask=None if padding is None else t(padding),
                need_weights=need_weights,
                average_attn_weights=padding is None,
            ),
            inputs,
        )


def test_self_attention_of_one_sequence():
    compare(
        lambda lib: lib.MultiheadAttention(4, 2),
        lambda m, x, _: m(x[0], x[0], x[0], average_attn_weights=False),
        arrays((3, 4)),
    )


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_layers(norm_first, activation):
    options = {"dropout": 0.0, "norm_first": norm_first, "activation": activation}
    compare(
        lambda lib: lib.TransformerEncoderLayer(4, 2, 5, bias=norm_first, **options),
        lambda m, x, t: m(*x, src_mask=t(HIDDEN), src_key_padding_mask=t(PADDING)),
        arrays((3, 2, 4)),
    )
    compare(
        lambda lib: lib.TransformerDecoderLayer(4, 2, 5, batch_first=True, **options),
        lambda m, x, t: m(*x, tgt_mask=t(MASK), tgt_is_causal=True),
        arrays((2, 3, 4), (2, 5, 4)),
    )


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("batch_first", [True, False])
def test_a_whole_transformer(batch_first):
    shapes = ((2, 3, 4), (2, 3, 4)) if batch_first else ((3, 2, 4), (3, 2, 4))
    compare(
        lambda lib: lib.Transformer(4, 2, 1, 2, 5, 0.0, batch_first=batch_first),
        lambda m, x, t: m(
            *x,
            tgt_mask=t(HIDDEN),
            tgt_is_causal=True,
            src_key_padding_mask=t(PADDING),
            tgt_key_padding_mask=t(PADDING),
            memory_key_padding_mask=t(PADDING),
        ),
        arrays(*shapes),
    )


def test_the_causal_mask():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Transformer.generate_square_subsequent_mask(4)
    ours = nn.Transformer.generate_square_subsequent_mask(4)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_scaled_dot_product_attention(dtype):
    torch = pytest.importorskip("torch")
    q, k, v = (x.astype(dtype) for x in arrays((2, 4, 3, 6), (2, 2, 5, 6), (2, 2, 5, 3)))
    mask = np.random.default_rng(2).random((3, 5)) < 0.5
    mask[1] = False
    for options in ({"enable_gqa": True}, {"enable_gqa": True, "scale": 0.2}):
        results = []
        for lib in (torch, fastnn):
            given = [lib.tensor(x) for x in (q, k, v, mask)]
            results.append(lib.nn.functional.scaled_dot_product_attention(*given, **options))
            results.append(
                lib.nn.functional.scaled_dot_product_attention(
                    *given[:3], is_causal=True, **options
                )
            )
        for a, b in zip(results[:2], results[2:], strict=True):
            np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-5, atol=1e-6)
