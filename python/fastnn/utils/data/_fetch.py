# SPDX-License-Identifier: BSD-3-Clause
"""Reading batches: here and now, or ahead of time in threads."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastnn.utils.data._collate import default_collate
from fastnn.utils.data.dataset import batch_getter

__all__ = ["WorkerInfo", "get_worker_info"]

Fetch = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class WorkerInfo:
    """Which worker of a loader runs this code. Workers are threads and share ``dataset``."""

    id: int
    num_workers: int
    dataset: Any


class _Local(threading.local):
    info: WorkerInfo | None = None


_local = _Local()


def get_worker_info() -> WorkerInfo | None:
    """The worker that the calling code runs in, or None outside of workers."""
    return _local.info


def make_fetch(dataset: Any, collate: Callable[[Any], Any]) -> Fetch:
    """A function from the indices of a batch (a list, or an int64 array) to the batch."""
    get_batch = batch_getter(dataset) if collate is default_collate else None
    get_many = getattr(dataset, "__getitems__", None)

    def fetch(indices: Any) -> Any:
        is_array = not isinstance(indices, list)
        if get_batch is not None and is_array:
            return get_batch(indices)
        chosen = indices.tolist() if is_array else indices
        if get_many is not None:
            return collate(get_many(chosen))
        return collate([dataset[i] for i in chosen])

    return fetch


class Epoch:
    """One epoch of a loader: an iterator over its batches whose length is that of its order."""

    __slots__ = ("_batches", "_order")

    def __init__(self, batches: Iterator[Any], order: Any) -> None:
        self._batches = batches
        self._order = order

    def __iter__(self) -> Epoch:
        return self

    def __next__(self) -> Any:
        return next(self._batches)

    def __len__(self) -> int:
        """Batches of a whole epoch, however many were given out. Raises TypeError if the sampler
        does not know, and for iterable data sets, as torch."""
        if self._order is None:
            message = (
                "DataLoader: expected a map-style data set for the length of an epoch's iterator, "
                "got an IterableDataset; use len(loader), for one that has a length"
            )
            raise TypeError(message)
        return len(self._order)


END: Any = object()  # what a job of `stream_jobs` gives when the data set has no more


def stream_jobs(
    dataset: Iterable[Any],
    batch_size: int | None,
    drop_last: bool,
    collate: Callable[[Any], Any],
    skip: int,
) -> Iterator[Callable[[], Any]]:
    """The same function again and again: it reads the next batch of an iterable data set. The
    first ``skip`` batches are read and thrown away."""

    def read() -> Iterator[Any]:
        samples = iter(dataset)
        if batch_size is None:
            yield from samples
            return
        while batch := list(itertools.islice(samples, batch_size)):
            if len(batch) == batch_size or not drop_last:
                yield batch

    rest = itertools.islice(read(), skip, None)

    def job() -> Any:
        batch = next(rest, END)
        return END if batch is END else collate(batch)

    return itertools.repeat(job)


class Workers:
    """A few threads. Threads, not processes: batches need no copying between them, and what
    loading spends its time on (reading, decoding, NumPy) leaves the interpreter lock."""

    def __init__(
        self, count: int, dataset: Any, init: Callable[[int], Any] | None, timeout: float
    ) -> None:
        self._ids = itertools.count()
        self._dataset = dataset
        self._init = init
        self._timeout = timeout or None
        self._failed: Exception | None = None
        self.count = count
        self.process = os.getpid()  # threads do not survive a fork
        self._pool = concurrent.futures.ThreadPoolExecutor(count, "fastnn-loader", self._start)

    def _start(self) -> None:
        worker = next(self._ids)
        _local.info = WorkerInfo(worker, self.count, self._dataset)
        if self._init is not None:
            try:
                self._init(worker)
            except Exception as error:  # reported with the batch that this worker would load
                self._failed = error

    def _work(self, job: Callable[[], Any]) -> Any:
        if self._failed is not None:
            message = (
                "DataLoader: expected worker_init_fn to end, got an exception: worker_init_fn "
                f"raised {self._failed!r}; correct it: no worker can start without it"
            )
            raise RuntimeError(message) from self._failed
        return job()

    def close(self) -> None:
        """Let the threads end; what they have begun they finish."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def run(self, jobs: Iterator[Callable[[], Any]], ahead: int) -> Iterator[Any]:
        """The results of ``jobs`` in their order, at most ``ahead`` of them not yet taken."""
        waiting: deque[concurrent.futures.Future[Any]] = deque()
        taken = 0
        try:
            while True:
                for job in itertools.islice(jobs, ahead - len(waiting)):
                    waiting.append(self._pool.submit(self._work, job))
                if not waiting:
                    return
                yield self._result(waiting.popleft(), taken)
                taken += 1
        finally:
            for future in waiting:
                future.cancel()

    def _result(self, future: concurrent.futures.Future[Any], number: int) -> Any:
        try:
            return future.result(self._timeout)
        except concurrent.futures.TimeoutError as error:
            if future.done():  # the data set itself raised a TimeoutError
                raise
            message = (
                f"DataLoader: expected a batch in time, got none: timed out after {self._timeout} "
                f"seconds waiting for batch {number}; give a longer timeout, or more workers"
            )
            raise RuntimeError(message) from error
        except Exception as error:
            error.add_note(f"raised in a DataLoader worker thread while it loaded batch {number}")
            raise
