# SPDX-License-Identifier: BSD-3-Clause
"""``DataLoader``: batches of a data set, shuffled, loaded ahead, and resumable."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from fastnn.random import Generator
from fastnn.utils.data._checks import check_iterable, check_kinds, check_position, check_workers
from fastnn.utils.data._collate import default_collate, default_convert
from fastnn.utils.data._fetch import END, Epoch, Workers, make_fetch, stream_jobs
from fastnn.utils.data.dataset import IterableDataset
from fastnn.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler

__all__ = ["DataLoader"]

_FIXED = frozenset(
    ["batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"]
)


class DataLoader:
    """Iterates over a data set in batches; each ``iter()`` is one epoch.

    dataset:       map-style (``__getitem__``, ``__len__``) or an IterableDataset. A TensorDataset,
                   a Subset of one, or any data set with ``__getbatch__`` is indexed once per batch.
    batch_size:    samples per batch; None gives single samples, converted but not batched.
    shuffle:       a new random order every epoch, drawn from ``generator`` (by default the global
                   one).
    sampler, batch_sampler: an order, or groups, of indices of your own instead.
    num_workers:   how many threads load ahead, ``prefetch_factor`` (2) batches each. The order of
                   batches stays. The data set must then be safe to read from several threads; an
                   IterableDataset is read by one.
    drop_last:     leave out a last batch that is not full.
    collate_fn:    from a list of samples to a batch.
    timeout:       seconds to wait for a worker's batch; 0 waits for ever.

    ``state_dict()`` says where in the epoch the loader is, ``load_state_dict()`` goes there: the
    next ``iter()`` continues with the batch that would have come, and the epochs after it are those
    that would have followed. pin_memory, pin_memory_device, multiprocessing_context and in_order
    are accepted and change nothing.
    """

    dataset: Any
    batch_size: int | None
    drop_last: bool
    sampler: Any
    batch_sampler: Any
    num_workers: int
    collate_fn: Callable[[Any], Any]
    generator: Generator | None

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        check_kinds(
            dataset, sampler, batch_sampler, generator, num_workers=num_workers, timeout=timeout,
            prefetch_factor=prefetch_factor, collate_fn=collate_fn, worker_init_fn=worker_init_fn,
        )  # fmt: skip
        check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable:
            check_iterable(shuffle, sampler, batch_sampler)
        if sampler is not None and shuffle:
            message = (
                "DataLoader: expected a sampler, which is mutually exclusive with shuffle, or "
                "shuffle, got both; drop one"
            )
            raise ValueError(message)
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                message = (
                    "DataLoader: expected batch_sampler, which is mutually exclusive with "
                    "batch_size, shuffle, sampler, and drop_last, alone, got one of these too; "
                    "give those to the batch sampler"
                )
                raise ValueError(message)
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            message = (
                "DataLoader: expected drop_last=False with batch_size=None, which leaves no "
                "batches, got True; give a batch_size, or leave drop_last out"
            )
            raise ValueError(message)
        if sampler is None and not self._iterable:
            sampler = (
                RandomSampler(dataset, generator=generator)
                if shuffle
                else SequentialSampler(dataset)
            )
        if batch_size is not None and batch_sampler is None:
            # For an iterable data set this only checks the sizes.
            batches = BatchSampler([] if sampler is None else sampler, batch_size, drop_last)
            batch_sampler = None if self._iterable else batches
        self.dataset = dataset
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.persistent_workers = persistent_workers
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.in_order = in_order
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        batched = batch_size is not None or batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)
        self._workers: Workers | None = None
        self._epoch = 0  # epochs that have ended
        self._batch = 0  # batches given out in the running epoch
        self._skip = 0  # batches to leave out at the start of the next epoch
        self._run = 0  # which iterator the position belongs to: the one made last
        self._ready = True

    def __getstate__(self) -> dict[str, Any]:
        # A copy starts workers of its own: threads can be neither copied nor pickled.
        return {**self.__dict__, "_workers": None}

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and self.__dict__.get("_ready", False):
            message = (
                f"{type(self).__name__}: expected {name} as it was, got another value: the {name} "
                f"attribute should not be set after {type(self).__name__} is initialized; make a "
                "new loader"
            )
            raise ValueError(message)
        object.__setattr__(self, name, value)

    def __len__(self) -> int:
        """Batches per epoch. Raises TypeError if data set or sampler do not know."""
        if not self._iterable:
            return len(self._indices())
        n = len(self.dataset)
        if self.batch_size is None:
            return n
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def _indices(self) -> Any:
        """What gives the index, or the indices, of each batch; None for an iterable data set."""
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    # ---- one epoch ----

    def __iter__(self) -> Iterator[Any]:
        self._run += 1
        skip, self._skip = self._skip, 0
        self._batch = skip
        # The order is drawn now, not with the first batch: the generator moves at iter().
        return Epoch(self._epoch_iterator(self._jobs(skip), self._run), self._indices())

    def _jobs(self, skip: int) -> Iterator[Callable[[], Any]]:
        """What is left of the epoch: one function per batch."""
        if self._iterable:
            return stream_jobs(self.dataset, self.batch_size, self.drop_last, self.collate_fn, skip)
        if self.batch_sampler is None:
            order = self._resumable_iter(self.sampler)
            return (
                lambda i=i: self.collate_fn(self.dataset[i])  # type: ignore[misc]
                for i in itertools.islice(order, skip, None)
            )
        fetch = make_fetch(self.dataset, self.collate_fn)
        batches = self._resumable_iter(self.batch_sampler)
        return (
            lambda indices=indices: fetch(indices)  # type: ignore[misc]
            for indices in itertools.islice(batches, skip, None)
        )

    @staticmethod
    def _resumable_iter(sampler: Any) -> Iterator[Any]:
        return sampler._batches() if type(sampler) is BatchSampler else iter(sampler)

    def _epoch_iterator(self, jobs: Iterator[Callable[[], Any]], run: int) -> Iterator[Any]:
        workers = self._start_workers()
        results = (
            (job() for job in jobs)
            if workers is None
            else workers.run(jobs, workers.count * (self.prefetch_factor or 2))
        )
        try:
            for batch in results:
                if batch is END:
                    break
                if run == self._run:
                    self._batch += 1
                yield batch
            if run == self._run:
                self._epoch += 1
                self._batch = 0
                finish = getattr(self._order(), "_finish", None)
                if finish is not None:
                    finish()
        finally:
            if workers is not None and workers is not self._workers:
                workers.close()

    def _start_workers(self) -> Workers | None:
        if self.num_workers == 0:
            return None
        if self._workers is not None and self._workers.process == os.getpid():
            return self._workers
        # Reading an iterable data set is one sequence of calls: one thread.
        count = 1 if self._iterable else self.num_workers
        workers = Workers(count, self.dataset, self.worker_init_fn, self.timeout)
        if self.persistent_workers:
            self._workers = workers
        return workers

    # ---- position ----

    def _order(self) -> Any:
        """The sampler that knows its own position, or None."""
        inner = getattr(self.batch_sampler, "sampler", None)
        for sampler in (self.batch_sampler, inner, self.sampler):
            if hasattr(sampler, "state_dict") and hasattr(sampler, "load_state_dict"):
                return sampler
        return None

    def state_dict(self) -> dict[str, Any]:
        """The position: numbers only, safe to store as JSON. A batch counts as done once the loop
        has been given it."""
        order = self._order()
        return {
            "epoch": self._epoch,
            "batch": self._skip or self._batch,
            "batch_size": self.batch_size,
            "samples": None if self._iterable else len(self.dataset),
            "sampler": None if order is None else order.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a position. The data set, batch size and sampler must be those of the loader that
        gave it.  Errors: ValueError if they visibly are not, TypeError for what is no position."""
        epoch, batch = check_position(state)
        samples = None if self._iterable else len(self.dataset)
        for what, mine in (("batch_size", self.batch_size), ("samples", samples)):
            if state.get(what) != mine:
                message = (
                    "DataLoader.load_state_dict: expected a position of this loader, got one taken "
                    f"with {what}={state.get(what)}, this loader has {mine}; make the loader as it "
                    "was, or start a new epoch"
                )
                raise ValueError(message)
        order = self._order()
        if (order is None) != (state["sampler"] is None):
            message = (
                "DataLoader.load_state_dict: expected a position of this loader, got one taken "
                "with another kind of sampler (shuffle, sampler or batch_sampler differ); make the "
                "loader as it was"
            )
            raise ValueError(message)
        if samples is not None and batch > len(self):
            message = (
                f"DataLoader.load_state_dict: expected a batch of at most {len(self)}, the batches"
                f" of an epoch, got {batch}; make the loader as it was"
            )
            raise ValueError(message)
        if order is not None:
            order.load_state_dict(state["sampler"])
        self._run += 1  # an iterator that is still around no longer moves the position
        self._epoch = epoch
        self._batch = self._skip = batch
