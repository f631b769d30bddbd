# SPDX-License-Identifier: BSD-3-Clause
"""Arrays that kernels can take, of what a user gives to make a tensor from."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn import _dtypes
from fastnn.tensor import Tensor


def native_order(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array that kernels can take: a type we have, native byte order, aligned, no subclass."""
    dtype = _dtypes.from_numpy(array.dtype).numpy
    if array.dtype != dtype or not array.flags.aligned:
        return np.array(array, dtype)
    if any(s % dtype.itemsize for s, n in zip(array.strides, array.shape, strict=True) if n > 1):
        return np.array(array)
    return array.view(np.ndarray)


def array_from(data: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """Nested Python data as a new array of the given type, else of torch's type for it."""
    if isinstance(data, numbers.Number) or not hasattr(data, "__len__"):
        kind = dtype or _dtypes.of_scalar(data, "tensor")
        _dtypes.of_scalar(data, "tensor")  # refuses what is no number
        return _dtypes.converted("tensor", np.asarray(data), kind)
    held: list[_dtypes.dtype] = []
    numbers_only = _plain(data, held)
    try:
        array = np.asarray(numbers_only)
    except ValueError as error:
        message = (
            f"tensor: expected nested sequences of equal lengths, got others: {error}; fill the "
            "shorter ones up"
        )
        raise ValueError(message) from None
    if array.dtype == object and not all(isinstance(x, numbers.Integral) for x in array.flat):
        message = (
            "tensor: expected numbers, got other objects in the data; convert them with int() or "
            "float()"
        )
        raise TypeError(message)
    if array.dtype.kind not in "biufO":
        message = f"tensor: expected numbers, got NumPy dtype {array.dtype}; convert them first"
        raise TypeError(message)
    if dtype is None and held:
        # As of tensors with dimensions, Python's numbers being of the types that they stand for.
        dtype = _dtypes.result_type((kind, 1) for kind in (*held, *_kinds(data)))
    if dtype is None:
        if array.size == 0 or array.dtype == np.float64:
            dtype = _dtypes.get_default_dtype()
        else:
            # Whole numbers beyond int64 have no type of their own: an error of `converted`.
            wide = array.dtype.kind in "uO"
            dtype = _dtypes.int64 if wide else _dtypes.from_numpy(array.dtype)
    return _dtypes.converted("tensor", array, dtype)


def _is_tensor(data: Any) -> bool:
    """Whether data is a tensor, ours or another library's."""
    return isinstance(data, Tensor) or (hasattr(data, "__array__") and hasattr(data, "detach"))


def _plain(data: Any, held: list[_dtypes.dtype]) -> Any:
    """Nested data with the numbers of tensors of one element; their types are added to ``held``."""
    if isinstance(data, tuple | list):
        return [_plain(d, held) for d in data]
    if not _is_tensor(data):
        return data
    array = data.detach().cpu().numpy()
    if array.size != 1:
        message = (
            "tensor: expected tensors of one element inside of a sequence, got one of shape "
            f"{tuple(array.shape)}; use fastnn.stack() or fastnn.cat()"
        )
        raise ValueError(message)
    held.append(_dtypes.from_numpy(array.dtype))
    return array.item()


def _kinds(data: Any) -> Iterator[_dtypes.dtype]:
    """The types of what are no tensors in nested data."""
    if isinstance(data, tuple | list):
        for d in data:
            yield from _kinds(d)
    elif not _is_tensor(data):
        by_numpy = isinstance(data, np.ndarray | np.generic) and not isinstance(data, float)
        yield _dtypes.from_numpy(data.dtype) if by_numpy else _dtypes.of_scalar(data, "tensor")


def foreign_array(data: Any) -> np.ndarray[Any, Any] | None:
    """The array of another library's tensor, on its memory if it can be; None for other data."""
    if isinstance(data, np.generic) or not hasattr(data, "__array__"):
        return None
    # torch gives no array of a tensor that requires gradients.
    return np.asarray(data.detach() if hasattr(data, "detach") else data)
