# SPDX-License-Identifier: BSD-3-Clause
"""Masks of attention by several heads: of keys to leave out, and of pairs."""

from __future__ import annotations

import math
import warnings
from typing import Any, Final

from fastnn import _dtypes
from fastnn.ops import _common
from fastnn.ops._refusal import refusal
from fastnn.ops.creation import zeros
from fastnn.ops.view import expand, reshape
from fastnn.ops.where import masked_fill
from fastnn.tensor import Tensor

NAME: Final = "multi_head_attention_forward"


def additive_mask(name: str, what: str, mask: Any, dtype: Any) -> Tensor | None:
    """A mask to be added: of bool, -inf where it is True. Raises for a mask of integers."""
    if mask is None:
        return None
    _common.require_tensor(name, what, mask)
    if mask.dtype is not _dtypes.bool_:
        _common.require_float(name, what, mask)
        result: Tensor = mask
        return result
    empty = zeros(mask.shape, dtype=dtype, device=mask.device)
    return masked_fill(empty, mask, -math.inf)


def both_additive(
    name: str, mask: Any, padding: Any, dtype: Any
) -> tuple[Tensor | None, Tensor | None]:
    """A mask of pairs and one of keys, both to be added; warns where their types differ."""
    if mask is not None and padding is not None and mask.dtype is not padding.dtype:
        warnings.warn(
            f"{name}: masks of one type are expected, got {mask.dtype} of pairs and "
            f"{padding.dtype} of keys; use one type for both",
            stacklevel=3,
        )
    pairs = additive_mask(name, "the mask of pairs", mask, dtype)
    return pairs, additive_mask(name, "the mask of keys", padding, dtype)


def check_shapes(query: Any, key: Any, value: Any, padding: Any, mask: Any, heads: int) -> bool:
    """Whether there is a batch; raises for dimensions that do not go together."""
    for what, t in (("query", query), ("key", key), ("value", value)):
        _common.require_tensor(NAME, what, t)
    for what, t in (("key_padding_mask", padding), ("attn_mask", mask)):
        if t is not None:
            _common.require_tensor(NAME, what, t)
    batched: bool = query.ndim == 3
    if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
        shapes = f"{query.shape}, {key.shape} and {value.shape}"
        text = "query, key and value (l, n, e), or all of them (l, e)"
        raise refusal(RuntimeError, NAME, text, shapes, "unsqueeze(1) adds a batch")
    if padding is not None and padding.ndim != query.ndim - 1:
        text = f"key_padding_mask ({'n, ' if batched else ''}s)"
        raise refusal(RuntimeError, NAME, text, padding.shape, "it says which keys to leave out")
    if mask is not None and mask.ndim not in (2, 3):
        raise refusal(
            RuntimeError, NAME, "attn_mask (l, s) or (n heads, l, s)", mask.shape, "unsqueeze() it"
        )
    if mask is not None and mask.ndim == 3 and not batched:
        wanted = (heads, query.shape[0], key.shape[0])
        if mask.shape != wanted:
            raise refusal(
                RuntimeError, NAME, f"attn_mask {wanted}", mask.shape, "give one for every head"
            )
    return batched


def merged(mask: Any, padding: Any, n: int, heads: int, length: int, s: int) -> Any:
    """Both masks as one (n heads or 1, l or 1, s)."""
    if mask is not None:
        if mask.ndim == 2:
            mask = mask.unsqueeze(0)
        wanted = (n * heads, length, s)
        if mask.shape not in ((1, length, s), wanted):
            text = f"attn_mask {(length, s)} or {wanted}"
            raise refusal(RuntimeError, NAME, text, mask.shape, "give (l, s) for all heads")
    if padding is None:
        return mask
    if padding.shape != (n, s):
        raise refusal(
            RuntimeError, NAME, f"key_padding_mask {(n, s)}", padding.shape, "one for every key"
        )
    wide = reshape(expand(padding.reshape(n, 1, 1, s), n, heads, 1, s), n * heads, 1, s)
    return wide if mask is None else mask + wide
