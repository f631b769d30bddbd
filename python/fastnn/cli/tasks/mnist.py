# SPDX-License-Identifier: BSD-3-Clause
"""The task ``mnist``: a 28x28 image of a handwritten digit, ten classes, data from IDX files."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.cli.tasks import Job, count_weights, warmup_cosine
from fastnn.data import load_mnist
from fastnn.data.mnist import MNIST_SHA256
from fastnn.train import Classifier
from fastnn.utils.data import DataLoader, TensorDataset

__all__ = ["DEFAULTS", "SUMMARY", "add_arguments", "build"]

SUMMARY = "MNIST, read from its four IDX files: 70,000 images of 28x28 pixels"
DEFAULTS = {"data": None, "model": "lenet", "epochs": 10, "batch_size": 64, "lr": 4e-3}

_MEAN, _DEVIATION, _TOP = 0.1307, 0.3081, 255  # of the training images' pixels, over 0 ... 1
_WEIGHT_DECAY = 0.1
_EVALUATION_BATCH = 500


def _mlp() -> nn.Module:
    """784 -> 256 -> 128 -> 10, ReLU and dropout in between."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 256),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(256, 128),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(128, 10),
    )


def _lenet() -> nn.Module:
    """LeNet-5 (LeCun, Bottou, Bengio, Haffner 1998): 5x5 convolutions, tanh, average pooling; every
    map of the second convolution sees all of the first, and the output layer is linear."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.Tanh(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, 10),
    )


def _cnn() -> nn.Module:
    """3x3 convolutions with batch norm and ReLU, max pooling, dropout."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(1568, 128),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(128, 10),
    )


MODELS: Mapping[str, Callable[[], nn.Module]] = {"lenet": _lenet, "mlp": _mlp, "cnn": _cnn}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that only this task has."""
    text = "folder with the four files of MNIST, gzipped or not"
    parser.add_argument("--data", type=Path, metavar="DIR", help=text)
    text = f"the network (default: {DEFAULTS['model']})"
    parser.add_argument("--model", choices=tuple(MODELS), help=text)


def _headline(metrics: Mapping[str, float]) -> str:
    return f"test accuracy {100 * metrics['test_accuracy']:.2f} %"


def _part(images: Any, labels: Any) -> TensorDataset:
    scaled = (images[:, None].astype(np.float32) / np.float32(_TOP) - np.float32(_MEAN)) / (
        np.float32(_DEVIATION)
    )
    return TensorDataset(fastnn.from_numpy(scaled), fastnn.from_numpy(labels.astype(np.int64)))


def build(arguments: argparse.Namespace) -> Job:
    """Data, network and optimiser for the parsed flags; seeds what is random."""
    data = load_mnist(arguments.data)
    fastnn.manual_seed(arguments.seed)  # weights and dropout
    order = fastnn.Generator()
    order.manual_seed(arguments.seed)  # order of the batches
    train = _part(data.train_images, data.train_labels)
    test = _part(data.test_images, data.test_labels)
    model = MODELS[arguments.model]()
    optimizer = optim.AdamW(model.parameters(), lr=arguments.lr, weight_decay=_WEIGHT_DECAY)
    loader = DataLoader(train, batch_size=arguments.batch_size, shuffle=True, generator=order)
    factor = warmup_cosine(arguments.epochs * len(loader))
    learner = Classifier(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        loader,
        DataLoader(test, batch_size=_EVALUATION_BATCH),
        optim.lr_scheduler.LambdaLR(optimizer, factor),
    )
    weights = count_weights(model)
    summary = (
        f"mnist: {len(train):,} training and {len(test):,} test images; {arguments.model} with "
        f"{weights:,} weights, AdamW, lr {arguments.lr:g}, batches of {arguments.batch_size}, "
        f"seed {arguments.seed}"
    )
    config = {
        "network": repr(model),
        "weights": weights,
        "optimizer": {
            "name": "AdamW",
            "lr": arguments.lr,
            "weight_decay": _WEIGHT_DECAY,
            "schedule": "warm-up, then cosine",
        },
        "data": {
            "name": "MNIST",
            "sha256": dict(MNIST_SHA256),
            "input": f"(pixels / {_TOP} - {_MEAN}) / {_DEVIATION}",
            "train": len(train),
            "test": len(test),
        },
    }
    return Job(learner, model, summary, config, _headline)
