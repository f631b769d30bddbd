# SPDX-License-Identifier: BSD-3-Clause
"""``Embedding``: a table of rows that are looked up by number."""

from __future__ import annotations

from typing import Any

from fastnn._grad_mode import no_grad
from fastnn.nn import functional as F
from fastnn.nn.module import Module
from fastnn.nn.parameter import Parameter
from fastnn.ops import empty
from fastnn.tensor import Tensor

__all__ = ["Embedding"]


class Embedding(Module):
    """Rows of a table by their numbers.

        y[..., :] = weight[x[...], :]

    Shapes: x (...) of integers; weight (num_embeddings, embedding_dim) -> y (..., embedding_dim).
    Initial values: normal with mean 0 and deviation 1; the row ``padding_idx``, which gets no
    gradient, is zero.
    Errors: ValueError for a padding_idx out of range, NotImplementedError for max_norm,
    scale_grad_by_freq and sparse.
    """

    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None
    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if max_norm is not None or scale_grad_by_freq or sparse:
            message = (
                "Embedding: expected no max_norm, scale_grad_by_freq or sparse, which are not "
                "there yet"
            )
            raise NotImplementedError(message)
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                message = (
                    f"Embedding: expected padding_idx in [{-num_embeddings}, {num_embeddings - 1}],"
                    f" got {padding_idx}"
                )
                raise ValueError(message)
            padding_idx %= num_embeddings
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        if _weight is None:
            shape = (num_embeddings, embedding_dim)
            table = empty(*shape, dtype=dtype, device=device)
            self.weight = Parameter(table, requires_grad=not _freeze)
            self.reset_parameters()
        else:
            if _weight.shape != (num_embeddings, embedding_dim):
                message = (
                    f"Embedding: expected a weight ({num_embeddings}, {embedding_dim}), got "
                    f"{_weight.shape}"
                )
                raise ValueError(message)
            self.weight = Parameter(_weight, requires_grad=not _freeze)

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
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """A module on a given table (v, d), by default without gradient."""
        if embeddings.ndim != 2:
            message = f"Embedding.from_pretrained: expected a table (v, d), got {embeddings.shape}"
            raise ValueError(message)
        rows, columns = embeddings.shape
        return cls(
            rows,
            columns,
            padding_idx,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            sparse,
            _weight=embeddings,
            _freeze=freeze,
        )

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
