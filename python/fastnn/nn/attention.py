# SPDX-License-Identifier: BSD-3-Clause
"""``MultiheadAttention``."""

from __future__ import annotations

from typing import Any

from fastnn.nn import init
from fastnn.nn._calls import F
from fastnn.nn.linear import Linear
from fastnn.nn.module import Module
from fastnn.nn.parameter import Parameter
from fastnn.ops import empty
from fastnn.ops._common import integer
from fastnn.tensor import Tensor

__all__ = ["MultiheadAttention"]


class NonDynamicallyQuantizableLinear(Linear):
    """`Linear`, under the name by which torch shows the last layer of an attention."""


class MultiheadAttention(Module):
    """Attention of several heads. Vaswani et al. 2017.

        y = concat_h(softmax(q_h k_h^T / sqrt(d) + m) v_h) W_o^T + b_o,   d = embed_dim / num_heads

    with q = query W_q^T + b_q and k and v alike, cut into heads.

    Shapes: query (l, n, embed_dim), key (s, n, kdim), value (s, n, vdim), n in front with
            ``batch_first``, or all without n -> y like query, and the weights (n, l, s), for every
            head (n, num_heads, l, s), or None.
    Parameters: in_proj_weight (3 embed_dim, embed_dim), or q_proj_weight, k_proj_weight and
            v_proj_weight where kdim or vdim differ; in_proj_bias; out_proj; with ``add_bias_kv``
            bias_k and bias_v, one more key and value. ``add_zero_attn``: one more of zeros.
            ``dropout``: the part of the weights that is dropped in training.
    Initial values: weights by Glorot's uniform, biases 0, bias_k and bias_v by his normal.
    Errors: ValueError for sizes that are not positive and heads that do not divide embed_dim.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        e = integer("MultiheadAttention", "embed_dim", embed_dim)
        heads = integer("MultiheadAttention", "num_heads", num_heads)
        if e < 1 or heads < 1 or e % heads:
            message = (
                "MultiheadAttention: expected embed_dim and num_heads >= 1, the one divisible by "
                f"the other, got {embed_dim} and {num_heads}; every head gets embed_dim / num_heads"
            )
            raise ValueError(message)
        self.embed_dim, self.num_heads, self.head_dim = e, heads, e // heads
        self.kdim = e if kdim is None else kdim
        self.vdim = e if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == e and self.vdim == e
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn

        def made(*shape: int) -> Parameter:
            return Parameter(empty(*shape, dtype=dtype, device=device))

        names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
        if self._qkv_same_embed_dim:
            self.in_proj_weight = made(3 * e, e)
            for name in names:
                self.register_parameter(name, None)
        else:
            for name, size in zip(names, (e, self.kdim, self.vdim), strict=True):
                self.register_parameter(name, made(e, size))
            self.register_parameter("in_proj_weight", None)
        self.register_parameter("in_proj_bias", made(3 * e) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(e, e, bias, device, dtype)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, made(1, 1, e) if add_bias_kv else None)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw new initial values from the default generator."""
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            weight = getattr(self, name)
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.constant_(self.in_proj_bias, 0.0)
            if self.out_proj.bias is not None:
                init.constant_(self.out_proj.bias, 0.0)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The attention and its weights.

        key_padding_mask (n, s) and attn_mask (l, s) or (n num_heads, l, s): True leaves a key out,
        numbers are added. need_weights: whether weights are returned, averaged over the heads with
        average_attn_weights. is_causal: a hint that attn_mask, which must be there, is causal.
        """
        turned = self.batch_first and query.ndim == 3
        if turned:
            # One tensor stays one: then a single product projects it.
            same = query is key and key is value
            query = query.transpose(0, 1)
            key, value = (query, query) if same else (key.transpose(0, 1), value.transpose(0, 1))
        y, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return (y.transpose(0, 1) if turned else y), weights
