# SPDX-License-Identifier: BSD-3-Clause
"""torch.backends.cuda: whether there are CUDA kernels; switches of cuBLAS, which is not used."""

from __future__ import annotations

import importlib.util

from fastnn.backends._switches import Switches

__all__ = ["is_built", "matmul"]

matmul = Switches(
    allow_tf32=False,
    allow_fp16_reduced_precision_reduction=True,
    allow_bf16_reduced_precision_reduction=True,
)


def is_built() -> bool:
    """Whether this installation has CUDA kernels, with a GPU or without."""
    return importlib.util.find_spec("fastnn._cuda") is not None
