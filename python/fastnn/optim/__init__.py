# SPDX-License-Identifier: BSD-3-Clause
"""Optimisers, with torch's names, options and state format, and schedules (``lr_scheduler``)."""

from __future__ import annotations

from fastnn.optim import lr_scheduler
from fastnn.optim.adam import Adam, AdamW
from fastnn.optim.optimizer import Optimizer
from fastnn.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]
