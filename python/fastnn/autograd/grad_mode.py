# SPDX-License-Identifier: BSD-3-Clause
"""Whether operations are recorded, under torch's module name."""

from __future__ import annotations

from fastnn._grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)

__all__ = ["enable_grad", "inference_mode", "is_grad_enabled", "no_grad", "set_grad_enabled"]
