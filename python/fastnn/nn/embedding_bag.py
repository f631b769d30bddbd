# SPDX-License-Identifier: BSD-3-Clause
"""``EmbeddingBag``: sums, means and maxima of rows that are looked up by number."""

from __future__ import annotations

from typing import Any

from fastnn._grad_mode import no_grad
from fastnn.nn._calls import F
from fastnn.nn.module import Module
from fastnn.nn.parameter import Parameter
from fastnn.ops import empty
from fastnn.ops._common import integer, require_tensor
from fastnn.ops._embedding_options import check_options
from fastnn.tensor import Tensor

__all__ = ["EmbeddingBag"]


class EmbeddingBag(Module):
    """Rows of a table by their numbers, summed up, averaged or maximised by bags.

    Shapes: x (b, n) of integers, every row a bag, or (m,) with offsets (b,), where every bag starts
            (with include_last_offset (b + 1,)); weight (num_embeddings, embedding_dim)
            -> y (b, embedding_dim). In mode 'sum' per_sample_weights like x.
    Initial values: normal with mean 0 and deviation 1; the row ``padding_idx``, which is left out
            of bags, is zero.
    max_norm, norm_type, scale_grad_by_freq, sparse: as of `Embedding`.
    Errors: ValueError for a padding_idx out of range and a negative max_norm, TypeError for options
    of another type.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_options("EmbeddingBag", max_norm, norm_type, scale_grad_by_freq, sparse)
        if padding_idx is not None:
            padding_idx = integer("EmbeddingBag", "padding_idx", padding_idx)
            if not -num_embeddings <= padding_idx < num_embeddings:
                message = (
                    "EmbeddingBag: expected padding_idx in "
                    f"[{-num_embeddings}, {num_embeddings - 1}], got {padding_idx}; None is for no"
                    " padding"
                )
                raise ValueError(message)
            padding_idx %= num_embeddings
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.mode, self.sparse = scale_grad_by_freq, mode, sparse
        self.include_last_offset, self.padding_idx = include_last_offset, padding_idx
        shape = (num_embeddings, embedding_dim)
        if _weight is None:
            self.weight = Parameter(empty(*shape, dtype=dtype, device=device))
            self.reset_parameters()
            return
        require_tensor("EmbeddingBag", "_weight", _weight)
        if _weight.shape != shape:
            message = (
                f"EmbeddingBag: expected a weight {shape}, got {_weight.shape}; "
                "EmbeddingBag.from_pretrained takes the sizes from the table"
            )
            raise ValueError(message)
        self.weight = Parameter(_weight)

    def reset_parameters(self) -> None:
        """Draw new initial values from the default generator."""
        with no_grad():
            self.weight.normal_()
            if self.padding_idx is not None:
                self.weight[self.padding_idx] = 0.0

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """A module on a given table (v, d), by default without gradient."""
        if embeddings.ndim != 2:
            message = (
                f"EmbeddingBag.from_pretrained: expected a table (v, d), got {embeddings.shape}; "
                "give it one row for each entry"
            )
            raise ValueError(message)
        rows, columns = embeddings.shape
        made = cls(
            rows,
            columns,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            mode,
            sparse,
            embeddings,
            include_last_offset,
            padding_idx,
        )
        made.weight.requires_grad_(not freeze)
        return made

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        parts = [f"{self.num_embeddings}, {self.embedding_dim}"]
        plain = {"max_norm": None, "norm_type": 2, "scale_grad_by_freq": False}
        parts += [f"{k}={getattr(self, k)!r}" for k, v in plain.items() if getattr(self, k) != v]
        parts.append(f"mode={self.mode!r}")
        if self.padding_idx is not None:
            parts.append(f"padding_idx={self.padding_idx}")
        return ", ".join(parts)
