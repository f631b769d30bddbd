# SPDX-License-Identifier: BSD-3-Clause
"""From a list of samples to a batch."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastnn._dtypes import float64
from fastnn.ops import as_tensor, tensor
from fastnn.tensor import Tensor
from fastnn.utils.data._stack import stack_rows

__all__ = ["default_collate", "default_convert"]


def _is_text_array(value: Any) -> bool:
    return value.dtype.kind in "OSU"


def default_convert(data: Any) -> Any:
    """NumPy arrays and numbers in ``data`` as tensors, its structure kept. What a loader without
    batches (``batch_size=None``) does to a sample."""
    if isinstance(data, (np.ndarray, np.generic)):
        return data if _is_text_array(data) else as_tensor(data)
    if isinstance(data, Mapping):
        return _rebuild(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(value) for value in data))
    if isinstance(data, tuple):
        return [default_convert(value) for value in data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _rebuild(data, [default_convert(value) for value in data])
    return data


def _rebuild(like: Any, content: Any) -> Any:
    """``content`` as the type of ``like`` if that takes it, else as it is."""
    with contextlib.suppress(TypeError):
        return type(like)(content)
    return content


def default_collate(batch: Sequence[Any]) -> Any:
    """Stack samples along a new first dimension, part by part.

    Tensors, arrays and numbers become one tensor (float64 for Python floats, int64 for ints);
    strings stay a list; mappings, named tuples, tuples and lists are collated entry by entry, a
    tuple giving a list.  Errors: TypeError for other types, RuntimeError for unequal shapes.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return stack_rows(batch)
    if isinstance(first, (np.ndarray, np.generic)):
        if _is_text_array(first):
            message = (
                f"default_collate: expected numbers, got an array of {first.dtype}; pass a "
                "collate_fn of your own"
            )
            raise TypeError(message)
        return stack_rows([as_tensor(value) for value in batch])
    if isinstance(first, float):
        return tensor(list(batch), dtype=float64)
    if isinstance(first, int):
        return tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        merged = {key: default_collate([sample[key] for sample in batch]) for key in first}
        return _rebuild(first, merged)
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            message = (
                "default_collate: expected the lists of a batch to be of equal size, got"
                f" lengths {sorted({len(sample) for sample in batch})}; pad the samples, or pass a"
                " collate_fn of your own"
            )
            raise RuntimeError(message)
        columns = [default_collate(column) for column in zip(*batch, strict=True)]
        if hasattr(first, "_fields"):
            return type(first)(*columns)
        return columns if isinstance(first, tuple) else _rebuild(first, columns)
    message = (
        "default_collate: expected tensors, numpy arrays, numbers, dicts or lists, got "
        f"{type(first).__name__}; convert it in the data set, or pass a collate_fn"
    )
    raise TypeError(message)
