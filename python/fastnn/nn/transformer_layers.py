# SPDX-License-Identifier: BSD-3-Clause
"""One layer of a transformer's encoder, and one of its decoder.

Source: Vaswani et al., "Attention is all you need", NeurIPS 2017; with ``norm_first`` Xiong et al.,
"On layer normalization in the transformer architecture", ICML 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastnn.nn._calls import F
from fastnn.nn.attention import MultiheadAttention
from fastnn.nn.dropout import Dropout
from fastnn.nn.linear import Linear
from fastnn.nn.module import Module
from fastnn.nn.normalization import LayerNorm
from fastnn.tensor import Tensor

__all__ = ["TransformerDecoderLayer", "TransformerEncoderLayer"]

Activation = str | Callable[[Tensor], Tensor]


def _function(name: str, activation: Any) -> Callable[[Tensor], Tensor]:
    known: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}
    if isinstance(activation, str):
        if activation not in known:
            message = (
                f"{name}: expected activation as 'relu', 'gelu' or a function, got {activation!r}; "
                "pass the function itself"
            )
            raise RuntimeError(message)
        return known[activation]
    result: Callable[[Tensor], Tensor] = activation
    return result


class TransformerEncoderLayer(Module):
    """Attention of a sequence to itself, then two linear maps of every element.

        x = norm1(x + dropout1(attention(x))),      y = norm2(x + dropout2(feed(x))),
        feed(x) = linear2(dropout(activation(linear1(x))))

    with ``norm_first`` x = x + dropout1(attention(norm1(x))), y = x + dropout2(feed(norm2(x))).

    Shapes: src (s, n, d_model), with ``batch_first`` (n, s, d_model), or (s, d_model) -> the same.
    Errors: RuntimeError for an activation that has no such name.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        place = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, **place
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, **place)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **place)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.activation = _function("TransformerEncoderLayer", activation)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """src_mask (s, s) or (n nhead, s, s) and src_key_padding_mask (n, s): True leaves an
        element out, numbers are added. is_causal: a hint that src_mask, which must be there, is."""
        masks = (src_mask, src_key_padding_mask, is_causal)
        if self.norm_first:
            x = src + self._sa_block(self.norm1(src), *masks)
            return x + self._ff_block(self.norm2(x))
        x = self.norm1(src + self._sa_block(src, *masks))
        result: Tensor = self.norm2(x + self._ff_block(x))
        return result

    # The blocks have torch's names: subclasses replace them.
    def _sa_block(
        self, x: Tensor, attn_mask: Any, key_padding_mask: Any, is_causal: bool = False
    ) -> Tensor:
        y, _ = self.self_attn(
            x,
            x,
            x,
            attn_mask=attn_mask,
            key_padding_mask=key_padding_mask,
            need_weights=False,
            is_causal=is_causal,
        )
        result: Tensor = self.dropout1(y)
        return result

    def _ff_block(self, x: Tensor) -> Tensor:
        y = self.linear2(self.dropout(self.activation(self.linear1(x))))
        result: Tensor = self.dropout2(y)
        return result


class TransformerDecoderLayer(Module):
    """Attention of a sequence to itself and to another, then two linear maps of every element.

        x = norm1(x + dropout1(attention(x))),   x = norm2(x + dropout2(attention(x, memory))),
        y = norm3(x + dropout3(feed(x))),        feed as in `TransformerEncoderLayer`

    with ``norm_first`` each norm stands before what is added.

    Shapes: tgt (t, n, d_model), memory (s, n, d_model), n in front with ``batch_first``, or both
            without n -> like tgt.
    Errors: RuntimeError for an activation that has no such name.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        place = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, **place
        )
        self.multihead_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, **place
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, **place)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **place)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = _function("TransformerDecoderLayer", activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """tgt_mask (t, t), memory_mask (t, s) and the padding masks (n, t) and (n, s): True leaves
        an element out, numbers are added. The hints say that a mask, which must be there, is
        causal."""
        own = (tgt_mask, tgt_key_padding_mask, tgt_is_causal)
        other = (memory_mask, memory_key_padding_mask, memory_is_causal)
        if self.norm_first:
            x = tgt + self._sa_block(self.norm1(tgt), *own)
            x = x + self._mha_block(self.norm2(x), memory, *other)
            return x + self._ff_block(self.norm3(x))
        x = self.norm1(tgt + self._sa_block(tgt, *own))
        x = self.norm2(x + self._mha_block(x, memory, *other))
        result: Tensor = self.norm3(x + self._ff_block(x))
        return result

    def _sa_block(
        self, x: Tensor, attn_mask: Any, key_padding_mask: Any, is_causal: bool = False
    ) -> Tensor:
        y, _ = self.self_attn(
            x,
            x,
            x,
            attn_mask=attn_mask,
            key_padding_mask=key_padding_mask,
            need_weights=False,
            is_causal=is_causal,
        )
        result: Tensor = self.dropout1(y)
        return result

    def _mha_block(
        self, x: Tensor, mem: Tensor, attn_mask: Any, key_padding_mask: Any, is_causal: bool = False
    ) -> Tensor:
        y, _ = self.multihead_attn(
            x,
            mem,
            mem,
            attn_mask=attn_mask,
            key_padding_mask=key_padding_mask,
            need_weights=False,
            is_causal=is_causal,
        )
        result: Tensor = self.dropout2(y)
        return result

    def _ff_block(self, x: Tensor) -> Tensor:
        y = self.linear2(self.dropout(self.activation(self.linear1(x))))
        result: Tensor = self.dropout3(y)
        return result
