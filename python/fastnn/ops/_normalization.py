# SPDX-License-Identifier: BSD-3-Clause
"""What the normalisations share: checks of their arguments, and pieces of their gradients."""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.tensor import Tensor


def check_input(op: str, input: Any) -> None:
    """TypeError or RuntimeError unless ``input`` is a tensor of floating-point numbers."""
    _common.require_tensor(op, "input", input)
    _common.require_float(op, "input", input)


def check_parameter(op: str, name: str, value: Any, shape: tuple[int, ...], input: Tensor) -> None:
    """TypeError or RuntimeError unless None, or a tensor of a shape and of the input's type."""
    if value is None:
        return
    _common.require_tensor(op, name, value)
    if value.shape != shape:
        message = (
            f"{op}: expected {name} of shape {shape} for input {input.shape}, got {value.shape}; "
            f"create the layer for the sizes {shape}"
        )
        raise RuntimeError(message)
    if value.array.dtype != input.array.dtype:
        message = (
            f"{op}: expected input and {name} of one type, got {input.dtype} and {value.dtype}; "
            "convert with .to(...)"
        )
        raise RuntimeError(message)


def optional(table: Any, array: Any) -> Any:
    """A contiguous array, or None."""
    return None if array is None else _common.contiguous_array(table, array)


def mean_and_variance(x: Any, axes: Any) -> tuple[Any, Any]:
    """Of an array, for references, with the axes kept; zeros if there are no elements."""
    xp = array_module(x)
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    mean = xp.add.reduce(x, axis=axes, keepdims=True, dtype=x.dtype) / max(count, 1)
    deviation = x - mean
    square = xp.multiply(deviation, deviation, out=deviation)
    return mean, xp.add.reduce(square, axis=axes, keepdims=True, dtype=x.dtype) / max(count, 1)


def put(to: Any, value: Any, accumulate: bool) -> None:
    """Writes or adds a parameter's gradient, where it is wanted, for references."""
    if to is not None:
        to[...] = to + value.reshape(to.shape) if accumulate else value.reshape(to.shape)
