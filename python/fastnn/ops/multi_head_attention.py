# SPDX-License-Identifier: BSD-3-Clause
"""Attention of several heads, with the projections around it.

    y = concat_h(softmax(q_h k_h^T / sqrt(d) + m) v_h) W_o^T + b_o,     d = e / heads,
    q = query W_q^T + b_q, k = key W_k^T + b_k, v = value W_v^T + b_v, cut into heads

Shapes:   query (l, n, e), key (s, n, e_k), value (s, n, e_v), also without n -> y (l, n, e) and the
          weights (n, l, s) or, for every head, (n, heads, l, s).
Source:   Vaswani et al., "Attention is all you need", NeurIPS 2017.
"""

from __future__ import annotations

import math
from typing import Any

from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._attention_masks import NAME as _NAME
from fastnn.ops._attention_masks import both_additive, check_shapes, merged
from fastnn.ops._refusal import refusal
from fastnn.ops.arrange import repeat
from fastnn.ops.attention import scaled_dot_product_attention
from fastnn.ops.bmm import bmm_tensors
from fastnn.ops.creation import zeros
from fastnn.ops.dropout import dropout
from fastnn.ops.join import cat
from fastnn.ops.linear import linear
from fastnn.ops.pad import pad_tensor
from fastnn.ops.pieces import chunk
from fastnn.ops.reduce import mean
from fastnn.ops.softmax import softmax
from fastnn.ops.view import reshape, transpose
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def _project(
    given: tuple[Tensor, Tensor, Tensor], weights: tuple[Tensor, ...] | None, packed: Tensor | None,
    bias: Tensor | None,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Queries, keys and values by their weights, or by one that holds all three."""
    query, key, value = given
    if weights is None:
        if packed is None:
            raise refusal(
                RuntimeError, _NAME, "in_proj_weight", None, "or pass use_separate_proj_weight=True"
            )
        e = query.shape[-1]
        if packed.shape != (3 * e, e) or key.shape != value.shape or key.shape[-1] != e:
            shapes = f"{packed.shape}, key {key.shape} and value {value.shape}"
            text = f"in_proj_weight {(3 * e, e)}, key and value (s, n, {e})"
            raise refusal(RuntimeError, _NAME, text, shapes, "other sizes take separate weights")
        if query is key and key is value:
            return chunk(linear(query, packed, bias), 3, -1)
        weights = chunk(packed, 3)
    biases = (None, None, None) if bias is None else chunk(bias, 3)
    if key.shape[:2] != value.shape[:2]:
        text = "key and value of one length and batch"
        raise refusal(
            RuntimeError, _NAME, text, f"{key.shape} and {value.shape}", "pad() the shorter one"
        )
    return tuple([linear(t, w, b) for t, w, b in zip(given, weights, biases, strict=True)])


def _heads(t: Tensor, count: int, size: int) -> Tensor:
    """(s, n, heads d) as (n heads, s, d)."""
    return transpose(reshape(t, t.shape[0], count, size), 0, 1)


def _static(what: str, t: Any, count: int, size: int) -> Tensor:
    _common.require_tensor(_NAME, what, t)
    if t.ndim != 3 or (t.shape[0], t.shape[2]) != (count, size):
        raise refusal(
            RuntimeError, _NAME, f"{what} ({count}, s, {size})", t.shape, "heads stand in front"
        )
    result: Tensor = t
    return result


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """What `nn.MultiheadAttention` computes, as torch.nn.functional.multi_head_attention_forward.

    query (l, n, e), key (s, n, e_k), value (s, n, e_v), or all without n -> (l, n, e) and, with
    need_weights, the weights (n, l, s), averaged over the heads, or (n, heads, l, s).
    in_proj_weight (3 e, e) holds the weights of queries, keys and values, or, with
    use_separate_proj_weight, q_proj_weight, k_proj_weight and v_proj_weight do. bias_k, bias_v
    (1, 1, e): one more key and value; add_zero_attn: one more of zeros. static_k, static_v
    (n heads, s, e / heads) stand for the projected keys and values. Masks: True leaves a key out;
    numbers are added. is_causal: a hint that attn_mask, which must be there, is the causal one.

    Raises RuntimeError for shapes that do not go together, TypeError for no tensors.
    """
    batched = check_shapes(query, key, value, key_padding_mask, attn_mask, num_heads)
    if is_causal and attn_mask is None:
        cure = "Transformer.generate_square_subsequent_mask makes it"
        raise refusal(RuntimeError, _NAME, "attn_mask beside the hint is_causal", None, cure)
    if not batched:
        same = query is key and key is value  # one tensor stays one: a single product projects it
        query = query.unsqueeze(1)
        key, value = (query, query) if same else (key.unsqueeze(1), value.unsqueeze(1))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    length, n, e = query.shape
    if e != embed_dim_to_check or num_heads < 1 or e % num_heads:
        text = f"query (l, n, {embed_dim_to_check}), divisible by the {num_heads} heads"
        raise refusal(RuntimeError, _NAME, text, query.shape, "choose another num_heads")
    mask, padding = both_additive(_NAME, attn_mask, key_padding_mask, query.dtype)
    weights: Any = None
    if use_separate_proj_weight:
        for what, w in (("q", q_proj_weight), ("k", k_proj_weight), ("v", v_proj_weight)):
            _common.require_tensor(_NAME, f"{what}_proj_weight", w)
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
    q, k, v = _project((query, key, value), weights, in_proj_weight, in_proj_bias)
    count, size = n * num_heads, e // num_heads
    if (bias_k is None) != (bias_v is None):
        raise refusal(
            RuntimeError, _NAME, "bias_k and bias_v together", "one of them", "pass both, or none"
        )
    more = 0
    if bias_k is not None and bias_v is not None:
        if static_k is not None or static_v is not None:
            text = "no bias beside static_k and static_v"
            raise refusal(RuntimeError, _NAME, text, "both", "add it to them before")
        k, v = (cat([t, repeat(b, 1, n, 1)]) for t, b in ((k, bias_k), (v, bias_v)))
        more += 1
    q = _heads(q, count, size)
    k = _heads(k, count, size) if static_k is None else _static("static_k", static_k, count, size)
    v = _heads(v, count, size) if static_v is None else _static("static_v", static_v, count, size)
    if add_zero_attn:
        nothing = zeros(count, 1, size, dtype=k.dtype, device=k.device)
        k, v = cat([k, nothing], 1), cat([v, nothing], 1)
        more += 1
    if more:
        mask, padding = (None if m is None else pad_tensor(m, (0, more)) for m in (mask, padding))
    s = k.shape[1]
    both = merged(mask, padding, n, num_heads, length, s)
    p = dropout_p if training else 0.0
    if not need_weights:
        if both is not None:
            lead = (1, 1) if both.shape[0] == 1 else (n, num_heads)
            both = reshape(both, *lead, both.shape[1], s)
        q, k, v = (reshape(t, n, num_heads, t.shape[1], size) for t in (q, k, v))
        y = scaled_dot_product_attention(q, k, v, both, p)
        y = reshape(y, count, length, size)
        attention = None
    else:
        scores = bmm_tensors(q * math.sqrt(1.0 / size), transpose(k, 1, 2))
        attention = softmax(scores if both is None else scores + both, -1)
        if p > 0.0:
            attention = dropout(attention, p)
        y = bmm_tensors(attention, v)
    joined = reshape(transpose(y, 0, 1), length, n, e)
    out = linear(joined, out_proj_weight, out_proj_bias)
    if attention is not None:
        attention = reshape(attention, n, num_heads, length, s)
        attention = mean(attention, 1) if average_attn_weights else attention
    if batched:
        return out, attention
    return out.squeeze(1), None if attention is None else attention.squeeze(0)


def _plain(
    query: Any, key: Any, value: Any, e: int, heads: int, w: Any, b: Any, bias_k: Any, bias_v: Any,
    zero: bool, _: float, w_out: Any, b_out: Any, *, average_attn_weights: bool = True,
    attn_mask: Any = None,
) -> Any:  # fmt: skip
    """Head by head and image by image."""
    xp, d, n = array_module(query), e // heads, query.shape[1]
    b = xp.zeros(3 * e) if b is None else b
    parts = [
        t @ w[i * e : i * e + e].T + b[i * e : i * e + e] for i, t in enumerate((query, key, value))
    ]
    for extra, i in ((bias_k, 1), (bias_v, 2)):
        if extra is not None:
            parts[i] = xp.concatenate([parts[i], extra.repeat(n, 1)])
        if zero:
            parts[i] = xp.concatenate([parts[i], parts[i][:1] * 0])
    y = xp.empty(query.shape, query.dtype)
    weights = xp.empty((n, heads, len(query), len(parts[1])), query.dtype)
    for i in range(n):
        for h in range(heads):
            q, k, v = (t[:, i, h * d : h * d + d] for t in parts)
            z = q @ k.T / math.sqrt(d)
            if attn_mask is not None:
                z = z + attn_mask
            z = xp.exp(z - z.max(1, keepdims=True))
            weights[i, h] = z / z.sum(1, keepdims=True)
            y[:, i, h * d : h * d + d] = weights[i, h] @ v
    return y @ w_out.T + b_out, weights.mean(1) if average_attn_weights else weights


_GIVEN: list[Any] = [4, 2, (12, 4), (12,), None, None, False, 0.0, (4, 4), (4,)]
_EXTRA: list[Any] = [4, 2, (12, 4), None, (1, 1, 4), (1, 1, 4), True, 0.0, (4, 4), (4,)]
CASES = [
    OpCase(multi_head_attention_forward, _NAME, a, options, _plain)
    for a, options in (
        ([(3, 2, 4), (5, 2, 4), (5, 2, 4), *_GIVEN], {}),
        ([(2, 1, 4), (3, 1, 4), (3, 1, 4), *_EXTRA], {"average_attn_weights": False}),
    )
]
_Q, _K = (3, 2, 4), (5, 2, 4)
_BAD: list[tuple[list[Any], dict[str, Any], type[Exception], str]] = [
    ([_Q, _K, (5, 4), *_GIVEN], {}, RuntimeError, "query, key and value (l, n, e)"),
    ([_Q, _K, (4, 2, 4), *_GIVEN], {}, RuntimeError, "expected in_proj_weight (12, 4)"),
    ([_Q, _K, _K, 6, *_GIVEN[1:]], {}, RuntimeError, "expected query (l, n, 6)"),
    ([_Q, _K, _K, 4, 3, *_GIVEN[2:]], {}, RuntimeError, "divisible by the 3 heads"),
    ([_Q, _K, _K, *_GIVEN], {"is_causal": True}, RuntimeError, "attn_mask beside the hint"),
    ([_Q, _K, _K, *_GIVEN], {"use_separate_proj_weight": True}, TypeError, "q_proj_weight as a"),
    ([_Q, _K, None, *_GIVEN], {}, TypeError, "expected value as a Tensor"),
    (
        [_Q, _K, _K, 4, 2, (12, 4), (12,), (1, 1, 4), None, False, 0.0, (4, 4), (4,)],
        {},
        RuntimeError,
        "bias_k and bias_v together",
    ),
]
ERRORS = [ErrorCase(multi_head_attention_forward, _NAME, a, e, text, o) for a, o, e, text in _BAD]
