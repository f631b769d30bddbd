# SPDX-License-Identifier: BSD-3-Clause
"""Optimisers, parameters and gradients for the optimisers' tests."""

from __future__ import annotations

import numpy as np

import fastnn
from fastnn import nn, optim

ALL = [
    lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    lambda p: optim.Adam(p, lr=0.1, amsgrad=True),
    lambda p: optim.AdamW(p, lr=0.1),
    lambda p: optim.Adagrad(p, lr=0.1, initial_accumulator_value=0.1),
    lambda p: optim.Adadelta(p, lr=2.0),
    lambda p: optim.RMSprop(p, lr=0.1, centered=True, momentum=0.9),
    lambda p: optim.NAdam(p, lr=0.1),
    lambda p: optim.RAdam(p, lr=0.1),
    lambda p: optim.Adamax(p, lr=0.1),
    lambda p: optim.Rprop(p, lr=0.1),
    lambda p: optim.ASGD(p, lr=0.1, t0=2),
    lambda p: optim.Lion(p, lr=0.1),
]
IDS = ["sgd", "adam", "adamw", "adagrad", "adadelta", "rmsprop", "nadam", "radam", "adamax",
       "rprop", "asgd", "lion"]  # fmt: skip


def parameters(seed: int = 0):
    rng = np.random.default_rng(seed)
    shapes = [(3, 4), (4,), (), (2, 1, 3)]
    return [nn.Parameter(fastnn.tensor(rng.normal(size=s).astype("f4"))) for s in shapes]


def give_gradients(params, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for p in params:
        p.grad = fastnn.tensor(rng.normal(size=p.shape).astype("f4"))


def values(params):
    return [p.detach().numpy().copy() for p in params]


def assert_same(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)
