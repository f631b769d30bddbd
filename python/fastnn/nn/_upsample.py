# SPDX-License-Identifier: BSD-3-Clause
"""Old names of `F.interpolate`, under which it warns."""

from __future__ import annotations

import warnings
from typing import Any

from fastnn.ops.interpolate import interpolated
from fastnn.tensor import Tensor

__all__ = ["upsample", "upsample_bilinear", "upsample_nearest"]


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """`interpolate` under its old name, as torch.nn.functional.upsample.

    Shapes and errors as `interpolate`; warns.
    """
    _warn("upsample", "interpolate(...)")
    return interpolated("upsample", input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` in mode 'nearest', as torch.nn.functional.upsample_nearest.

    Shapes and errors as `interpolate`; warns.
    """
    _warn("upsample_nearest", "interpolate(...)")
    return interpolated("upsample_nearest", input, size, scale_factor, "nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` in mode 'bilinear' with aligned corners, as torch's F.upsample_bilinear.

    Shapes and errors as `interpolate`; warns.
    """
    _warn("upsample_bilinear", "interpolate(..., mode='bilinear', align_corners=True)")
    return interpolated("upsample_bilinear", input, size, scale_factor, "bilinear", True)


def _warn(name: str, instead: str) -> None:
    # Without a category, as torch: users are shown it.
    warnings.warn(f"{name} is an old name; use {instead} instead", stacklevel=3)
