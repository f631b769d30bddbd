# SPDX-License-Identifier: BSD-3-Clause
"""Small runs for the tests of checkpoints."""

from __future__ import annotations

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.cli.tasks.text import CharacterModel
from fastnn.train import Classifier, Position, run_state, save_checkpoint
from fastnn.train.language import LanguageLearner
from fastnn.utils.data import DataLoader, TensorDataset


def make(seed=0, method=optim.Adam, width=6):
    """A classifier of 20 samples in batches of 4, with dropout and an own generator."""
    fastnn.manual_seed(seed)
    order = fastnn.Generator().manual_seed(seed + 1)
    rng = np.random.default_rng(7)
    data = TensorDataset(
        fastnn.tensor(rng.random((20, 5)).astype("f4")), fastnn.tensor(rng.integers(0, 3, 20))
    )
    model = nn.Sequential(nn.Linear(5, width), nn.ReLU(), nn.Dropout(0.3), nn.Linear(width, 3))
    optimizer = method(model.parameters(), lr=0.05)
    return Classifier(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        DataLoader(data, batch_size=4, shuffle=True, generator=order),
        DataLoader(data, batch_size=20),
        optim.lr_scheduler.StepLR(optimizer, 3, 0.7),
    )


def make_convolutions(seed=0):
    """The same samples for a network with running statistics; batches of 4."""
    learner = make(seed)
    model = nn.Sequential(
        nn.Unflatten(1, (1, 5)),
        nn.Conv1d(1, 4, 3, padding=1),
        nn.BatchNorm1d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(20, 3),
    )
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    schedule = optim.lr_scheduler.StepLR(optimizer, 3, 0.7)
    loaders = learner.train_loader, learner.test_loader
    return Classifier(model, nn.CrossEntropyLoss(), optimizer, *loaders, schedule)


def make_text(seed=0, kind="lstm"):
    """A character model with a state that is carried over five chunks."""
    fastnn.manual_seed(seed)
    model = CharacterModel(kind, 4, 3, 5, 2, 0.3)
    numbers = np.random.default_rng(3).integers(0, 4, 80)
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    schedule = optim.lr_scheduler.StepLR(optimizer, 3, 0.7)
    return LanguageLearner(model, optimizer, numbers, numbers[:40], 2, 8, 1.0, schedule)


def steps(learner, count, position):
    """``count`` steps, over the ends of epochs."""
    while count:
        for batch in learner.batches():
            stats = learner.compute(batch)
            learner.update()
            position.add(stats)
            count -= 1
            if count == 0:
                break
        else:
            position.finish_epoch(learner.evaluate(lambda: False))
    return position


def bits(learner):
    state = learner.state_dict()
    tensors = [*state["model"].values()]
    for entries in state["optimizer"]["state"].values():
        tensors += [value for value in entries.values() if value is not None]
    return [t.numpy().tobytes() for t in tensors] + [fastnn.get_rng_state().tolist()]


def saved(tmp_path):
    learner, position = make(), Position()
    steps(learner, 7, position)
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, run_state(learner, position))
    return path
