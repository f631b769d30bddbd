# SPDX-License-Identifier: BSD-3-Clause
"""The older names of `fastnn.amp` for programs that use them: the device is "cuda"."""

from __future__ import annotations

from fastnn import amp
from fastnn._dtypes import dtype as DType
from fastnn._dtypes import float16

__all__ = ["GradScaler", "autocast"]


class autocast(amp.autocast):
    """`amp.autocast` of the device "cuda", in float16."""

    def __init__(
        self, enabled: bool = True, dtype: DType = float16, cache_enabled: bool = True
    ) -> None:
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """`amp.GradScaler` of the device "cuda"."""

    def __init__(
        self,
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        super().__init__(
            "cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled
        )
