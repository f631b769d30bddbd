# SPDX-License-Identifier: BSD-3-Clause
"""The functions behind the layers, under torch's names."""

from __future__ import annotations

from fastnn.ops import (
    cross_entropy,
    dropout,
    linear,
    log_softmax,
    relu,
    relu_,
    sigmoid,
    softmax,
    tanh,
)

__all__ = [
    "cross_entropy",
    "dropout",
    "linear",
    "log_softmax",
    "relu",
    "relu_",
    "sigmoid",
    "softmax",
    "tanh",
]
