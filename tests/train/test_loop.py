# SPDX-License-Identifier: BSD-3-Clause
"""The loop: order of the callbacks, means, stopping, divergence."""

from __future__ import annotations

import json
import math
import re

import pytest

from fastnn.train import BatchStats, Callback, Position, TrainingDiverged, fit


class Counting:
    """A learner without a model: the batch is the loss of its (one or more) samples."""

    metrics = ("loss", "accuracy")

    def __init__(self, losses, test_loss=0.5):
        self.losses = losses
        self.test_loss = test_loss
        self.seen, self.updates = [], []

    def batches(self):
        return iter(self.losses)

    def steps_per_epoch(self):
        return len(self.losses)

    def compute(self, batch):
        self.seen.append(batch)
        samples, loss = batch
        return BatchStats(samples, {"loss": samples * loss, "accuracy": samples})

    def update(self):
        self.updates.append(self.seen[-1])

    def mark(self):
        return {}

    def evaluate(self, should_stop):
        return None if should_stop() else {"test_loss": self.test_loss}

    def state_dict(self, mark=None):
        return {} if mark is None else mark

    def load_state_dict(self, state):
        assert not state


class Recorder(Callback):
    def __init__(self):
        self.calls = []

    def on_fit_start(self, epochs, steps_per_epoch):
        self.calls.append(("fit", epochs, steps_per_epoch))

    def on_epoch_start(self, epoch):
        self.calls.append(("epoch", epoch))

    def on_batch_end(self, epoch, step, stats):
        self.calls.append(("batch", epoch, step, stats.samples))

    def on_epoch_end(self, result):
        self.calls.append(("end", result.epoch))

    def on_fit_end(self):
        self.calls.append(("done",))


def test_callbacks_are_called_in_order():
    recorder = Recorder()
    fit(Counting([(2, 1.0), (1, 4.0)]), 2, [recorder])
    epoch = [("batch", 1, 1, 2), ("batch", 1, 2, 1), ("end", 1)]
    second = [("epoch", 2), ("batch", 2, 1, 2), ("batch", 2, 2, 1), ("end", 2)]
    assert recorder.calls == [("fit", 2, 2), ("epoch", 1), *epoch, *second, ("done",)]


def test_train_metrics_are_means_over_samples_not_batches():
    result = fit(Counting([(2, 1.0), (1, 4.0)]), 3)
    assert [epoch.epoch for epoch in result.epochs] == [1, 2, 3]
    assert result.epochs[-1].metrics == {"train_loss": 2.0, "train_accuracy": 1.0, "test_loss": 0.5}
    assert result.epochs[-1].samples == 3
    assert not result.stopped
    assert result.samples_per_second > 0


def test_stopping_finishes_the_step_and_drops_the_epoch():
    learner, recorder = Counting([(1, 1.0)] * 4), Recorder()
    result = fit(learner, 5, [recorder], should_stop=lambda: len(learner.seen) >= 6)
    assert result.stopped
    assert len(learner.seen) == 6
    assert len(result.epochs) == 1
    assert recorder.calls[-1] == ("done",)


def test_stopping_after_an_epoch_keeps_it():
    learner, recorder = Counting([(1, 1.0)]), Recorder()
    position = Position()
    asked = []

    def should_stop():  # asked after the step and by the evaluation, then after the epoch
        asked.append(len(position.epochs))
        return len(position.epochs) == 1

    result = fit(learner, 5, [recorder], should_stop, position)
    assert result.stopped
    assert [epoch.epoch for epoch in result.epochs] == [1]
    assert (position.epoch, position.step) == (2, 0)
    assert asked == [0, 0, 1]


def test_an_evaluation_that_is_stopped_is_repeated():
    learner, position = Counting([(1, 1.0), (3, 2.0)]), Position()
    steps_done = []
    result = fit(learner, 1, [], lambda: bool(steps_done) or position.step == 2, position)
    assert result.stopped
    assert (position.epoch, position.step, result.epochs) == (1, 2, [])
    learner.losses = []  # the steps are done
    result = fit(learner, 1, [], lambda: False, position)
    assert result.epochs[0].metrics["train_loss"] == 7 / 4


def test_a_position_goes_through_plain_data_and_on():
    whole = fit(Counting([(1, 1.0), (2, 4.0), (1, 2.0)]), 3)
    position = Position()
    fit(
        Counting([(1, 1.0), (2, 4.0), (1, 2.0)]),
        3,
        [],
        lambda: (position.epoch, position.step) == (2, 2),
        position,
    )
    state = json.loads(json.dumps(position.state_dict()))
    later = Position.from_state_dict(state, 3)
    assert later == position

    class Rest(Counting):
        def batches(self):
            return iter(self.losses[later.step :])

    result = fit(Rest([(1, 1.0), (2, 4.0), (1, 2.0)]), 3, [], position=later)
    assert [e.metrics for e in result.epochs] == [e.metrics for e in whole.epochs]
    assert [e.samples for e in result.epochs] == [4, 4, 4]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"epoch": 3}, "epoch is 3"),
        ({"epoch": True}, "epoch is True"),
        ({"step": -1}, "step is -1"),
        ({"step": 10**30}, "step is 1000"),
        ({"step": 1.5}, "step is 1.5"),
        ({"samples": "many"}, "samples is 'many'"),
        ({"seconds": math.nan}, "seconds is nan"),
        ({"total_seconds": -1.0}, "total_seconds is -1.0"),
        ({"sums": {"loss": math.inf}}, "sums of loss is inf"),
        ({"epochs": [{"epoch": 2, "metrics": {}, "samples": 1, "seconds": 1.0}]}, "epoch is 2"),
    ],
)
def test_a_position_that_cannot_be_is_refused(change, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        Position.from_state_dict({**Position().state_dict(), **change}, 5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_ends_the_run_at_its_step(bad):
    learner, recorder = Counting([(1, 1.0), (1, bad), (1, 1.0)]), Recorder()
    with pytest.raises(TrainingDiverged, match=f"finite loss, got {bad} in epoch 1, step 2"):
        fit(learner, 2, [recorder])
    assert len(learner.seen) == 2
    assert learner.updates == learner.seen[:1]
    assert recorder.calls[-1] == ("done",)


def test_a_test_loss_that_is_not_finite_ends_the_run():
    with pytest.raises(TrainingDiverged, match="finite test_loss, got nan in epoch 1"):
        fit(Counting([(1, 1.0)], test_loss=math.nan), 2)


def test_callbacks_are_closed_when_one_raises():
    class Failing(Callback):
        def on_epoch_end(self, result):
            message = f"epoch {result.epoch}"
            raise OSError(message)

    recorder = Recorder()
    with pytest.raises(OSError, match="epoch 1"):
        fit(Counting([(1, 1.0)]), 2, [Failing(), recorder])
    assert recorder.calls[-1] == ("done",)
