# SPDX-License-Identifier: BSD-3-Clause
"""Loading ahead in threads."""

from __future__ import annotations

import gc
import threading
import time

import pytest

from fastnn.utils.data import DataLoader, Dataset, get_worker_info
from loader_data import Squares, order, pairs, seed


class Slow(Dataset):
    """Early samples take longest, so that threads finish out of order."""

    def __init__(self, n=12, bad=None):
        self.n, self.bad = n, bad
        self.threads = set()

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        self.threads.add(threading.current_thread().name)
        time.sleep(0.002 * (self.n - i) / self.n)
        if i == self.bad:
            message = f"sample {i} is broken"
            raise KeyError(message)
        return i


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_keep_the_order(workers):
    data = Slow()
    loader = DataLoader(data, batch_size=2, num_workers=workers)
    expected = [[2 * i, 2 * i + 1] for i in range(6)]
    assert [b.tolist() for b in loader] == expected
    assert all(name.startswith("fastnn-loader") for name in data.threads)
    assert [b.tolist() for b in loader] == expected


def test_workers_load_what_no_workers_load():
    def run(workers):
        loader = DataLoader(
            pairs(50), batch_size=7, shuffle=True, generator=seed(3), num_workers=workers
        )
        return [order(loader) for _ in range(2)]

    assert run(0) == run(2)


def test_worker_errors_come_with_context():
    loader = DataLoader(Slow(bad=5), batch_size=2, num_workers=2)
    iterator = iter(loader)
    assert [next(iterator).tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(KeyError, match="sample 5 is broken") as info:
        next(iterator)
    assert "DataLoader worker thread while it loaded batch 2" in info.value.__notes__[0]


def test_worker_init_and_info():
    seen = []

    class Info(Slow):
        def __getitem__(self, i):
            info = get_worker_info()
            seen.append((info.num_workers, info.dataset is self, info.id in (0, 1)))
            return i

    started = []
    list(DataLoader(Info(), num_workers=2, worker_init_fn=started.append))
    assert set(seen) == {(2, True, True)}
    assert set(started) <= {0, 1}
    assert started
    assert get_worker_info() is None

    def fail(_worker):
        message = "no start"
        raise ValueError(message)

    with pytest.raises(RuntimeError, match=r"worker_init_fn raised ValueError\('no start'\)"):
        list(DataLoader(Slow(), num_workers=1, worker_init_fn=fail))


def test_worker_timeout():
    release = threading.Event()

    class Stuck(Slow):
        def __getitem__(self, i):
            release.wait(30)
            return i

    loader = DataLoader(Stuck(), num_workers=1, timeout=0.05)
    try:
        with pytest.raises(RuntimeError, match=r"timed out after 0\.05 s.* for batch 0"):
            next(iter(loader))
    finally:
        release.set()


def loader_threads():
    return [t for t in threading.enumerate() if t.name.startswith("fastnn-loader")]


def wait_for_threads_to_end():
    deadline = time.monotonic() + 20
    while loader_threads() and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    return loader_threads()


def test_workers_end_with_the_epoch_or_an_abandoned_iterator():
    loader = DataLoader(Slow(), num_workers=2)
    list(loader)
    for _ in loader:
        break
    iterator = iter(loader)
    next(iterator)
    del iterator
    assert wait_for_threads_to_end() == []


def test_persistent_workers_are_reused():
    data = Slow(6)
    loader = DataLoader(data, num_workers=1, persistent_workers=True)
    list(loader)
    before = loader_threads()
    list(loader)
    assert len(before) == 1
    assert loader_threads() == before
    loader._workers.close()
    assert wait_for_threads_to_end() == []


def test_prefetch_stays_within_its_bound():
    data = Squares(40)
    loader = DataLoader(data, num_workers=1, prefetch_factor=3)
    iterator = iter(loader)
    next(iterator)
    time.sleep(0.1)
    assert 1 <= len(data.asked) <= 4
