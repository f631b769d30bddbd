# SPDX-License-Identifier: BSD-3-Clause
"""Optimisers, with torch's names, options and state format, and schedules (``lr_scheduler``)."""

from __future__ import annotations

from fastnn.optim import lr_scheduler, swa_utils
from fastnn.optim.adafactor import Adafactor
from fastnn.optim.adam import Adam, AdamW
from fastnn.optim.adam_variants import Adamax, NAdam, RAdam
from fastnn.optim.adaptive import Adadelta, Adagrad, RMSprop
from fastnn.optim.asgd import ASGD
from fastnn.optim.lbfgs import LBFGS
from fastnn.optim.muon import Muon
from fastnn.optim.newton_cg import NewtonCG
from fastnn.optim.optimizer import Optimizer
from fastnn.optim.rprop import Lion, Rprop
from fastnn.optim.sgd import SGD

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Muon",
    "NAdam",
    "NewtonCG",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
    "swa_utils",
]
