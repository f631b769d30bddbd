# SPDX-License-Identifier: BSD-3-Clause
"""``Embedding``: a table of rows that are looked up by number."""

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

__all__ = ["Embedding"]


class Embedding(Module):
    """Rows of a table by their numbers.

        y[..., :] = weight[x[...], :]

    Shapes: x (...) of integers; weight (num_embeddings, embedding_dim) -> y (..., embedding_dim).
    Initial values: normal with mean 0 and deviation 1; the row ``padding_idx``, which gets no
    gradient, is zero.
    max_norm: rows that an input names and whose norm of order ``norm_type`` is larger are scaled to
    it, in the table itself, by every call.
    scale_grad_by_freq: the gradient of a row is divided by how often the input names it.
    sparse: taken; the gradient is dense all the same.
    Errors: ValueError for a padding_idx out of range and a negative max_norm, TypeError for options
    of another type.
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
        check_options("Embedding", max_norm, norm_type, scale_grad_by_freq, sparse)
        if padding_idx is not None:
            padding_idx = integer("Embedding", "padding_idx", padding_idx)
            if not -num_embeddings <= padding_idx < num_embeddings:
                message = (
                    f"Embedding: expected padding_idx in [{-num_embeddings}, {num_embeddings - 1}],"
                    f" got {padding_idx}; None is for no padding"
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
            require_tensor("Embedding", "_weight", _weight)
            if _weight.shape != (num_embeddings, embedding_dim):
                message = (
                    f"Embedding: expected a weight ({num_embeddings}, {embedding_dim}), got "
                    f"{_weight.shape}; Embedding.from_pretrained takes the sizes from the table"
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
            message = (
                f"Embedding.from_pretrained: expected a table (v, d), got {embeddings.shape}; give "
                "it one row for each entry"
            )
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
        return F.embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    def extra_repr(self) -> str:
        parts = [f"{self.num_embeddings}, {self.embedding_dim}"]
        plain = {"padding_idx": None, "max_norm": None, "norm_type": 2, "scale_grad_by_freq": False}
        values = {key: getattr(self, key) for key in plain}
        parts += [f"{key}={value}" for key, value in values.items() if value != plain[key]]
        return ", ".join(parts)
