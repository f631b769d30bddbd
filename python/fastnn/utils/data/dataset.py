# SPDX-License-Identifier: BSD-3-Clause
"""Data sets: what a loader draws samples from.

A map-style data set has ``__getitem__(index)`` and ``__len__``. If it also has
``__getitems__(indices)`` (a list of samples) the loader asks once per batch. If it has
``__getbatch__(indices)`` (a whole batch, for an int64 array of indices), the loader asks that
instead as long as nothing else than the default collation is wanted: no sample ever exists.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from fastnn._grad_mode import no_grad
from fastnn.ops import index_select
from fastnn.random import Generator, randperm
from fastnn.tensor import Tensor

__all__ = [
    "ChainDataset",
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "StackDataset",
    "Subset",
    "TensorDataset",
    "random_split",
]

T_co = TypeVar("T_co", covariant=True)
GetBatch = Callable[[Any], Any]


class Dataset(Generic[T_co]):
    """Base class of map-style data sets. A subclass defines ``__getitem__`` and ``__len__``."""

    def __getitem__(self, index: Any) -> T_co:
        message = (
            f"{type(self).__name__}: expected a method of its own, got none: it must define "
            "__getitem__(self, index); return the sample at an index there"
        )
        raise NotImplementedError(message)

    def __add__(self, other: Dataset[T_co]) -> ConcatDataset[T_co]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Base class of data sets that can only be read in order. A subclass defines ``__iter__``."""

    def __iter__(self) -> Iterator[T_co]:
        message = (
            f"{type(self).__name__}: expected a method of its own, got none: it must define "
            "__iter__(self); yield the samples there, one by one"
        )
        raise NotImplementedError(message)

    def __add__(self, other: Dataset[T_co]) -> ChainDataset[T_co]:  # type: ignore[override]
        return ChainDataset([self, other])


class ChainDataset(IterableDataset[T_co]):
    """Several data sets that can only be read in order, one after the other."""

    datasets: Iterable[Dataset[T_co]]

    def __init__(self, datasets: Iterable[Dataset[T_co]]) -> None:
        super().__init__()
        self.datasets = datasets

    def _parts(self) -> Iterator[IterableDataset[T_co]]:
        for part in self.datasets:
            if not isinstance(part, IterableDataset):
                message = (
                    f"ChainDataset: expected parts that are IterableDatasets, got "
                    f"{type(part).__name__}; ConcatDataset joins data sets with an index"
                )
                raise TypeError(message)
            yield part

    def __iter__(self) -> Iterator[T_co]:
        for part in self._parts():
            yield from part

    def __len__(self) -> int:
        return sum(_length(part) for part in self._parts())


class StackDataset(Dataset[Any]):
    """Data sets of one length side by side: sample i is a tuple of their samples i, or a dict of
    them by name if they were given by name."""

    datasets: tuple[Any, ...] | dict[str, Any]

    def __init__(self, *args: Dataset[Any], **kwargs: Dataset[Any]) -> None:
        if bool(args) == bool(kwargs):
            message = (
                "StackDataset: expected data sets either by position, for tuples, or by name, for "
                f"dicts, got {'both' if args else 'none'}; name all of them or none"
            )
            raise ValueError(message)
        lengths = [_length(d) for d in (*args, *kwargs.values())]
        if len(set(lengths)) > 1:
            message = (
                f"StackDataset: expected data sets of one length, got a size mismatch, {lengths}; "
                "cut them to one length with Subset"
            )
            raise ValueError(message)
        self.datasets = args or kwargs
        self._length = lengths[0]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: d[index] for name, d in self.datasets.items()}
        return tuple(d[index] for d in self.datasets)

    def __len__(self) -> int:
        return self._length


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Tensors of equal length side by side: sample i is ``(a[i], b[i], ...)``."""

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor) -> None:
        given: tuple[object, ...] = tensors
        for i, t in enumerate(given):
            if not isinstance(t, Tensor) or t.ndim == 0:
                got = f"shape {t.shape}" if isinstance(t, Tensor) else type(t).__name__
                message = (
                    f"TensorDataset: expected tensors with at least one dimension, got {got} at"
                    f" position {i}; make one with fastnn.tensor(...)"
                )
                raise TypeError(message)
        if len({t.shape[0] for t in tensors}) > 1:
            message = (
                "TensorDataset: expected tensors of one length, got a size mismatch of their first "
                f"dimensions, {[t.shape[0] for t in tensors]}; cut them to one length"
            )
            raise ValueError(message)
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __getbatch__(self, indices: Any) -> list[Tensor]:
        if indices.size and indices.min() < 0:  # from the end, as in __getitem__
            indices = np.where(indices < 0, indices + len(self), indices)
        rows = Tensor._wrap(indices)
        with no_grad():
            return [index_select(t, 0, rows) for t in self.tensors]

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0]) if self.tensors else 0


class ConcatDataset(Dataset[T_co]):
    """Several data sets one after the other."""

    datasets: list[Dataset[T_co]]
    cumulative_sizes: list[int]

    def __init__(self, datasets: Iterable[Dataset[T_co]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            message = (
                "ConcatDataset: expected one data set or more, got an empty iterable; pass a list "
                "of data sets"
            )
            raise ValueError(message)
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            message = (
                "ConcatDataset: expected data sets with a length, got an IterableDataset, which "
                "has no length; use itertools.chain"
            )
            raise TypeError(message)
        self.cumulative_sizes = list(itertools.accumulate(_length(d) for d in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> T_co:
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            message = (
                f"ConcatDataset: expected an index of its {len(self)} samples, got {index}; the "
                f"last is {len(self) - 1}"
            )
            raise IndexError(message)
        which = bisect.bisect_right(self.cumulative_sizes, position)
        before = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][position - before]


class Subset(Dataset[T_co]):
    """The samples of ``dataset`` at ``indices``."""

    dataset: Dataset[T_co]
    indices: Sequence[int]

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> T_co:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[T_co]:
        chosen = [self.indices[i] for i in indices]
        get_many = getattr(self.dataset, "__getitems__", None)
        if get_many is not None:
            return list(get_many(chosen))
        return [self.dataset[i] for i in chosen]

    def __len__(self) -> int:
        return len(self.indices)


def _length(dataset: Any) -> int:
    return len(dataset)


def batch_getter(dataset: Any) -> GetBatch | None:
    """``__getbatch__`` of a data set, through subsets, or None if it has none.

    A subclass that redefines how one sample is read, but not how a batch is, has none: its
    batches must go through its own ``__getitem__``.
    """
    kind = type(dataset)
    if isinstance(dataset, Subset):
        if kind.__getitem__ is not Subset.__getitem__:
            return None
        inner = batch_getter(dataset.dataset)
        if inner is None:
            return None
        chosen = np.asarray(dataset.indices, dtype=np.int64)
        return lambda indices: inner(chosen[indices])
    get = getattr(dataset, "__getbatch__", None)
    if isinstance(dataset, TensorDataset):
        redefined = kind.__getitem__ is not TensorDataset.__getitem__
        if redefined and kind.__getbatch__ is TensorDataset.__getbatch__:
            return None
    return get


def random_split(
    dataset: Dataset[T_co], lengths: Sequence[int | float], generator: Generator | None = None
) -> list[Subset[T_co]]:
    """Split into random subsets of the given lengths, or of fractions that sum to 1.

    With fractions, each length is rounded down and what is left over goes one by one to the first
    subsets.  Errors: ValueError unless the lengths sum to the size of the data set.
    """
    n = _length(dataset)
    sizes: list[int]
    if math.isclose(sum(lengths), 1.0):
        for i, fraction in enumerate(lengths):
            if not 0.0 <= fraction <= 1.0:
                message = (
                    f"random_split: expected fractions between 0 and 1, got {fraction} at index "
                    f"{i}; give shares that sum to 1"
                )
                raise ValueError(message)
        sizes = [math.floor(n * fraction) for fraction in lengths]
        for i in range(n - sum(sizes)):
            sizes[i % len(sizes)] += 1
    else:
        if any(int(x) != x or x < 0 for x in lengths) or sum(lengths) != n:
            message = (
                f"random_split: expected lengths that sum to {n}, the length of the data set, got "
                f"{list(lengths)}; give whole numbers that sum to {n}, or fractions that sum to 1"
            )
            raise ValueError(message)
        sizes = [int(x) for x in lengths]
    order = randperm(n, generator=generator).tolist()
    ends = itertools.accumulate(sizes)
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
