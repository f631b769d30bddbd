# SPDX-License-Identifier: BSD-3-Clause
"""Data sets, samplers and collation."""

from __future__ import annotations

import collections
import importlib

import numpy as np
import pytest

import fastnn
from fastnn.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    random_split,
)
from loader_data import Squares, Stream, pairs, seed


def test_tensor_dataset():
    data = pairs(4)
    assert len(data) == 4
    x, y = data[2]
    assert x.tolist() == [6.0, 7.0, 8.0]
    assert y.item() == 2
    assert data[-1][1].item() == 3
    with pytest.raises(ValueError, match=r"size mismatch.*\[3, 4\]"):
        TensorDataset(fastnn.zeros(3), fastnn.zeros(4))
    with pytest.raises(TypeError, match="got list at position 0"):
        TensorDataset([1, 2])
    with pytest.raises(TypeError, match=r"got shape \(\) at position 0"):
        TensorDataset(fastnn.tensor(1.0))


def test_concat_and_subset():
    both = Squares(3) + Squares(2)
    assert isinstance(both, ConcatDataset)
    assert len(both) == 5
    assert [both[i][0] for i in range(5)] == [0, 1, 2, 0, 1]
    assert both[-1] == (1, 1.0)
    with pytest.raises(IndexError, match="its 5 samples, got 5"):
        both[5]
    part = Subset(both, [4, 0])
    assert len(part) == 2
    assert part[0] == (1, 1.0)
    assert part.__getitems__([1, 0]) == [(0, 0.0), (1, 1.0)]
    with pytest.raises(ValueError, match="empty"):
        ConcatDataset([])
    with pytest.raises(TypeError, match="has no length"):
        ConcatDataset([Stream(3)])


def test_chain():
    chain = Stream(2) + Stream(3)
    assert isinstance(chain, ChainDataset)
    assert [int(x) for x in chain] == [int(x) for x in [*Stream(2), *Stream(3)]]
    assert [int(x) for x in chain] == [int(x) for x in ChainDataset([Stream(2), Stream(3)])]
    batches = [b.tolist() for b in DataLoader(chain, batch_size=4)]
    assert [len(b) for b in batches] == [4, 1]
    with pytest.raises(TypeError, match=r"ChainDataset: expected parts .*, got Squares; Concat"):
        list(ChainDataset([Stream(1), Squares(1)]))

    class Sized(Stream):
        def __len__(self):
            return 3

    assert len(ChainDataset([Sized(3), Sized(3)])) == 6


def test_stack():
    x, y = Squares(3), Squares(3)
    stacked = StackDataset(x, y)
    assert len(stacked) == 3
    assert stacked[2] == (x[2], y[2])
    named = StackDataset(image=x, label=y)
    assert named[1] == {"image": x[1], "label": y[1]}
    (batch,) = DataLoader(named, batch_size=3)
    assert sorted(batch) == ["image", "label"]
    assert batch["label"][1].tolist() == [0, 1, 4]
    with pytest.raises(ValueError, match=r"size mismatch, \[3, 2\]; cut them"):
        StackDataset(x, Squares(2))
    with pytest.raises(ValueError, match="got both; name all of them or none"):
        StackDataset(x, label=y)
    with pytest.raises(ValueError, match="got none"):
        StackDataset()


def test_random_split():
    data = pairs(10)
    a, b = random_split(data, [7, 3], generator=seed(1))
    assert (len(a), len(b)) == (7, 3)
    assert sorted([*a.indices, *b.indices]) == list(range(10))
    again, _ = random_split(data, [7, 3], generator=seed(1))
    assert a.indices == again.indices
    sizes = [len(s) for s in random_split(data, [0.5, 0.25, 0.25], generator=seed(0))]
    assert sizes == [5 + 1, 2, 2]
    for lengths in ([4, 4], [-1, 11], [2.5, 7.5]):
        with pytest.raises(ValueError, match="the length of the data set"):
            random_split(data, lengths)
    with pytest.raises(ValueError, match="between 0 and 1, got"):
        random_split(data, [1.5, -0.5])


def test_datasets_without_methods_say_so():
    with pytest.raises(NotImplementedError, match="must define __getitem__"):
        Dataset()[0]
    with pytest.raises(NotImplementedError, match="must define __iter__"):
        iter(IterableDataset())
    with pytest.raises(NotImplementedError, match="must define __iter__"):
        iter(Sampler())


def test_sequential_and_random_samplers():
    assert list(SequentialSampler(range(4))) == [0, 1, 2, 3]
    s = RandomSampler(range(50), generator=seed(2))
    first, second = list(s), list(s)
    assert sorted(first) == list(range(50)) == sorted(second)
    assert first != second
    assert first == list(RandomSampler(range(50), generator=seed(2)))
    assert first == fastnn.randperm(50, generator=seed(2)).tolist()
    assert all(type(i) is int for i in first)


def test_random_sampler_options():
    s = RandomSampler(range(10), replacement=True, num_samples=1000, generator=seed(0))
    drawn = list(s)
    assert len(drawn) == len(s) == 1000
    assert set(drawn) == set(range(10))
    long = list(RandomSampler(range(10), num_samples=25, generator=seed(0)))
    assert sorted(long[:10]) == sorted(long[10:20]) == list(range(10))
    assert len(long) == 25
    assert list(RandomSampler([], generator=seed(0))) == []
    with pytest.raises(TypeError, match="replacement as a boolean"):
        RandomSampler(range(3), replacement=1)
    with pytest.raises(ValueError, match="non-negative"):
        RandomSampler(range(3), num_samples=-1)


def test_global_generator_decides_without_one():
    fastnn.manual_seed(11)
    a = list(RandomSampler(range(30)))
    fastnn.manual_seed(11)
    assert a == list(RandomSampler(range(30)))
    assert a != list(RandomSampler(range(30)))


def test_subset_random_sampler():
    s = SubsetRandomSampler([5, 9, 2], generator=seed(0))
    assert sorted(s) == [2, 5, 9]
    assert len(s) == 3


def test_weighted_random_sampler():
    s = WeightedRandomSampler([0.0, 3.0, 1.0], 4000, generator=seed(0))
    drawn = list(s)
    assert len(s) == len(drawn) == 4000
    share = drawn.count(1) / 4000
    assert drawn.count(0) == 0
    assert abs(share - 0.75) < 4 * (0.75 * 0.25 / 4000) ** 0.5
    assert drawn == list(WeightedRandomSampler([0.0, 6, 2], 4000, generator=seed(0)))
    assert list(s) != drawn
    weights = fastnn.tensor([1.0, 1.0, 5.0, 1.0])
    assert sorted(WeightedRandomSampler(weights, 4, replacement=False)) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="num_samples as a positive integer value, got 0"):
        WeightedRandomSampler([1.0], 0)
    with pytest.raises(ValueError, match="num_samples as a positive integer value, got True"):
        WeightedRandomSampler([1.0], True)
    with pytest.raises(ValueError, match="replacement as a boolean value, got 1"):
        WeightedRandomSampler([1.0], 1, 1)
    with pytest.raises(ValueError, match=r"weights as a 1d sequence, got shape \(1, 1\)"):
        WeightedRandomSampler([[1.0]], 1)


def test_batch_sampler():
    assert list(BatchSampler(range(5), 2, drop_last=False)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(SequentialSampler(range(5)), 2, drop_last=True)) == [[0, 1], [2, 3]]
    assert len(BatchSampler(range(5), 2, drop_last=False)) == 3
    assert len(BatchSampler(range(5), 2, drop_last=True)) == 2
    for size in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="positive integer"):
            BatchSampler(range(3), size, drop_last=False)
    with pytest.raises(ValueError, match="boolean"):
        BatchSampler(range(3), 1, drop_last=None)


def test_default_collate():
    Point = collections.namedtuple("Point", "x y")
    batch = default_collate([
        {"a": 1, "b": [1.5, "s"], "c": Point(np.ones(2), fastnn.zeros(1)), "d": True},
        {"a": 2, "b": [2.5, "t"], "c": Point(np.zeros(2), fastnn.ones(1)), "d": False},
    ])  # fmt: skip
    assert batch["a"].dtype is fastnn.int64
    assert batch["a"].tolist() == [1, 2]
    assert batch["b"][0].dtype is fastnn.float64
    assert batch["b"][1] == ("s", "t")
    assert isinstance(batch["c"], Point)
    assert batch["c"].x.tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert batch["c"].y.shape == (2, 1)
    assert batch["d"].dtype is fastnn.bool
    assert isinstance(default_collate([(1, 2), (3, 4)]), list)
    assert default_collate([np.float32(1), np.float32(2)]).dtype is fastnn.float32


def test_default_collate_errors():
    with pytest.raises(RuntimeError, match=r"\[3\] at entry 0 and \[4\] at entry 1"):
        default_collate([fastnn.zeros(3), fastnn.zeros(4)])
    with pytest.raises(RuntimeError, match=r"equal size, got lengths \[1, 2\]"):
        default_collate([[1], [1, 2]])
    with pytest.raises(TypeError, match="got object"):
        default_collate([object()])
    with pytest.raises(TypeError, match="array of <U1"):
        default_collate([np.array("s")])


def test_default_convert():
    got = default_convert({"a": np.ones(2), "b": ("s", np.int64(3)), "c": [1]})
    assert got["a"].tolist() == [1.0, 1.0]
    assert got["b"][0] == "s"
    assert got["b"][1].item() == 3
    assert got["c"] == [1]


def shape_of(value):
    """Types, shapes and values of a batch, for comparing two libraries."""
    if hasattr(value, "dtype"):
        return str(value.dtype).split(".")[-1], tuple(value.shape), value.tolist()
    if isinstance(value, dict):
        return {key: shape_of(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [shape_of(part) for part in value]
    return value


@pytest.mark.torch
def test_batches_are_torchs():
    torch = pytest.importorskip("torch")
    theirs = importlib.import_module("torch.utils.data")
    Point = collections.namedtuple("Point", "x y")

    def samples(make):
        return [
            {"n": i, "f": i / 2, "t": "abc"[i], "flag": i > 0, "a": np.full(2, i, "f4"),
             "s": np.float64(i), "pair": (make([float(i)]), [i, i]), "point": Point(i, "z")}
            for i in range(3)
        ]  # fmt: skip

    ours, other = samples(fastnn.tensor), samples(torch.tensor)
    assert shape_of(default_collate(ours)) == shape_of(theirs.default_collate(other))
    # torch turns NumPy arrays into tensors here and leaves Python numbers; so do we.
    assert shape_of(default_convert(ours[1])) == shape_of(theirs.default_convert(other[1]))
    for lengths in ([0.5, 0.25, 0.25], [0.3, 0.3, 0.4], [7, 3]):
        assert [len(s) for s in random_split(range(10), lengths)] == [
            len(s) for s in theirs.random_split(range(10), lengths)
        ]
    loader = theirs.DataLoader(theirs.TensorDataset(torch.ones(7, 2), torch.arange(7)), 3)
    mine = DataLoader(TensorDataset(fastnn.ones(7, 2), fastnn.arange(7)), 3)
    assert [shape_of(b) for b in mine] == [shape_of(b) for b in loader]
