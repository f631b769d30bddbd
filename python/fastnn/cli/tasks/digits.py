# SPDX-License-Identifier: BSD-3-Clause
"""The task ``digits``: an 8x8 image of a handwritten digit, ten classes, data in the package."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.cli.tasks import Job, count_weights, warmup_cosine
from fastnn.data import load_digits, stratified_split
from fastnn.data.digits import DIGITS_SHA256
from fastnn.train import Classifier
from fastnn.utils.data import DataLoader, TensorDataset

__all__ = ["DEFAULTS", "SUMMARY", "add_arguments", "build"]

SUMMARY = "the UCI handwritten digits that ship in the package: 1797 images of 8x8 pixels"
DEFAULTS = {"model": "cnn", "epochs": 30, "batch_size": 32, "lr": 2e-3}

_TEST_FRACTION, _SPLIT_SEED, _TOP = 0.2, 0, 16
_EVALUATION_BATCH = 512


def _mlp() -> nn.Module:
    """64 -> 256 -> 128 -> 10, ReLU and dropout in between."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 256),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(256, 128),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(128, 10),
    )


def _cnn() -> nn.Module:
    """Two blocks of 3x3 convolutions with batch norm and ReLU, pooled to 4x4 and 2x2."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.4),
        nn.Linear(256, 10),
    )


MODELS: Mapping[str, Callable[[], nn.Module]] = {"mlp": _mlp, "cnn": _cnn}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that only this task has."""
    text = f"the network (default: {DEFAULTS['model']})"
    parser.add_argument("--model", choices=tuple(MODELS), help=text)


def _headline(metrics: Mapping[str, float]) -> str:
    return f"test accuracy {100 * metrics['test_accuracy']:.1f} %"


def build(arguments: argparse.Namespace) -> Job:
    """Data, network and optimiser for the parsed flags; seeds what is random."""
    fastnn.manual_seed(arguments.seed)  # weights and dropout
    order = fastnn.Generator()
    order.manual_seed(arguments.seed)  # order of the batches

    images, labels = load_digits()
    inputs = images[:, None].astype(np.float32) / np.float32(_TOP)
    targets = labels.astype(np.int64)
    train, test = stratified_split(labels, _TEST_FRACTION, _SPLIT_SEED)
    parts = [
        TensorDataset(fastnn.from_numpy(inputs[part]), fastnn.from_numpy(targets[part]))
        for part in (train, test)
    ]
    model = MODELS[arguments.model]()
    optimizer = optim.Adam(model.parameters(), lr=arguments.lr)
    loader = DataLoader(parts[0], batch_size=arguments.batch_size, shuffle=True, generator=order)
    factor = warmup_cosine(arguments.epochs * len(loader))
    schedule = optim.lr_scheduler.LambdaLR(optimizer, factor)
    learner = Classifier(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        loader,
        DataLoader(parts[1], batch_size=_EVALUATION_BATCH),
        schedule,
    )
    weights = count_weights(model)
    summary = (
        f"digits: {len(train)} training and {len(test)} held-out images; {arguments.model} with "
        f"{weights:,} weights, Adam, lr {arguments.lr:g}, batches of {arguments.batch_size}, "
        f"seed {arguments.seed}"
    )
    config = {
        "network": repr(model),
        "weights": weights,
        "optimizer": {"name": "Adam", "lr": arguments.lr, "schedule": "warm-up, then cosine"},
        "data": {
            "name": "UCI Optical Recognition of Handwritten Digits (in the package)",
            "sha256": DIGITS_SHA256,
            "input": "pixels / 16: float32 from 0 to 1",
            "split": {
                "method": "stratified",
                "test_fraction": _TEST_FRACTION,
                "seed": _SPLIT_SEED,
                "train": len(train),
                "test": len(test),
            },
        },
    }
    return Job(learner, model, summary, config, _headline)
