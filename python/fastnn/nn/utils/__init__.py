# SPDX-License-Identifier: BSD-3-Clause
"""Helpers for modules: clipping, parameters as a vector, packed sequences (``rnn``)."""

from __future__ import annotations

from fastnn.nn.utils import rnn
from fastnn.nn.utils.clip_grad import (
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from fastnn.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
    "parameters_to_vector",
    "rnn",
    "vector_to_parameters",
]
