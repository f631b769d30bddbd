# SPDX-License-Identifier: BSD-3-Clause
"""The loader: batches, orders, options."""

from __future__ import annotations

import itertools
import operator
import pickle

import numpy as np
import pytest

import fastnn
from fastnn.utils.data import (
    DataLoader,
    Sampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
)
from loader_data import Squares, Stream, order, pairs, seed


def test_batches_in_order():
    loader = DataLoader(pairs(10), batch_size=4)
    assert len(loader) == 3
    batches = list(loader)
    assert all(type(b) is list for b in batches)
    assert order(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert batches[1][0].tolist() == [[12.0, 13.0, 14.0], [15.0, 16.0, 17.0],
                                      [18.0, 19.0, 20.0], [21.0, 22.0, 23.0]]  # fmt: skip
    dropped = DataLoader(pairs(10), batch_size=4, drop_last=True)
    assert len(dropped) == 2
    assert order(dropped) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert order(DataLoader(pairs(3))) == [[0], [1], [2]]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epochs_iterator_has_a_length(workers):
    """That of the whole epoch, as torch's, wherever it is: progress bars ask it."""
    loader = DataLoader(pairs(10), batch_size=4, num_workers=workers)
    epoch = iter(loader)
    assert iter(epoch) is epoch
    assert len(epoch) == operator.length_hint(epoch) == 3
    next(epoch)
    assert len(epoch) == 3
    assert len(list(epoch)) == 2
    assert len(iter(DataLoader(pairs(10), batch_size=4, drop_last=True))) == 2
    assert len(iter(DataLoader(pairs(10), batch_size=None))) == 10
    assert len(iter(DataLoader(pairs(10), 2, sampler=[3, 1, 2]))) == 2
    assert len(iter(DataLoader(pairs(10), batch_sampler=[[3], [1, 2]]))) == 2


def test_an_epochs_iterator_without_a_length():
    class Endless:
        def __iter__(self):
            return itertools.count()

    with pytest.raises(TypeError, match="no len"):
        len(iter(DataLoader(pairs(10), sampler=Endless())))
    stream = Stream(5)
    assert [len(b) for b in iter(DataLoader(stream, batch_size=2))] == [2, 2, 1]
    with pytest.raises(TypeError, match=r"DataLoader: expected a map-style data set .* use len\("):
        len(iter(DataLoader(stream, batch_size=2)))


def test_batches_are_copies():
    data = pairs(6)
    (x, _), *_ = DataLoader(data, batch_size=3)
    x.fill_(-1.0)
    assert data.tensors[0].numpy().min() == 0.0


def test_shuffle_is_the_generators():
    def make():
        return DataLoader(pairs(), batch_size=6, shuffle=True, generator=seed(5))

    loader = make()
    first, second = order(loader), order(loader)
    assert sorted(itertools.chain(*first)) == list(range(20))
    assert first != second
    again = make()
    assert [order(again), order(again)] == [first, second]
    assert list(itertools.chain(*first)) == fastnn.randperm(20, generator=seed(5)).tolist()


def test_datasets_are_indexed_once_per_batch():
    class Batched(Squares):
        def __getbatch__(self, indices):
            self.asked.append(indices)
            return fastnn.tensor(indices)

    data = Batched(10)
    loader = DataLoader(data, batch_size=4, shuffle=True, generator=seed(0))
    assert sorted(itertools.chain(*(b.tolist() for b in loader))) == list(range(10))
    assert [a.dtype for a in data.asked] == [np.dtype("i8")] * 3
    data.asked.clear()
    assert len(list(DataLoader(data, batch_size=5, collate_fn=list))) == 2
    assert data.asked == list(range(10))

    class Many(Squares):
        def __getitems__(self, indices):
            self.asked.append(list(indices))
            return [(i, 0.0) for i in indices]

    many = Many(5)
    assert [b[0].tolist() for b in DataLoader(many, batch_size=3)] == [[0, 1, 2], [3, 4]]
    assert many.asked == [[0, 1, 2], [3, 4]]
    many.asked.clear()
    list(DataLoader(Subset(many, [4, 2, 0]), batch_size=3))
    assert many.asked == [[4, 2, 0]]


def test_subsets_of_tensors_are_indexed_once_per_batch(monkeypatch):
    monkeypatch.setattr(TensorDataset, "__getitem__", lambda *_: pytest.fail("by sample"))
    part = Subset(Subset(pairs(10), [9, 7, 5, 3, 1]), [4, 0])
    # The class was changed, so its own __getitem__ counts as the original one here.
    assert order(DataLoader(part, batch_size=2)) == [[1, 9]]


def test_a_redefined_getitem_is_honoured():
    class Doubled(TensorDataset):
        def __getitem__(self, i):
            x, y = super().__getitem__(i)
            return x * 2, y

    class Shifted(Subset):
        def __getitem__(self, i):
            x, y = super().__getitem__(i)
            return x, y + 100

        def __getitems__(self, indices):
            return [self[i] for i in indices]

    base = pairs(3)
    got = next(iter(DataLoader(Doubled(*base.tensors), batch_size=3)))
    np.testing.assert_array_equal(got[0].numpy(), 2 * base.tensors[0].numpy())
    assert order(DataLoader(Shifted(base, [2, 1]), batch_size=2)) == [[102, 101]]


def test_samplers_and_batch_samplers():
    data = pairs(6)
    assert order(DataLoader(data, batch_size=2, sampler=[5, 0, 3])) == [[5, 0], [3]]
    loader = DataLoader(data, batch_sampler=[[1], [4, 2]])
    assert order(loader) == [[1], [4, 2]]
    assert len(loader) == 2
    assert loader.batch_size is None
    assert order(DataLoader(data, batch_size=2, sampler=SubsetRandomSampler([2]))) == [[2]]


def test_no_batches():
    loader = DataLoader(Squares(3), batch_size=None)
    assert list(loader) == [[0, 0.0], [1, 1.0], [2, 4.0]]
    assert len(loader) == 3
    got = list(DataLoader(Squares(3), batch_size=None, collate_fn=lambda s: s[1]))
    assert got == [0.0, 1.0, 4.0]


@pytest.mark.parametrize("workers", [0, 2])
def test_iterable_datasets(workers):
    loader = DataLoader(Stream(7), batch_size=3, num_workers=workers)
    assert [b.tolist() for b in loader] == [[0, 1, 2], [3, 4, 5], [6]]
    dropped = DataLoader(Stream(7), batch_size=3, drop_last=True, num_workers=workers)
    assert [b.tolist() for b in dropped] == [[0, 1, 2], [3, 4, 5]]
    assert list(DataLoader(Stream(2), batch_size=None, num_workers=workers)) == [0, 1]
    with pytest.raises(TypeError, match="len"):
        len(loader)
    for option in ({"shuffle": True}, {"sampler": [1]}, {"batch_sampler": [[1]]}):
        with pytest.raises(ValueError, match="with an IterableDataset expected unspecified"):
            DataLoader(Stream(3), **option)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "positive integer"),
        ({"sampler": [0], "shuffle": True}, "mutually exclusive with shuffle"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "mutually exclusive with batch_size"),
        ({"batch_sampler": [[0]], "drop_last": True}, "mutually exclusive with batch_size"),
        ({"batch_size": None, "drop_last": True}, "drop_last=False with batch_size=None"),
        ({"num_workers": -1}, "non-negative"),
        ({"timeout": -1}, "timeout option"),
        ({"prefetch_factor": 2}, "num_workers > 0 with the prefetch_factor"),
        ({"persistent_workers": True}, "num_workers > 0 with the persistent_workers"),
        ({"num_workers": 1, "prefetch_factor": 0}, "positive prefetch_factor"),
    ],
)
def test_option_errors(options, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(pairs(4), **options)


def test_fixed_attributes_and_bad_indices():
    loader = DataLoader(pairs(4))
    with pytest.raises(ValueError, match="should not be set after DataLoader is initialized"):
        loader.batch_size = 3
    loader.worker_init_fn = None
    with pytest.raises(IndexError, match="got 9"):
        list(DataLoader(pairs(4), batch_size=2, batch_sampler=None, sampler=_Fixed([0, 9])))


class _Fixed(Sampler):
    def __init__(self, indices):
        self.indices = indices

    def _index_array(self):
        return np.array(self.indices)

    def __len__(self):
        return len(self.indices)


def test_loader_pickles():
    loader = DataLoader(pairs(23), batch_size=4, shuffle=True, generator=seed(5))
    twin = pickle.loads(pickle.dumps(loader))
    assert order(twin) == order(loader)
