# SPDX-License-Identifier: BSD-3-Clause
"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from fastnn import ops
from fastnn.autograd import no_grad
from fastnn.tensor import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters in order, as one vector; differentiable."""
    parts = [p.reshape(-1) for p in parameters]
    if not parts:
        message = (
            "parameters_to_vector: expected at least one parameter, got none; a generator such as"
            " model.parameters() can be used once only"
        )
        raise ValueError(message)
    return ops.cat(parts)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Writes the elements of a vector into the parameters, in order.

    Unlike in torch they keep their own memory, so that optimisers and views stay valid.
    Errors: TypeError for what is no Tensor, ValueError for a vector of another length.
    """
    if not isinstance(vec, Tensor):
        message = (
            f"vector_to_parameters: expected vec as a Tensor, got {type(vec).__name__}; make one"
            " with fastnn.tensor(...)"
        )
        raise TypeError(message)
    listed = list(parameters)
    total = sum(p.numel() for p in listed)
    if vec.shape != (total,):
        message = (
            f"vector_to_parameters: expected a vector of {total} elements, as the parameters have,"
            f" got shape {tuple(vec.shape)}; parameters_to_vector makes one"
        )
        raise ValueError(message)
    start = 0
    with no_grad():
        for p in listed:
            p.copy_(vec[start : start + p.numel()].reshape(p.shape))
            start += p.numel()
