# SPDX-License-Identifier: BSD-3-Clause
"""Samplers: in which order, and in which groups, a loader reads a map-style data set.

A sampler that draws random numbers remembers in which state its generator was at the start of the
order that it is running through; ``state_dict`` tells, and after ``load_state_dict`` the next
``iter()`` gives that same order again without drawing from the generator. A sampler of your own
that is random needs these two methods if a loader is to resume exactly.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from fastnn._draws import multinomial
from fastnn.ops import as_tensor
from fastnn.random import Generator, default_generator, randperm
from fastnn.tensor import Tensor

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """Base class. A subclass defines ``__iter__``, and ``__len__`` if it knows its length."""

    def __iter__(self) -> Iterator[T_co]:
        message = (
            f"{type(self).__name__}: expected a method of its own, got none: it must define "
            "__iter__(self); yield the indices there, one by one"
        )
        raise NotImplementedError(message)


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ... in order."""

    data_source: Sized

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def _index_array(self) -> Any:
        return np.arange(len(self.data_source), dtype=np.int64)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class _Shuffling(Sampler[int]):
    """A sampler that draws a whole order at ``iter()``."""

    generator: Generator | None

    def __init__(self, generator: Generator | None) -> None:
        self.generator = generator
        self._start: list[int] | None = None  # the generator at the start of the current order
        self._resume: list[int] | None = None

    def _draw(self, generator: Generator) -> Any:
        raise NotImplementedError

    def _index_array(self) -> Any:
        if self._resume is not None:
            self._start, self._resume = self._resume, None
            generator = Generator()
            generator.cell[:] = self._start
        else:
            generator = default_generator if self.generator is None else self.generator
            self._start = [int(x) for x in generator.cell]
        return self._draw(generator)

    def __iter__(self) -> Iterator[int]:
        return iter(self._index_array().tolist())

    def state_dict(self) -> dict[str, Any]:
        """Where the current order comes from, and the generator, if it is the sampler's own."""
        own = None if self.generator is None else [int(x) for x in self.generator.cell]
        return {"start": self._start if self._resume is None else self._resume, "generator": own}

    def _finish(self) -> None:
        """Called by a loader at the end of the order: a state taken now leads to a new one."""
        self._start = None

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next ``iter()`` give the order that was running when ``state`` was taken."""
        name = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state, Mapping) or not {"start", "generator"} <= state.keys():
            message = (
                f"{name}: expected what state_dict() returned, got {state!r:.100}; pass it whole,"
                " with 'start' and 'generator'"
            )
            raise ValueError(message)
        for cell in (state["start"], state["generator"]):
            if cell is None:
                continue
            if not (isinstance(cell, Sequence) and [type(x) for x in cell] == [int, int]):
                message = (
                    f"{name}: expected a generator's state as two ints, got {cell!r:.100}; pass"
                    " what state_dict() returned, unchanged"
                )
                raise ValueError(message)
        start = state["start"]
        self._start, self._resume = None, None if start is None else [int(x) for x in start]
        if self.generator is not None and state["generator"] is not None:
            self.generator.cell[:] = [int(x) for x in state["generator"]]


class RandomSampler(_Shuffling):
    """A random order, new at every ``iter()``.

    replacement: draw each index independently instead of permuting.
    num_samples: how many to draw; by default as many as there are. Without replacement, more than
                 there are means several permutations one after the other.
    generator:   by default the global one, that ``fastnn.manual_seed`` sets.
    """

    data_source: Sized
    replacement: bool

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(generator)
        given: object = replacement
        if not isinstance(given, bool):
            message = (
                f"RandomSampler: expected replacement as a boolean value, got {given!r}; True "
                "draws every index anew"
            )
            raise TypeError(message)
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        if num_samples is not None and num_samples < 0:
            message = (
                "RandomSampler: expected num_samples as a non-negative integer value, got "
                f"{num_samples}; leave it out for all of them"
            )
            raise ValueError(message)

    @property
    def num_samples(self) -> int:
        """How many indices one ``iter()`` gives."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def _draw(self, generator: Generator) -> Any:
        n, wanted = len(self.data_source), self.num_samples
        if wanted == 0 or n == 0:
            return np.empty(0, dtype=np.int64)
        if self.replacement:
            u = Tensor._wrap(np.empty(wanted, dtype=np.float64)).uniform_(generator=generator)
            return np.minimum((u.array * n).astype(np.int64), n - 1)
        rounds = [randperm(n, generator=generator).numpy() for _ in range(-(-wanted // n))]
        return np.concatenate(rounds)[:wanted]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(_Shuffling):
    """The given indices in a random order, new at every ``iter()``."""

    indices: Sequence[int]

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        super().__init__(generator)
        self.indices = indices

    def _draw(self, generator: Generator) -> Any:
        order = randperm(len(self.indices), generator=generator).numpy()
        return np.asarray(self.indices, dtype=np.int64)[order]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(_Shuffling):
    """``num_samples`` indices of ``weights``, each drawn as often as its weight says.

    weights:     non-negative numbers, which need not sum to 1.
    replacement: whether an index may be drawn again.
    """

    weights: Tensor
    num_samples: int
    replacement: bool

    def __init__(
        self,
        weights: Any,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(generator)
        wanted: object = num_samples
        drawn_again: object = replacement
        if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted <= 0:
            message = (
                "WeightedRandomSampler: expected num_samples as a positive integer value, got "
                f"{num_samples!r}; len(weights) draws as many as there are"
            )
            raise ValueError(message)
        if not isinstance(drawn_again, bool):
            message = (
                "WeightedRandomSampler: expected replacement as a boolean value, got "
                f"{replacement!r}; True may draw an index again"
            )
            raise ValueError(message)
        self.weights = as_tensor(weights).double()
        if self.weights.ndim != 1:
            message = (
                "WeightedRandomSampler: expected weights as a 1d sequence, got shape "
                f"{self.weights.shape}; give one number for each sample"
            )
            raise ValueError(message)
        self.num_samples = num_samples
        self.replacement = replacement

    def _draw(self, generator: Generator) -> Any:
        drawn = multinomial(self.weights, self.num_samples, self.replacement, generator=generator)
        return drawn.cpu().numpy()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """The indices of ``sampler`` in lists of ``batch_size``; the last may be shorter, or is left
    out with ``drop_last``."""

    sampler: Iterable[int]
    batch_size: int
    drop_last: bool

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        size: object = batch_size
        if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
            message = (
                "BatchSampler: expected batch_size as a positive integer value, got "
                f"{batch_size!r}; 1 is the smallest"
            )
            raise ValueError(message)
        drop: object = drop_last
        if not isinstance(drop, bool):
            message = (
                f"BatchSampler: expected drop_last as a boolean value, got {drop!r}; True leaves a "
                "shorter last batch out"
            )
            raise ValueError(message)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def _batches(self) -> Iterator[Any]:
        """The batches as arrays where the sampler gives its order as one, else as lists. The
        order is drawn here, before the first batch is taken."""
        as_array = getattr(self.sampler, "_index_array", None)
        if as_array is None:
            return self._lists(iter(self.sampler))
        order = as_array()
        end = len(order) - len(order) % self.batch_size if self.drop_last else len(order)
        return (order[i : i + self.batch_size] for i in range(0, end, self.batch_size))

    def _lists(self, indices: Iterator[int]) -> Iterator[list[int]]:
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __iter__(self) -> Iterator[list[int]]:
        return (b if isinstance(b, list) else b.tolist() for b in self._batches())

    def __len__(self) -> int:
        n = len(self.sampler)  # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
