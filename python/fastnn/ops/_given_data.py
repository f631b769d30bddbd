# SPDX-License-Identifier: BSD-3-Clause
"""Arrays that kernels can take, of what a user gives to make a tensor from."""

from __future__ import annotations

import numbers
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
        kind = dtype or _dtypes.of_scalar(data)
        _dtypes.of_scalar(data)  # refuses what is no number
        return _dtypes.converted("tensor", np.asarray(data), kind)
    try:
        array = np.asarray(_plain(data))
    except ValueError as error:
        message = f"tensor: expected nested sequences of equal lengths: {error}"
        raise ValueError(message) from None
    if array.dtype == object and not all(isinstance(x, numbers.Integral) for x in array.flat):
        message = "tensor: expected numbers, got other objects in the data"
        raise TypeError(message)
    if array.dtype.kind not in "biufO":
        message = f"tensor: expected numbers, got NumPy dtype {array.dtype}; convert them first"
        raise TypeError(message)
    if dtype is None:
        if array.size == 0 or array.dtype == np.float64:
            dtype = _dtypes.get_default_dtype()
        else:
            # Whole numbers beyond int64 have no type of their own: an error of `converted`.
            wide = array.dtype.kind in "uO"
            dtype = _dtypes.int64 if wide else _dtypes.from_numpy(array.dtype)
    return _dtypes.converted("tensor", array, dtype)


def _plain(data: Any) -> Any:
    """Tensors inside of lists as arrays."""
    if isinstance(data, Tensor):
        return data.detach().cpu().numpy().astype(np.float64 if data.is_floating_point() else None)
    if isinstance(data, tuple | list):
        return [_plain(d) for d in data]
    return data


def foreign_array(data: Any) -> np.ndarray[Any, Any] | None:
    """The array of another library's tensor, on its memory if it can be; None for other data."""
    if isinstance(data, np.generic) or not hasattr(data, "__array__"):
        return None
    # torch gives no array of a tensor that requires gradients.
    return np.asarray(data.detach() if hasattr(data, "detach") else data)
