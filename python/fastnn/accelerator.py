# SPDX-License-Identifier: BSD-3-Clause
"""The GPU under the names that torch has for any kind of them, torch.accelerator: `fastnn.cuda`."""

from __future__ import annotations

from typing import Any

from fastnn import cuda
from fastnn._device import device
from fastnn.cuda import current_device as current_device_index
from fastnn.cuda import device as device_index
from fastnn.cuda import (
    device_count,
    empty_cache,
    is_available,
    synchronize,
)
from fastnn.cuda import set_device as set_device_index

__all__ = [
    "current_accelerator", "current_device_idx", "current_device_index", "device_count",
    "device_index", "empty_cache", "get_memory_info", "is_available", "memory_allocated",
    "memory_reserved", "set_device_idx", "set_device_index", "synchronize",
]  # fmt: skip

current_device_idx = current_device_index
set_device_idx = set_device_index


def current_accelerator(check_available: bool = False) -> device | None:
    """``device('cuda')`` where `is_available`, else None."""
    del check_available  # None stands for one that was built for and is not there, too
    return device("cuda") if is_available() else None


def get_memory_info(device_index: Any = None) -> tuple[int, int]:
    """(free, all) bytes of a GPU's memory: `fastnn.cuda.mem_get_info`."""
    return cuda.mem_get_info(device_index)


def memory_allocated(device_index: Any = None) -> int:
    """How many bytes of a GPU arrays have; 0 where there is none."""
    return cuda.memory_allocated(device_index)


def memory_reserved(device_index: Any = None) -> int:
    """How many bytes of a GPU arrays have or are kept for them; 0 where there is none."""
    return cuda.memory_reserved(device_index)
