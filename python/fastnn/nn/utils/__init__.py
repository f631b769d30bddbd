# SPDX-License-Identifier: BSD-3-Clause
"""Helpers for modules: clipping, parameters as a vector, packed sequences (``rnn``), and parameters
that are computed from others (``parametrize``, ``parametrizations``)."""

from __future__ import annotations

from fastnn.nn.utils import parametrizations, parametrize, rnn
from fastnn.nn.utils.clip_grad import (
    clip_grad_norm,
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from fastnn.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
from fastnn.nn.utils.old_norms import (
    remove_spectral_norm,
    remove_weight_norm,
    spectral_norm,
    weight_norm,
)

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
    "parameters_to_vector",
    "parametrizations",
    "parametrize",
    "remove_spectral_norm",
    "remove_weight_norm",
    "rnn",
    "spectral_norm",
    "vector_to_parameters",
    "weight_norm",
]
