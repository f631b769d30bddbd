# SPDX-License-Identifier: BSD-3-Clause
"""Loaders that are copied, and subsets that count from the end."""

from __future__ import annotations

import copy

import pytest

import fastnn
from fastnn.utils.data import DataLoader, Subset, SubsetRandomSampler, TensorDataset


def test_a_loader_with_running_workers_can_be_copied():
    data = TensorDataset(fastnn.arange(6))
    loader = DataLoader(data, batch_size=2, num_workers=2, persistent_workers=True)
    expected = [b[0].tolist() for b in loader]
    copied = copy.deepcopy(loader)
    assert [b[0].tolist() for b in copied] == expected
    assert copied._workers is not loader._workers
    assert [b[0].tolist() for b in loader] == expected
    assert [b[0].tolist() for b in copy.copy(loader)] == expected


def test_a_copied_loader_cannot_be_changed_either():
    loader = copy.deepcopy(DataLoader(TensorDataset(fastnn.arange(2))))
    with pytest.raises(ValueError, match="batch_size attribute should not be set"):
        loader.batch_size = 2


@pytest.mark.parametrize("indices", [[0, -1, -5], (0, -1, -5)])
def test_a_subset_may_count_from_the_end(indices):
    data = TensorDataset(fastnn.arange(5))
    subset = Subset(data, indices)
    assert [subset[i][0].item() for i in range(3)] == [0, 4, 0]
    assert subset[-1][0].item() == 0
    ((batch,),) = DataLoader(subset, batch_size=3)
    assert batch.tolist() == [0, 4, 0]
    ((nested,),) = DataLoader(Subset(subset, [-2]), batch_size=3)
    assert nested.tolist() == [4]
    ((drawn,),) = DataLoader(data, batch_size=2, sampler=SubsetRandomSampler([-1, -2]))
    assert sorted(drawn.tolist()) == [3, 4]


@pytest.mark.parametrize("index", [5, -6])
def test_an_index_beyond_the_ends_is_refused(index):
    subset = Subset(TensorDataset(fastnn.arange(5)), [0, index])
    with pytest.raises(IndexError):
        subset[1]
    with pytest.raises(IndexError):
        list(DataLoader(subset, batch_size=2))
