# SPDX-License-Identifier: BSD-3-Clause
"""A step that is dropped whole: what a save point gives in the middle of one is the state before,
and a run that goes on from there has the bits of one that never stopped."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import fastnn
from checkpoint_runs import bits, make, make_convolutions, make_text
from fastnn import nn
from fastnn.train import Callback, Position, SavePoint, fit, load_checkpoint, restore_run
from fastnn.train import save_checkpoint as save

MAKE = {"dropout": make, "batch norm": make_convolutions, "text": make_text}
EPOCHS = 3


class Stop(Exception):
    """Ends a run in the middle of something."""


def dropped(learner, path, where, number):
    """Run until the ``number``-th call of a method of the learner is over, or half over; then save
    from another thread, as when the process is about to be left."""
    point = SavePoint(learner, Position())
    calls, whole = [], getattr(learner, where)

    def save_elsewhere():
        with point.lock:
            save(path, point.state())

    def stop():
        thread = threading.Thread(target=save_elsewhere)
        thread.start()
        thread.join()
        raise Stop

    def compute(batch):
        stats = whole(batch)  # buffers, random numbers, place in the data have moved
        calls.append(1)
        if len(calls) == number:
            stop()
        return stats

    def evaluate(should_stop):
        calls.append(1)
        if len(calls) == number:
            return whole(stop)
        return whole(should_stop)

    setattr(learner, where, {"compute": compute, "evaluate": evaluate}[where])
    with pytest.raises(Stop):
        fit(learner, EPOCHS, save_point=point)
    return point


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize(
    ("where", "number"),
    [*(("compute", number) for number in (1, 4, 5, 6, 8)), ("evaluate", 1), ("evaluate", 2)],
)
def test_what_was_in_progress_is_not_in_the_state(tmp_path, kind, where, number):
    unbroken = MAKE[kind]()
    fit(unbroken, EPOCHS)
    expected = bits(unbroken)

    path = tmp_path / "c.safetensors"
    dropped(MAKE[kind](), path, where, number)
    other = MAKE[kind](seed=99)
    fastnn.rand(17)
    position = restore_run(load_checkpoint(path), other, path)
    done = number - 1 if where == "compute" else number * other.steps_per_epoch()
    assert (position.epoch - 1) * other.steps_per_epoch() + position.step == done
    fit(other, EPOCHS, position=position)
    assert bits(other) == expected


@pytest.mark.parametrize("kind", MAKE)
def test_an_evaluation_that_is_stopped_is_repeated_in_the_same_process(kind):
    unbroken = MAKE[kind]()
    fit(unbroken, EPOCHS)
    expected = bits(unbroken)

    learner, position = MAKE[kind](), Position()
    steps = learner.steps_per_epoch()
    asked = []

    def should_stop():
        asked.append(position.step)
        return asked.count(steps) == 2  # after the last step, then by the evaluation

    assert fit(learner, EPOCHS, [], should_stop, position).stopped
    assert (position.epoch, position.step) == (1, steps)
    fit(learner, EPOCHS, position=position)
    assert bits(learner) == expected


def test_an_update_is_waited_for():
    """Who takes the lock in the middle of an update gets the state behind it."""
    learner = make_convolutions()
    point = SavePoint(learner, Position())
    inside, found = threading.Event(), []
    whole = learner.update

    def update():
        inside.set()
        thread.join(0.05)
        assert thread.is_alive()
        whole()

    def look():
        inside.wait()
        with point.lock:
            found.append(point.state()["position"]["step"])
            found.append(learner.updates)
            assert point.state()["learner"]["updates"] == learner.updates

    learner.update = update
    thread = threading.Thread(target=look)
    thread.start()

    class End(Callback):
        def on_batch_end(self, *_):
            thread.join()
            raise Stop

    with pytest.raises(Stop):
        fit(learner, 1, [End()], save_point=point)
    assert found == [1, 1]


def test_a_mark_is_a_copy():
    learner = make_convolutions()
    point = SavePoint(learner)
    norm = next(m for m in learner.model.modules() if isinstance(m, nn.BatchNorm1d))
    before = norm.running_mean.numpy().copy()
    learner.compute(next(iter(learner.batches())))
    assert not np.array_equal(norm.running_mean.numpy(), before)
    saved = point.state()["learner"]["model"]
    (name,) = (n for n in saved if n.endswith("running_mean"))
    assert np.array_equal(saved[name].numpy(), before)
