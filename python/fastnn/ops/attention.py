# SPDX-License-Identifier: BSD-3-Clause
"""Attention: means of values, weighted by how well keys go with queries.

    y = softmax(s q k^T + m) v,     s = 1 / sqrt(e) unless given

m being a mask that is added, or -inf where a mask of bool is False. A query all of whose keys are
masked gives 0.

Shapes:   q (..., l, e), k (..., s, e), v (..., s, f), m broadcast to (..., l, s) -> y (..., l, f).
Backward: through the products, the softmax and the mask that it is made of.
Source:   Vaswani et al., "Attention is all you need", NeurIPS 2017; Ainslie et al., "GQA: training
          generalized multi-query transformer models", EMNLP 2023 (heads that share keys).
"""

from __future__ import annotations

import math
from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._elementwise import number
from fastnn.ops.arrange import tril
from fastnn.ops.compare import eq_tensors
from fastnn.ops.creation import ones
from fastnn.ops.dropout import check_probability, dropout
from fastnn.ops.finite import logical_not
from fastnn.ops.matmul import matmul
from fastnn.ops.softmax import softmax
from fastnn.ops.truth import all, any
from fastnn.ops.view import expand, reshape, transpose
from fastnn.ops.where import masked_fill, where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

_NAME = "scaled_dot_product_attention"


def _check(query: Any, key: Any, value: Any, mask: Any, causal: bool) -> None:
    for what, t in (("query", query), ("key", key), ("value", value)):
        _common.require_tensor(_NAME, what, t)
        _common.require_float(_NAME, what, t)
        if t.array.dtype != query.array.dtype:
            message = (
                f"{_NAME}: expected {what} in the type of query, {query.dtype}, got {t.dtype}; "
                f"convert it with .to({query.dtype})"
            )
            raise RuntimeError(message)
    _common.table_of(query, key, value, op=_NAME)
    q, k, v = query.shape, key.shape, value.shape
    if min(len(q), len(k), len(v)) < 2 or q[-1] != k[-1] or k[-2] != v[-2]:
        message = (
            f"{_NAME}: expected query (..., l, e), key (..., s, e) and value (..., s, f), got {q}, "
            f"{k} and {v}; transpose(-1, -2) exchanges the last two"
        )
        raise RuntimeError(message)
    if mask is None:
        return
    if causal:
        message = f"{_NAME}: expected attn_mask or is_causal=True, got both; leave one of them out"
        raise RuntimeError(message)
    _common.require_tensor(_NAME, "attn_mask", mask)
    if mask.dtype not in (_dtypes.bool_, query.dtype):
        message = (
            f"{_NAME}: expected attn_mask of bool or {query.dtype}, got {mask.dtype}; convert it "
            "with .bool() (True takes part) or .to()"
        )
        raise RuntimeError(message)


def _shared(query: Tensor, t: Tensor) -> Tensor:
    """Every head of keys or values repeated for the heads of queries that use it."""
    heads, wanted = t.shape[-3], query.shape[-3]
    lead, rest = t.shape[:-3], t.shape[-2:]
    wide = expand(t.unsqueeze(-3), *lead, heads, wanted // heads, *rest)
    return reshape(wide, *lead, wanted, *rest)


def _grouped(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    fits = min(query.ndim, key.ndim, value.ndim) > 2
    for t in (key, value) if fits else ():
        fits = fits and t.shape[-3] > 0 and query.shape[-3] % t.shape[-3] == 0
    if not fits:
        message = (
            f"{_NAME}: expected heads of query divisible by those of key and value with "
            f"enable_gqa, got {query.shape}, {key.shape} and {value.shape}; heads stand third from "
            "the right"
        )
        raise RuntimeError(message)
    return _shared(query, key), _shared(query, value)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(scale q k^T + mask) v, as torch.nn.functional.scaled_dot_product_attention.

    query (..., l, e), key (..., s, e), value (..., s, f) -> (..., l, f); what stands before them
    broadcasts. attn_mask, broadcast to (..., l, s): of bool, True where a key takes part, or of
    query's type, added. is_causal: query i sees the keys up to i. scale: 1 / sqrt(e) unless given.
    dropout_p: the part of the weights that is dropped, also in evaluation. enable_gqa: heads
    (dimension -3) of queries share those of keys and values, neighbours the same.

    Raises TypeError for no tensors, RuntimeError for types and shapes that do not go together,
    ValueError unless 0 <= dropout_p <= 1.
    """
    _check(query, key, value, attn_mask, is_causal)
    check_probability(_NAME, dropout_p)
    if enable_gqa:
        key, value = _grouped(query, key, value)
    factor = (
        1.0 / math.sqrt(max(query.shape[-1], 1)) if scale is None else number(_NAME, "scale", scale)
    )
    lead = _common.broadcast_shape(_NAME, query.shape[:-2], key.shape[:-2])
    lead = _common.broadcast_shape(_NAME, lead, value.shape[:-2])
    scores = matmul(query * factor, transpose(key, -1, -2))
    idle = None  # queries without a key: whatever their weights are, the result is 0
    if is_causal:
        seen = tril(ones(*scores.shape[-2:], dtype=_dtypes.bool_, device=query.device))
        scores = masked_fill(scores, logical_not(seen), -math.inf)
    elif attn_mask is not None:
        _fitting(scores, attn_mask)
        if attn_mask.dtype is _dtypes.bool_:
            idle = logical_not(any(attn_mask, -1, keepdim=True))
            scores = where(attn_mask | idle, scores, -math.inf)
        else:
            idle = all(eq_tensors(attn_mask.detach(), -math.inf), -1, keepdim=True)
            scores = scores + where(idle, 0.0, attn_mask)
    weights = softmax(scores, -1)
    if dropout_p:
        weights = dropout(weights, dropout_p)
    out = matmul(weights, value)
    return out if idle is None else where(idle, 0.0, out)


def _fitting(scores: Tensor, mask: Tensor) -> None:
    shape = None
    if mask.ndim:
        try:
            shape = _common.broadcast_shape(_NAME, scores.shape, mask.shape)
        except RuntimeError:
            shape = None
    if shape is None or shape[-2:] != scores.shape[-2:]:
        message = (
            f"{_NAME}: expected attn_mask that broadcasts to (..., l, s) = {scores.shape}, got "
            f"{mask.shape}; unsqueeze() adds dimensions"
        )
        raise RuntimeError(message)


def _plain(
    q: Any, k: Any, v: Any, mask: Any = None, *, is_causal: bool = False, scale: Any = None,
    enable_gqa: bool = False,
) -> Any:  # fmt: skip
    xp = array_module(q)
    if enable_gqa:
        k, v = (xp.repeat(t, q.shape[-3] // t.shape[-3], axis=-3) for t in (k, v))
    s = xp.asarray((q @ k.swapaxes(-1, -2)) * (scale or 1 / math.sqrt(q.shape[-1])))
    if is_causal:
        mask = xp.tril(xp.ones(s.shape[-2:], bool))
    if mask is not None:
        s = xp.where(mask, s, -math.inf) if mask.dtype == bool else s + mask
    top = s.max(-1, keepdims=True)
    e = xp.exp(s - xp.where(xp.isfinite(top), top, 0.0))
    return (e / xp.maximum(e.sum(-1, keepdims=True), 1e-300)) @ v


def bordered(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor) -> Tensor:
    """With a mask that is added, -inf where ``hidden`` holds, for the case table."""
    mask = masked_fill(query_like(q, k), hidden, -math.inf)
    return scaled_dot_product_attention(q, k, v, mask)


def query_like(q: Tensor, k: Tensor) -> Tensor:
    """A mask (l, s) of numbers."""
    return ones(q.shape[-2], k.shape[-2], dtype=q.dtype, device=q.device) * 0.5


def _plain_bordered(q: Any, k: Any, v: Any, hidden: Any) -> Any:
    return _plain(q, k, v, array_module(q).where(hidden, -math.inf, 0.5))


CASES = [
    *(
        OpCase(scaled_dot_product_attention, _NAME, list(a), options, _plain)
        for *a, options in (
            ((2, 3, 4), (2, 5, 4), (2, 5, 6), {}),
            ((3, 4), (5, 4), (5, 2), {"scale": 0.3}),
            ((2, 1, 4, 3), (1, 2, 4, 3), (2, 1, 4, 3), {"is_causal": True}),
            ((1, 4, 3, 2), (1, 2, 5, 2), (1, 2, 5, 3), {"enable_gqa": True}),
            ((2, 3, 4), (2, 5, 4), (2, 5, 4), (2, 1, 5), {}),
            ((2, 0, 4), (2, 5, 4), (2, 5, 4), {}),
        )
    ),
    *(
        OpCase(
            f,
            name,
            [(2, 3, 4), (2, 4, 4), (2, 4, 3), mask],
            ref=ref,
        )
        for f, name, ref, mask in (
            (scaled_dot_product_attention, _NAME, _plain, ("bool", (3, 4))),
            (scaled_dot_product_attention, _NAME, _plain, ("bool", (2, 3, 1))),
            (bordered, _NAME + " -inf", _plain_bordered, ("bool", (3, 4))),
            (bordered, _NAME + " -inf", _plain_bordered, ("bool", (3, 1))),
        )
    ),
    OpCase(
        scaled_dot_product_attention,
        _NAME,
        [(8, 8, 128, 64), (8, 8, 128, 64), (8, 8, 128, 64)],
        bench=True,
        flops=4.0 * 64 * 128 * 128 * 64,
    ),
]
_S = (2, 3, 4)
_BAD: list[tuple[list[Any], dict[str, Any], type[Exception], str]] = [
    ([_S, _S, None], {}, TypeError, "expected value as a Tensor"),
    ([_S, (2, 3, 5), _S], {}, RuntimeError, "expected query (..., l, e)"),
    ([_S, _S, (2, 4, 4)], {}, RuntimeError, "expected query (..., l, e)"),
    ([_S, (3, 3, 4), (3, 3, 4)], {}, RuntimeError, "expected shapes that broadcast"),
    ([_S, _S, _S, (3, 4)], {}, RuntimeError, "broadcasts to (..., l, s)"),
    ([_S, _S, _S, ("int", (3, 3), 0, 2)], {}, RuntimeError, "attn_mask of bool or"),
    ([_S, _S, _S, (3, 3)], {"is_causal": True}, RuntimeError, "got both"),
    ([_S, _S, _S], {"dropout_p": 1.5}, ValueError, "0 <= p <= 1"),
    ([_S, ("int", _S, 0, 9), _S], {}, RuntimeError, "key of a floating-point type"),
    ([_S, (4, 3, 4), (4, 3, 4)], {"enable_gqa": True}, RuntimeError, "heads of query divisible"),
]
ERRORS = [ErrorCase(scaled_dot_product_attention, _NAME, a, e, text, o) for a, o, e, text in _BAD]
