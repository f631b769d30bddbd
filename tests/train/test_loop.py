# SPDX-License-Identifier: BSD-3-Clause
"""The loop: order of the callbacks, means, stopping, divergence."""

from __future__ import annotations

import math

import pytest

from fastnn.train import BatchStats, Callback, TrainingDiverged, fit


class Counting:
    """A learner without a model: the batch is the loss of its (one or more) samples."""

    def __init__(self, losses, test_loss=0.5):
        self.losses = losses
        self.test_loss = test_loss
        self.seen = []

    def batches(self):
        return iter(self.losses)

    def steps_per_epoch(self):
        return len(self.losses)

    def train_batch(self, batch):
        self.seen.append(batch)
        samples, loss = batch
        return BatchStats(samples, {"loss": samples * loss, "accuracy": samples})

    def evaluate(self):
        return {"test_loss": self.test_loss}


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


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_ends_the_run_at_its_step(bad):
    learner, recorder = Counting([(1, 1.0), (1, bad), (1, 1.0)]), Recorder()
    with pytest.raises(TrainingDiverged, match=f"loss became {bad} in epoch 1, step 2"):
        fit(learner, 2, [recorder])
    assert len(learner.seen) == 2
    assert recorder.calls[-1] == ("done",)


def test_a_test_loss_that_is_not_finite_ends_the_run():
    with pytest.raises(TrainingDiverged, match="test_loss became nan in epoch 1"):
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
