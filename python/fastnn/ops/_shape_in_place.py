# SPDX-License-Identifier: BSD-3-Clause
"""Another shape in place: t_, transpose_, swapaxes_, swapdims_, squeeze_, unsqueeze_.

The tensor itself gets the shape and the strides of the view that the function without ``_`` makes;
its memory, and all views of it from before, stay as they are. It counts as a change in place, as in
torch: a leaf that requires grad, and views that none can be made of, are refused while recording,
and a value that backward needs must not be one of these tensors.
"""

from __future__ import annotations

from typing import Any

from fastnn._view_history import turn
from fastnn.ops import _common
from fastnn.ops._in_place import check_history
from fastnn.ops.view import Permute, Reshape
from fastnn.tensor import Tensor


def _reshaped(name: str, input: Tensor, shape: tuple[int, ...]) -> Tensor:
    check_history(name, input, ())
    turn(input, (Reshape, (shape,)), (Reshape, (input.shape,)))
    return input


def _swapped(name: str, input: Tensor, dim0: Any, dim1: Any) -> Tensor:
    _common.require_tensor(name, "input", input)
    a = _common.one_dim(name, dim0, input.ndim)
    b = _common.one_dim(name, dim1, input.ndim)
    check_history(name, input, ())
    order = list(range(input.ndim))
    if order:
        order[a], order[b] = order[b], order[a]
    step = Permute, (tuple(order),)  # its own inverse
    turn(input, step, step)
    return input


def transpose_(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions of the tensor itself swapped, as torch.Tensor.transpose_.

    Raises IndexError for a bad dim, RuntimeError for a leaf that requires grad.
    """
    return _swapped("transpose_", input, dim0, dim1)


def swapaxes_(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """`transpose_` under NumPy's name, as torch.Tensor.swapaxes_. Raises as that does."""
    return _swapped("swapaxes_", input, axis0, axis1)


def swapdims_(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """`transpose_` under another name, as torch.Tensor.swapdims_. Raises as that does."""
    return _swapped("swapdims_", input, dim0, dim1)


def t_(input: Tensor) -> Tensor:
    """A matrix transposed itself, as torch.Tensor.t_; fewer dimensions stay as they are.

    Raises RuntimeError for more dimensions and for a leaf that requires grad.
    """
    _common.require_tensor("t_", "input", input)
    if input.ndim > 2:
        message = (
            f"t_: expected at most 2 dimensions, got {input.ndim}; use transpose_() or permute()"
        )
        raise RuntimeError(message)
    return _swapped("t_", input, 0, max(input.ndim - 1, 0))


def squeeze_(input: Tensor, dim: Any = None) -> Tensor:
    """Dimensions of size 1 (or those of ``dim`` that have it) taken away from the tensor itself.

    As torch.Tensor.squeeze_. Raises IndexError for a bad dim, RuntimeError for one named twice and
    for a leaf that requires grad.
    """
    _common.require_tensor("squeeze_", "input", input)
    none = isinstance(dim, tuple | list) and not dim
    dims = () if none else _common.many_dims("squeeze_", dim, input.ndim)
    shape = tuple([n for d, n in enumerate(input.shape) if n != 1 or d not in dims])
    return _reshaped("squeeze_", input, shape)


def unsqueeze_(input: Tensor, dim: int) -> Tensor:
    """A new dimension of size 1 at ``dim`` of the tensor itself, as torch.Tensor.unsqueeze_.

    Raises IndexError for a bad dim, RuntimeError for a leaf that requires grad.
    """
    _common.require_tensor("unsqueeze_", "input", input)
    d = _common.one_dim("unsqueeze_", dim, input.ndim + 1)
    return _reshaped("unsqueeze_", input, (*input.shape[:d], 1, *input.shape[d:]))
