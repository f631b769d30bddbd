# SPDX-License-Identifier: BSD-3-Clause
"""Modules: layers, containers and losses, with torch's names."""

from __future__ import annotations

from fastnn.nn import functional, init
from fastnn.nn.activation import LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from fastnn.nn.containers import ModuleDict, ModuleList, Sequential
from fastnn.nn.dropout import Dropout
from fastnn.nn.flatten import Flatten
from fastnn.nn.linear import Identity, Linear
from fastnn.nn.loss import CrossEntropyLoss
from fastnn.nn.module import Module
from fastnn.nn.parameter import Parameter

__all__ = [
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Identity",
    "Linear",
    "LogSoftmax",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "functional",
    "init",
]
