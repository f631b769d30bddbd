# SPDX-License-Identifier: BSD-3-Clause
"""Tensors of the shape, the type or the device of another: zeros_like, new_zeros and their like."""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._formats import check_formats
from fastnn.ops import _common
from fastnn.ops.creation import empty, full, size_argument, tensor
from fastnn.tensor import Tensor


def _options(
    name: str, t: Tensor, dtype: Any, device: Any, requires_grad: bool, **formats: Any
) -> dict[str, Any]:
    """Options for `empty` and `full`, by default those of a tensor."""
    _common.require_tensor(name, "input", t)
    check_formats(name, **formats)
    return {
        "dtype": _dtypes.argument(name, dtype, t.dtype),
        "device": t.device if device is None else device,
        "requires_grad": requires_grad,
    }


def empty_like(
    input: Tensor,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """`empty` of the shape, type and device of a tensor, as torch.empty_like; always contiguous."""
    formats = {"layout": layout, "pin_memory": pin_memory, "memory_format": memory_format}
    made = _options("empty_like", input, dtype, device, requires_grad, **formats)
    return empty(input.shape, **made)


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """`full` of the shape, type and device of a tensor, as torch.full_like; always contiguous."""
    formats = {"layout": layout, "pin_memory": pin_memory, "memory_format": memory_format}
    made = _options("full_like", input, dtype, device, requires_grad, **formats)
    return full(input.shape, fill_value, **made)


def zeros_like(
    input: Tensor,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """`zeros` of the shape, type and device of a tensor, as torch.zeros_like; always contiguous."""
    formats = {"layout": layout, "pin_memory": pin_memory, "memory_format": memory_format}
    made = _options("zeros_like", input, dtype, device, requires_grad, **formats)
    return full(input.shape, 0, **made)


def ones_like(
    input: Tensor,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """`ones` of the shape, type and device of a tensor, as torch.ones_like; always contiguous."""
    formats = {"layout": layout, "pin_memory": pin_memory, "memory_format": memory_format}
    made = _options("ones_like", input, dtype, device, requires_grad, **formats)
    return full(input.shape, 1, **made)


def new_empty(
    input: Tensor,
    *sizes: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """`empty` of the type and device of a tensor, as torch.Tensor.new_empty."""
    formats = {"layout": layout, "pin_memory": pin_memory}
    made = _options("new_empty", input, dtype, device, requires_grad, **formats)
    return empty(size_argument("new_empty", sizes, size), **made)


def new_full(
    input: Tensor,
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """`full` of the type and device of a tensor, as torch.Tensor.new_full."""
    formats = {"layout": layout, "pin_memory": pin_memory}
    made = _options("new_full", input, dtype, device, requires_grad, **formats)
    return full(size_argument("new_full", (size,), None), fill_value, **made)


def new_zeros(
    input: Tensor,
    *sizes: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """`zeros` of the type and device of a tensor, as torch.Tensor.new_zeros."""
    formats = {"layout": layout, "pin_memory": pin_memory}
    made = _options("new_zeros", input, dtype, device, requires_grad, **formats)
    return full(size_argument("new_zeros", sizes, size), 0, **made)


def new_ones(
    input: Tensor,
    *sizes: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """`ones` of the type and device of a tensor, as torch.Tensor.new_ones."""
    formats = {"layout": layout, "pin_memory": pin_memory}
    made = _options("new_ones", input, dtype, device, requires_grad, **formats)
    return full(size_argument("new_ones", sizes, size), 1, **made)


def new_tensor(
    input: Tensor,
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """A copy of ``data`` in the type and on the device of a tensor, as torch.Tensor.new_tensor."""
    formats = {"layout": layout, "pin_memory": pin_memory}
    made = _options("new_tensor", input, dtype, device, requires_grad, **formats)
    return tensor(data, **made)
