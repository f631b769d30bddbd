# SPDX-License-Identifier: BSD-3-Clause
"""The loader's position: a resumed run equals an unbroken one."""

from __future__ import annotations

import json

import pytest

import fastnn
from fastnn.utils.data import (
    DataLoader,
    RandomSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from loader_data import Stream, order, pairs, seed


def make(workers=0, generator=5, **options):
    given = None if generator is None else seed(generator)
    return DataLoader(
        pairs(23), batch_size=4, shuffle=True, generator=given, num_workers=workers, **options
    )


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop", [0, 1, 3, 6])
def test_resuming_in_an_epoch_equals_an_unbroken_run(stop, workers):
    unbroken = make()
    expected = [order(unbroken) for _ in range(4)]

    loader = make(workers)
    assert order(loader) == expected[0]
    iterator = iter(loader)
    head = [next(iterator)[1].tolist() for _ in range(stop)]
    state = json.loads(json.dumps(loader.state_dict()))
    assert state["batch"] == stop

    resumed = make(workers, generator=99)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    assert head + order(resumed) == expected[1]
    assert [order(resumed), order(resumed)] == expected[2:]
    assert resumed.state_dict()["epoch"] == 4


def test_resuming_between_epochs():
    unbroken = make()
    expected = [order(unbroken) for _ in range(3)]
    loader = make()
    fresh = make(generator=1)
    fresh.load_state_dict(loader.state_dict())
    assert order(fresh) == expected[0]
    order(loader)
    resumed = make(generator=1)
    resumed.load_state_dict(loader.state_dict())
    assert [order(resumed), order(resumed)] == expected[1:]


def test_resuming_in_the_body_of_the_last_batch():
    loader = make()
    for _ in loader:
        state = loader.state_dict()
    following = order(loader)
    resumed = make(generator=1)
    resumed.load_state_dict(state)
    assert order(resumed) == []
    assert order(resumed) == following


def test_resuming_with_the_global_generator():
    fastnn.manual_seed(8)
    loader = make(generator=None)
    order(loader)
    iterator = iter(loader)
    next(iterator)
    fastnn.rand(3)
    state, rng = loader.state_dict(), fastnn.get_rng_state()
    rest = [b[1].tolist() for b in iterator]
    following = order(loader)

    fastnn.manual_seed(0)
    resumed = make(generator=None)
    resumed.load_state_dict(state)
    fastnn.set_rng_state(rng)
    assert order(resumed) == rest
    assert order(resumed) == following


def test_resuming_twice():
    loader = make()
    expected = order(loader)
    loader = make()
    iterator = iter(loader)
    next(iterator)
    second = make(generator=1)
    second.load_state_dict(loader.state_dict())
    iterator = iter(second)
    assert next(iterator)[1].tolist() == expected[1]
    third = make(generator=2)
    third.load_state_dict(second.state_dict())
    assert order(third) == expected[2:]


def test_resuming_other_kinds_of_loaders():
    def sequential():
        return DataLoader(pairs(9), batch_size=2)

    def sampler():
        return DataLoader(
            pairs(9), batch_size=2, sampler=SubsetRandomSampler([1, 3, 5, 7], generator=seed(1))
        )

    def single():
        return DataLoader(pairs(9), batch_size=None, sampler=RandomSampler(range(9)))

    def weighted():
        return DataLoader(pairs(9), batch_size=2, sampler=WeightedRandomSampler([1.0] * 9, 8))

    for build in (sequential, sampler, single, weighted):
        fastnn.manual_seed(4)
        loader = build()
        iterator = iter(loader)
        next(iterator)
        state = loader.state_dict()
        rest = [b[1].tolist() for b in iterator]
        resumed = build()
        resumed.load_state_dict(state)
        assert order(resumed) == rest

    stream = DataLoader(Stream(7), batch_size=2)
    iterator = iter(stream)
    next(iterator)
    resumed = DataLoader(Stream(7), batch_size=2, num_workers=1)
    resumed.load_state_dict(stream.state_dict())
    assert [b.tolist() for b in resumed] == [[2, 3], [4, 5], [6]]


def test_an_older_iterator_does_not_move_the_position():
    loader = make()
    old = iter(loader)
    next(old)
    new = iter(loader)
    next(new)
    next(new)
    next(old)
    assert loader.state_dict()["batch"] == 2
    list(old)
    assert loader.state_dict()["epoch"] == 0


def test_positions_of_another_loader_are_refused():
    state = make().state_dict()
    with pytest.raises(ValueError, match="taken with batch_size=4, this loader has 5"):
        DataLoader(pairs(23), batch_size=5, shuffle=True).load_state_dict(state)
    with pytest.raises(ValueError, match="taken with samples=23, this loader has 22"):
        DataLoader(pairs(22), batch_size=4, shuffle=True).load_state_dict(state)
    with pytest.raises(ValueError, match="another kind of sampler"):
        DataLoader(pairs(23), batch_size=4).load_state_dict(state)
