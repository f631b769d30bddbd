# SPDX-License-Identifier: BSD-3-Clause
"""Stacks of layers, TransformerEncoder and TransformerDecoder, and both of them: Transformer."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

from fastnn.nn import init
from fastnn.nn._calls import F
from fastnn.nn.containers import ModuleList
from fastnn.nn.module import Module
from fastnn.nn.normalization import LayerNorm
from fastnn.nn.transformer_layers import TransformerDecoderLayer, TransformerEncoderLayer
from fastnn.ops import full, triu
from fastnn.ops._attention_masks import both_additive
from fastnn.ops._common import integer, require_tensor
from fastnn.tensor import Tensor

__all__ = ["Transformer", "TransformerDecoder", "TransformerEncoder"]


def _copies(name: str, layer: Module, count: int) -> ModuleList:
    if integer(name, "num_layers", count) < 0:
        message = f"{name}: expected num_layers >= 0, got {count}; 6 is usual"
        raise ValueError(message)
    return ModuleList([copy.deepcopy(layer) for _ in range(count)])


class TransformerEncoder(Module):
    """``num_layers`` copies of an encoder layer, one after the other, then ``norm`` if given.

    Shapes: src as of the layer -> the same.
    enable_nested_tensor and mask_check are taken for torch's sake and change nothing: padded
    elements are computed as in training.
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _copies("TransformerEncoder", encoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """mask (s, s) or (n nhead, s, s), src_key_padding_mask (n, s) and is_causal: as of
        `TransformerEncoderLayer`, for every layer."""
        mask, padding = both_additive("TransformerEncoder", mask, src_key_padding_mask, src.dtype)
        x = src
        for layer in self.layers:
            x = layer(x, src_mask=mask, src_key_padding_mask=padding, is_causal=bool(is_causal))
        result: Tensor = x if self.norm is None else self.norm(x)
        return result


class TransformerDecoder(Module):
    """``num_layers`` copies of a decoder layer, one after the other, then ``norm`` if given.

    Shapes: tgt and memory as of the layer -> like tgt.
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies("TransformerDecoder", decoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The masks and hints are those of `TransformerDecoderLayer`, for every layer."""
        name = "TransformerDecoder"
        tgt_mask, tgt_padding = both_additive(name, tgt_mask, tgt_key_padding_mask, tgt.dtype)
        memory_mask, padding = both_additive(name, memory_mask, memory_key_padding_mask, tgt.dtype)
        x = tgt
        for layer in self.layers:
            x = layer(
                x,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_padding,
                memory_key_padding_mask=padding,
                tgt_is_causal=bool(tgt_is_causal),
                memory_is_causal=memory_is_causal,
            )
        result: Tensor = x if self.norm is None else self.norm(x)
        return result


class Transformer(Module):
    """An encoder and a decoder that attends to what it gives. Vaswani et al. 2017.

    Shapes: src (s, n, d_model), tgt (t, n, d_model), n in front with ``batch_first``, or both
            without n -> like tgt.
    Parameters: ``encoder`` and ``decoder``, each with a `LayerNorm` at its end, or those that are
            given as custom_encoder and custom_decoder.
    Initial values: matrices by Glorot's uniform.
    Errors: ``forward`` raises RuntimeError for batches and features that do not go together.
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        place = {"device": device, "dtype": dtype}
        options: tuple[Any, ...] = (
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
        )
        if custom_encoder is not None:
            self.encoder = custom_encoder
        else:
            layer = TransformerEncoderLayer(*options, **place)
            norm = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
            self.encoder = TransformerEncoder(layer, num_encoder_layers, norm)
        if custom_decoder is not None:
            self.decoder = custom_decoder
        else:
            other = TransformerDecoderLayer(*options, **place)
            norm = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
            self.decoder = TransformerDecoder(other, num_decoder_layers, norm)
        self._reset_parameters()
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def _reset_parameters(self) -> None:
        """Draw new initial values of all matrices from the default generator."""
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The masks and hints are those of the encoder and the decoder."""
        batch = 0 if self.batch_first else 1
        require_tensor("Transformer", "src", src)
        require_tensor("Transformer", "tgt", tgt)
        alike = src.ndim != 3 or tgt.ndim != 3 or src.shape[batch] == tgt.shape[batch]
        if not alike or src.shape[-1:] != (self.d_model,) or tgt.shape[-1:] != (self.d_model,):
            message = (
                f"Transformer: expected src and tgt of one batch and {self.d_model} features, got "
                f"{src.shape} and {tgt.shape}; with batch_first the batch stands in front"
            )
            raise RuntimeError(message)
        memory = self.encoder(
            src,
            mask=src_mask,
            src_key_padding_mask=src_key_padding_mask,
            is_causal=src_is_causal,
        )
        result: Tensor = self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )
        return result

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """The causal mask (sz, sz), to be added: -inf above the diagonal, 0 elsewhere."""
        hidden = full((sz, sz), -math.inf, dtype=dtype, device=device)
        return triu(hidden, 1)
